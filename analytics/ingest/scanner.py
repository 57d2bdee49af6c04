"""Compiled loops over the JSON of Prometheus' answers: where the series are, whose they are, their values.

They know one layout, the one that Prometheus writes (no spaces, labels before values), and give up at the
first byte that is different; `answers.py` then lets a real JSON parser bring the answer into that layout.

The labels of a series are known by a hash of their bytes, 64 bits wide: two sets of labels share it with a
chance of about 2^-64, and the seed is secret, so that nobody can choose names that do. Text must be followed
by PADDING zero bytes: loops end there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analytics.jit import compiled

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Spans = npt.NDArray[np.int64]
PADDING = 64
NOT_KNOWN, FULL = -1, -2
"""Instead of a count: the layout is another one; there are more series than the arrays have room for."""
_EXACT = 10.0 ** np.arange(23)
"""Powers of ten that a float64 holds exactly."""
_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_TEN, _MOST = np.uint64(10), np.uint64(10**18)
_K1, _K2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_S1, _S2 = np.uint64(32), np.uint64(29)


@compiled
def _word(text: Bytes, at: np.uint64) -> np.uint64:
    word = np.uint64(0)
    for k in range(8):  # becomes one load
        word |= np.uint64(text[at + np.uint64(k)]) << np.uint64(8 * k)
    return word


@compiled
def hash_span(text: Bytes, begin: int, end: int, seed: np.uint64) -> np.uint64:
    """Hash of a stretch of text."""
    at, last = np.uint64(begin), np.uint64(end)
    one = seed ^ (np.uint64(end - begin) * _K2)
    two = seed + _K1
    while at + _EIGHT + _EIGHT <= last:  # two lanes, so that the processor need not wait for one
        one = (one ^ _word(text, at)) * _K1
        one ^= one >> _S1
        two = (two ^ _word(text, at + _EIGHT)) * _K2
        two ^= two >> _S2
        at += _EIGHT + _EIGHT
    if at + _EIGHT <= last:
        one = (one ^ _word(text, at)) * _K1
        one ^= one >> _S1
        at += _EIGHT
    while at < last:
        two = (two ^ np.uint64(text[at])) * _K2
        two ^= two >> _S2
        at += _ONE
    one = (one ^ two) * _K1
    return one ^ (one >> _S1)


@compiled
def _same(text: Bytes, at: int, wanted: Bytes) -> bool:
    for k in range(len(wanted)):  # noqa: SIM110 - compiled: a plain loop
        if text[at + k] != wanted[k]:
            return False
    return True


@compiled
def _object_end(text: Bytes, at: int) -> int:
    """Where the flat object that begins at `at` ends (behind its brace), -1 if it is none."""
    if text[at] != 123:  # {
        return -1
    at += 1
    quoted = False
    while True:
        c = text[at]
        if c == 0:
            return -1
        if c == 34:  # "
            quoted = not quoted
        elif quoted:
            if c == 92:  # \
                at += 1
                if text[at] == 0:
                    return -1
        elif c == 125:  # }
            return at + 1
        elif c == 123:
            return -1
        at += 1


@compiled
def number(text: Bytes, at: int) -> tuple[float, int, bool]:
    """The number that begins at `at` and ends before a quote: value, where the quote is, whether it was read.

    Up to 15 digits exactly as float() reads them, longer ones to two units in the last place of a float64.
    Not read (to be left to float()): anything odd, and powers of ten beyond 22.
    """
    begin = at
    negative = text[at] == 45  # -
    if negative or text[at] == 43:  # +
        at += 1
    if text[at] == 78 and text[at + 1] == 97 and text[at + 2] == 78 and text[at + 3] == 34:  # NaN
        return np.nan, at + 3, True
    if text[at] == 73 and text[at + 1] == 110 and text[at + 2] == 102 and text[at + 3] == 34:  # Inf
        return (-np.inf if negative else np.inf), at + 3, True
    mantissa, power, digits = np.uint64(0), 0, 0
    while True:
        digit = np.uint64(text[at]) - np.uint64(48)  # wraps below zero, to far above nine
        if digit > np.uint64(9):
            break
        if mantissa < _MOST:
            mantissa = mantissa * _TEN + digit
        else:
            power += 1
        digits += 1
        at += 1
    if text[at] == 46:  # .
        at += 1
        while True:
            digit = np.uint64(text[at]) - np.uint64(48)
            if digit > np.uint64(9):
                break
            if mantissa < _MOST:
                mantissa = mantissa * _TEN + digit
                power -= 1
            digits += 1
            at += 1
    good = digits > 0
    if good and (text[at] == 101 or text[at] == 69):  # e E
        at += 1
        down = text[at] == 45
        if down or text[at] == 43:
            at += 1
        more, digits = 0, 0
        while 48 <= text[at] <= 57 and digits < 5:
            more = 10 * more + int(text[at]) - 48
            digits += 1
            at += 1
        power += -more if down else more
        good = digits > 0
    good = good and text[at] == 34 and -22 <= power <= 22
    if not good:
        at = begin
        while text[at] != 34 and text[at] != 0:
            at += 1
        return np.nan, at, False
    value = np.float64(mantissa)
    value = value * _EXACT[power] if power >= 0 else value / _EXACT[-power]
    return (-value if negative else value), at, True


@compiled
def _labels(
    text: Bytes, at: int, size: int, i: int, lengths: Spans, hashes: Hashes, seed: np.uint64
) -> tuple[int, np.uint64, bool]:
    """Labels at `at`: where they end (-1: not flat), their hash, and whether they are those of series `i`."""
    if i < len(hashes) and at + lengths[i] < size:
        end = at + lengths[i]
        found = hash_span(text, at, end, seed)
        if found == hashes[i] and text[at] == 123:
            return end, found, True
    end = _object_end(text, at)
    if end < 0:
        return -1, np.uint64(0), False
    return end, hash_span(text, at, end, seed), False


@compiled
def scan_vector(
    text: Bytes, at: int, size: int,
    before: Bytes, between: Bytes, seed: np.uint64,
    old_lengths: Spans, old_hashes: Hashes,
    starts: Spans, lengths: Spans, hashes: Hashes, values: npt.NDArray[np.float64], odd: Spans,
) -> tuple[int, int, int, bool]:  # fmt: skip
    """Series of an instant vector from `at` on: how many, the list's end, how many odd values, all as before.

    `starts` and `lengths` say where the labels of each lie, `odd` holds (series, begin) of each value that is
    to be read by float(). The count may be NOT_KNOWN or FULL.
    """
    count, strange, same = 0, 0, True
    if text[at] == 93:  # ]: an empty list
        return 0, at, 0, len(old_hashes) == 0
    while True:
        if count >= len(starts):
            return FULL, at, 0, False
        if not _same(text, at, before):
            return NOT_KNOWN, at, 0, False
        at += len(before)
        end, found, known = _labels(text, at, size, count, old_lengths, old_hashes, seed)
        if end < 0 or not _same(text, end, between):
            return NOT_KNOWN, at, 0, False
        same = same and known
        starts[count], lengths[count], hashes[count] = at, end - at, found
        at = end + len(between)
        while (43 <= text[at] <= 57 and text[at] != 44) or text[at] == 101:  # the timestamp
            at += 1
        if text[at] != 44 or text[at + 1] != 34:
            return NOT_KNOWN, at, 0, False
        begin = at + 2
        values[count], at, good = number(text, begin)
        if not good:
            odd[2 * strange], odd[2 * strange + 1] = count, begin
            strange += 1
        if text[at] != 34 or text[at + 1] != 93 or text[at + 2] != 125:  # "]}
            return NOT_KNOWN, at, 0, False
        at += 3
        count += 1
        if text[at] == 93:
            return count, at, strange, same and count == len(old_hashes)
        if text[at] != 44:
            return NOT_KNOWN, at, 0, False
        at += 1


@compiled
def scan_matrix(
    text: Bytes, at: int, size: int,
    before: Bytes, between: Bytes, seed: np.uint64, begin: float, step: float,
    starts: Spans, lengths: Spans, hashes: Hashes, table: npt.NDArray[np.float32],
) -> tuple[int, int]:  # fmt: skip
    """Series of a range vector into `table` (series, steps), which holds NaN: how many, where the list ends.

    A value belongs to the step nearest to its time. Odd values stay absent. The count may be NOT_KNOWN or
    FULL.
    """
    count = 0
    none, no_hash = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    if text[at] == 93:
        return 0, at
    while True:
        if count >= len(starts):
            return FULL, at
        if not _same(text, at, before):
            return NOT_KNOWN, at
        at += len(before)
        end, found, _ = _labels(text, at, size, count, none, no_hash, seed)
        if end < 0 or not _same(text, end, between):
            return NOT_KNOWN, at
        starts[count], lengths[count], hashes[count] = at, end - at, found
        at = end + len(between)
        while text[at] == 91:  # [
            whole, part, at = 0.0, 1.0, at + 1
            while 48 <= text[at] <= 57:
                whole = 10.0 * whole + (text[at] - 48)
                at += 1
            if text[at] == 46:
                at += 1
                while 48 <= text[at] <= 57:
                    part *= 0.1
                    whole += part * (text[at] - 48)
                    at += 1
            if text[at] != 44 or text[at + 1] != 34:
                return NOT_KNOWN, at
            value, at, good = number(text, at + 2)
            if text[at] != 34 or text[at + 1] != 93:
                return NOT_KNOWN, at
            at += 2
            slot = np.int64(np.floor((whole - begin) / step + 0.5))
            if good and 0 <= slot < table.shape[1]:
                table[count, slot] = value
            if text[at] == 44:
                at += 1
        if text[at] != 93 or text[at + 1] != 125:  # ]}
            return NOT_KNOWN, at
        at += 2
        count += 1
        if text[at] == 93:
            return count, at
        if text[at] != 44:
            return NOT_KNOWN, at
        at += 1
