"""Statistics over groups of peers: the GPUs of a node, the nodes of a loop. NaN means absent."""

from __future__ import annotations

import numpy as np

from analytics.columns import Floats, Ints


def group_quantile(values: Floats, codes: Ints, groups: int, quantile: float = 0.5) -> Floats:
    """Quantile per group, NaN for a group without values; `codes` below 0 belong to no group.

    The median (0.5) averages the two middle values; any other quantile takes the lower neighbour, so that
    it is always a value that some member really has.
    """
    result = np.full(groups, np.nan)
    use = (codes >= 0) & np.isfinite(values)
    kept, members = values[use], codes[use]
    if not kept.size:
        return result
    order = np.lexsort((kept, members))
    kept, members = kept[order], members[order]
    counts = np.bincount(members, minlength=groups)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    filled = counts > 0
    last = np.maximum(counts - 1, 0)
    if quantile == 0.5:
        low, high = starts + last // 2, starts + (last + 1) // 2
    else:
        low = high = starts + np.floor(last * quantile).astype(np.intp)
    result[filled] = 0.5 * (kept[low[filled]] + kept[high[filled]])
    return result


def group_count(use: np.ndarray, codes: Ints, groups: int) -> Ints:
    """How many members of each group are marked in `use`."""
    return np.bincount(codes[use & (codes >= 0)], minlength=groups)


def spread(per_group: Floats, codes: Ints, missing: float = np.nan) -> Floats:
    """The figure of its group for every member; `missing` where it has no group."""
    if not per_group.size:
        return np.full(codes.shape, missing)
    return np.where(codes >= 0, per_group[np.maximum(codes, 0)], missing)
