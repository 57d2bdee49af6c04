"""From rows in order of time to ticks over a fleet whose things come, go, move and change jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.fleet import LABELS as LABELS_OF
from analytics.fleet.columns import Ints
from analytics.jit import compiled
from analytics.recording.rows import LABELS, Block, Book, Codes
from analytics.signals import Signal

_CELLS = 4_000_000
"""Largest table of moments and things that is filled at once."""
_NARROW_FIRST = sorted(IDENTITY.values(), key=("uuid", "device", "node", "feed", "rack", "loop", "job").index)
"""The first of these that a row has is what it is about."""
_GHOST_FOR = 900.0
"""Seconds for which two GPUs may both report from one slot, as when a swap falls between two scrapes."""
Keep = Callable[[Mapping[str, str]], bool]


class DuplicateRowError(Exception):
    """Two rows of one GPU at one time."""

    def __init__(self, seconds: float, uuid: str) -> None:
        super().__init__(uuid)
        self.seconds, self.uuid = seconds, uuid


class Ticker:
    """Keeps the rosters up to date and cuts blocks into ticks.

    `keep` says by its labels whether a row counts (None: all do). Things get their place in the rosters, and
    their labels, at the moment at which they are first seen with them, as in the service.
    """

    def __init__(self, fleet: Fleet, book: Book, signals: Sequence[Signal], keep: Keep | None = None) -> None:
        self._fleet, self._book, self._keep = fleet, book, keep
        self._signals = [(i, signal) for i, signal in enumerate(signals)]
        self._rows = {level: np.zeros(0, np.intp) for level in Level}
        self._known = {level: {key: row for row, key in enumerate(fleet[level].keys)} for level in Level}
        self._mine = np.zeros(0, bool)
        self._entity = np.zeros(0, np.intp)
        self._entities: dict[tuple[str, str], int] = {}
        self._current = np.zeros(0, np.intp)
        self._entered: dict[tuple[Level, str], tuple[str, ...]] = {}
        self.present = 0
        """GPUs that had a value in the latest tick."""

    def ticks(self, block: Block) -> Iterator[Tick]:
        """One tick per time of a sorted block. DuplicateRowError if a GPU has two rows at one time."""
        self._learn()
        if self._keep is not None:
            mine = self._mine[block.who]
            if not mine.all():
                block = block.take(mine)
        if not len(block):
            return
        starts = np.concatenate(([0], np.flatnonzero(np.diff(block.seconds)) + 1, [len(block)]))
        things = sum(len(known) for known in self._known.values()) + len(self._book)
        step = max(1, _CELLS // max(things, 1))
        for i in range(0, len(starts) - 1, step):
            edges = starts[i : i + step + 1]
            yield from self._part(block.take(slice(int(edges[0]), int(edges[-1]))), edges - edges[0])

    def _learn(self) -> None:
        """Take in combinations of labels that are new in the book."""
        fresh = self._book.entries[len(self._mine) :]
        if not fresh:
            return
        mine, entity = [], []
        for entry in fresh:
            labels = dict(zip(LABELS, entry, strict=True))
            mine.append(self._keep is None or self._keep(labels))
            own = next((name for name in _NARROW_FIRST if labels.get(name)), "")
            entity.append(self._entities.setdefault((own, labels.get(own, "")), len(self._entities)))
        self._mine = np.concatenate((self._mine, np.array(mine, bool)))
        self._entity = np.concatenate((self._entity, np.array(entity, np.intp)))
        self._current = np.concatenate(
            (self._current, np.full(len(self._entities) - len(self._current), -1, np.intp))
        )
        for level in Level:
            unknown = np.full(len(fresh), -1, np.intp)
            self._rows[level] = np.concatenate((self._rows[level], unknown))

    def _part(self, block: Block, edges: Ints) -> Iterator[Tick]:
        changes = np.zeros(len(block), np.intp)
        count = _changes(block.who, self._entity, self._current, changes)
        changes = changes[:count]
        for at in changes.tolist():
            self._place(int(block.who[at]))
        moment = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        tables, seen, counts = self._tables(block, moment, len(edges) - 1)
        due = np.searchsorted(changes, edges[1:]).tolist()
        done = 0
        for i, now in enumerate(block.seconds[edges[:-1]].tolist()):
            for at in changes[done : due[i]].tolist():
                self._enrol(int(block.who[at]), now)
            done = due[i]
            tick = Tick(now, self._fleet)
            for key, level, table in tables:
                tick.values[key] = table[i, : len(self._fleet[level])]
            for level, marks in seen.items():
                roster = self._fleet[level]
                there = marks[i, : len(roster)]
                roster.seen[there] = now
                if level is Level.GPU and roster.gone.any():
                    self._revive(there, now)
            self.present = counts[i]
            yield tick

    def _tables(
        self, block: Block, moment: Ints, moments: int
    ) -> tuple[list[tuple[str, Level, np.ndarray]], dict[Level, np.ndarray], list[int]]:
        """Values by moment and thing, who was there, and how many GPUs were."""
        tables: list[tuple[str, Level, np.ndarray]] = []
        seen: dict[Level, np.ndarray] = {}
        counts = [0] * moments
        for level in Level:
            rows = self._rows[level][block.who]
            there = rows >= 0
            n = len(self._known[level])
            if not n or not there.any():
                continue
            whole = bool(there.all())
            cells = moment * n + rows
            if level is Level.GPU:
                self._no_duplicates(block, cells, there, moments * n)
            marks = np.zeros(moments * n, bool)
            for i, signal in self._signals:
                if signal.level is not level:
                    continue
                values = block.values[i]
                use = np.isfinite(values) if whole else there & np.isfinite(values)
                table = np.full(moments * n, np.nan)
                table[cells[use]] = values[use]
                marks[cells[use]] = True
                tables.append((signal.key, level, table.reshape(moments, n)))
            seen[level] = marks.reshape(moments, n)
            if level is Level.GPU:
                counts = seen[level].sum(axis=1).tolist()
        return tables, seen, counts

    def _no_duplicates(self, block: Block, cells: Ints, there: np.ndarray, size: int) -> None:
        mark = np.zeros(size, bool)
        mark[cells[there]] = True
        if int(mark.sum()) == int(there.sum()):
            return
        rows = np.flatnonzero(there)
        first = np.zeros(len(rows), bool)
        first[np.unique(cells[rows], return_index=True)[1]] = True
        at = int(rows[np.argmin(first)])
        raise DuplicateRowError(float(block.seconds[at]), self._book.entries[int(block.who[at])][0])

    def _place(self, who: int) -> None:
        """Settle which rows the things of these labels have or will have."""
        labels = dict(zip(LABELS, self._book.entries[who], strict=True))
        for level, own in IDENTITY.items():
            if labels.get(own):
                known = self._known[level]
                self._rows[level][who] = known.setdefault(labels[own], len(known))

    def _revive(self, there: np.ndarray, now: float) -> None:
        """GPUs whose slot another one took, and that report again: back in their place, or beside it."""
        gpus = self._fleet[Level.GPU]
        for row in np.flatnonzero(gpus.gone & there).tolist():
            rival = gpus.rival(row)
            if not there[rival] or now - gpus.slot_since[rival] > _GHOST_FOR:
                gpus.revive(row, now, not there[rival])

    def _enrol(self, who: int, now: float) -> None:
        """Enter the things of these labels into the rosters, or change their labels there."""
        labels = dict(zip(LABELS, self._book.entries[who], strict=True))
        for level, own in IDENTITY.items():
            if not labels.get(own):
                continue
            own_labels = tuple(labels[label] for label in LABELS_OF[level])
            if self._entered.get((level, labels[own])) == own_labels:
                continue
            self._entered[level, labels[own]] = own_labels
            roster = self._fleet[level]
            row = int(roster.rows([labels[own]], [labels], now)[0])
            if level is Level.GPU:
                roster.set(row, "job", labels["job"])


@compiled
def _changes(who: Codes, entity: Ints, current: Ints, out: Ints) -> int:
    """Rows in which a thing appears with other labels than before; `current` is brought up to date."""
    count = 0
    for i in range(len(who)):
        thing = entity[who[i]]
        if current[thing] != who[i]:
            current[thing] = who[i]
            out[count] = i
            count += 1
    return count
