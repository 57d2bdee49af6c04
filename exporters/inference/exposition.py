"""The text that engines answer at /metrics, read line by line: what one line says, and whether it is any.

Text format 0.0.4 and OpenMetrics alike: timestamps and exemplars are passed over, escapes undone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_BYTES = 16 * 2**20
MAX_SERIES = 50_000
_MAX_LINES = 4 * MAX_SERIES
"""Room for HELP and TYPE. Lines are counted before they are taken apart: 16 MiB may be 16 million of them."""

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*+"
NAME = re.compile(rf"[ \t]*+({_NAME})(?=[ \t{{])")
_SAMPLE = re.compile(
    rf"[ \t]*+({_NAME})"
    r'(?:[ \t]*+\{([^"}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"}]*+)*+)\}[ \t]*+|[ \t]++)'
)
_LABEL = re.compile(
    r'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t]*+(,[ \t]*+|$)'
)
_VALUE = re.compile(r"([^\s#]++)(?:[ \t]++[-+0-9.eE]++)?[ \t]*+(?:#.*+)?\s*+", re.DOTALL)
_TYPE = re.compile(rf"#[ \t]*+TYPE[ \t]++({_NAME})[ \t]++([a-zA-Z]++)\s*+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class ExpositionError(Exception):
    """An answer that cannot be read. `kind` is a short word: it becomes a label value."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Parsed(NamedTuple):
    """One sample's line, without its value."""

    name: str
    labels: dict[str, str]
    key: str
    """The text from the name to the end of the labels: the same in each scrape."""
    prefix: str
    """All that stands before the value."""


def lines_of(body: bytes) -> list[str]:
    """The lines of an answer; the last one is empty where the answer ends as it should, in a line break.

    Bytes that are no UTF-8 become lone surrogates, so that they spoil their own line alone.
    """
    if len(body) > MAX_BYTES:
        raise ExpositionError("too_large", f"the answer has {len(body)} bytes; at most {MAX_BYTES} are read")
    if b"\0" in body:
        raise ExpositionError("not_text", f"the answer is no text: byte {body.index(0)} is zero")
    count = body.count(b"\n")
    if count > _MAX_LINES:
        raise ExpositionError(
            "too_many_series", f"the answer has {count} lines; at most {_MAX_LINES} are read"
        )
    return body.decode("utf-8", "surrogateescape").split("\n")


def alien(body: bytes) -> ExpositionError:
    """What to say of an answer in which no line is a sample."""
    start = body[:4096].lstrip()
    if not start:
        return ExpositionError("empty", "the answer is empty")
    if start[:1] in b"{[":
        return ExpositionError("json", "the answer is JSON, not an exposition of metrics")
    if start[:1] == b"<":
        return ExpositionError("html", "the answer is a web page, not an exposition of metrics")
    shown = start[:40].split(b"\n")[0].decode("utf-8", "replace")
    return ExpositionError("no_samples", f"no line of the answer is a sample; it begins with {shown!r}")


def parse(line: str) -> Parsed | None:
    """What a sample's line says, up to its value; None where it is malformed."""
    found = _SAMPLE.match(line)
    if found is None:
        return None
    name, inside = found.groups()
    labels = _labels(inside) if inside else {}
    if labels is None or not _is_text(line, found.end()):
        return None
    prefix = found.group()
    return Parsed(name, labels, prefix.strip(" \t"), prefix)


def number(text: str) -> float | None:
    """The value at the beginning of what follows the labels; None where it is none."""
    try:
        return float(text)
    except ValueError:
        found = _VALUE.fullmatch(text)
    try:
        return float(found.group(1)) if found else None
    except ValueError:
        return None


def kind_in(comment: str) -> tuple[str, str] | None:
    """Name and type of a family, where a comment declares them."""
    found = _TYPE.fullmatch(comment)
    return (found.group(1), found.group(2).lower()) if found else None


def _labels(text: str) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    at, end = 0, len(text.rstrip(" \t"))
    while at < end:
        found = _LABEL.match(text, at)
        if found is None or found.group(1) in labels:
            return None
        value = found.group(2)
        labels[found.group(1)] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        at = found.end()
    return labels


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found.group(1) == "n" else found.group(1)


def _is_text(line: str, end: int) -> bool:
    try:
        line[:end].encode()
    except UnicodeEncodeError:
        return False
    return True
