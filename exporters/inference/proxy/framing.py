"""Where the body of an HTTP/1.1 message ends, and what of it is content."""

from __future__ import annotations

import re

_LONGEST_LINE = 4096
_LARGEST_TRAILER = 16 * 1024
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class UnreadableError(Exception):
    """Bytes that are not plainly HTTP/1.1. The message says which part, never what stood there."""


class Framing:
    """A body under way."""

    done = False
    ends_with_connection = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Content in `data`, and how many of its bytes belong to this message. Raises UnreadableError."""
        raise NotImplementedError


class Length(Framing):
    """So many bytes."""

    def __init__(self, length: int) -> None:
        self.left = length

    def feed(self, data: bytes) -> tuple[bytes, int]:
        content = data[: self.left]
        self.left -= len(content)
        self.done = not self.left
        return content, len(content)


class UntilClose(Framing):
    """All that comes until the connection is closed."""

    ends_with_connection = True

    def feed(self, data: bytes) -> tuple[bytes, int]:
        return data, len(data)


class Chunked(Framing):
    """Chunks with their sizes, then perhaps a trailer."""

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._next = self._size
        self.ending = b""
        """The last chunk and the trailer, as they came."""

    def feed(self, data: bytes) -> tuple[bytes, int]:
        content: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                content.append(piece)
                self._left -= len(piece)
                at += len(piece)
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or size]
            at = end or size
            if len(self._line) > _LONGEST_LINE:
                raise UnreadableError("chunk")
            if end:
                line, self._line = self._line, b""
                self._next(line)
        return b"".join(content), at

    def _size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise UnreadableError("chunk")
        self._left = int(match[1], 16)
        if self._left:
            self._next = self._gap
        else:
            self.ending, self._next = line, self._trailer

    def _gap(self, line: bytes) -> None:
        if line != b"\r\n":
            raise UnreadableError("chunk")
        self._next = self._size

    def _trailer(self, line: bytes) -> None:
        self.ending += line
        if not line.endswith(b"\r\n") or len(self.ending) > _LARGEST_TRAILER:
            raise UnreadableError("trailer")
        self.done = line == b"\r\n"


def chunk(content: bytes) -> bytes:
    """Content as one chunk; nothing for no content, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""
