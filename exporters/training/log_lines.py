"""New lines of a log file that others write, rename and cut off."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
LONGEST = 1 << 16
"""Bytes of a line; longer ones are passed over."""
AT_ONCE = 1 << 20
"""Bytes of one file that are read at a time."""
_BEHIND = 16 << 20
"""Bytes behind the end from which on the way there is cut short: steps have numbers, none is lost."""
_ENDS = re.compile(rb"[\r\n]")


@dataclass(slots=True)
class LogTail:
    """One file, by its path. Begins at its end; what comes later under the same path is read from its start.

    Links are not followed: `latest.log` would tell a second time what another file tells.
    """

    path: str
    inode: tuple[int, int] | None = None
    offset: int = 0
    part: bytes = b""
    """A line that has begun."""
    skipping: bool = False
    """Within a line that is too long, or one that began before us."""

    def lines(self) -> Iterator[str]:
        """Lines that are new. Raises OSError."""
        descriptor = os.open(self.path, _OPEN)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return
            if self.inode is None:
                self._begin((found.st_dev, found.st_ino), found.st_size)
                self.skipping = found.st_size > 0
                if self.skipping:
                    file.seek(found.st_size - 1)
                    self.skipping = not _ENDS.match(file.read(1))
            elif self.inode != (found.st_dev, found.st_ino) or found.st_size < self.offset:
                self._begin((found.st_dev, found.st_ino), 0)
            if found.st_size - self.offset > _BEHIND:
                self._begin(self.inode, found.st_size - AT_ONCE)
                self.skipping = True
            file.seek(self.offset)
            data = file.read(AT_ONCE)
        self.offset += len(data)
        yield from self._split(data)

    def _begin(self, inode: tuple[int, int] | None, offset: int) -> None:
        self.inode, self.offset, self.part, self.skipping = inode, offset, b"", False

    def _split(self, data: bytes) -> Iterator[str]:
        *whole, rest = _ENDS.split(self.part + data)
        for line in whole:
            if self.skipping or len(line) > LONGEST:
                self.skipping = False
            elif line:
                # A file cut off under a writer that goes on where it was has zeros up to there.
                yield line.decode("utf-8", "replace").lstrip("\0")
        if len(rest) > LONGEST:
            self.skipping, rest = True, b""
        self.part = b"" if self.skipping else rest
