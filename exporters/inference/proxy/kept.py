"""A JSON document that passes by: kept whole while it is small, else only what stands at its end."""

from __future__ import annotations

import json
import re
from typing import Any

WHOLE = 256 * 1024
"""Bytes up to which a document is read as a whole; it takes about 2 ms."""
_TAIL = 32 * 1024
# Between quotes a quote is escaped, so that these cannot be found within a text of the answer.
_AT_THE_END = re.compile(
    r'"(usage|model|finish_reason|stop_reason|status|done|done_reason|prompt_eval_count|eval_count)"\s*:\s*'
)
_DECODER = json.JSONDecoder()


class Kept:
    """A bounded copy."""

    def __init__(self, whole: int = WHOLE) -> None:
        self._whole = whole
        self._bytes = bytearray()
        self.cut = False
        """Only the end is here."""

    def add(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) > self._whole:
            self.cut = True
        if self.cut and len(self._bytes) > 2 * _TAIL:
            del self._bytes[:-_TAIL]

    def document(self) -> dict[str, Any] | None:
        """What it says (of a long one, the fields near its end); None where it is no JSON object."""
        text = bytes(self._bytes).decode("utf-8", "replace" if self.cut else "strict")
        return _scan(text) if self.cut else parse(text)


def parse(text: str | bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        document = _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _scan(text: str) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for match in _AT_THE_END.finditer(text):
        try:
            found[match[1]], _ = _DECODER.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
    if "finish_reason" in found:
        found["choices"] = [{"finish_reason": found.pop("finish_reason")}]
    return found or None
