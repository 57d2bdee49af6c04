"""Which row each series of an answer belongs to; labels are looked at only if they were not seen before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from analytics.fleet.columns import Ints
from analytics.ingest.answers import Series
from analytics.ingest.scanner import Hashes

Enrol = Callable[[Sequence[Mapping[str, str]]], Ints]
"""Gives the rows of things with these labels, -1 for those that are not ours."""
_NEW = -2


class Index:
    """Rows by the hash of labels. Signals of one level whose labels are the same share what it knows."""

    def __init__(self) -> None:
        self._hashes: Hashes = np.zeros(0, np.uint64)
        self._rows: Ints = np.zeros(0, np.intp)
        self._current: Hashes = np.zeros(0, np.uint64)
        self._kept: dict[str, tuple[Series, Ints]] = {}

    def rows(self, query: str, series: Series, enrol: Enrol, places: bool) -> Ints:
        """Row of each series of a query, -1 where there is none. AnswerError if labels cannot be read.

        Things with labels not seen before are enrolled. Two series of one thing (it moved, and the old place
        has not died away yet) have one row: the place that came last has it. `places` says whether a series
        that is back with older labels makes them hold again.
        """
        kept = self._kept.get(query)
        if kept is not None and kept[0] is series:
            return kept[1]
        rows = self._find(series.hashes)
        new = np.flatnonzero(rows == _NEW)
        if new.size:
            rows[new] = enrol(series.labels_at(new))
            self._add(series.hashes[new], rows[new])
        other = np.flatnonzero(rows >= 0)
        other = other[self._current[rows[other]] != series.hashes[other]]
        if other.size:
            twice = np.isin(self._current[rows[other]], series.hashes)
            back = other[~twice]
            if places and back.size:
                enrol(series.labels_at(back))
                self._current[rows[back]] = series.hashes[back]
            rows[other[twice]] = -1
        series.settle()
        self._kept[query] = (series, rows)
        return rows

    def _find(self, hashes: Hashes) -> Ints:
        if not self._hashes.size:
            return np.full(len(hashes), _NEW, np.intp)
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return np.where(self._hashes[at] == hashes, self._rows[at], _NEW)

    def _add(self, hashes: Hashes, rows: Ints) -> None:
        merged = np.concatenate((self._hashes, hashes))
        order = np.argsort(merged, kind="stable")
        self._hashes, self._rows = merged[order], np.concatenate((self._rows, rows))[order]
        missing = int(rows.max()) + 1 - len(self._current)
        if missing > 0:
            self._current = np.concatenate((self._current, np.zeros(missing, np.uint64)))
        held = rows >= 0
        self._current[rows[held]] = hashes[held]
