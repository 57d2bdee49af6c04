"""The objects of one list in a JSON text that arrives piece by piece, without keeping the list.

squeue and the Kubernetes API both answer with one object that holds a list: hundreds of megabytes at worst,
of which only one row at a time is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

LARGEST_ROW = 8 << 20
"""Characters of one row."""
_LARGEST_FRAME = 1 << 20
"""Characters before and after the list."""
_WORD = 64
"""Characters that hold the list's name and its bracket, where they are cut in two."""


class RowsError(ValueError):
    """A text that holds no such list."""


class RowStream:
    """Takes a text piece by piece and gives each row of the list `key` as soon as it is whole."""

    def __init__(self, key: str) -> None:
        self._key, self._start = key, re.compile(rf'"{re.escape(key)}"\s*:\s*(\[|null)')
        self._text, self._frame = "", ""
        self._inside = self._over = False
        self._decoder = json.JSONDecoder()
        self._enough = 0

    def feed(self, text: str) -> Iterator[dict[str, Any]]:
        """Rows that end within this piece. Raises RowsError where a row or the frame is larger than any."""
        if self._over:
            self._keep(text)
            return
        self._text += text
        if not self._inside:
            start = self._start.search(self._text)
            if start is None:
                self._keep(self._text[:-_WORD])
                self._text = self._text[-_WORD:]  # the word may be cut in two
                return
            self._keep(self._text[: start.start(1)])
            self._text = self._text[start.end() :]
            if start[1] == "null":
                self._end(0)
                return
            self._inside = True
        if len(self._text) >= self._enough:
            yield from self._rows()

    def _rows(self) -> Iterator[dict[str, Any]]:
        at = 0
        while True:
            at = _skip(self._text, at)
            if at == len(self._text):
                break
            if self._text[at] == "]":
                self._end(at + 1)
                return
            try:
                row, at = self._decoder.raw_decode(self._text, at)
            except (ValueError, RecursionError):  # ValueError: not whole, or a number of too many digits
                if len(self._text) - at > LARGEST_ROW:
                    raise RowsError(
                        f"has a row in {self._key} of more than {LARGEST_ROW} characters"
                    ) from None
                # Not whole yet. Trying again at each piece would take the square of its length.
                self._enough = 2 * (len(self._text) - at)
                break
            self._enough = 0
            if isinstance(row, dict):
                yield row
        self._text = self._text[at:]

    def _end(self, at: int) -> None:
        rest, self._text = self._text[at:], ""
        self._inside, self._over = False, True
        self._keep("[]" + rest)

    def _keep(self, text: str) -> None:
        self._frame += text
        if len(self._frame) > _LARGEST_FRAME:
            self._frame = ""
            raise RowsError(f"has more than {_LARGEST_FRAME} characters beside {self._key}")

    def close(self) -> Iterator[dict[str, Any]]:
        """Rows that were still waiting for more text. Raises RowsError if the text was cut off."""
        self._enough = 0
        if self._inside:
            yield from self._rows()
        if not self._over:
            raise RowsError(
                f"has no list of {self._key}"
                if not self._inside
                else f"was cut off in the list of {self._key}"
            )

    def frame(self) -> dict[str, Any]:
        """What stands around the list, once it has ended; raises RowsError where that is no JSON object."""
        try:
            found = json.loads(self._frame)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RowsError(f"was cut off or garbled beside the list of {self._key}")
        return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at
