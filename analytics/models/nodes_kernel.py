"""The arithmetic of the fleet's model: all nodes in one pass per feature, compiled, single precision."""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats, Ints
from analytics.jit import compiled

CLIP = np.float32(10.0)
FARTHEST = np.float32(1e6)
"""Ratios beyond this are no stranger."""
BLOCK = 512
"""Nodes at a time, so that their figures stay in the nearest cache."""
_ONE, _NONE = np.float32(1.0), np.float32(0.0)


# Short loops over two or three arrays each, which the compiler turns into vector instructions; one long loop
# over ten arrays it does not.
@compiled
def _follow(now: Floats, usual: Floats, gain: Floats, away: Floats) -> None:
    for n in range(len(now)):
        past = usual[n] if usual[n] == usual[n] else now[n]
        away[n] = now[n] - past
        usual[n] = past + (gain[n] * away[n] if away[n] == away[n] else _NONE)


@compiled
def _move(now: Floats, last: Floats, moved: Floats) -> None:
    for n in range(len(now)):
        moved[n] = now[n] - last[n]
        last[n] = now[n] if now[n] == now[n] else last[n]


@compiled
def _smooth(short: Floats, gain: float, away: Floats, narrow: float, z: Floats) -> None:
    for n in range(len(short)):
        there = away[n] == away[n]
        short[n] += gain * (away[n] - short[n]) if there else _NONE
        z[n] = min(max(away[n] * narrow, -CLIP), CLIP) if there else _NONE


@compiled
def _ratio(values: Floats, narrow: float, seen: Floats, out: Floats) -> None:
    for n in range(len(values)):
        value = abs(values[n]) * narrow
        out[n] = min(value, FARTHEST) if value == value and seen[n] == seen[n] else _NONE


@compiled
def _place(first: Floats, second: Floats, third: Floats, ratio: Floats) -> None:
    """Put each ratio among the three greatest of its node, if it is one of them."""
    for n in range(len(ratio)):
        now = ratio[n]
        lesser = min(first[n], now)
        first[n] = max(first[n], now)
        least = min(second[n], lesser)
        second[n] = max(second[n], lesser)
        third[n] = max(third[n], least)


@compiled
def gather(values: Floats, node: Ints, count: Floats, out: Floats) -> None:
    """Mean, highest and lowest value of each node's GPUs into `out` [3, nodes]; NaN where there is none.

    `node` is the row of every GPU's node (-1: none); `count` is room for a value per node.
    """
    nodes = out.shape[1]
    count[:] = 0
    out[0], out[1], out[2] = 0.0, -np.inf, np.inf
    i = 0
    while i < len(values):
        # GPUs of one node mostly stand side by side: their figures stay in registers meanwhile.
        n, number, total, high, low = node[i], 0, 0.0, -np.inf, np.inf
        while i < len(values) and node[i] == n:
            x = values[i]
            if np.isfinite(x):
                number += 1
                total += x
                high, low = max(high, x), min(low, x)
            i += 1
        if n >= 0 and number:
            count[n] += number
            out[0, n] += total
            out[1, n], out[2, n] = max(out[1, n], high), min(out[2, n], low)
    for n in range(nodes):
        mean = out[0, n] / max(count[n], _ONE)
        if count[n] == 0 or not (np.isfinite(mean) and np.isfinite(out[1, n]) and np.isfinite(out[2, n])):
            out[0, n] = out[1, n] = out[2, n] = np.nan
        else:
            out[0, n] = mean


@compiled
def look(
    x: Floats,
    usual: Floats,
    short: Floats,
    last: Floats,
    gains: Floats,
    usual_gain: Floats,
    deviation: Floats,
    scale: Floats,
    z: Floats,
    apart: Floats,
    step: Floats,
    tops: Floats,
) -> None:
    """Take in `x` [features, nodes]: z-scores for the residuals, distances, and the strongest of two views.

    `usual`, `short` and `last` are carried on in place; `gains` is that of the short mean, `usual_gain` per
    node; `tops` [3 views, 3, nodes] gets the greatest ratios of steps (1) and levels (2), greatest first.
    """
    features, nodes = x.shape
    tops[:] = 0
    ratio = np.empty(min(BLOCK, nodes), np.float32)
    for begin in range(0, nodes, BLOCK):
        end = min(begin + BLOCK, nodes)
        room = ratio[: end - begin]
        for f in range(features):
            now, away, moved = x[f, begin:end], apart[f, begin:end], step[f, begin:end]
            _follow(now, usual[f, begin:end], usual_gain[begin:end], away)
            _smooth(short[f, begin:end], gains[0], away, _ONE / deviation[f], z[f, begin:end])
            _move(now, last[f, begin:end], moved)
            _ratio(moved, _ONE / scale[1, f], moved, room)
            _place(tops[1, 0, begin:end], tops[1, 1, begin:end], tops[1, 2, begin:end], room)
            _ratio(short[f, begin:end], _ONE / scale[2, f], away, room)
            _place(tops[2, 0, begin:end], tops[2, 1, begin:end], tops[2, 2, begin:end], room)


@compiled
def judge(residual: Floats, scale: Floats, decay: Floats, tops: Floats, held: Floats) -> None:
    """The strangeness of every node, held, from its residuals [features, nodes] and the other two views."""
    features, nodes = residual.shape
    ratio = np.empty(nodes, np.float32)
    for f in range(features):
        _ratio(residual[f], _ONE / scale[0, f], residual[f], ratio)
        _place(tops[0, 0], tops[0, 1], tops[0, 2], ratio)
    third = np.float32(1 / 3)
    for n in range(nodes):
        total = _NONE
        for view in range(3):
            # The logarithm of a product: one call for three.
            product = (_ONE + tops[view, 0, n]) * (_ONE + tops[view, 1, n]) * (_ONE + tops[view, 2, n])
            total += third * np.log(product)
        held[n] = max(held[n] * decay[0], total)
