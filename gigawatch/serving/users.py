"""Users of a server and their passwords, which are kept as bcrypt hashes only."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from gigawatch.errors import FileError, UserError

_REMEMBERED = 256
_NOBODY = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
"""A hash that no password is checked for in earnest: unknown users must take as long as known ones."""


class Users:
    """Knows passwords; safe for several threads.

    bcrypt is slow on purpose: a pair that was right once is remembered as a keyed digest, so that scrapes
    stay fast; others are checked one at a time, which holds up no one who is remembered.
    """

    def __init__(self, users: Mapping[str, str], path: Path) -> None:
        """From user name to bcrypt hash. `path` is named in errors, which are UserErrors."""
        self._users = {name: hashed.encode() for name, hashed in users.items()}
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._lock, self._checking = threading.Lock(), threading.Lock()
        for user, hashed in self._users.items():
            try:
                _matches(b"", hashed)
            except ValueError:
                raise FileError(
                    path, f"basic_auth_users.{user}", "is not a bcrypt hash",
                    "make one with: htpasswd -nBC 10 USER",
                ) from None  # fmt: skip

    def __bool__(self) -> bool:
        return bool(self._users)

    def know(self, user: str, password: bytes) -> bool:
        """Whether this is the password of that user."""
        digest = hmac.new(self._key, user.encode() + b"\0" + password, hashlib.sha256).digest()
        if self._remember(digest):
            return True
        with self._checking:
            if self._remember(digest):
                return True
            if not (_matches(password, self._users.get(user, _NOBODY)) and user in self._users):
                return False
        with self._lock:
            self._verified[digest] = None
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        return True

    def _remember(self, digest: bytes) -> bool:
        with self._lock:
            if digest not in self._verified:
                return False
            self._verified.move_to_end(digest)
            return True


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
