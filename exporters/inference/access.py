"""How an engine, or a list of engines, lets us in: TLS, bearer tokens, passwords. Secrets stay in files."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path

_LARGEST_SECRET = 1 << 16


class AccessError(Exception):
    """What should let us in cannot be used. The message names the file, never what is in it."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a server asks of us. Empty texts: not asked for. Files are read again when they change."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    """Name that the server's certificate must bear, where it is not the host of the address."""
    insecure: bool = False
    """Take any certificate."""
    bearer_token_file: str = ""
    username: str = ""
    password_file: str = ""
    tls: bool = False
    """It speaks TLS, where its address does not say."""


OPEN = Access()
"""Nothing is asked."""


class Keyring:
    """Headers and TLS contexts, made once and again when their files change."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, str, str, bool], tuple[object, ssl.SSLContext]] = {}
        self._secrets: dict[str, tuple[object, str]] = {}

    def headers(self, access: Access) -> dict[str, str]:
        """The Authorization header, if any. Raises AccessError."""
        if access.bearer_token_file:
            return {"Authorization": f"Bearer {self._secret(access.bearer_token_file)}"}
        if access.username:
            password = self._secret(access.password_file) if access.password_file else ""
            pair = base64.b64encode(f"{access.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    def context(self, access: Access) -> ssl.SSLContext:
        """For connections over TLS. Raises AccessError."""
        key = (access.ca_file, access.cert_file, access.key_file, access.insecure)
        stamps = [_stamp(name) for name in key[:3] if name]
        known = self._contexts.get(key)
        if known is None or known[0] != stamps:
            known = self._contexts[key] = (stamps, _context(*key))
        return known[1]

    def _secret(self, name: str) -> str:
        stamp = _stamp(name)
        known = self._secrets.get(name)
        if known is None or known[0] != stamp:
            known = self._secrets[name] = (stamp, _read(name))
        return known[1]


def _context(ca_file: str, cert_file: str, key_file: str, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise AccessError(f"{ca_file}: is no readable file of certificates ({_reason(error)})") from None
    # Certificates of many clusters lack what RFC 5280 wants in them; Python 3.13 insists on it otherwise.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file:
        try:
            # The empty password keeps OpenSSL from asking at the terminal.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except (OSError, ValueError) as error:
            raise AccessError(
                f"{cert_file}, {key_file}: are no certificate and its key ({_reason(error)})"
            ) from None
    return context


def _read(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            raw = file.read(_LARGEST_SECRET + 1).rstrip(b"\r\n")
    except OSError as error:
        raise AccessError(f"{name}: cannot be read ({_reason(error)})") from None
    # Anything else would be refused further down, in words that show it.
    if len(raw) > _LARGEST_SECRET or not raw or not all(0x20 <= byte <= 0x7E for byte in raw):
        raise AccessError(f"{name}: is no secret (one line of printable characters)")
    return raw.decode("ascii")


def _reason(error: Exception) -> str:
    """Why, without anything of the content."""
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


def _stamp(name: str) -> object:
    try:
        found = Path(name).stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino
