"""History out of Prometheus into Parquet, a file per day, in the layout that backtests read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics.fleet import IDENTITY, LABELS, Fleet, Level, Tick
from analytics.fleet.columns import Ints
from analytics.ingest.prometheus import AnswerError, Login, Prometheus, QueryError
from analytics.ingest.source import Source
from analytics.recording.ordering import Progress
from analytics.recording.rows import LABELS as ALL_LABELS
from analytics.serving.settings import TOKEN_VARIABLE
from analytics.signals import SIGNALS, Signal
from gigawatch.config.load import environment
from gigawatch.errors import UserError

DAY = 86400.0
_DEADLINE = 120.0
_LONGEST = 3 * 366 * DAY
_TOGETHER = 200_000
"""Rows that are written at a time: a file of many small groups is read many times more slowly."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when (Unix time), and the seconds between two values."""

    begin: float
    end: float
    step: float


def parse_time(text: str | None, option: str) -> float:
    """Unix time of a command-line argument (None: now). UserError says what is allowed."""
    if text is None:
        return time.time()
    try:
        return float(text)
    except ValueError:
        pass
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        raise UserError(
            f"{option} '{text}': is not a time; write 2026-10-01, 2026-10-01T12:00:00Z or Unix seconds"
        ) from None
    return float((stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp).timestamp())


def fetch(url: str, span: Span, folder: Path, progress: Progress) -> Path:
    """Write the history, a file per day; days that are there are not asked for again. UserError if not."""
    if not 0 < span.end - span.begin <= _LONGEST:
        raise UserError("--from must lie before --to, by three years at the most")
    login = Login(token=environment().get(TOKEN_VARIABLE, ""))
    folder.mkdir(parents=True, exist_ok=True)
    first = np.floor(span.begin / DAY) * DAY
    days = np.arange(first, span.end, DAY).tolist()
    for i, day in enumerate(days):
        progress("fetching the history", i / len(days))
        begin, end = max(day, span.begin), min(day + DAY, span.end)
        name = time.strftime("%Y-%m-%d", time.gmtime(day))
        target = folder / f"{name}.{int(begin)}-{int(end)}.{span.step:g}s.parquet"
        if target.exists():
            continue
        # A fleet of its own per day: things that are gone by then do not take up room in every later tick.
        source = Source(Prometheus(url, _DEADLINE, login), Fleet())
        try:
            _write(target, source.history(begin, end - span.step, span.step))
        except (QueryError, AnswerError) as error:
            raise UserError(f"--history-from-prometheus: {error}") from None
    progress("fetching the history", 1.0)
    if not any(folder.glob("*.parquet")):
        raise UserError(f"{url}: has no GPU power and temperature between --from and --to")
    return folder


def _write(target: Path, ticks: Iterable[Tick]) -> None:
    """The ticks as rows, one per thing and time; nothing is left if it fails or if there are none."""
    temporary = target.with_name(f".{target.name}.tmp")
    writer = None
    try:
        for table in _stretches(ticks):
            writer = writer or pq.ParquetWriter(temporary, _SCHEMA, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
            temporary.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _stretches(ticks: Iterable[Tick]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    rows = 0
    for tick in ticks:
        made = pa.concat_tables([_rows(tick, level) for level in Level])
        held.append(made)
        rows += made.num_rows
        if rows >= _TOGETHER:
            yield pa.concat_tables(held).combine_chunks()
            held, rows = [], 0
    if rows:
        yield pa.concat_tables(held).combine_chunks()


_SCHEMA = pa.schema(
    [("timestamp", pa.float64())]
    + [(label, pa.string()) for label in ALL_LABELS]
    + [(signal.column, pa.float64()) for signal in SIGNALS]
)


def _rows(tick: Tick, level: Level) -> pa.Table:
    asked = tick.values  # noqa: PD011 - a dictionary, no data frame
    own = [signal for signal in SIGNALS if signal.level is level and signal.key in asked]
    known = {signal.key: tick.value(signal.key, level) for signal in own}
    there = np.zeros(len(tick.fleet[level]), bool)
    for values in known.values():
        there |= np.isfinite(values)
    rows = np.flatnonzero(there)
    return pa.table([_column(field.name, tick, level, rows, own) for field in _SCHEMA], schema=_SCHEMA)


def _column(name: str, tick: Tick, level: Level, rows: Ints, own: list[Signal]) -> pa.Array:
    if name == "timestamp":
        return pa.array(np.full(len(rows), tick.now))
    if name in ALL_LABELS:
        labels = tick.fleet[level].labels
        if name not in LABELS[level] and name != IDENTITY[level]:
            return pa.nulls(len(rows), pa.string())
        return pa.array([labels[name][row] for row in rows.tolist()], pa.string())
    signal = next((one for one in own if one.column == name), None)
    if signal is None:
        return pa.nulls(len(rows), pa.float64())
    return pa.array(tick.value(signal.key, level)[rows], from_pandas=True)
