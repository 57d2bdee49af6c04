"""TLS and basic auth of a server, from a web configuration file in the Prometheus exporter-toolkit format.

The file, and the certificates that it names, are read again when they change. `web_file` reads and checks it.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gigawatch.errors import FileError, UserError
from gigawatch.serving.tls import TlsRules, make_context
from gigawatch.serving.users import Users

log = logging.getLogger(__name__)

_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WebRules:
    """A web configuration file, checked."""

    tls: TlsRules | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """User name to bcrypt hash."""
    headers: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.0
    """Seconds that must lie between requests, once `burst` have come at once; 0 for no limit."""
    burst: int = 0


class _Bucket:
    """Rate limit by tokens: one more every `interval` seconds, `burst` at the most."""

    def __init__(self, interval: float, burst: int) -> None:
        self._interval, self._burst = interval, burst
        self._lock = threading.Lock()
        self._tokens, self._at = float(burst), time.monotonic()

    def take(self) -> bool:
        if not self._interval:
            return True
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class WebConfig:
    """What a server asks of its clients; safe for several threads."""

    def __init__(self, path: Path, every: float = 5.0) -> None:
        """Looks for changes once in `every` seconds at the most. Raises UserError, naming file and field."""
        self._path, self._every = path, every
        self._reloading = threading.Lock()
        self._looked_at = time.monotonic()
        self.failures = 0
        """Changed files that could not be used."""
        self.problem = ""
        """What is wrong with the files as they are now; empty while all is well."""
        self._loaded = False
        self._context: ssl.SSLContext | None = None
        self._load()

    @property
    def context(self) -> ssl.SSLContext | None:
        """For new connections; None without TLS."""
        return self._context

    @property
    def headers(self) -> Mapping[str, str]:
        """To be set on every response."""
        return self._headers

    def authorized(self, header: str) -> bool:
        """True if the Authorization header names a user with the right password, or no user is asked for."""
        users = self._users
        if not users:
            return True
        pair = _basic_pair(header)
        return pair is not None and users.know(*pair)

    def within_rate(self) -> bool:
        """False if this request is one too many."""
        return self._bucket.take()

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client's verified certificate (as getpeercert() gives it) bears an allowed name."""
        allowed = self._names
        if allowed is None:
            return True
        return any(value in allowed for _, value in (certificate or {}).get("subjectAltName", ()))

    def refresh(self) -> None:
        """Take in changed files; what cannot be used is logged and counted, and the old settings stay."""
        now = time.monotonic()
        if now - self._looked_at < self._every or not self._reloading.acquire(blocking=False):
            return
        try:
            self._looked_at = now
            if [_stamp(file) for file in self._files] == self._stamps:
                return
            self._load()
            self.problem = ""
            log.info("%s: read again after a change", self._path)
        except UserError as error:
            self.failures += 1
            self.problem = str(error)
            log.warning("%s; the settings as they were stay in use", error)
        finally:
            self._reloading.release()

    def _load(self) -> None:
        # Stamps before contents: what changes in between is seen the next time.
        files, stamps = [self._path], [_stamp(self._path)]
        try:
            rules = _read(self._path)
            if self._loaded and (rules.tls is None) != (self._context is None):
                raise FileError(
                    self._path, "tls_server_config", "cannot come or go while the server runs", "restart it"
                )  # fmt: skip
            files += rules.tls.files() if rules.tls is not None else []
            stamps += [_stamp(file) for file in files[1:]]
            context = make_context(rules.tls, self._path) if rules.tls is not None else None
            users = Users(rules.users, self._path)
        finally:
            # Also after a failure: the same wrong files are not read again and again.
            self._files, self._stamps = files, stamps
        self._context, self._users, self._headers = context, users, rules.headers
        self._names = rules.tls.client_allowed_sans if rules.tls is not None else None
        self._bucket = _Bucket(rules.interval, rules.burst)
        self._loaded = True


def _stamp(file: Path) -> object:
    """Changes with the file."""
    try:
        found = file.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def load_web_config(path: Path) -> WebConfig:
    """The file as a WebConfig; relative file names in it are taken from the file's own directory.

    Raises UserError with one line that names file, field and remedy.
    """
    return WebConfig(path)


def _read(path: Path) -> WebRules:
    """The file, checked: here if the validator is loaded anyway, else by a process that takes it along."""
    if "pydantic" in sys.modules:
        from gigawatch.serving.web_file import read

        return read(path)
    command = [sys.executable, "-P", "-m", "gigawatch.serving.web_file", str(path)]
    try:
        done = subprocess.run(  # noqa: PLW1510 - the status is looked at below
            command, capture_output=True, text=True, timeout=_READ_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FileError(path, "", f"cannot be checked ({type(error).__name__})") from None
    if done.returncode:
        raise UserError(done.stderr.strip().rpartition("\n")[2] or f"{path}: cannot be checked")
    plain = json.loads(done.stdout)
    if plain["tls"] is not None:
        for name in ("client_allowed_sans", "cipher_suites"):
            if plain["tls"][name] is not None:
                plain["tls"][name] = tuple(plain["tls"][name])
        plain["tls"] = TlsRules(**plain["tls"])
    return WebRules(**plain)


def _basic_pair(header: str) -> tuple[str, bytes] | None:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
