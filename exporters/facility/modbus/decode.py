"""From registers to readings."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

from exporters.facility.driver import Polled
from exporters.facility.modbus.profile import BIT_FUNCTIONS, Block, Row
from gigawatch.readings import Reading

_SINGLE, _DOUBLE = struct.Struct(">f"), struct.Struct(">d")


def pattern(row: Row, registers: Sequence[int]) -> int:
    """The bits of a value as one number, high word first whatever the device sends first."""
    ordered = reversed(registers) if row.low_word_first else registers
    bits = 0
    for register in ordered:
        word = register & 0xFFFF
        bits = bits << 16 | ((word & 0xFF) << 8 | word >> 8 if row.low_byte_first else word)
    return bits


def number(row: Row, bits: int) -> float:
    """What the bits of a number say. NaN where they are none."""
    size = 16 * row.width
    if row.type.startswith("float"):
        value: float
        if size == 64:
            (value,) = _DOUBLE.unpack(bits.to_bytes(8, "big"))
            return value
        (value,) = _SINGLE.unpack(bits.to_bytes(4, "big"))
        return float(f"{value:.7g}") if math.isfinite(value) else math.nan  # a float has no more digits
    if row.type.startswith("int") and bits >> (size - 1):
        bits -= 1 << size
    return bits


class Decoder:
    """Turns what a poll read into readings: one per row, one per state of a state set."""

    def __init__(self, side: str, polled: Polled) -> None:
        self._side, self._polled = side, polled
        self._states: dict[int, str] = {}

    def take(self, block: Block, answer: Sequence[int]) -> None:
        """What one request brought: registers, or bits."""
        for row in block.rows:
            start = row.address - block.address
            self._row(row, answer[start : start + row.width])

    def finish(self, rows: Iterable[Row]) -> None:
        """State sets, which several rows may make up: the first in the profile that has a state wins."""
        told: set[tuple[str, tuple[str, ...]]] = set()
        for row in rows:
            state = self._states.get(id(row))
            if state is None or (row.metric.key, row.labels) in told:
                continue
            told.add((row.metric.key, row.labels))
            for each in row.metric.values[row.metric.state_label]:
                labels = (*self._labels(row), each)
                self._polled.readings.append(Reading(row.metric, labels, float(state == each)))

    def _row(self, row: Row, answer: Sequence[int]) -> None:
        if row.function in BIT_FUNCTIONS:
            self._value(row, answer[0])
            return
        bits = pattern(row, answer)
        if bits in row.absent:
            self._polled.drop("sentinel")
        elif row.type == "bit":
            self._value(row, bits >> row.bit & 1)
        else:
            self._value(row, number(row, bits))

    def _value(self, row: Row, value: float) -> None:
        if math.isnan(value):
            self._polled.drop("sentinel")
        elif row.is_state:
            if (state := row.states.get(int(value))) is not None:
                self._states[id(row)] = state
            elif row.type != "bit":  # a bit may leave the word to another row
                self._polled.drop("state")
        elif row.values:
            if (flag := row.values.get(int(value))) is None:
                self._polled.drop("state")
            else:
                self._polled.readings.append(Reading(row.metric, self._labels(row), flag))
        else:
            base = value * row.factor + row.offset
            if row.low <= base <= row.high:
                self._polled.readings.append(Reading(row.metric, self._labels(row), base))
            else:
                self._polled.drop("range")

    def _labels(self, row: Row) -> tuple[str, ...]:
        if row.side < 0:
            return row.labels
        return (*row.labels[: row.side], self._side, *row.labels[row.side + 1 :])
