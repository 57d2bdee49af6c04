"""Who is looked at: rosters of GPUs, nodes, racks and loops, and one tick of values over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from analytics.fleet.codes import Codes
from analytics.fleet.columns import Bools, Floats, Ints


class Level(StrEnum):
    """What kind of thing a signal belongs to."""

    GPU = "gpu"
    NODE = "node"
    RACK = "rack"
    LOOP = "loop"
    FEED = "feed"
    DEVICE = "device"
    JOB = "job"


IDENTITY = {
    Level.GPU: "uuid",
    Level.NODE: "node",
    Level.RACK: "rack",
    Level.LOOP: "loop",
    Level.FEED: "feed",
    Level.DEVICE: "device",
    Level.JOB: "job",
}
"""The label that tells one thing of a level from another."""
LABELS = {
    Level.GPU: ("uuid", "gpu", "node", "rack", "loop", "job"),
    Level.NODE: ("node", "rack", "loop"),
    Level.RACK: ("rack",),
    Level.LOOP: ("loop",),
    Level.FEED: ("feed",),
    Level.DEVICE: ("device", "rack"),
    Level.JOB: ("job",),
}
WITHIN = ("loop", "rack", "node", "gpu")
"""Places by which things are put in order, from wide to narrow."""


def _natural(name: str) -> tuple[bool, int, str]:
    """What puts 9 before 10; names of equal length, as most of a site are, by the alphabet; no name last."""
    return not name, len(name), name


class Roster:
    """Things of one level, each with a row that stays its own for as long as the thing is known.

    A GPU whose slot (node and index) another one took is `gone`: it keeps its row and labels until it is
    forgotten, but belongs to no group any more, so that peers do not see a ghost.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.labels: dict[str, list[str]] = {label: [] for label in LABELS[level]}
        self.seen: Floats = np.zeros(0)
        self.gone: Bools = np.zeros(0, np.bool_)
        self.slot_since: Floats = np.zeros(0)
        """When a GPU was first seen in the slot where it is (Unix time); 0 where that is not known."""
        self.version = 0
        """Rises whenever rows are added or rearranged."""
        self.arranged = 0
        """Rises whenever rows are rearranged: those that somebody noted are void."""
        self._row: dict[str, int] = {}
        self._codes: dict[str, Codes] = {}
        self._members: dict[str, tuple[Ints, dict[str, int], Ints, Ints]] = {}
        self._slots: dict[tuple[str, str], int] = {}
        self._seats: dict[int, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._row)

    @property
    def keys(self) -> list[str]:
        """Identities, by row."""
        return self.labels[IDENTITY[self.level]]

    def find(self, key: str) -> int | None:
        """The row of a thing, or None."""
        return self._row.get(key)

    def rows(
        self, keys: Sequence[str], labels: Sequence[Mapping[str, str]], now: float | None = None
    ) -> Ints:
        """Rows of these things, new ones added; labels that are given and not empty replace older ones.

        With `now` (Unix time), a GPU that comes into a slot displaces the one that was there, and of several
        new things neighbours get rows side by side, in whatever order they come; without it, as for a whole
        recording at once, slots are not looked at and the order stays.
        """
        out = np.empty(len(keys), np.intp)
        own, before = IDENTITY[self.level], len(self)
        slots = now is not None and self.level is Level.GPU
        each: Iterable[tuple[int, str, Mapping[str, str]]]
        each = zip(range(len(keys)), keys, labels, strict=True)
        if now is not None:
            each = self._neighbours(each)
        for i, key, given in each:
            row = self._row.get(key)
            if row is None:
                row = self._row[key] = len(self._row)
                for label, column in self.labels.items():
                    column.append(key if label == own else given.get(label, ""))
                for label, codes in self._codes.items():
                    codes.change(row, self.labels[label][row])
            else:
                for label, value in given.items():
                    if value and label in self.labels:
                        self.set(row, label, value)
            out[i] = row
        if len(self) > before:
            self.version += 1
            missing = np.zeros(len(self) - before)
            self.seen = np.concatenate((self.seen, missing + (now or 0.0)))
            self.slot_since = np.concatenate((self.slot_since, missing))
            self.gone = np.concatenate((self.gone, missing.astype(np.bool_)))
        if slots and now is not None:
            for row in out.tolist():
                self._seat(row, now)
        return out

    def _neighbours(
        self, each: Iterable[tuple[int, str, Mapping[str, str]]]
    ) -> Iterator[tuple[int, str, Mapping[str, str]]]:
        """Known things first, then the new ones, place by place: what is looked at together lies together."""
        new = []
        for one in each:
            if one[1] in self._row:
                yield one
            else:
                new.append(one)
        labels = [label for label in WITHIN if label in self.labels]
        new.sort(key=lambda one: [_natural(one[2].get(label, "")) for label in labels])
        yield from new

    def in_places(self, rows: Ints) -> Ints:
        """These rows, place by place."""
        columns = [self.labels[label] for label in WITHIN if label in self.labels]
        names = {row: [_natural(column[row]) for column in columns] for row in rows.tolist()}
        return np.array(sorted(names, key=names.__getitem__), np.intp)

    def _seat(self, row: int, now: float) -> None:
        slot = (self.labels["node"][row], self.labels["gpu"][row])
        holder, before = self._slots.get(slot), self._seats.get(row)
        if holder == row or not all(slot):
            return
        if holder is not None:
            self._leave(holder, True)
        if before is not None and self._slots.get(before) == row:
            del self._slots[before]
        self._slots[slot], self._seats[row] = row, slot
        self.slot_since[row] = now
        self._leave(row, False)

    def _leave(self, row: int, gone: bool) -> None:
        if self.gone[row] != gone:
            self.gone[row] = gone
            for label, codes in self._codes.items():
                codes.change(row, "" if gone else self.labels[label][row])

    def rival(self, row: int) -> int:
        """The GPU that holds the slot of this one."""
        return self._slots.get((self.labels["node"][row], self.labels["gpu"][row]), row)

    def revive(self, row: int, now: float, alone: bool) -> None:
        """It was taken for gone and reports: back, beside the one that took its slot or, `alone`, for it."""
        if alone:
            self._seat(row, now)
        self._leave(row, False)

    def slot_changed(self, since: float) -> Bools:
        """GPUs that came into their slot after a moment: what was learned about a slot is not theirs."""
        return self.slot_since > since

    def set(self, row: int, label: str, value: str) -> None:
        """Change one label of one thing."""
        column = self.labels[label]
        if column[row] != value:
            column[row] = value
            codes = self._codes.get(label)
            if codes is not None and not self.gone[row : row + 1].any():
                codes.change(row, value)

    def codes(self, label: str) -> tuple[Ints, list[str]]:
        """Group number of every row by a label (-1: empty, or gone), and the names of the groups.

        The same objects for as long as nothing changes.
        """
        codes = self._codes.get(label)
        if codes is None:
            column = self.labels[label]
            gone = self.gone.tolist()
            present = ["" if out else value for value, out in zip(column, gone, strict=True)]
            codes = self._codes[label] = Codes(present)
        return codes.get()

    def members(self, label: str, name: str) -> tuple[int, ...]:
        """Rows of the things with this label, rising, without those that are gone; none for an empty name."""
        codes, names = self.codes(label)
        kept = self._members.get(label)
        if kept is None or kept[0] is not codes:
            order = np.argsort(codes, kind="stable")
            starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
            number = {own: i for i, own in enumerate(names)}
            kept = self._members[label] = (codes, number, order, starts)
        _, number, order, starts = kept
        group = number.get(name)
        return () if group is None else tuple(order[starts[group] : starts[group + 1]].tolist())

    def keep(self, rows: Ints) -> None:
        """Drop all other things; the kept ones get new rows in this order."""
        self.labels = {label: [column[i] for i in rows] for label, column in self.labels.items()}
        self.seen, self.gone, self.slot_since = self.seen[rows], self.gone[rows], self.slot_since[rows]
        self._rearranged()

    def _rearranged(self) -> None:
        self.version += 1
        self.arranged += 1
        self._row = {key: i for i, key in enumerate(self.keys)}
        self._codes.clear()
        self._members.clear()
        if self.level is Level.GPU:
            where = zip(self.labels["node"], self.labels["gpu"], strict=True)
            self._seats = {row: slot for row, slot in enumerate(where) if all(slot)}
            self._slots = {slot: row for row, slot in self._seats.items() if not self.gone[row]}

    def dump(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        return {
            "labels": {label: column.copy() for label, column in self.labels.items()},
            "seen": self.seen.tolist(),
            "gone": np.flatnonzero(self.gone).tolist(),
            "slot_since": self.slot_since.tolist(),
        }

    def load(self, data: Mapping[str, object]) -> None:
        """Take over what `dump` gave; ValueError if it does not fit. A label it lacks is empty."""
        labels, seen, gone = data.get("labels"), data.get("seen"), data.get("gone")
        since = data.get("slot_since")
        own = IDENTITY[self.level]
        if not isinstance(labels, dict) or not isinstance(labels.get(own), list):
            raise ValueError(f"roster '{self.level}' has no label '{own}'")  # noqa: TRY004 - a file
        if not isinstance(seen, list) or not isinstance(gone, list) or not isinstance(since, list):
            raise ValueError(f"roster '{self.level}' lacks seen, gone or slot_since")  # noqa: TRY004 - a file
        n = len(labels[own])
        columns = {name: [str(value) for value in labels.get(name) or [""] * n] for name in self.labels}
        if {n} != {len(seen), len(since), *(len(column) for column in columns.values())}:
            raise ValueError(f"roster '{self.level}' has columns of different length")
        if len(set(columns[own])) != n:
            raise ValueError(f"roster '{self.level}' names a thing twice")
        if not all(isinstance(row, int) and 0 <= row < n for row in gone):
            raise ValueError(f"roster '{self.level}' has gone rows that do not exist")
        self.labels, self.seen = columns, np.array(seen, dtype=np.float64)
        self.slot_since, self.gone = np.array(since, dtype=np.float64), np.zeros(n, np.bool_)
        self.gone[np.array(gone, np.intp)] = True
        self._rearranged()


class Fleet:
    """The rosters of all levels."""

    def __init__(self) -> None:
        self.roster = {level: Roster(level) for level in Level}
        self._absent: dict[Level, Floats] = {}

    def absent(self, level: Level) -> Floats:
        """NaN for every thing of a level; the same array each time, not to be written to."""
        n, kept = len(self.roster[level]), self._absent.get(level)
        if kept is None or len(kept) != n:
            kept = self._absent[level] = np.full(n, np.nan)
        return kept

    def __getitem__(self, level: Level) -> Roster:
        return self.roster[level]

    def dump(self) -> dict[str, object]:
        return {level.value: roster.dump() for level, roster in self.roster.items()}

    def load(self, data: Mapping[str, object]) -> None:
        """Take over what `dump` gave, a level that it lacks being empty; ValueError if it does not fit."""
        for level, roster in self.roster.items():
            part = data.get(level.value)
            if isinstance(part, dict):
                roster.load(part)
            elif part is not None:
                raise ValueError(f"roster '{level}' is not a table")


@dataclass(slots=True)
class Tick:
    """What is known at one moment: `values` follow the roster of their signal's level; NaN is absent."""

    now: float
    fleet: Fleet
    values: dict[str, Floats] = field(default_factory=dict)

    def value(self, key: str, level: Level) -> Floats:
        """The values of a signal over the roster of its level (all NaN where the signal is missing).

        The array is shared: it is not to be written to.
        """
        found = self.values.get(key)
        if found is None:
            return self.fleet.absent(level)
        n = len(self.fleet[level])
        if len(found) < n:
            found = self.values[key] = np.concatenate((found, np.full(n - len(found), np.nan)))
        return found
