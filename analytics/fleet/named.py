"""From names of groups to rows of a roster, found anew only after one of both has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analytics.fleet import Roster
from analytics.fleet.columns import Floats, Ints


class Named:
    """Remembers the rows of one list of names; group names are a new list after any change."""

    def __init__(self) -> None:
        self._names: object = None
        self._keys: object = None
        self._size = -1
        self._rows: Ints = np.zeros(0, np.intp)

    def rows(self, names: Sequence[str], roster: Roster) -> Ints:
        """Row of every name, -1 for those that the roster does not know."""
        keys = roster.keys
        if self._names is not names or self._keys is not keys or self._size != len(roster):
            found = (roster.find(name) for name in names)
            self._rows = np.array([-1 if row is None else row for row in found], np.intp)
            self._names, self._keys, self._size = names, keys, len(roster)
        return self._rows

    def spread(self, names: Sequence[str], values: Floats, roster: Roster, missing: float = np.nan) -> Floats:
        """Values of named groups over the roster; `missing` where a thing is in no group."""
        rows = self.rows(names, roster)
        out = np.full(len(roster), missing)
        known = rows >= 0
        out[rows[known]] = values[known]
        return out
