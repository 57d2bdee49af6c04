"""The loops behind the statistics over groups: medians by sorting networks, selection, sorting by code."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analytics.fleet.columns import Bools, Floats, Ints
from analytics.jit import compiled

Single = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32]
WIDTHS = (2, 4, 6, 8, 10, 13, 16, 20, 26, 32)
"""Groups up to these sizes are sorted many at a time; larger ones are searched one by one."""
_LANES = 64
"""Groups that are sorted side by side."""
SIDE = 8
"""Columns of a table whose rows fill a vector register: they are read fastest."""


class Plan(NamedTuple):
    """Groups as the loops take them: `order` and `starts` as in `Groups`; `ids` are the groups by the width
    they are sorted at, those of `WIDTHS[k]` from `edges[k]` on, and last those that are too large."""

    order: Rows
    starts: Rows
    ids: Rows
    edges: Rows


class Networks(NamedTuple):
    """Sorting networks of all `widths`, the pairs of each from `edges[k]` on."""

    widths: Rows
    pairs: Rows
    edges: Rows


@lru_cache(maxsize=1)
def networks() -> Networks:
    """Those of all `WIDTHS`."""
    pairs = [network(width) for width in WIDTHS]
    edges = np.cumsum([0, *map(len, pairs)])
    return Networks(np.array(WIDTHS, np.int32), np.concatenate(pairs), edges.astype(np.int32))


@lru_cache(maxsize=32)
def network(width: int) -> Rows:
    """Comparisons that sort `width` numbers, one pair of places each, as a column of upper and one of lower.

    Batcher's odd-even merge: K. E. Batcher, Sorting networks and their applications, AFIPS 1968. For a width
    that is no power of two, the places beyond it are thought of as filled with infinity, which never moves.
    """
    pairs = []
    block = 1
    while block < width:
        step = block
        while step:
            for start in range(step % block, width, 2 * step):
                pairs += [
                    (i, i + step)
                    for i in range(start, min(start + step, width - step))
                    if i // (2 * block) == (i + step) // (2 * block)
                ]
            step //= 2
        block *= 2
    return np.array(pairs, np.int32)


@compiled
def medians(values: Single, plan: Plan, nets: Networks, out: Single, present: Rows) -> None:
    """Medians of every group and column into `out`, and into `present` how many values there were.

    `values` is (rows, columns), `out` and `present` (groups, columns); infinite means absent in both.
    """
    last = len(nets.widths)
    for k in range(last):
        begin, end = plan.edges[k], plan.edges[k + 1]
        if begin < end:
            pairs = nets.pairs[nets.edges[k] : nets.edges[k + 1]]
            _small_medians(
                values, plan.order, plan.starts, plan.ids[begin:end], nets.widths[k], pairs, out, present
            )
    if plan.edges[last] < len(plan.ids):
        _large_medians(values, plan.order, plan.starts, plan.ids[plan.edges[last] :], out, present)


@compiled
def _small_medians(
    values: Single, order: Rows, starts: Rows, ids: Rows, width: int, pairs: Rows, out: Single, present: Rows
) -> None:
    """Medians of groups of at most `width` members: the same comparisons for `_LANES` or so side by side.

    They are made on whole numbers of the same order as the values (IEEE 754 bits, turned around below 0):
    the compiler does those side by side, comparisons of floats it does not.
    """
    columns, far = values.shape[1], np.float32(np.inf)
    together = max(_LANES // columns, 1)
    lanes = together * columns
    table = np.full((width, lanes), far)
    keys, bits, most = table.view(np.int32), values.view(np.int32), np.int32(0x7FFFFFFF)
    sign, last = np.int32(31), np.float32(np.inf).view(np.int32)
    count = np.empty(lanes, np.int32)
    for first in range(0, len(ids), together):
        groups = min(together, len(ids) - first)
        for g in range(groups):
            begin, lane = starts[ids[first + g]], g * columns
            size = starts[ids[first + g] + 1] - begin
            for place in range(size):
                row = order[begin + place]
                if columns == SIDE:
                    for s in range(SIDE):
                        keys[place, lane + s] = bits[row, s] ^ ((bits[row, s] >> sign) & most)
                else:
                    for s in range(columns):
                        keys[place, lane + s] = bits[row, s] ^ ((bits[row, s] >> sign) & most)
            for place in range(size, width):
                for s in range(columns):
                    keys[place, lane + s] = last
        for k in range(len(pairs)):
            upper, lower = keys[pairs[k, 0]], keys[pairs[k, 1]]
            for lane in range(lanes):
                a, b = upper[lane], lower[lane]
                upper[lane] = a if a < b else b
                lower[lane] = b if a < b else a
        count[:] = 0
        for place in range(width):
            own = keys[place]
            for lane in range(lanes):
                count[lane] += own[lane] < last  # what is absent is last
            for lane in range(lanes):
                own[lane] ^= (own[lane] >> sign) & most
        for g in range(groups):
            group = ids[first + g]
            for s in range(columns):
                lane = g * columns + s
                n = count[lane]
                present[group, s] = n
                low, high = table[max(n - 1, 0) // 2, lane], table[n // 2 if n else 0, lane]
                out[group, s] = np.float32(0.5) * (low + high)


@compiled
def _large_medians(values: Single, order: Rows, starts: Rows, ids: Rows, out: Single, present: Rows) -> None:
    for g in ids:
        kept = np.empty(starts[g + 1] - starts[g], np.float64)
        for s in range(values.shape[1]):
            n = 0
            for k in range(starts[g], starts[g + 1]):
                x = values[order[k], s]
                if x < np.inf:
                    kept[n] = x
                    n += 1
            present[g, s] = n
            out[g, s] = np.float32(_middle(kept, 0, n)) if n else np.inf


@compiled
def quantiles(values: Floats, codes: Ints, groups: int, quantile: float) -> Floats:
    result = np.full(groups, np.nan)
    starts = np.zeros(groups + 1, np.intp)
    for i in range(len(values)):
        if codes[i] >= 0 and np.isfinite(values[i]):
            starts[codes[i] + 1] += 1
    for g in range(groups):
        starts[g + 1] += starts[g]
    kept, at = np.empty(starts[groups]), starts[:-1].copy()
    for i in range(len(values)):
        if codes[i] >= 0 and np.isfinite(values[i]):
            kept[at[codes[i]]] = values[i]
            at[codes[i]] += 1
    for g in range(groups):
        begin, end = starts[g], starts[g + 1]
        if begin == end:
            continue
        if quantile == 0.5:
            result[g] = _middle(kept, begin, end)
        else:
            result[g] = _select(kept, begin, end, begin + int((end - begin - 1) * quantile))
    return result


@compiled
def _middle(kept: Floats, begin: int, end: int) -> float:
    """Median of this stretch, which is rearranged; NaN if it is empty."""
    if begin == end:
        return np.nan
    last = end - begin - 1
    high = _select(kept, begin, end, begin + (last + 1) // 2)
    if last % 2 == 0:
        return float(high)
    low = kept[begin]
    for i in range(begin, begin + (last + 1) // 2):
        low = max(low, kept[i])
    return float(0.5 * (low + high))


@compiled
def _select(kept: Floats, begin: int, end: int, k: int) -> float:
    """The value that a sorted stretch would have at place `k`; smaller ones end up before it.

    C. A. R. Hoare, Algorithm 65: Find, CACM 1961.
    """
    left, right = begin, end - 1
    while left < right:
        pivot = kept[k]
        i, j = left, right
        while i <= j:
            while kept[i] < pivot:
                i += 1
            while kept[j] > pivot:
                j -= 1
            if i <= j:
                kept[i], kept[j] = kept[j], kept[i]
                i += 1
                j -= 1
        if j < k:
            left = i
        if k < i:
            right = j
    return float(kept[k])


@compiled
def counts(use: Bools, codes: Ints, groups: int) -> Ints:
    out = np.zeros(groups, np.intp)
    for i in range(len(use)):
        if use[i] and codes[i] >= 0:
            out[codes[i]] += 1
    return out


@compiled
def sorted_rows(rows: Rows, codes: Ints, count: int) -> Rows:
    """These rows by code, those with equal codes left in order, those below 0 left out."""
    at = np.zeros(count + 1, np.int32)
    for row in rows:
        if codes[row] >= 0:
            at[codes[row] + 1] += 1
    for code in range(count):
        at[code + 1] += at[code]
    order = np.empty(at[count], np.int32)
    for row in rows:
        code = codes[row]
        if code >= 0:
            order[at[code]] = row
            at[code] += 1
    return order


@compiled
def edges(order: Rows, codes: Ints, label: Ints) -> Rows:
    """Where in `order` the groups begin, and the end."""
    edges, n = np.zeros(len(order) + 1, np.int32), 0
    if not len(order):
        return edges[:1].copy()
    code, kind = codes[order[0]], label[order[0]]
    for i in range(1, len(order)):
        row = order[i]
        if codes[row] != code or label[row] != kind:
            code, kind = codes[row], label[row]
            n += 1
            edges[n] = i
    edges[n + 1] = len(order)
    return edges[: n + 2].copy()


@compiled
def sample(order: Rows, starts: Rows, most: int) -> tuple[Rows, Rows]:
    kept, edges, n = np.empty(len(order), np.int32), np.zeros(len(starts), np.int32), 0
    for g in range(len(starts) - 1):
        size = starts[g + 1] - starts[g]
        stride = 1 if size <= most else (size + most - 1) // most | 1
        for k in range(starts[g], starts[g + 1], stride):
            kept[n] = order[k]
            n += 1
        edges[g + 1] = n
    return kept[:n].copy(), edges


@compiled
def codes_of(order: Rows, starts: Rows, rows: int) -> Rows:
    code = np.full(rows, -1, np.int32)
    for g in range(len(starts) - 1):
        for k in range(starts[g], starts[g + 1]):
            code[order[k]] = g
    return code


@compiled
def at(figures: Rows | Ints, code: Rows | Ints, missing: int) -> Rows | Ints:
    """The figure of its group for every member; `missing` where there is none (-1)."""
    out = np.empty(len(code), figures.dtype)
    for i in range(len(code)):
        out[i] = figures[code[i]] if code[i] >= 0 else missing
    return out
