"""Statistics over groups of peers: the GPUs of a node, the nodes of a loop. NaN means absent.

`group_quantile`, `group_count` and `spread` take any grouping as it comes. `Groups` is for the one that asks
again and again: it knows the members of each group beforehand, and finds the medians of many small groups at
once.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from analytics.fleet.columns import Bools, Floats, Ints
from analytics.fleet.group_kernels import (
    WIDTHS,
    Plan,
    Rows,
    Single,
    codes_of,
    counts,
    edges,
    medians,
    networks,
    quantiles,
    sample,
    sorted_rows,
)

__all__ = ["Groups", "Rows", "Single", "by_label", "group_count", "group_quantile", "spread"]


def group_quantile(values: Floats, codes: Ints, groups: int, quantile: float = 0.5) -> Floats:
    """Quantile per group, NaN for a group without values; `codes` below 0 belong to no group.

    The median (0.5) averages the two middle values; any other quantile takes the lower neighbour, so that
    it is always a value that some member really has. Exact, in time that grows with the number of values.
    """
    found = quantiles(np.asarray(values, np.float64), np.asarray(codes, np.intp), groups, quantile)
    return found.astype(values.dtype, copy=False)


def group_count(use: np.ndarray, codes: Ints, groups: int) -> Ints:
    """How many members of each group are marked in `use`."""
    return counts(np.asarray(use, np.bool_), np.asarray(codes, np.intp), groups)


def spread(per_group: Floats, codes: Ints, missing: float = np.nan) -> Floats:
    """The figure of its group for every member; `missing` where it has no group."""
    if not per_group.size:
        return np.full(codes.shape, missing)
    return np.where(codes >= 0, per_group[np.maximum(codes, 0)], missing)


class Groups:
    """Who belongs together: the members of every group, in one list, group after group.

    `order` holds rows, `starts` where in it each group begins (and the last one ends).
    """

    def __init__(self, order: Rows, starts: Rows, rows: int) -> None:
        self.order, self.starts, self._rows = order, starts, rows

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, codes: Ints, count: int, label: Ints | None = None, rows: Rows | None = None) -> Groups:
        """Rows with the same code (below `count`; -1: no group) and the same label (from 0 on), if any.

        `rows` are all rows in the order of `label`, where that is known (`by_label`).
        """
        codes = np.asarray(codes, np.intp)
        if label is None:
            label, rows = np.zeros(len(codes), np.intp), np.arange(len(codes), dtype=np.int32)
        order = sorted_rows(rows if rows is not None else by_label(label), codes, count)
        return cls(order, edges(order, codes, np.asarray(label, np.intp)), len(codes))

    @cached_property
    def code(self) -> Rows:
        """Group of every row; -1: none."""
        return codes_of(self.order, self.starts, self._rows)

    @cached_property
    def plan(self) -> Plan:
        """The groups as the compiled loops take them."""
        edge = np.searchsorted(WIDTHS, self.sizes)
        ids = np.argsort(edge, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(edge, minlength=len(WIDTHS) + 1))
        return Plan(self.order, self.starts, ids, np.append(0, ends).astype(np.int32))

    def keep(self, wanted: Bools) -> Groups:
        """Only these groups."""
        sizes = np.diff(self.starts)
        order = self.order[np.repeat(wanted, sizes)]
        starts = np.append(0, np.cumsum(sizes[wanted])).astype(np.int32)
        return Groups(order, starts, self._rows)

    @property
    def sizes(self) -> Rows:
        """Members of each group."""
        return np.diff(self.starts)

    def sample(self, most: int) -> Groups:
        """The same groups with at most `most` members each, taken at an odd stride."""
        return Groups(*sample(self.order, self.starts, most), self._rows)

    def upwards(self, code: Ints | Rows) -> Ints:
        """What the first member of each group has in `code`: the number of the wider group it belongs to."""
        return np.asarray(code[self.order[self.starts[:-1]]], np.intp)

    def total(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum over the members of each group."""
        return np.add.reduceat(weights[self.order], self.starts[:-1]) if len(self) else weights[:0]

    def medians(self, values: Single, out: Single, present: Rows) -> None:
        """Median per group into `out` (NaN without values), and into `present` how many values it had."""
        known = np.where(np.isfinite(values), values, np.float32(np.inf))[:, None]
        medians(known, self.plan, networks(), out[:, None], present[:, None])
        out[present == 0] = np.nan


def by_label(label: Ints) -> Rows:
    """All rows in the order of their labels (from 0 on)."""
    rows = np.arange(len(label), dtype=np.int32)
    return sorted_rows(rows, np.asarray(label, np.intp), int(label.max(initial=0)) + 1)
