"""The slow lane: thermal resistance per six hours against the GPU's own baseline and its peers, over weeks.

A block's deviation is what its ten-minute means lie above the baseline line, as a share of the rise. What the
cooling group shares is taken off first, then what the node shares, so that three questions are asked apart:
is
it the loop or rack, is it the node, is it this GPU. Each of the last two is a cumulative sum (Page), scaled
to
that GPU's own scatter from block to block.
"""

from __future__ import annotations

import numpy as np

from analytics.detectors.thermal_groups import Topology, low_medians
from analytics.detectors.thermal_loops import (
    BMX,
    BMY,
    BN,
    BSXX,
    BSXY,
    OFFSET_BLIND,
    OFFSET_SENSED,
    PEAK,
    PEAK_REF,
)
from analytics.fleet.columns import Bools, Floats

BLOCK = 21600.0
RING = 40
"""Blocks that are remembered for trends: ten days."""
LEAST_WINDOWS = 2.0
BASE_BLOCKS = 28.0
"""Blocks (a week) after which the baseline is kept but for loads it has not seen."""
JUDGED_AFTER = 3.0
PER_BLOCK = 4.0
"""How many independent samples a block counts for."""
NOISE = 0.7
"""Kelvin of correlated error of a sample of the baseline."""
READING = 0.35
"""Kelvin of error of a block's mean that does not average out (1 °C steps)."""
SCATTER, SCATTER_BLOCKS = 0.012, 6.0
"""Relative scatter from block to block that is assumed at first, and for how many blocks' worth."""
PEERS_DOWN = 0.03
"""Share by which peers may fall without a rise against them counting for less."""
DEAD = 1.0
CALLED, OVER, MOST = 16.0, 6.0, 40.0
"""Of the cumulative sum: where an alarm starts, ends, and the sum stops."""
LEAST_KELVIN, LEAST_SHARE = 1.8, 0.06
"""A rise below these is never called, however certain."""
NODE_STEP = 0.15
"""A node-wide rise that came at one stroke and rests is called from here on: below, it is what software
does."""

(BASE_N, BASE_X, BASE_Y, BASE_XX, BASE_XY, BLOCKS, BIAS, NODE_BIAS, VARIANCE, OWN, RISE_K, NODE_OWN,
SUM_OWN, SUM_NODE,
 ALARM_OWN, ALARM_NODE, SINCE_OWN, SINCE_NODE, NODE_BEFORE, NODE_BEFORE_2, PEERS, JUDGED, NODE_VARIANCE,
 SLOPE, OFFSET, SLOW_SIZE) = range(26)  # fmt: skip
R_BLOCK, R_OWN, R_NODE, R_PEAK, R_REF, RING_ROWS = range(6)


def baseline(c: Floats, x: Floats, blind: Bools) -> tuple[Floats, Floats, Floats]:
    """Slope, offset and standard error (K) at power `x` of the baseline, offset held near 0."""
    n = np.maximum(c[BASE_N], 1e-6)
    loose = np.where(blind, OFFSET_BLIND, OFFSET_SENSED)
    prior = (NOISE / loose) ** 2
    pull = n * prior / (n + prior)
    weight = np.maximum(c[BASE_XX] + pull * c[BASE_X] ** 2, 1e-6)
    slope = np.maximum((c[BASE_XY] + pull * c[BASE_X] * c[BASE_Y]) / weight, 1e-5)
    offset = (c[BASE_Y] - slope * c[BASE_X]) * n / (n + prior)
    lever = x - c[BASE_X] * n / (n + prior)
    return slope, offset, NOISE * np.sqrt(lever**2 / weight + 1 / (n + prior))


def close_block(now: float, s: Floats, c: Floats, ring: Floats, top: Topology, blind: Bools) -> None:
    """Judge the block that ended, learn it, start the next. `s` is the state of the loops, `c` of this
    lane."""
    n, mx, my = s[BN], s[BMX], s[BMY]
    use = n >= LEAST_WINDOWS
    known = use & (c[BLOCKS] > 0)
    slope, offset, doubt = baseline(c, mx, blind)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = slope**2 * (n * mx**2 + s[BSXX])
        rest = n * (my - offset - slope * mx) * slope * mx + slope * (s[BSXY] - slope * s[BSXX])
        d = np.where(known, rest / square, np.nan)
        rise = np.sqrt(square / n)
        known &= (rise > 7.0) & np.isfinite(d)
        d[~known] = np.nan
        unknown = doubt / rise
        doubt = np.hypot(doubt, READING) / rise
    number = np.floor(now / BLOCK) - 1
    judged = known & (c[BLOCKS] >= JUDGED_AFTER)
    own, node_own, peers = _apart(d, top)
    node_own -= c[NODE_BIAS]
    _software(c, node_own, top)
    own -= c[BIAS]
    c[PEERS] = np.where(known, peers, c[PEERS])
    # What only stands out because its peers went down is not its own rise.
    with np.errstate(invalid="ignore"):
        own = np.where(np.isfinite(node_own), np.minimum(own, own + node_own + PEERS_DOWN), own)
    spread = np.sqrt((c[VARIANCE] * c[BLOCKS] + SCATTER**2 * SCATTER_BLOCKS) / (c[BLOCKS] + SCATTER_BLOCKS))
    wide = np.sqrt(
        (c[NODE_VARIANCE] * c[BLOCKS] + SCATTER**2 * SCATTER_BLOCKS) / (c[BLOCKS] + SCATTER_BLOCKS)
    )
    sigma, node_sigma = np.hypot(spread, doubt), np.hypot(wide, doubt)
    for value, width, total, since in (
        (own, sigma, SUM_OWN, SINCE_OWN),
        (node_own, node_sigma, SUM_NODE, SINCE_NODE),
    ):
        there = judged & np.isfinite(value)
        z = np.clip(np.where(there, value / width, 0.0), -4.0, 8.0) - DEAD
        c[since] = np.where(there & (c[total] <= 0) & (z > 0), number, c[since])
        c[total] = np.where(there, np.clip(c[total] + z, 0.0, MOST), c[total])
    before = c[OWN].copy(), c[NODE_OWN].copy()
    c[OWN] = np.where(known & np.isfinite(own), own, c[OWN])
    c[NODE_OWN] = np.where(known & np.isfinite(node_own), node_own, c[NODE_OWN])
    c[RISE_K] = np.where(known, rise, c[RISE_K])
    c[JUDGED] = np.where(judged, number, c[JUDGED])
    _remember(number, s, ring, known, own, node_own)
    _decide(c, ring, judged)
    _take_in(s, c, use, known, own, node_own, before, unknown)
    c[SLOPE], c[OFFSET], _ = baseline(c, mx, blind)
    for row in (BN, BMX, BMY, BSXX, BSXY):
        s[row] = 0.0
    s[PEAK] = -300.0


def _apart(d: Floats, top: Topology) -> tuple[Floats, Floats, Floats]:
    """Deviation of each GPU over its peers, of its node over the group, and the group's own; NaN where
    absent.

    Peers are the node where four of it are there, else the group.
    """
    values = d.astype(np.float64)
    node, there = low_medians(values, top.order, top.start)
    group, nodes = low_medians(node, top.group_order, top.group_start)
    every = np.argsort(top.group, kind="stable")
    edges = np.searchsorted(top.group[every], np.arange(top.groups + 1))
    all_gpus, gpus = low_medians(values, every, edges)
    # With two nodes nobody knows which of them moved: only what moved against its own past as well counts.
    shared = np.where(nodes >= 3, group, np.maximum(group, 0.0))
    shared = np.where((nodes >= 2) & np.isfinite(shared), shared, 0.0)
    alone = np.where(gpus >= 4, all_gpus, 0.0)
    peers = np.where(there >= 4, node, np.nan)[top.node]
    peers = np.where(np.isfinite(peers), peers, alone[top.group])
    enough = (there >= 2) & (nodes[top.group[top.order[top.start[:-1]]]] >= 2) if top.nodes else there > 0
    node_own = np.where(enough, node, np.nan)[top.node] - shared[top.group]
    return values - peers, np.where(np.isfinite(values), node_own, np.nan), peers


def _software(c: Floats, node_own: Floats, top: Topology) -> None:
    """A step of many nodes of several groups within the same block is software: it becomes their new
    usual."""
    first = top.order[top.start[:-1]]
    moved = node_own[first] - c[NODE_BEFORE_2][first]
    there = np.isfinite(moved) & (c[NODE_BEFORE_2][first] > -9)
    if there.sum() >= 4:
        limit = np.maximum(0.015, 3 * np.sqrt(c[NODE_VARIANCE][first]))
        for sign in (1.0, -1.0):
            hit = there & (sign * moved > limit)
            groups = len(np.unique(top.group[first[hit]]))
            if hit.sum() >= max(3, 0.12 * there.sum()) and groups >= 2:
                rows = hit[top.node]
                c[NODE_BIAS, rows] += moved[top.node][rows]
                node_own[rows] -= moved[top.node][rows]
                c[SUM_NODE, rows] = 0.0
    fresh = np.isfinite(node_own)
    c[NODE_BEFORE_2] = np.where(fresh, c[NODE_BEFORE], c[NODE_BEFORE_2])
    c[NODE_BEFORE] = np.where(fresh, node_own, c[NODE_BEFORE])


def _remember(number: float, s: Floats, ring: Floats, known: Bools, own: Floats, node_own: Floats) -> None:
    rows = np.flatnonzero(known)
    ring[:, :-1, rows] = ring[:, 1:, rows]
    ring[:, -1, rows] = np.stack(
        (np.full(len(rows), number), own[rows], node_own[rows], s[PEAK, rows], s[PEAK_REF, rows])
    )


def _decide(c: Floats, ring: Floats, judged: Bools) -> None:
    least = np.maximum(LEAST_SHARE, LEAST_KELVIN / np.maximum(c[RISE_K], 5.0))
    # The median of the last three blocks must stand out as well: one odd block is no drift.
    for row, value, total, alarm in (
        (R_OWN, OWN, SUM_OWN, ALARM_OWN),
        (R_NODE, NODE_OWN, SUM_NODE, ALARM_NODE),
    ):
        recent = ring[row, -3:]
        with np.errstate(invalid="ignore"):
            steady = np.minimum(np.sort(recent, axis=0)[1], c[value])
        floor = least
        if alarm == ALARM_NODE:
            before = ring[row, -9:-5].mean(axis=0)
            rising = c[value] - before > 0.5 * c[value]
            since = c[SINCE_NODE]
            slow = (
                (ring[R_BLOCK, -1] - since >= 6) & rising & (ring[row, -5:-3].mean(axis=0) < 0.8 * c[value])
            )
            floor = np.where(slow, least * 1.2, NODE_STEP)
        on = judged & (c[total] > CALLED) & (steady > floor)
        off = judged & ((c[total] < OVER) | (c[value] < 0.4 * least))
        c[alarm] = np.where(on, 1.0, np.where(off, 0.0, c[alarm]))


def _take_in(
    s: Floats, c: Floats, use: Bools, known: Bools, own: Floats, node_own: Floats,
    before: tuple[Floats, Floats], unknown: Floats,
) -> None:  # fmt: skip
    """Let the block into the baseline while the GPU is calm and the baseline young, or the load new to it."""
    calm = (c[SUM_OWN] < 6.0) & (c[SUM_NODE] < 6.0)
    quiet_so_far = (c[ALARM_OWN] <= 0) & (c[ALARM_NODE] <= 0)
    young = c[BLOCKS] < BASE_BLOCKS
    learn = use & calm & (young | (unknown > 0.03))
    share = np.where(learn, PER_BLOCK / np.maximum(s[BN], 1.0), 0.0)
    weight = np.where(learn, PER_BLOCK, 0.0)
    n = c[BASE_N] + weight
    safe = np.maximum(n, 1e-6)
    dx, dy = s[BMX] - c[BASE_X], s[BMY] - c[BASE_Y]
    both = c[BASE_N] * weight / safe
    c[BASE_XX] += share * s[BSXX] + both * dx * dx
    c[BASE_XY] += share * s[BSXY] + both * dx * dy
    c[BASE_X] += np.where(learn, weight / safe * dx, 0.0)
    c[BASE_Y] += np.where(learn, weight / safe * dy, 0.0)
    c[BASE_N] = n
    gain = 1 / np.where(young, c[BLOCKS] + 12.0, 240.0)
    for value, last, bias, variance in (
        (own, before[0], BIAS, VARIANCE), (node_own, before[1], NODE_BIAS, NODE_VARIANCE),
    ):  # fmt: skip
        there = known & np.isfinite(value)
        # A young baseline may be off by a constant, which is no drift: that is learned unless it is called.
        quiet = there & quiet_so_far & (calm | young)
        # Repaired or replaced paste: much cooler than ever before is the new usual after a week.
        faster = np.where(there & (value < -0.06), np.maximum(gain, 0.04), gain)
        c[bias] += np.where(quiet, faster * np.nan_to_num(value), 0.0)
        # From block to block, so that a drift does not hide in its own scatter and unrest shows at any time.
        fresh = np.minimum((np.where(there, value, 0.0) - last) ** 2, 0.2**2)
        rate = 1 / np.clip(c[BLOCKS] + 1, 1.0, 40.0)
        c[variance] += np.where(there & (c[BLOCKS] > 1), rate * (fresh - c[variance]), 0.0)
    c[BLOCKS] += use & quiet_so_far & (calm | young)
