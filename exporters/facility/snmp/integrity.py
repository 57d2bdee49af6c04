"""Are answers of SNMP version 3 from the agent they claim to be from? The client library does not look."""

from __future__ import annotations

import hmac

from gufo.snmp.user import BaseAuthKey

from exporters.facility.snmp.sound import Seen, UnsoundError

_SIGNED = 1
_HASHES = {
    "Md5Key": ("md5", 12),
    "Sha1Key": ("sha1", 12),
    "Sha224Key": ("sha224", 16),
    "Sha256Key": ("sha256", 24),
    "Sha384Key": ("sha384", 32),
    "Sha512Key": ("sha512", 48),
}
"""Hash and length of a signature: RFC 3414 and 7860."""


class Signatures:
    """Checks the signatures of one user's answers."""

    def __init__(self, key: BaseAuthKey) -> None:
        self._hash, self._length = _HASHES[type(key).__name__]
        self._kind = type(key)
        self._master = self._kind.get_master_key(key.key)
        self._local: tuple[bytes, bytes] = (b"", b"")

    def check(self, data: bytes, seen: Seen) -> None:
        """UnsoundError for an answer without the right signature. A report needs none: it has no values."""
        if not seen.flags & _SIGNED:
            if seen.report:
                return
            raise UnsoundError("no signature")
        start, end = seen.signature
        if self._local[0] != seen.engine:
            self._local = (seen.engine, self._kind.get_localized_key(self._master, seen.engine))
        blank = data[:start] + bytes(end - start) + data[end:]
        right = hmac.digest(self._local[1], blank, self._hash)[: self._length]
        if not hmac.compare_digest(right, data[start:end]):
            raise UnsoundError("a wrong signature")
