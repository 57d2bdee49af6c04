"""A recorded fleet as ticks: a file or a folder of files (Parquet, CSV), one row per time and thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analytics.files import csv_header, require
from analytics.fleet import Fleet, Tick
from analytics.recording.ordering import Progress, in_time_order
from analytics.recording.rows import JOBS, LABELS, Aligned, Block, Book, Layout, Unit
from analytics.recording.spill import Scratch
from analytics.recording.ticks import DuplicateRowError, Keep, Ticker
from analytics.signals import ESSENTIAL, SIGNALS, Signal
from gigawatch.errors import FileError

__all__ = ["LABEL_COLUMNS", "Recording", "open_recording"]
LABEL_COLUMNS = (*(label for label in LABELS if label not in JOBS), *JOBS)
_SUFFIXES = (".parquet", ".csv")


def _silent(_stage: str, _share: float) -> None:
    return


@dataclass(slots=True)
class Recording:
    """Where the rows are and how they are played.

    `align` puts times on a grid of that many seconds, for files whose things report at moments of their own
    (0: times are taken as they are). `keep` picks rows by their labels.
    """

    path: Path
    signals: tuple[Signal, ...]
    layout: Layout
    units: list[Unit]
    scratch: Scratch = field(default_factory=Scratch)
    align: float = 0.0
    keep: Keep | None = None
    progress: Progress = _silent
    fleet: Fleet = field(default_factory=Fleet)
    present: list[int] = field(default_factory=list)
    """GPUs that had a value, tick by tick, as far as it has been played."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Signal columns of the files."""
        return self.layout.columns

    @property
    def rows(self) -> int:
        """Rows stored."""
        return sum(unit.rows for unit in self.units)

    @property
    def first(self) -> float:
        """Unix time of the first row."""
        return min(unit.first for unit in self.units)

    @property
    def last(self) -> float:
        """Unix time of the last row."""
        return max(unit.last for unit in self.units)

    @property
    def duration(self) -> float:
        """Seconds from the first row to the last."""
        return self.last - self.first

    def blocks(self) -> Iterator[Block]:
        """Rows in order of time."""
        units = [Aligned(unit, self.align) for unit in self.units] if self.align else self.units
        done, total = 0, max(self.rows, 1)
        for block in in_time_order(units, self.layout, self.scratch, self.progress):
            yield _latest(block) if self.align else block
            done += len(block)
            self.progress("replaying", done / total)

    def ticks(self) -> Iterator[Tick]:
        """One tick per time, oldest first; the fleet is filled as they come."""
        ticker = Ticker(self.fleet, self.layout.book, self.signals, self.keep)
        self.present.clear()
        try:
            for block in self.blocks():
                for tick in ticker.ticks(block):
                    self.present.append(ticker.present)
                    yield tick
        except DuplicateRowError as twice:
            raise self._duplicate(twice) from None

    def _duplicate(self, twice: DuplicateRowError) -> FileError:
        """The message about two rows of a GPU at one time, with the place of the second."""
        found = 0
        for unit in self.units:
            row = 0
            for block in unit.blocks(self.layout):
                mine = np.flatnonzero(block.seconds == twice.seconds)
                for i in mine.tolist():
                    found += self.layout.book.entries[int(block.who[i])][0] == twice.uuid
                    if found == 2:
                        return FileError(
                            unit.path,
                            f"{unit.place(row + i)}: column 'timestamp'",
                            f"a second row for this GPU ({twice.uuid}) and time ({twice.seconds:.15g})",
                            "keep one of the two",
                        )
                row += len(block)
        return FileError(self.path, "column 'timestamp'", f"a second row for this GPU ({twice.uuid})")


def _latest(block: Block) -> Block:
    """Of rows with the same labels and time, the last."""
    order = np.lexsort((np.arange(len(block)), block.who, block.seconds))
    seconds, who = block.seconds[order], block.who[order]
    last = np.append((seconds[1:] != seconds[:-1]) | (who[1:] != who[:-1]), True)
    return block.take(np.sort(order[last]))


def open_recording(
    path: Path,
    scratch: Path | None = None,
    align: float = 0.0,
    keep: Keep | None = None,
    progress: Progress = _silent,
) -> Recording:
    """A recording, looked through but not yet read. FileError, one line, says what is wrong with it.

    `path` is a file (.parquet, .csv) or a folder of them; all need the columns `timestamp`, `uuid` and the
    essential signals. Rows may stand in any order.
    """
    paths = files_of(path)
    there: dict[Path, list[str]] = {}
    for file in paths:
        names = _columns(file)
        require(file, names, ("timestamp", "uuid", *(signal.column for signal in ESSENTIAL)))
        there[file] = names
    every = {name for names in there.values() for name in names}
    signals = tuple(signal for signal in SIGNALS if signal.column in every)
    job = next((name for name in JOBS if name in every), None)
    labels = tuple(name for name in LABEL_COLUMNS if name in every and (name not in JOBS or name == job))
    layout = Layout(tuple(signal.column for signal in signals), labels, Book())
    recording = Recording(path, signals, layout, [], Scratch(scratch), align, keep, progress)
    for i, file in enumerate(paths):
        recording.units += _units(file, layout, recording.scratch)
        progress("looking through the files", (i + 1) / len(paths))
    if not recording.units:
        raise FileError(path, "", "has no rows", "add rows")
    return recording


def files_of(path: Path) -> list[Path]:
    """The data files that a path names: itself, or those in it. FileError if there are none."""
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.suffix in _SUFFIXES and file.is_file() and not file.name.startswith((".", "_"))
        )
        if not found:
            raise FileError(path, "", "has no data files in it", "put .parquet or .csv files there")
        return found
    if not path.exists():
        raise FileError(path, "", "cannot be read (No such file or directory)", "check the path")
    return [path]


def _columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        from analytics.recording.parquet import parquet_columns

        return parquet_columns(path)
    return csv_header(path)


def _units(path: Path, layout: Layout, scratch: Scratch) -> Sequence[Unit]:
    if path.suffix == ".parquet":
        from analytics.recording.parquet import row_groups

        return row_groups(path)
    from analytics.recording.csvfile import csv_units

    return csv_units(path, layout, scratch)
