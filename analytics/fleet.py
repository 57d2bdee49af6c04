"""Who is looked at: rosters of GPUs, nodes, racks and loops, and one tick of values over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from analytics.columns import Floats, Ints


class Level(StrEnum):
    """What kind of thing a signal belongs to."""

    GPU = "gpu"
    NODE = "node"
    RACK = "rack"
    LOOP = "loop"


IDENTITY = {Level.GPU: "uuid", Level.NODE: "node", Level.RACK: "rack", Level.LOOP: "loop"}
"""The label that tells one thing of a level from another."""
LABELS = {
    Level.GPU: ("uuid", "gpu", "node", "rack", "loop", "job"),
    Level.NODE: ("node", "rack", "loop"),
    Level.RACK: ("rack",),
    Level.LOOP: ("loop",),
}


class Roster:
    """Things of one level, each with a row that stays its own for as long as the thing is known."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.labels: dict[str, list[str]] = {label: [] for label in LABELS[level]}
        self.seen: Floats = np.zeros(0)
        self._row: dict[str, int] = {}
        self._codes: dict[str, tuple[Ints, list[str]]] = {}

    def __len__(self) -> int:
        return len(self._row)

    @property
    def keys(self) -> list[str]:
        """Identities, by row."""
        return self.labels[IDENTITY[self.level]]

    def find(self, key: str) -> int | None:
        """The row of a thing, or None."""
        return self._row.get(key)

    def rows(self, keys: Sequence[str], labels: Sequence[Mapping[str, str]]) -> Ints:
        """Rows of these things, new ones added; labels that are given and not empty replace older ones."""
        out = np.empty(len(keys), np.intp)
        for i, (key, given) in enumerate(zip(keys, labels, strict=True)):
            row = self._row.get(key)
            if row is None:
                row = self._row[key] = len(self._row)
                for label, column in self.labels.items():
                    column.append(given.get(label, ""))
                self.labels[IDENTITY[self.level]][row] = key
                self._codes.clear()
            else:
                for label, value in given.items():
                    if value and label in self.labels:
                        self.set(row, label, value)
            out[i] = row
        if len(self.seen) < len(self):
            self.seen = np.concatenate((self.seen, np.zeros(len(self) - len(self.seen))))
        return out

    def set(self, row: int, label: str, value: str) -> None:
        """Change one label of one thing."""
        column = self.labels[label]
        if column[row] != value:
            column[row] = value
            self._codes.pop(label, None)

    def codes(self, label: str) -> tuple[Ints, list[str]]:
        """Group number of every row by a label (-1 where it is empty), and the names of the groups."""
        cached = self._codes.get(label)
        if cached is None:
            names: dict[str, int] = {}
            column = self.labels[label]
            codes = np.fromiter(
                (names.setdefault(value, len(names)) if value else -1 for value in column),
                np.intp,
                len(column),
            )
            cached = self._codes[label] = (codes, list(names))
        return cached

    def keep(self, rows: Ints) -> None:
        """Drop all other things; the kept ones get new rows in this order."""
        self.labels = {label: [column[i] for i in rows] for label, column in self.labels.items()}
        self.seen = self.seen[rows]
        self._row = {key: i for i, key in enumerate(self.keys)}
        self._codes.clear()

    def dump(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        return {"labels": self.labels, "seen": self.seen.tolist()}

    def load(self, data: Mapping[str, object]) -> None:
        """Take over what `dump` gave; ValueError if it does not fit."""
        labels, seen = data.get("labels"), data.get("seen")
        if not isinstance(labels, dict) or set(labels) != set(self.labels) or not isinstance(seen, list):
            raise ValueError(f"roster '{self.level}' has other labels")
        columns = {name: [str(value) for value in labels[name]] for name in self.labels}
        if {len(column) for column in columns.values()} != {len(seen)}:
            raise ValueError(f"roster '{self.level}' has columns of different length")
        self.labels, self.seen = columns, np.array(seen, dtype=np.float64)
        self._row = {key: i for i, key in enumerate(self.keys)}
        self._codes.clear()


class Fleet:
    """The rosters of all levels."""

    def __init__(self) -> None:
        self.roster = {level: Roster(level) for level in Level}

    def __getitem__(self, level: Level) -> Roster:
        return self.roster[level]

    def dump(self) -> dict[str, object]:
        return {level.value: roster.dump() for level, roster in self.roster.items()}

    def load(self, data: Mapping[str, object]) -> None:
        """Take over what `dump` gave; ValueError if it does not fit."""
        for level, roster in self.roster.items():
            part = data.get(level.value)
            if not isinstance(part, dict):
                raise ValueError(f"roster '{level}' is missing")  # noqa: TRY004 - a file, not a caller
            roster.load(part)


@dataclass(slots=True)
class Tick:
    """What is known at one moment: `values` follow the roster of their signal's level; NaN is absent."""

    now: float
    fleet: Fleet
    values: dict[str, Floats] = field(default_factory=dict)

    def value(self, key: str, level: Level) -> Floats:
        """The values of a signal over the roster of its level (all NaN where the signal is missing)."""
        n = len(self.fleet[level])
        found = self.values.get(key)
        if found is None:
            return np.full(n, np.nan)
        if len(found) < n:
            found = self.values[key] = np.concatenate((found, np.full(n - len(found), np.nan)))
        return found

    def at_gpus(self, key: str, level: Level) -> Floats:
        """The value that a node, rack or loop signal has for every GPU."""
        gpus, owners = self.fleet[Level.GPU], self.fleet[level]
        codes, names = gpus.codes(IDENTITY[level])
        values = self.value(key, level)
        per_group = np.full(len(names), np.nan)
        for i, name in enumerate(names):
            row = owners.find(name)
            if row is not None:
                per_group[i] = values[row]
        out = np.full(len(gpus), np.nan)
        known = codes >= 0
        out[known] = per_group[codes[known]]
        return out
