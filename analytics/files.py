"""Reading series from CSV and Parquet, with errors that name file, line, column and remedy."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.fleet.columns import Floats
from gigawatch.errors import FileError, UserError


def read_table(path: Path, text: Sequence[str] | None = None, empty: bool = False) -> pd.DataFrame:
    """A CSV (or .parquet) file with a header; `text` columns stay text (None: all of them).

    `empty` says whether it may have no rows.
    Raises FileError, one line, if it cannot be read. Row i of a CSV stands in line i + 2.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path, empty)
    header = csv_header(path)
    as_text = dict.fromkeys(header if text is None else [name for name in text if name in header], str)
    frame: pd.DataFrame = _careful(
        path,
        lambda: pd.read_csv(
            path, dtype=as_text, keep_default_na=text is not None, skip_blank_lines=False, low_memory=False
        ),
    )
    _check_width(path, frame)
    if frame.empty and not empty:
        raise FileError(path, "", "has a header and no rows", "add rows")
    return frame


def csv_chunks(path: Path, columns: Sequence[str], text: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """These columns of a CSV file, `rows` at a time; `text` columns stay text. Errors as in `read_table`.

    The index goes on from chunk to chunk: row i stands in line i + 2.
    """
    header, wanted = csv_header(path), set(columns)
    reader = _careful(
        path,
        lambda: pd.read_csv(
            path, dtype=dict.fromkeys([name for name in text if name in header], str),
            skip_blank_lines=False, low_memory=False, chunksize=rows,
        ),
    )  # fmt: skip
    with reader:
        while True:
            frame = _careful(path, lambda: next(reader, None))
            if frame is None:
                return
            _check_width(path, frame)
            yield frame[[name for name in frame.columns if name in wanted]]


def _check_width(path: Path, frame: pd.DataFrame) -> None:
    if not isinstance(frame.index, pd.RangeIndex):
        raise FileError(
            path, "", "has more fields than the header names", "give every row the same columns", 2
        )


def _careful(path: Path, work: Callable[[], Any]) -> Any:
    """Do a piece of reading; what goes wrong becomes one line."""
    try:
        return work()
    except UnicodeDecodeError as error:
        raise FileError(path, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8 CSV") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        problem = str(error).replace("Error tokenizing data. C error: ", "").strip()
        raise FileError(
            path, "", f"is not a regular CSV file: {problem}", "give every row the same columns"
        ) from None
    except OSError as error:
        raise FileError(path, "", f"cannot be read ({error.strerror})", "check the path") from None


def csv_header(path: Path) -> list[str]:
    """The names in the first line of a CSV file, each once."""
    header = _header(path)
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise FileError(path, f"column '{twice}'", "stands twice", "keep one of the two", 1)
    return header


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except OSError as error:
        raise FileError(path, "", f"cannot be read ({error.strerror})", "check the path") from None
    except UnicodeDecodeError as error:
        raise FileError(path, "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8 CSV") from None
    except csv.Error as error:
        raise FileError(path, "", f"is not a CSV file ({error})", "save it as UTF-8 CSV", 1) from None
    if not header:
        raise FileError(path, "", "is empty", "the first line names the columns")
    return header


def _read_parquet(path: Path, empty: bool) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow (pip install 'gigawatch[analytics]'); or give a CSV file"
        ) from None
    except OSError as error:
        raise FileError(path, "", f"cannot be read ({error.strerror or error})", "check the path") from None
    except Exception as error:  # noqa: BLE001 - each Parquet engine has error classes of its own
        raise FileError(path, "", f"is not a Parquet file ({str(error)[:120]})", "check the file") from None
    if frame.empty and not empty:
        raise FileError(path, "", "has no rows", "add rows")
    return frame.reset_index(drop=True)


def require(path: Path, frame: pd.DataFrame | Sequence[str], columns: Sequence[str]) -> None:
    """FileError naming the first of these columns that is missing from a table (or from these names)."""
    names = list(frame.columns) if isinstance(frame, pd.DataFrame) else list(frame)
    for column in columns:
        if column not in names:
            there = ", ".join(map(str, names))[:200]
            raise FileError(path, f"column '{column}'", "is missing", f"the file has: {there}", 1)


def numbers(path: Path, frame: pd.DataFrame, column: str) -> Floats:
    """A column as floats, empty cells as NaN. FileError names the first line that holds something else."""
    raw = frame[column]
    if pd.api.types.is_numeric_dtype(raw) and not pd.api.types.is_bool_dtype(raw):
        values = raw.to_numpy(np.float64)
        bad = np.isinf(values)
    else:
        cells = raw.astype(str).str.strip()
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
        empty = raw.isna().to_numpy() | cells.isin(["", "nan", "NaN"]).to_numpy()
        bad = (np.isnan(values) & ~empty) | np.isinf(values)
    if bad.any():
        row = int(np.argmax(bad))
        shown = str(raw.iloc[row])[:40]
        raise FileError(
            path,
            f"column '{column}'",
            f"'{shown}' is not a finite number",
            "write a number such as 41.5",
            int(raw.index[row]) + 2,
        )
    return values


def times(path: Path, frame: pd.DataFrame, column: str = "timestamp") -> Floats:
    """A time column as Unix seconds: Unix seconds or ISO 8601 (UTC where no zone is given), none missing."""
    raw = frame[column]
    if pd.api.types.is_numeric_dtype(raw):
        seconds = raw.to_numpy(np.float64)
    elif pd.api.types.is_datetime64_any_dtype(raw):
        seconds = pd.to_datetime(raw, utc=True).astype("datetime64[ns, UTC]").astype("int64").to_numpy() / 1e9
    else:
        cells = raw.fillna("").astype(str).str.strip()
        seconds = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, copy=True)
        words = np.isnan(seconds)
        if words.any():
            stamps = pd.to_datetime(cells[words], utc=True, format="ISO8601", errors="coerce")
            unix = stamps.astype("datetime64[ns, UTC]").astype("int64").to_numpy() / 1e9
            seconds[words] = np.where(stamps.isna().to_numpy(), np.nan, unix)
    bad = ~np.isfinite(seconds) | (np.abs(seconds) > 1e11)
    if bad.any():
        row = int(np.argmax(bad))
        shown = str(raw.iloc[row])[:40]
        raise FileError(
            path,
            f"column '{column}'",
            f"'{shown}' is not a time",
            "write Unix seconds or ISO 8601 such as 2026-01-31T12:00:00Z",
            int(raw.index[row]) + 2,
        )
    return seconds
