"""Cuts a stream of answers into its events, wherever the network has cut it."""

from __future__ import annotations

import re
from typing import NamedTuple

LARGEST_BLOCK = 256 * 1024
"""Bytes; a longer event is handed on in parts."""
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?=[^\n]))(?:\r\n|\n|\r(?=[^\n]))")
_LINE_END = re.compile(rb"\n")
_LINES = re.compile(rb"\r\n|\n|\r")


class Block(NamedTuple):
    """An event with its end, or a part of one that is too long to be kept."""

    raw: bytes
    begins: bool
    ends: bool


class Blocks:
    """Server-sent events (ended by a blank line), or lines of JSON.

    Together the blocks and `rest()` are the stream, byte for byte.
    """

    def __init__(self, lines: bool, largest: int = LARGEST_BLOCK) -> None:
        self._end, self._largest = _LINE_END if lines else _EVENT_END, largest
        self._kept = bytearray()
        self._seen = 0
        """Where to look on for an end."""
        self._inside = False
        """A part of this event is gone already."""

    def feed(self, data: bytes) -> list[Block]:
        """Blocks that are complete now."""
        kept, found, at = self._kept, [], 0
        kept += data
        while (end := self._end.search(kept, max(at, self._seen))) is not None:
            found.append(Block(bytes(kept[at : end.end()]), not self._inside, True))
            self._inside, at = False, end.end()
        if at:
            del kept[:at]
        if len(kept) > self._largest:
            # What could be the beginning of an end stays here.
            found.append(Block(bytes(kept[:-4]), not self._inside, False))
            self._inside = True
            del kept[:-4]
        self._seen = max(0, len(kept) - 4)
        return found

    def rest(self) -> Block | None:
        """What never got an end."""
        if not self._kept and not self._inside:
            return None
        last = Block(bytes(self._kept), not self._inside, True)
        self._kept, self._inside, self._seen = bytearray(), False, 0
        return last


def data_of(event: bytes) -> bytes:
    """The data of a server-sent event: empty for comments and for other fields."""
    if event.startswith(b"data:") and event.count(b"data:") == 1 and b"\r" not in event:
        line = event[5 : event.index(b"\n")] if b"\n" in event else event[5:]
        return line.removeprefix(b" ")
    return b"\n".join(
        [
            line[5:].removeprefix(b" ")
            for line in _LINES.split(event.removeprefix(b"\xef\xbb\xbf"))
            if line == b"data" or line.startswith(b"data:")
        ]
    )
