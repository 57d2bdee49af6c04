"""Tables of many metrics over time, from CSV, Parquet and npz files."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analytics.fleet.columns import Floats
from gigawatch.errors import FileError

TIME = "timestamp"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in time order: times (Unix; None where there are none), the same as text, metrics by column."""

    times: Floats | None
    stamps: list[str]
    columns: list[str]
    values: Floats
    history: Floats | None = None
    """Rows of a healthy past, where the file brings its own."""


def read_metrics(path: Path) -> Table:
    """A table with a time column `timestamp` and numbers in all others. FileError in one line.

    An npz file has `values` [rows, metrics], and may have `timestamp` and `columns`; `train` beside `test`
    (as benchmarks have it) are a history and the rows to score.
    """
    if path.suffix == ".npz":
        return _read_npz(path)
    from analytics.files import numbers, read_table, require, times

    frame = read_table(path, text=(TIME,))
    require(path, frame, (TIME,))
    columns = [str(name) for name in frame.columns if name != TIME]
    if not columns:
        raise FileError(path, "", "has no column beside 'timestamp'", "add a column per metric")
    seconds = times(path, frame)
    _forward(path, seconds)
    values = np.column_stack([numbers(path, frame, name) for name in columns])
    return Table(seconds, [str(stamp) for stamp in frame[TIME]], columns, values)


def _read_npz(path: Path) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise FileError(
            path, "", f"cannot be read ({error.strerror or 'not an npz file'})", "check the path"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, AttributeError):
        raise FileError(path, "", "is not an npz file of plain arrays", "save it with numpy.savez") from None
    name = next((name for name in ("values", "test", "train") if name in arrays), None)
    if name is None:
        there = ", ".join(arrays)[:120]
        raise FileError(path, "values", "is missing", f"the file has: {there}")
    values = _matrix(path, name, arrays[name])
    history = _matrix(path, "train", arrays["train"]) if name == "test" and "train" in arrays else None
    columns = [str(text) for text in arrays.get("columns", np.arange(values.shape[1])).ravel()]
    if len(columns) != values.shape[1] or (history is not None and history.shape[1] != values.shape[1]):
        raise FileError(path, "columns", "do not fit the values", "give one name per metric")
    seconds = arrays.get(TIME)
    if seconds is None:
        return Table(None, [str(i) for i in range(len(values))], columns, values, history)
    if seconds.shape != (len(values),) or seconds.dtype.kind not in "fiu" or not np.isfinite(seconds).all():
        raise FileError(path, TIME, "does not hold one Unix time per row", "give seconds as numbers")
    seconds = seconds.astype(np.float64)
    _forward(path, seconds)
    return Table(seconds, [f"{second:.15g}" for second in seconds], columns, values, history)


def _matrix(path: Path, name: str, array: Floats) -> Floats:
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise FileError(
            path, name, f"has shape {array.shape} of {array.dtype}", "give numbers as [rows, metrics]"
        )
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise FileError(path, name, "has infinite values", "leave absent values NaN")
    return values


def _forward(path: Path, seconds: Floats) -> None:
    back = np.flatnonzero(np.diff(seconds) < 0)
    if back.size:
        line = int(back[0]) + 3 if path.suffix != ".npz" else None
        raise FileError(path, f"column '{TIME}'", "goes back in time", "sort the rows by time", line)
