"""Which group each row belongs to, by a label; kept up to date by what changed, not by reading all again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analytics.fleet.columns import Ints


class Codes:
    """Group numbers (-1: none) and group names; both are new objects after a change and the same without."""

    def __init__(self, values: Sequence[str]) -> None:
        self._number: dict[str, int] = {}
        self._codes: Ints = np.zeros(0, np.intp)
        self._names: list[str] = []
        self._changed: dict[int, str] = dict(enumerate(values))

    def change(self, row: int, value: str) -> None:
        """A row has another value from now on; it may be a new row, of which none may be left out."""
        self._changed[row] = value

    def get(self) -> tuple[Ints, list[str]]:
        """Group number of every row, and the names of the groups; each group has members."""
        if self._changed:
            self._apply()
        return self._codes, self._names

    def _apply(self) -> None:
        number = self._number
        rows = np.fromiter(self._changed, np.intp, len(self._changed))
        codes = np.full(max(len(self._codes), int(rows.max()) + 1), -1, np.intp)
        codes[: len(self._codes)] = self._codes
        codes[rows] = np.fromiter(
            (number.setdefault(value, len(number)) if value else -1 for value in self._changed.values()),
            np.intp,
            len(rows),
        )
        self._changed.clear()
        names = list(number)
        alive = np.zeros(len(names), np.bool_)
        alive[codes[codes >= 0]] = True
        if not alive.all():  # groups that lost their last member leave
            renumbered = np.append(np.where(alive, np.cumsum(alive) - 1, -1), -1)
            codes = renumbered[codes]
            names = [name for name, kept in zip(names, alive.tolist(), strict=True) if kept]
            self._number = {name: i for i, name in enumerate(names)}
        self._codes, self._names = codes, names
