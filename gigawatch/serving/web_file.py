"""Reads a web configuration file, in the format of the Prometheus exporter toolkit, and checks it.

Apart from `web`, which serves by it: this module brings the validator along, several MiB that a server which
runs for months has no use for. `python -m gigawatch.serving.web_file FILE` prints the file checked, as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from gigawatch.config import Strict, load_file, parse_duration
from gigawatch.errors import FileError, UserError
from gigawatch.serving.tls import CIPHERS, CLIENT_AUTH, CURVES, TlsRules
from gigawatch.serving.web import WebRules

_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""Headers that the format knows, and their values where only some are allowed."""


def _one_of(allowed: tuple[str, ...], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"'{text}' is no {what}; allowed: {', '.join(allowed)}")
        return text

    return AfterValidator(check)


def _known_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name not in _HEADERS:
            raise ValueError(f"'{name}' is not among the headers that can be set: {', '.join(_HEADERS)}")
        allowed = _HEADERS[name]
        if value and allowed and value.lower() not in allowed:
            raise ValueError(f"{name} is '{value}'; allowed: {', '.join(allowed)}")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name} holds a character that no header may hold")
    return {name: value for name, value in headers.items() if value}


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _as_text(value: object) -> object:
    # A value of another kind would be shown in the validator's own words.
    if not isinstance(value, str):
        raise ValueError("is not text; put it in quotes")  # noqa: TRY004 - what the validator understands
    return value


def _as_mapping(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("is no mapping; write USER: HASH, one a line")  # noqa: TRY004 - as above
    return value


Secret = Annotated[SecretStr, BeforeValidator(_as_text)]


class TlsSettings(Strict):
    """Section tls_server_config."""

    cert: str = ""
    key: Secret = SecretStr("")
    client_ca: str = ""
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    client_auth_type: Annotated[str, _one_of(tuple(CLIENT_AUTH), "policy")] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[Annotated[str, _one_of(tuple(CIPHERS), "cipher suite")], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[Annotated[str, _one_of(tuple(CURVES), "curve")], ...] = ()


class HttpSettings(Strict):
    """Section http_server_config. `http2` changes nothing: this server speaks HTTP/1.1, as clients can."""

    http2: bool = True
    headers: Annotated[dict[str, str], AfterValidator(_known_headers)] = Field(default_factory=dict)


class RateSettings(Strict):
    """Section rate_limit: one request each `interval`, and `burst` at once; without interval no limit."""

    interval: Annotated[float, BeforeValidator(_seconds), Field(ge=0)] = 0.0
    burst: Annotated[int, Field(ge=0)] = 0


class WebSettings(Strict):
    """A web configuration file."""

    tls_server_config: TlsSettings | None = None
    http_server_config: HttpSettings = HttpSettings()
    basic_auth_users: Annotated[dict[str, Secret], BeforeValidator(_as_mapping)] = Field(default_factory=dict)
    """User name to bcrypt hash of the password."""
    rate_limit: RateSettings = RateSettings()


def read(path: Path) -> WebRules:
    """The file, checked; relative file names in it are taken from its own directory. Raises FileError."""
    settings = load_file(path, WebSettings)
    tls = settings.tls_server_config
    return WebRules(
        tls=_tls(path, tls) if tls is not None else None,
        users={name: hashed.get_secret_value() for name, hashed in settings.basic_auth_users.items()},
        headers=settings.http_server_config.headers,
        interval=settings.rate_limit.interval,
        burst=settings.rate_limit.burst,
    )


def _tls(path: Path, tls: TlsSettings) -> TlsRules:
    def wrong(field: str, problem: str, remedy: str) -> FileError:
        return FileError(path, f"tls_server_config.{field}", problem, remedy)

    given = {"cert": tls.cert, "key": tls.key.get_secret_value(), "client_ca": tls.client_ca}
    files = {name: getattr(tls, f"{name}_file") for name in given}
    for name, text in given.items():
        if text and files[name]:
            raise wrong(name, f"stands beside {name}_file", "keep one of the two")
        if not text and not files[name] and name != "client_ca":
            raise wrong(f"{name}_file", "is missing", f"add it, or give the PEM text itself as {name}")
    authority = bool(given["client_ca"] or files["client_ca"])
    mode = CLIENT_AUTH[tls.client_auth_type]
    if authority and tls.client_auth_type == "NoClientCert":
        raise wrong("client_auth_type", "is missing", "client_ca_file needs RequireAndVerifyClientCert")
    if mode and not authority:
        raise wrong("client_ca_file", "is missing", f"client_auth_type {tls.client_auth_type} needs it")
    if tls.client_allowed_sans is not None and mode < 2:
        raise wrong("client_allowed_sans", "has no effect", "it needs RequireAndVerifyClientCert")
    if tls.min_version > tls.max_version:
        raise wrong("min_version", f"is above max_version {tls.max_version}", "swap them")
    if len(tls.curve_preferences) > 1:
        raise wrong("curve_preferences", "names several curves", "name one, or none to let TLS choose")
    return TlsRules(
        **given,
        **{f"{name}_file": str(path.parent / file) if file else "" for name, file in files.items()},
        client_auth_type=tls.client_auth_type,
        client_allowed_sans=tls.client_allowed_sans,
        min_version=tls.min_version,
        max_version=tls.max_version,
        cipher_suites=tls.cipher_suites,
        prefer_server_cipher_suites=tls.prefer_server_cipher_suites,
        curve=tls.curve_preferences[0] if tls.curve_preferences else "",
    )


def main(arguments: list[str]) -> int:
    """Print a file as JSON; 1 and one line on standard error where it is wrong."""
    try:
        rules: dict[str, Any] = dataclasses.asdict(read(Path(arguments[0])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(rules, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
