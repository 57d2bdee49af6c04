"""Lines of the text exposition format for many series at once."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from analytics.fleet.columns import Floats, Ints
from analytics.jit import compiled

Chars = npt.NDArray[np.uint8]
_NUMBER = 32
"""Bytes that a number, the brackets and the end of the line take at most."""


class Digits(IntEnum):
    """How exactly values are written."""

    FOUR_DECIMALS = 4
    SIX = 0
    """Six digits, wherever the point stands."""


class Texts:
    """One text per row, end to end in one buffer."""

    def __init__(self, chars: Chars | None = None, ends: Ints | None = None) -> None:
        self.chars = chars if chars is not None else np.zeros(0, np.uint8)
        self.ends = ends if ends is not None else np.zeros(1, np.intp)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Keep these texts, in this order."""
        parts = [text.encode() for text in texts]
        ends = np.zeros(len(parts) + 1, np.intp)
        np.cumsum(np.fromiter(map(len, parts), np.intp, len(parts)), out=ends[1:])
        return cls(np.frombuffer(b"".join(parts), np.uint8).copy(), ends)


def write_lines(start: bytes, texts: Texts, rows: Ints, values: Floats, digits: Digits) -> bytes:
    """A line per row: `start`, the row's text, a closing bracket, the value (finite)."""
    lengths = texts.ends[rows + 1] - texts.ends[rows]
    out = np.empty(int(lengths.sum()) + len(rows) * (len(start) + _NUMBER), np.uint8)
    head = np.frombuffer(start, np.uint8)
    end = _write(out, head, texts.chars, texts.ends, rows, values.astype(np.float64), int(digits))
    return out[:end].tobytes()


@compiled
def _write(
    out: Chars, head: Chars, chars: Chars, ends: Ints, rows: Ints, values: Floats, decimals: int
) -> int:
    at = 0
    for i in range(len(rows)):
        for k in range(len(head)):
            out[at + k] = head[k]
        at += len(head)
        begin, size = ends[rows[i]], ends[rows[i] + 1] - ends[rows[i]]
        for k in range(size):
            out[at + k] = chars[begin + k]
        at += size
        out[at], out[at + 1] = 125, 32  # "} "
        at = _number(out, at + 2, values[i], decimals)
        out[at] = 10
        at += 1
    return at


@compiled
def _number(out: Chars, at: int, value: float, decimals: int) -> int:
    """Write a finite number and return where it ends; `decimals` 0 means six digits."""
    if value < 0:
        out[at] = 45  # "-"
        at += 1
        value = -value
    power = 0
    if value >= 1e15 or (0 < value < 1e-9 and decimals == 0):
        power = int(np.floor(np.log10(value)))
        value /= 10.0**power
        decimals = 0
    if decimals == 0:
        decimals = 5 if value < 1e-9 else min(max(5 - int(np.floor(np.log10(value))), 0), 15)
    scale = int(10**decimals)
    number = int(np.rint(value * scale))
    at = _integer(out, at, number // scale, 1)
    rest = number % scale
    if rest:
        out[at] = 46  # "."
        while rest % 10 == 0:
            rest //= 10
            decimals -= 1
        at = _integer(out, at + 1, rest, decimals)
    if power:
        out[at] = 101  # "e"
        if power < 0:
            out[at + 1] = 45
        at = _integer(out, at + 1 + (power < 0), abs(power), 1)
    return at


@compiled
def _integer(out: Chars, at: int, number: int, least: int) -> int:
    """Write a whole number with at least that many digits; returns where it ends."""
    size, rest = least, number
    for _ in range(least):
        rest //= 10
    while rest:
        rest //= 10
        size += 1
    for k in range(size):
        out[at + size - 1 - k] = 48 + number % 10
        number //= 10
    return at + size
