"""Answers of Prometheus' HTTP API as arrays; Thanos, Mimir and VictoriaMetrics answer it as well.

Reading the JSON is what costs time on a large fleet. Series are therefore known by a hash of their labels'
bytes, and labels are parsed only where somebody asks for them: for the series that are new. The values are
taken out by compiled loops (`scanner.py`); what stands around the list of series goes through a real JSON
parser each time, and so does the whole answer where its layout is not the usual one.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from analytics.fleet.columns import Floats, Ints
from analytics.ingest import scanner
from analytics.ingest.scanner import FULL, NOT_KNOWN, PADDING, Hashes, Spans
from gigawatch.errors import UserError

_LIST = b'"result":['
_HEAD = 1 << 16
"""The list of series begins within so many bytes; what comes before it is short."""
_BEFORE = np.frombuffer(b'{"metric":', np.uint8)
_VALUE = np.frombuffer(b',"value":[', np.uint8)
_VALUES = np.frombuffer(b',"values":[', np.uint8)
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE
)


class AnswerError(UserError):
    """What came back is not what the API promises."""


@dataclass(slots=True)
class Series:
    """The series of an answer, known by hashes of their labels; the same object while they do not change."""

    hashes: Hashes
    lengths: Spans
    _starts: Spans
    _text: bytes | None
    _all: tuple[Mapping[str, str], ...] | None = None

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def labels(self) -> tuple[Mapping[str, str], ...]:
        """Labels of all series. AnswerError if they are not JSON."""
        if self._all is None:
            self._all = tuple(self.labels_at(np.arange(len(self))))
        return self._all

    def labels_at(self, which: Ints) -> list[dict[str, str]]:
        """Labels of some series. AnswerError if they are not JSON; call before `settle`."""
        if self._text is None:
            raise ValueError("the text of these labels was let go")
        found = []
        for at, length in zip(self._starts[which].tolist(), self.lengths[which].tolist(), strict=True):
            try:
                labels = orjson.loads(self._text[at : at + length])
            except orjson.JSONDecodeError:
                raise AnswerError("an answer has labels that are not JSON; check the URL") from None
            found.append({str(name): str(value) for name, value in labels.items()})
        return found

    def settle(self) -> None:
        """Let go of the text: nobody will ask for labels any more."""
        if self._all is None:
            self._text = None


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector: values in the order of `series`; `warnings` as the server gave them."""

    series: Series
    values: Floats
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matrix:
    """Series over time: `table` is (series, steps), NaN where there is no value."""

    series: Series
    table: Floats
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Room:
    """Memory for one answer, used again for the next: text with zero bytes behind it, arrays by series."""

    text: bytearray = field(default_factory=lambda: bytearray(1 << 16))
    starts: Spans = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: Spans = field(default_factory=lambda: np.zeros(0, np.int64))
    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    odd: Spans = field(default_factory=lambda: np.zeros(0, np.int64))
    size: int = 0

    def put(self, chunk: bytes) -> None:
        """Append to the text."""
        end = self.size + len(chunk)
        if end + PADDING > len(self.text):
            self.text.extend(bytes(max(len(self.text), end + PADDING - len(self.text))))
        self.text[self.size : end] = chunk
        self.size = end

    def close(self) -> None:
        """Call after the last `put`: zero bytes behind the text."""
        self.text[self.size : self.size + PADDING] = bytes(PADDING)

    def for_series(self, count: int) -> None:
        """Make room for so many series."""
        if len(self.starts) < count:
            self.starts, self.lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
            self.hashes, self.odd = np.zeros(count, np.uint64), np.zeros(2 * count, np.int64)


class Reader:
    """Reads the answers of one server; remembers the series of each query."""

    def __init__(self) -> None:
        self._seed = np.uint64(secrets.randbits(64))
        self._kept: dict[str, Series] = {}
        self._nothing = Series(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64), b"")

    def forget(self, expr: str) -> None:
        """Take the series of a query for new in its next answer."""
        self._kept.pop(expr, None)

    def vector(self, room: Room, expr: str) -> Vector:
        """The instant vector in `room`. AnswerError, one line."""
        found = self._vector(room, expr)
        if found is None:
            _rearrange(room, expr, "vector")
            found = self._vector(room, expr)
        if found is None:
            raise AnswerError(f"answer to '{expr}' has a series without labels or value")
        return found

    def _vector(self, room: Room, expr: str) -> Vector | None:
        at = room.text.find(_LIST, 0, min(room.size, _HEAD)) + len(_LIST)
        if at < len(_LIST):
            return None
        kept = self._kept.get(expr, self._nothing)
        room.for_series(len(kept) + 16)
        text = np.frombuffer(room.text, np.uint8)
        while True:
            values = np.empty(len(room.starts))
            count, end, odd, same = scanner.scan_vector(
                text, at, room.size, _BEFORE, _VALUE, self._seed, kept.lengths, kept.hashes,
                room.starts, room.lengths, room.hashes, values, room.odd,
            )  # fmt: skip
            if count != FULL:
                break
            room.for_series(room.text.count(_BEFORE.tobytes(), at, room.size) + 1)
        del text  # or the text could not grow
        warnings = None if count == NOT_KNOWN else _frame(room, at, end, expr, "vector")
        if warnings is None:
            return None
        for series, begin in room.odd[: 2 * odd].reshape(-1, 2).tolist():
            values[series] = _odd(room.text[begin : room.text.index(b'"', begin)], expr)
        if not same or expr not in self._kept:
            kept = self._kept[expr] = _series(room, count)
        return Vector(kept, values[:count], warnings)

    def matrix(self, room: Room, expr: str, start: float, step: float, steps: int) -> Matrix:
        """The range vector in `room`, on a grid of `steps` times from `start`. AnswerError, one line."""
        found = self._matrix(room, expr, start, step, steps)
        if found is None:
            _rearrange(room, expr, "matrix")
            found = self._matrix(room, expr, start, step, steps)
        if found is None:
            raise AnswerError(f"answer to '{expr}' has a series without labels or values")
        return found

    def _matrix(self, room: Room, expr: str, start: float, step: float, steps: int) -> Matrix | None:
        at = room.text.find(_LIST, 0, min(room.size, _HEAD)) + len(_LIST)
        if at < len(_LIST):
            return None
        room.for_series(room.text.count(_BEFORE.tobytes(), at, room.size) + 1)
        table = np.full((len(room.starts), steps), np.nan, np.float32)
        text = np.frombuffer(room.text, np.uint8)
        count, end = scanner.scan_matrix(
            text, at, room.size, _BEFORE, _VALUES, self._seed, start, step,
            room.starts, room.lengths, room.hashes, table,
        )  # fmt: skip
        del text
        warnings = None if count < 0 else _frame(room, at, end, expr, "matrix")
        return None if warnings is None else Matrix(_series(room, count), table[:count], warnings)


def items_of(body: bytes | bytearray | memoryview, kind: str, expr: str) -> list[dict[str, Any]]:
    """The series in an answer of any layout. AnswerError if it is no answer of that kind."""
    try:
        answer = orjson.loads(body)
        if answer["status"] != "success" or answer["data"]["resultType"] != kind:
            raise AnswerError(
                f"answer to '{expr}' is a {answer.get('data', {}).get('resultType')}, not a {kind}"
            )
        result = answer["data"]["result"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise AnswerError(f"answer to '{expr}' is not JSON of the Prometheus API; check the URL") from None
    if not isinstance(result, list) or not all(isinstance(item, dict) for item in result):
        raise AnswerError(f"answer to '{expr}' is not a list of series")
    return result


def numbers_of(texts: Sequence[object], expr: str) -> Floats:
    """Values as the API writes them. AnswerError if one is not a number."""
    return np.array([_odd(str(text).encode(), expr) for text in texts])


def _frame(room: Room, at: int, end: int, expr: str, kind: str) -> tuple[str, ...] | None:
    """The warnings in what stands around the list of series; None if no such list can stand there."""
    try:
        answer = orjson.loads(room.text[:at] + room.text[end : room.size])
        if answer["status"] != "success" or answer["data"]["result"] != []:
            return None
        if answer["data"]["resultType"] != kind:
            return None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    warnings = answer.get("warnings") or []
    said = [str(text) for text in warnings] if isinstance(warnings, list) else []
    if answer.get("isPartial") is True:
        said.append("the answer is partial: some storage did not answer")
    return tuple(f"answer to '{expr}': {' '.join(text.split())[:300]}" for text in said)


def _rearrange(room: Room, expr: str, kind: str) -> None:
    """Bring an answer of another layout into the usual one. AnswerError if it does not say what it should."""
    items = items_of(memoryview(room.text)[: room.size], kind, expr)
    key = "value" if kind == "vector" else "values"
    usual = []
    for item in items:
        labels, values = item.get("metric"), item.get(key)
        if not isinstance(labels, dict) or not isinstance(values, list):
            raise AnswerError(f"answer to '{expr}' has a series without labels or {key}")
        pairs = [values] if kind == "vector" else values
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise AnswerError(f"answer to '{expr}' has a series without labels or {key}")
        pairs = [[pair[0], str(pair[1])] for pair in pairs]
        usual.append(
            {
                "metric": {name: str(value) for name, value in labels.items()},
                key: pairs[0] if kind == "vector" else pairs,
            }
        )
    frame = {k: v for k, v in orjson.loads(room.text[: room.size]).items() if k in ("warnings", "isPartial")}
    answer = {"status": "success", "data": {"resultType": kind, "result": usual}, **frame}
    room.size = 0
    room.put(orjson.dumps(answer))
    room.close()


def _series(room: Room, count: int) -> Series:
    lengths = room.lengths[:count].copy()
    view = memoryview(room.text)
    where = zip(room.starts[:count].tolist(), lengths.tolist(), strict=True)
    text = b"".join([view[at : at + length] for at, length in where])
    return Series(room.hashes[:count].copy(), lengths, np.cumsum(lengths) - lengths, text)


def _odd(text: bytes | bytearray, expr: str) -> float:
    word = text.decode("ascii", "replace")
    if not _NUMBER.fullmatch(word):
        raise AnswerError(f"answer to '{expr}' has a value that is not a number")
    return float(word)
