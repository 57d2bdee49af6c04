"""Settings of `gigawatch proxy`: a file, then environment variables, then arguments."""

from __future__ import annotations

import os
import ssl
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from exporters.listening import Listen, checked_listen
from gigawatch.config import Strict, load_file
from gigawatch.errors import FileError, UserError

_ARGUMENTS = ("upstream", "listen", "metrics", "engine", "web_config")
_PORTS = {"http": 80, "https": 443}


def _upstream(text: str) -> str:
    try:
        split = urlsplit(text)
        _ = split.port
    except ValueError as error:
        raise ValueError(f"is no URL ({error}); write http://HOST:PORT") from None
    if split.username or split.password:
        # Without the text: it holds a password.
        raise ValueError("holds a user or password; clients send their own credentials")
    if split.scheme not in _PORTS or not split.hostname:
        raise ValueError(f"'{text}' is no URL of a server; write http://HOST:PORT or https://HOST")
    if split.path.strip("/") or split.query or split.fragment:
        raise ValueError(f"'{text}' has a path; write scheme, host and port only: paths pass as they are")
    return text


def _path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"'{text}' is no path; it begins with /")
    return text


class ProxySettings(Strict):
    """Settings of `gigawatch proxy`; docs/counting-proxy.md says what they mean."""

    upstream: Annotated[str, AfterValidator(_upstream)]
    listen: Listen = "127.0.0.1:9619"
    metrics: Listen = ":9620"
    web_config: Path | None = None
    engine: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] = "ollama"
    ask_usage: bool = True
    host: Literal["auto", "client", "upstream"] = "auto"
    ca_file: Path | None = None
    health: Annotated[str, AfterValidator(_path)] = "/"
    models: Annotated[int, Field(ge=1, le=10_000)] = 100
    connections: Annotated[int, Field(ge=1, le=100_000)] = 4096

    @property
    def secure(self) -> bool:
        """TLS towards the engine."""
        return urlsplit(self.upstream).scheme == "https"

    @property
    def address(self) -> tuple[str, int]:
        """The engine's host and port."""
        split = urlsplit(self.upstream)
        return split.hostname or "", split.port or _PORTS[split.scheme]

    @property
    def host_header(self) -> bytes:
        """What the Host header says upstream; empty: what the client said."""
        if self.host == "client" or (self.host == "auto" and not self.secure):
            return b""
        return urlsplit(self.upstream).netloc.encode("idna" if not self.upstream.isascii() else "ascii")

    def tls(self) -> ssl.SSLContext | None:
        """TLS towards the engine: its certificate is always verified. Raises FileError."""
        if not self.secure:
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or "no PEM certificates in it"
            raise FileError(self.ca_file, "ca_file", f"cannot be used ({reason})") from None
        context.set_alpn_protocols(["http/1.1"])
        return context


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of the command; all else is set in the file."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    parser.add_argument("--upstream", metavar="URL", help="the engine, such as http://127.0.0.1:11434")
    parser.add_argument(
        "--listen", metavar="ADDR", help="where clients come to: HOST:PORT or :PORT (default 127.0.0.1:9619)"
    )
    parser.add_argument("--metrics", metavar="ADDR", help="where the counts are shown (default :9620)")
    parser.add_argument("--engine", metavar="NAME", help="what the engine is called (default ollama)")
    parser.add_argument("--web-config", type=Path, metavar="FILE", help="TLS and basic auth of the metrics")


def settings_of(args: Namespace, environment: Mapping[str, str] = os.environ) -> ProxySettings:
    """Arguments over environment over file; raises UserError with one line."""
    given = {name: getattr(args, name) for name in _ARGUMENTS if getattr(args, name, None) is not None}
    for name, check in (("upstream", _upstream), ("listen", checked_listen), ("metrics", checked_listen)):
        if name in given:
            try:
                check(given[name])
            except ValueError as error:
                raise UserError(f"--{name}: {error}") from None
    if args.config is None and "upstream" not in given and "GIGAWATCH_PROXY_UPSTREAM" not in environment:
        raise UserError(
            "no engine named; add --upstream http://HOST:PORT, or `upstream` in the --config file"
        )
    # What an argument names need not stand in the file.
    merged = dict(environment) | (
        {"GIGAWATCH_PROXY_UPSTREAM": given["upstream"]} if "upstream" in given else {}
    )
    settings = load_file(args.config or Path(os.devnull), ProxySettings, merged, "GIGAWATCH_PROXY")
    return ProxySettings.model_validate(settings.model_dump() | given)
