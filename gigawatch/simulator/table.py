"""Fast readings: one matrix of values, filled row by row, and label tuples that are built once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import numpy.typing as npt

from gigawatch.catalogue import Metric
from gigawatch.readings import Reading
from gigawatch.simulator.layout import Array, Index
from gigawatch.simulator.state import State

Labels = Callable[[int], tuple[str, ...]]
Values = Callable[[State], Array]
Mask = npt.NDArray[np.bool_]


def rounded(name: str, digits: int = 6, row: int | None = None, at: Index | None = None) -> Values:
    """A field of the state (its row `row`, its places `at`) to so many digits."""

    def values(state: State) -> Array:
        found: Array = getattr(state, name)
        found = found if row is None else found[row]
        return np.round(found if at is None else found[at], digits)

    return values


def floored(name: str, row: int | None = None) -> Values:
    """A field of the state as a whole number, as counters of events are."""

    def values(state: State) -> Array:
        found: Array = getattr(state, name)
        return np.floor(found if row is None else found[row])

    return values


@dataclass(frozen=True, slots=True)
class _Keys:
    """What one owner's values mean, and where in the matrix they stand."""

    metrics: list[Metric]
    labels: list[tuple[str, ...]]
    places: Index


@dataclass(frozen=True, slots=True)
class _Page:
    """One owner's readings as they were given last: most values do not change from one moment to the next."""

    values: Array
    readings: list[Reading]
    """One per value, also for those that are NaN."""


class Table:
    """Readings of `size` things of one kind, each owned by a node or device.

    A row is one series per thing. NaN means that the thing does not offer the reading now.
    """

    def __init__(self, owners: Sequence[int]) -> None:
        self._owners = owners
        self._size = len(owners)
        self._rows: list[tuple[Metric, Labels, Mask | None]] = []
        self._dynamic: list[tuple[int, Values]] = []
        self._constant: list[tuple[int, Array]] = []
        self._matrix: Array = np.zeros((0, self._size))
        self._keys: dict[int, _Keys] = {}
        self._pages: dict[int, _Page] = {}

    def add(
        self, metric: Metric, labels: Labels, values: Values | Array | float, where: Mask | None = None
    ) -> None:
        """One more series per thing; `where` says which things have it at all."""
        number = len(self._rows)
        self._rows.append((metric, labels, where))
        if callable(values):
            self._dynamic.append((number, values))
        else:
            self._constant.append(
                (number, np.broadcast_to(np.asarray(values, dtype=np.float64), (self._size,)))
            )

    def add_states(
        self, metric: Metric, labels: Labels, states: Sequence[str], values: Callable[[State],
        Sequence[Array]],
        where: Mask | None = None,
    ) -> None:  # fmt: skip
        """A state set: `values` gives one 0/1 array per state, in order."""
        for number, name in enumerate(states):
            self.add(
                metric,
                lambda i, name=name: (*labels(i), name),  # type: ignore[misc] # bound default
                lambda state, number=number: values(state)[number],  # type: ignore[misc] # bound default
                where,
            )

    def refresh(self, state: State) -> None:
        """Take all values from a state. Readers see the old values or the new, never a mixture."""
        matrix = np.empty((len(self._rows), self._size))
        for number, constant in self._constant:
            matrix[number] = constant
        for number, values in self._dynamic:
            matrix[number] = values(state)
        self._matrix = matrix

    def readings(self, owner: int) -> list[Reading]:
        """All readings of the things that a node or device owns."""
        keys = self._keys.get(owner)
        if keys is None:
            keys = self._keys[owner] = self._index(owner)
        values = self._matrix.ravel()[keys.places]
        new, kind = tuple.__new__, Reading
        page = self._pages.get(owner)
        if page is None:
            rows = zip(keys.metrics, keys.labels, values.tolist(), repeat(None), strict=False)
            made = [new(kind, row) for row in rows]
        else:
            made = page.readings.copy()
            metrics, labels = keys.metrics, keys.labels
            for place in np.flatnonzero(page.values != values).tolist():
                made[place] = new(kind, (metrics[place], labels[place], float(values[place]), None))
        # Pages are replaced whole and never changed, so that several threads may read at once.
        self._pages[owner] = _Page(values, made)
        if np.isnan(values).any():
            return [reading for reading in made if reading[2] == reading[2]]  # NaN differs from itself
        return made.copy()

    def _index(self, owner: int) -> _Keys:
        mine = [i for i, who in enumerate(self._owners) if who == owner]
        metrics: list[Metric] = []
        labels: list[tuple[str, ...]] = []
        places: list[int] = []
        for number, (metric, label, where) in enumerate(self._rows):
            for i in mine:
                if where is None or where[i]:
                    metrics.append(metric)
                    labels.append(label(i))
                    places.append(number * self._size + i)
        return _Keys(metrics, labels, np.array(places, dtype=np.int64))
