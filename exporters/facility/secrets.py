"""Credentials: named in the settings, kept in files, read whenever they are wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.facility.driver import PollError, Reason, Secret
from exporters.inventory.watched import stamp_of

_LARGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Credential:
    """An entry under `credentials` in the settings. Files by their whole path; empty: none."""

    name: str
    username: str = ""
    password_file: str = ""
    """With a password, a community or a token, as the protocol has it."""
    bearer_token_file: str = ""
    version: str = ""
    auth_protocol: str = ""
    privacy_protocol: str = ""
    privacy_password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure: bool = False

    @property
    def secret_files(self) -> tuple[str, ...]:
        """Files that hold one line each."""
        named = (self.password_file, self.bearer_token_file, self.privacy_password_file)
        return tuple(name for name in named if name)

    @property
    def tls_files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.ca_file, self.cert_file, self.key_file) if name)

    def read(self) -> Secret:
        """What the files say now. Raises PollError(AUTH), which names the file and nothing of its content."""
        for name in self.tls_files:
            if not os.access(name, os.R_OK):
                raise PollError(Reason.AUTH, f"credentials '{self.name}': {name}: cannot be read")
        return Secret(
            self.username,
            self._text(self.password_file),
            self._text(self.bearer_token_file),
            self.version,
            self.auth_protocol,
            self.privacy_protocol,
            self._text(self.privacy_password_file),
            self.ca_file,
            self.cert_file,
            self.key_file,
            self.server_name,
            self.insecure,
        )

    def stamp(self) -> tuple[object, ...]:
        """Changes with the files."""
        return tuple(stamp_of(Path(name)) for name in (*self.secret_files, *self.tls_files))

    def problems(self) -> Iterator[str]:
        """A line for each file that cannot be used."""
        for name in self.secret_files:
            try:
                self._text(name)
            except PollError as error:
                yield str(error)
        for name in self.tls_files:
            if not os.access(name, os.R_OK):
                yield f"credentials '{self.name}': {name}: cannot be read; check the path and its permissions"

    def _text(self, name: str) -> str:
        if not name:
            return ""
        where = f"credentials '{self.name}': {name}"
        try:
            with Path(name).open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except OSError as error:
            raise PollError(Reason.AUTH, f"{where}: cannot be read ({error.strerror})") from None
        try:
            text = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            text = ""
        if not text.isprintable() or not text or len(raw) > _LARGEST:
            raise PollError(Reason.AUTH, f"{where}: is no secret (one line of printable characters)")
        return text
