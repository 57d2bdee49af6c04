"""Recordings in Parquet, read by row groups and, within them, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.fleet.columns import Floats
from analytics.recording.rows import JOBS, LABELS, SLICE, Block, Column, Layout
from gigawatch.errors import FileError

_NO_TIME = "write Unix seconds or ISO 8601 such as 2026-01-31T12:00:00Z"
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(slots=True)
class RowGroup:
    """One row group of a file; a `Unit`."""

    path: Path
    number: int
    rows: int
    first: float = 0.0
    last: float = 0.0
    ordered: bool = True

    def blocks(self, layout: Layout) -> Iterator[Block]:
        """See `Unit`."""
        with _opened(self.path, layout.labels) as file:
            yield from self._blocks(file, layout)

    def _blocks(self, file: pq.ParquetFile, layout: Layout) -> Iterator[Block]:
        names = ["timestamp", *layout.labels, *layout.columns]
        try:
            for batch in file.iter_batches(SLICE, [self.number], columns=names):
                columns = {name: batch.column(name) for name in names if name in batch.schema.names}
                yield self._block(columns, batch.num_rows, layout)
        except (pa.ArrowException, OSError) as error:
            raise FileError(
                self.path, f"row group {self.number}", f"cannot be read ({_short(error)})"
            ) from None

    def _block(self, columns: dict[str, Any], rows: int, layout: Layout) -> Block:
        labels = {
            ("job" if name in JOBS else name): _labels(columns[name])
            for name in layout.labels
            if name in columns and ("job" if name in JOBS else name) in LABELS
        }
        values = np.full((len(layout.columns), rows), np.nan)
        for i, name in enumerate(layout.columns):
            if name in columns:
                values[i] = self._numbers(name, columns[name])
        return Block(self.seconds(columns["timestamp"]), layout.book.number(labels, rows), values)

    def _numbers(self, name: str, cells: Any) -> Floats:
        try:
            values: Floats = cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._wrong(
                name, f"holds no numbers ({_short(error)})", "write a number such as 41.5"
            ) from None
        if np.isinf(values).any():
            raise self._wrong(name, "'inf' is not a finite number", "leave it empty where there is no value")
        return values

    def seconds(self, cells: Any) -> Floats:
        """A time column as Unix seconds."""
        kind = cells.type
        if pa.types.is_dictionary(kind):
            cells = cells.dictionary_decode()
            kind = cells.type
        try:
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                kind = pa.timestamp("us", "UTC")
                zone = pc.match_substring_regex(cells, r"(Z|[+-]\d\d:?\d\d)$")
                if not pc.all(pc.fill_null(zone, False)).as_py():
                    cells = pc.if_else(zone, cells, pc.binary_join_element_wise(cells, "Z", ""))
                cells = cells.cast(kind)
            if pa.types.is_timestamp(kind):
                whole = cells.cast(pa.int64()).to_numpy(zero_copy_only=False)
                seconds: Floats = np.asarray(whole, np.float64) / _PER_SECOND[kind.unit]
            else:
                seconds = cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._wrong(
                "timestamp", f"holds something that is no time ({_short(error)})", _NO_TIME
            ) from None
        bad = ~np.isfinite(seconds) | (np.abs(seconds) > 1e11)
        if bad.any():
            shown = cells[int(np.argmax(bad))].as_py()
            raise self._wrong("timestamp", f"'{shown}' is not a time", _NO_TIME)
        return seconds

    def _wrong(self, column: str, problem: str, remedy: str) -> FileError:
        return FileError(self.path, f"column '{column}', row group {self.number}", problem, remedy)

    def place(self, row: int) -> str:
        """See `Unit`."""
        return f"row group {self.number}, row {row + 1}"


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns of a file."""
    with _opened(path, ()) as file:
        return list(file.schema_arrow.names)


def row_groups(path: Path) -> list[RowGroup]:
    """The row groups of a file with their spans of time, for which its time column is read once."""
    units = []
    with _opened(path, ()) as file:
        for number in range(file.num_row_groups):
            unit = RowGroup(path, number, file.metadata.row_group(number).num_rows)
            if unit.rows:
                _span(file, unit)
                units.append(unit)
    return units


def _span(file: pq.ParquetFile, unit: RowGroup) -> None:
    first, last, before, ordered = np.inf, -np.inf, -np.inf, True
    try:
        for batch in file.iter_batches(1 << 20, [unit.number], columns=["timestamp"]):
            seconds = unit.seconds(batch.column(0))
            ordered = ordered and seconds[0] >= before and bool((seconds[1:] >= seconds[:-1]).all())
            before = seconds[-1]
            first, last = min(first, seconds.min()), max(last, seconds.max())
    except (pa.ArrowException, OSError) as error:
        raise FileError(unit.path, f"row group {unit.number}", f"cannot be read ({_short(error)})") from None
    unit.first, unit.last, unit.ordered = float(first), float(last), ordered


def _labels(cells: Any) -> Column:
    if not pa.types.is_dictionary(cells.type):
        cells = cells.cast(pa.string()).dictionary_encode()
    names = ["" if name is None else str(name) for name in cells.dictionary.to_pylist()]
    codes = cells.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
    empty = [i for i, name in enumerate(names) if not name]
    if empty:
        codes = np.where(np.isin(codes, empty), -1, codes)
    return Column(codes, names)


def _opened(path: Path, labels: tuple[str, ...]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=list(labels))
    except OSError as error:
        why = error.strerror or _short(error)
        raise FileError(path, "", f"cannot be read ({why})", "check the path") from None
    except pa.ArrowException as error:
        raise FileError(path, "", f"is not a Parquet file ({_short(error)})", "check the file") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
