"""TLS and basic auth of a server, from a web configuration file in the Prometheus exporter-toolkit format."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import ssl
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Literal

from pydantic import Field

from gigawatch.config import Strict, load_file
from gigawatch.errors import FileError, UserError

log = logging.getLogger(__name__)

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_OPTIONAL,
    "RequireAnyClientCert": ssl.CERT_REQUIRED,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_REMEMBERED = 256
_NOBODY = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
"""A hash that no password is checked for in earnest: unknown users must take as long as known ones."""


class TlsSettings(Strict):
    """Section tls_server_config."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Literal[
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ] = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"


class WebSettings(Strict):
    """A web configuration file."""

    tls_server_config: TlsSettings | None = None
    basic_auth_users: dict[str, str] = Field(default_factory=dict)
    """User name to bcrypt hash of the password."""


class WebConfig:
    """What a server asks of its clients; safe for several threads."""

    def __init__(self, path: Path, settings: WebSettings) -> None:
        self._path = path
        self._tls = settings.tls_server_config
        self._users = {name: hashed.encode() for name, hashed in settings.basic_auth_users.items()}
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self.context = self._make_context()
        self._stamp = self._files_changed()
        self._check_users()

    def authorized(self, header: str) -> bool:
        """True if the Authorization header names a user with the right password, or no user is asked for.

        bcrypt is slow on purpose: a pair that was right once is remembered as a keyed digest, so that scrapes
        stay fast; wrong ones are checked one at a time.
        """
        if not self._users:
            return True
        pair = _basic_pair(header)
        if pair is None:
            return False
        user, password = pair
        digest = hmac.new(self._key, user.encode() + b"\0" + password, hashlib.sha256).digest()
        with self._lock:
            if digest in self._verified:
                self._verified.move_to_end(digest)
                return True
            right = _matches(password, self._users.get(user, _NOBODY)) and user in self._users
            if right:
                self._verified[digest] = None
                while len(self._verified) > _REMEMBERED:
                    self._verified.popitem(last=False)
            return right

    def refresh(self) -> None:
        """Take in a renewed certificate; one that cannot be loaded is logged and the old one stays in use."""
        if self._tls is None or self.context is None:
            return
        stamp = self._files_changed()
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
        try:
            self.context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
        except (OSError, ssl.SSLError) as error:
            log.warning("%s: renewed certificate not usable (%s); the old one stays", self._path, error)

    def _files_changed(self) -> tuple[int, ...]:
        if self._tls is None:
            return ()
        stamps = []
        for file in (self._tls.cert_file, self._tls.key_file):
            try:
                stamps.append(file.stat().st_mtime_ns)
            except OSError:
                stamps.append(0)
        return tuple(stamps)

    def _make_context(self) -> ssl.SSLContext | None:
        tls = self._tls
        if tls is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[tls.min_version]
        context.maximum_version = _VERSIONS[tls.max_version]
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except (OSError, ssl.SSLError) as error:
            raise self._wrong("tls_server_config.cert_file", error, "a PEM certificate and its key") from None
        mode = _CLIENT_AUTH[tls.client_auth_type]
        if mode is not ssl.CERT_NONE and tls.client_ca_file is None:
            raise FileError(
                self._path, "tls_server_config.client_ca_file", "is missing",
                f"client_auth_type {tls.client_auth_type} needs it",
            )  # fmt: skip
        if tls.client_ca_file is not None:
            try:
                context.load_verify_locations(tls.client_ca_file)
            except (OSError, ssl.SSLError) as error:
                raise self._wrong("tls_server_config.client_ca_file", error, "PEM certificates") from None
        context.verify_mode = mode
        return context

    def _check_users(self) -> None:
        if not self._users:
            return
        for user, hashed in self._users.items():
            try:
                _matches(b"", hashed)
            except ValueError:
                raise FileError(
                    self._path, f"basic_auth_users.{user}", "is not a bcrypt hash",
                    "make one with: htpasswd -nBC 10 USER",
                ) from None  # fmt: skip

    def _wrong(self, field: str, error: Exception, remedy: str) -> FileError:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        return FileError(self._path, field, f"cannot be used ({reason})", f"expected {remedy}")


def load_web_config(path: Path) -> WebConfig:
    """The file as a WebConfig; relative file names in it are taken from the file's own directory.

    Raises UserError with one line that names file, field and remedy.
    """
    settings = load_file(path, WebSettings)
    tls = settings.tls_server_config
    if tls is not None:
        base = path.parent
        absolute = {
            name: base / file
            for name in ("cert_file", "key_file", "client_ca_file")
            if (file := getattr(tls, name)) is not None
        }
        settings = settings.model_copy(update={"tls_server_config": tls.model_copy(update=absolute)})
    return WebConfig(path, settings)


def _basic_pair(header: str) -> tuple[str, bytes] | None:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        import bcrypt
    except ModuleNotFoundError:
        raise UserError(
            "basic_auth_users needs the Python module 'bcrypt'; "
            "install it with: pip install 'gigawatch[exporters]'"
        ) from None
    # bcrypt itself looks at 72 bytes; newer releases refuse longer passwords instead of cutting them.
    return bcrypt.checkpw(password[:72], hashed)
