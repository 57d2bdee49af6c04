"""Heads of HTTP/1.1 messages, read strictly: what can be understood in two ways is not understood at all.

Whoever gets `UnreadableError` stops counting on that connection and lets the bytes pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.inference.proxy.framing import Chunked, Framing, Length, UnreadableError, UntilClose

_LARGEST_HEAD = 64 * 1024
REQUEST_BEGINS = re.compile(rb"\r?$|[A-Z][A-Z_-]{0,30}(?: |$)")
ANSWER_BEGINS = re.compile(rb"H(?:$|T(?:$|T(?:$|P(?:$|/(?:$|1(?:$|\.))))))")
END = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(%b) ([^\x00-\x20\x7f]+) HTTP/1\.([01])" % _TOKEN)
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?")
_FIELD = re.compile(rb"\r\n(%b):[ \t]*([^\r\n\x00]*)" % _TOKEN)
_DIGITS = re.compile(rb"[0-9]{1,18}")

Fields = Mapping[bytes, bytes]
"""Header fields by name in lower case; repeated ones joined by a comma."""


@dataclass(frozen=True, slots=True)
class Request:
    method: bytes
    target: bytes
    fields: Fields

    def framing(self) -> Framing | None:
        """How the body is delimited; None without a body."""
        coding, length = self.fields.get(b"transfer-encoding"), self.fields.get(b"content-length")
        if coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise UnreadableError("transfer encoding")
            return Chunked()
        return _of_length(length) if length is not None else None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: Fields

    def framing(self, method: bytes) -> Framing | None:
        """How the body of the answer to such a request is delimited; None without a body."""
        if method == b"HEAD" or self.status in (204, 304):
            return None
        coding, length = self.fields.get(b"transfer-encoding"), self.fields.get(b"content-length")
        if coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise UnreadableError("transfer encoding")
            return Chunked()
        return _of_length(length) if length is not None else UntilClose()


def read_request(head: bytes) -> Request:
    """From the head without its blank line."""
    first, fields = _split(head)
    match = _REQUEST.fullmatch(first)
    if match is None or match[1] == b"CONNECT":
        raise UnreadableError("request line")
    return Request(match[1], match[2], fields)


def read_answer(head: bytes) -> Answer:
    """From the head without its blank line."""
    first, fields = _split(head)
    match = _STATUS.fullmatch(first)
    if match is None:
        raise UnreadableError("status line")
    return Answer(int(match[2]), fields)


def split_head(buffer: bytes, begins: re.Pattern[bytes]) -> bytes | None:
    """The head at the start of the buffer, without its blank line; None while it is not whole.

    Raises UnreadableError for what may never come to the end of a head: a tunnel, another protocol.
    """
    end = buffer.find(END)
    if end >= 0:
        return buffer[:end]
    if begins.match(buffer) is None or buffer.count(b"\n") != buffer.count(b"\r\n"):
        raise UnreadableError("no head")
    if len(buffer) > _LARGEST_HEAD:
        raise UnreadableError("long head")
    return None


def replaced(head: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """The head with other values for the fields that it has; everything else stays as it was."""
    lines = head.split(b"\r\n")
    for index, line in enumerate(lines[1:], 1):
        name, colon, _ = line.partition(b":")
        if colon and name.lower() in values:
            lines[index] = b"%b: %b" % (name, values[name.lower()])
    return b"\r\n".join(lines)


def _split(head: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    end = head.find(b"\r\n")
    first = head if end < 0 else head[:end]
    found = _FIELD.findall(head, len(first))
    if not len(found) == head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r"):
        raise UnreadableError("header field")
    fields: dict[bytes, bytes] = {}
    for name, value in found:
        key, tidy = name.lower(), value.rstrip(b" \t")
        fields[key] = b"%b, %b" % (fields[key], tidy) if key in fields else tidy
    return first, fields


def _of_length(text: bytes) -> Framing | None:
    if not _DIGITS.fullmatch(text):
        raise UnreadableError("content length")
    return Length(int(text)) if int(text) else None
