"""A bound on what all connections together keep of requests."""

from __future__ import annotations

_MOST = 64 * 1024 * 1024


class Budget:
    """So many bytes."""

    def __init__(self, most: int = _MOST) -> None:
        self._left = most

    def take(self, size: int) -> bool:
        """False, and nothing taken, where too little is left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        """Back."""
        self._left += size

    @property
    def left(self) -> int:
        return self._left
