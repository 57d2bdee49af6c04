"""Rows of a recorded fleet as arrays: times, who each row is about, and a value per signal column.

Labels are kept once per distinct combination, in a `Book`; a row has the number of its combination. That a
label changed (a job began, a node moved) then shows as a new number for the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics import fleet
from analytics.fleet.columns import Bools, Floats, Ints

Codes = npt.NDArray[np.int32]
JOBS = ("job_id", "job", "workload")
"""Columns that name the job of a GPU; the first that a file has is taken."""
LABELS = tuple(dict.fromkeys(label for labels in fleet.LABELS.values() for label in labels))
SLICE = 1 << 17
"""Rows that are worked on at once."""


@dataclass(slots=True)
class Block:
    """Rows: Unix seconds, number in the book, and values with shape (columns, rows); NaN is absent."""

    seconds: Floats
    who: Codes
    values: Floats

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: Ints | Bools | slice) -> Block:
        """These rows."""
        return Block(self.seconds[rows], self.who[rows], self.values[:, rows])

    def sorted(self) -> Block:
        """In order of time; rows of one time keep their order."""
        if len(self) < 2 or bool((self.seconds[1:] >= self.seconds[:-1]).all()):
            return self
        return self.take(np.argsort(self.seconds, kind="stable"))


def joined(blocks: Sequence[Block]) -> Block:
    """One block after another."""
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        np.concatenate([b.seconds for b in blocks]),
        np.concatenate([b.who for b in blocks]),
        np.concatenate([b.values for b in blocks], axis=1),  # noqa: PD011 - no data frame
    )


@dataclass(slots=True)
class Column:
    """A label column of some rows: a code per row into `names`; -1 and empty names are no label."""

    codes: Ints
    names: Sequence[str]


class Book:
    """Every combination of labels met so far."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, ...]] = []
        """Values of LABELS."""
        self._number: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def number(self, columns: dict[str, Column], rows: int) -> Codes:
        """The number of every row, given the label columns that there are."""
        key = np.zeros(rows, np.int64)
        for column in columns.values():
            size = len(column.names) + 1
            if rows and int(key.max()) > (1 << 62) // size:
                key = pd.factorize(key)[0]
            key = key * size + (column.codes + 1)
        local, first = pd.factorize(key)[0], None
        count = int(local.max()) + 1 if rows else 0
        first = np.zeros(count, np.intp)
        first[local[::-1]] = np.arange(rows - 1, -1, -1)
        parts = []
        for label in LABELS:
            if label in columns:
                names = [*columns[label].names, ""]
                parts.append([names[code] for code in columns[label].codes[first].tolist()])
            else:
                parts.append([""] * count)
        numbers = np.fromiter((self._of(entry) for entry in zip(*parts, strict=True)), np.int32, count)
        return numbers[local] if rows else np.zeros(0, np.int32)

    def _of(self, entry: tuple[str, ...]) -> int:
        found = self._number.get(entry)
        if found is None:
            found = self._number[entry] = len(self.entries)
            self.entries.append(entry)
        return found


@dataclass(slots=True)
class Layout:
    """What is read of a recording: its value columns, and the book that its labels go to."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    """Label columns of the file, named as there."""
    book: Book


class Unit(Protocol):
    """A stretch of stored rows that can be read on its own: a row group, a file, a spilled block."""

    @property
    def path(self) -> Path: ...

    @property
    def rows(self) -> int: ...

    @property
    def first(self) -> float:
        """Earliest time, in Unix seconds."""

    @property
    def last(self) -> float:
        """Latest time, in Unix seconds."""

    @property
    def ordered(self) -> bool:
        """Whether its rows stand in order of time."""

    def blocks(self, layout: Layout) -> Iterator[Block]:
        """Its rows in the order in which they are stored, a slice at a time."""

    def place(self, row: int) -> str:
        """Where a row of it stands, for messages."""


@dataclass(slots=True)
class Aligned:
    """A unit whose times are put on a grid of `step` seconds; a `Unit`."""

    unit: Unit
    step: float

    @property
    def path(self) -> Path:
        return self.unit.path

    @property
    def rows(self) -> int:
        return self.unit.rows

    @property
    def first(self) -> float:
        return self.unit.first // self.step * self.step

    @property
    def last(self) -> float:
        return self.unit.last // self.step * self.step

    @property
    def ordered(self) -> bool:
        return self.unit.ordered

    def blocks(self, layout: Layout) -> Iterator[Block]:
        """See `Unit`."""
        for block in self.unit.blocks(layout):
            yield Block(np.floor(block.seconds / self.step) * self.step, block.who, block.values)

    def place(self, row: int) -> str:
        """See `Unit`."""
        return self.unit.place(row)


def overlap(units: Iterable[Unit]) -> int:
    """Rows that must be held at once at the most, to read these units in order of time."""
    size = [(u.first, u.last, min(u.rows, SLICE) if u.ordered else u.rows) for u in units]
    edges = sorted([(a, 0, n) for a, _, n in size] + [(b, 1, -n) for _, b, n in size])
    held = most = 0
    for _, _, change in edges:
        held += change
        most = max(most, held)
    return most
