"""The slow lane: thermal resistance per six hours against the GPU's own baseline and its peers, over weeks.

A block's deviation is what its ten-minute means lie above the baseline line, as a share of the rise. What the
cooling group shares is taken off first, then what the node shares, so that three questions are asked apart:
is it the loop or rack, is it the node, is it this GPU. Each of the last two is a cumulative sum (Page),
scaled to that GPU's own scatter from block to block.
"""

from __future__ import annotations

import numpy as np

from analytics.detectors.thermal_apart import FRESH, Apart, node_levels, software_steps, take_apart
from analytics.detectors.thermal_groups import Topology
from analytics.detectors.thermal_loops import (
    BMX,
    BMY,
    BN,
    BSXX,
    BSXY,
    HIGH,
    OFFSET_BLIND,
    OFFSET_SENSED,
    PEAK,
    PEAK_REF,
)
from analytics.fleet.columns import Bools, Floats, Ints

BLOCK = 21600.0
RING = 40
"""Blocks that are remembered for trends: ten days."""
LEAST_WINDOWS = 2.0
BASE_BLOCKS = 28.0
"""Blocks (a week) after which the baseline is kept but for loads it has not seen."""
JUDGED_AFTER = 3.0
PER_BLOCK = 4.0
"""How many independent samples a block counts for."""
NOISE, NOISE_BLIND = 0.7, 2.0
"""Kelvin of correlated error of a sample of the baseline; where peers stand in for a sensor of the inlet."""
MOST_SAMPLES = 15.0
"""Samples that a baseline may count for: errors of one job, day or inlet are shared by many of them."""
POWER_NOISE = 0.04
"""Relative scatter of measured power that is no change of load."""
READING = 0.35
"""Kelvin of error of a block's mean that does not average out (1 °C steps)."""
SCATTER, SCATTER_BLOCKS = 0.012, 6.0
"""Relative scatter from block to block that is assumed at first, and for how many blocks' worth."""
WORKING, FULL = 112.0, 0.75
"""Blocks (four weeks) in which a GPU that worked is missed when it idles; share of the highest load from
which on an air-cooled node is judged: its fans make resistance fall with load, along no straight line."""
CLIMB, CLIMB_BLOCKS = 0.3, 8
"""A node's rise came bit by bit if its last third is that share of it above its first, in so many blocks."""
DEAD = 1.0
CALLED, OVER, MOST = 16.0, 6.0, 40.0
"""Of the cumulative sum: where an alarm starts, ends, and the sum stops."""
LEAST_KELVIN, LEAST_SHARE = 1.8, 0.06
"""A rise below these is never called, however certain."""
NODE_STEP, NODE_CAUTION = 0.15, 1.2
"""A node-wide rise that came at one stroke and rests is called from here on: below, it is what software does;
one that came bit by bit from so many times the least rise."""

(BASE_N, BASE_X, BASE_Y, BASE_XX, BASE_XY, BLOCKS, BIAS, NODE_BIAS, VARIANCE, OWN, RISE_K, NODE_OWN,
SUM_OWN, SUM_NODE,
 ALARM_OWN, ALARM_NODE, SINCE_OWN, SINCE_NODE, NODE_BEFORE, NODE_BEFORE_2, NODE_BEFORE_3, JUDGED,
 NODE_VARIANCE, SLOPE, OFFSET, STEP, LAST, NODE_LAST, WITNESS, SLOW_SIZE) = range(30)  # fmt: skip
R_BLOCK, R_OWN, R_NODE, R_PEAK, R_REF, R_POWER, RING_ROWS = range(7)


def begin(c: Floats, rows: Ints) -> None:
    """Put GPUs whose state is all 0 into their starting state."""
    for level in (NODE_BEFORE, NODE_BEFORE_2, NODE_BEFORE_3):
        c[level, rows] = FRESH


def baseline(c: Floats, x: Floats, blind: Bools) -> tuple[Floats, Floats, Floats, Floats]:
    """Of the baseline: slope, offset, standard error (K) at power `x`, and what of it is because `x` is new.

    The offset is held near 0. Variance of the power that its own noise accounts for is no excitation: a line
    through such a cloud is too flat (errors in variables), and an offset of many kelvin would make up for it.
    """
    least = 1e-6
    seen = np.maximum(c[BASE_N], least)
    n = np.minimum(seen, MOST_SAMPLES)
    noise = np.where(blind, NOISE_BLIND, NOISE)
    prior = (noise / np.where(blind, OFFSET_BLIND, OFFSET_SENSED)) ** 2
    pull = n * prior / (n + prior)
    spread, together = c[BASE_XX] / seen, c[BASE_XY] / seen
    excited = n * np.maximum(1 - (POWER_NOISE * c[BASE_X]) ** 2 / np.maximum(spread, least), 0.0)
    weight = np.maximum(excited * spread + pull * c[BASE_X] ** 2, least)
    slope = np.maximum((excited * together + pull * c[BASE_X] * c[BASE_Y]) / weight, 1e-5)
    offset = (c[BASE_Y] - slope * c[BASE_X]) * n / (n + prior)
    new = noise * np.abs(x - c[BASE_X] * n / (n + prior)) / np.sqrt(weight)
    return slope, offset, np.hypot(new, noise / np.sqrt(n + prior)), new


def close_block(now: float, s: Floats, c: Floats, ring: Floats, top: Topology, blind: Bools) -> None:
    """Judge the block that ended, learn it, start the next; `s` is the state of the loops, `c` the lane's."""
    n, mx, my = s[BN], s[BMX], s[BMY]
    use = n >= LEAST_WINDOWS
    known = use & (c[BLOCKS] > 0)
    slope, offset, doubt, lever = baseline(c, mx, blind)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = slope * mx + offset
        square = n * expected**2 + slope**2 * s[BSXX]
        rest = n * (my - expected) * expected + slope * (s[BSXY] - slope * s[BSXX])
        d = np.where(known, rest / square, np.nan)
        rise = np.sqrt(square / n)
        known &= (rise > 7.0) & np.isfinite(d)
        d[~known] = np.nan
        unknown = lever / rise
        doubt = np.hypot(doubt, READING) / rise
    number = np.floor(now / BLOCK) - 1
    judged = known & (c[BLOCKS] >= JUDGED_AFTER)
    usual = (c[BIAS] + c[NODE_BIAS] + c[STEP]).astype(np.float64)
    u = _rebase(c, np.where(known, d - usual, np.nan), top)
    apart = take_apart(
        u, rise, mx > FULL * s[HIGH], number - c[JUDGED] < WORKING, c[BIAS], c[NODE_BIAS], top
    )  # fmt: skip
    own, node_own = apart.own, apart.node
    for value, skip, variance, total, since in (
        (own, apart.skip_own, VARIANCE, SUM_OWN, SINCE_OWN),
        (node_own, apart.skip_node, NODE_VARIANCE, SUM_NODE, SINCE_NODE),
    ):
        assumed = SCATTER**2 * SCATTER_BLOCKS
        spread = np.sqrt((c[variance] * c[BLOCKS] + assumed) / (c[BLOCKS] + SCATTER_BLOCKS))
        there = judged & ~skip & np.isfinite(value)
        z = np.clip(np.where(there, value / np.hypot(spread, doubt), 0.0), -4.0, 8.0) - DEAD
        c[since] = np.where(there & (c[total] <= 0) & (z > 0), number, c[since])
        c[total] = np.where(there, np.clip(c[total] + z, 0.0, MOST), c[total])
    c[OWN] = np.where(known & np.isfinite(own), own, c[OWN])
    c[NODE_OWN] = np.where(known & np.isfinite(node_own), node_own, c[NODE_OWN])
    c[RISE_K] = np.where(known, rise, c[RISE_K])
    c[JUDGED] = np.where(judged, number, c[JUDGED])
    _remember(number, s, ring, known, own, node_own)
    _decide(c, ring, judged)
    _take_in(s, c, use, known, apart, unknown)
    slope, offset, _, _ = baseline(c, mx, blind)
    aged = 1 + np.clip(c[BIAS] + c[NODE_BIAS] + c[STEP], -0.5, 1.0)
    c[SLOPE], c[OFFSET] = slope * aged, offset * aged
    c[WITNESS] = _witnesses(c, top)
    for row in (BN, BMX, BMY, BSXX, BSXY):
        s[row] = 0.0
    s[PEAK] = -300.0


def _witnesses(c: Floats, top: Topology) -> Floats:
    """Who may tell the inlet of its group: 1 by its baseline, 0 while that is too young.

    -1 is nobody to ask: what is known to be ill, as long as others of the group stand.
    """
    stands = c[BLOCKS] >= JUDGED_AFTER
    ill = (c[ALARM_OWN] > 0) | (c[ALARM_NODE] > 0)
    others = np.bincount(top.group[stands & ~ill], minlength=top.groups)[top.group] > 0
    return np.where(ill & others, -1.0, np.where(stands, 1.0, 0.0))


def _rebase(c: Floats, u: Floats, top: Topology) -> Floats:
    """`u` less what software did to whole nodes within this block; that becomes their usual."""
    level, first = node_levels(u, top), top.order[top.start[:-1]]
    step = software_steps(
        level, c[NODE_BEFORE_2][first], c[NODE_BEFORE_3][first], np.sqrt(c[NODE_VARIANCE][first]),
        top.group[first],
    )  # fmt: skip
    rows, left = step[top.node], (level - step)[top.node]
    c[STEP] += rows
    c[SUM_NODE, rows != 0] = 0.0
    fresh = np.isfinite(left)
    for older, newer in ((NODE_BEFORE_3, c[NODE_BEFORE_2]), (NODE_BEFORE_2, c[NODE_BEFORE])):
        c[older] = np.where(fresh, newer, c[older])
    c[NODE_BEFORE] = np.where(fresh, left, c[NODE_BEFORE])
    return u - rows


def _remember(number: float, s: Floats, ring: Floats, known: Bools, own: Floats, node_own: Floats) -> None:
    rows = np.flatnonzero(known)
    ring[:, :-1, rows] = ring[:, 1:, rows]
    ring[:, -1, rows] = np.stack(
        (
            np.full(len(rows), number),
            own[rows],
            node_own[rows],
            s[PEAK, rows],
            s[PEAK_REF, rows],
            s[BMX, rows],
        )
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
            slow = _climbs(ring, c[SINCE_NODE], c[value])
            floor = np.where(slow, least * NODE_CAUTION, NODE_STEP)
        on = judged & (c[total] > CALLED) & (steady > floor)
        off = judged & ((c[total] < OVER) | (c[value] < 0.4 * least))
        c[alarm] = np.where(on, 1.0, np.where(off, 0.0, c[alarm]))


def _climbs(ring: Floats, since: Floats, value: Floats) -> Bools:
    """Whether a node's rise came bit by bit: its last third is well above its first one."""
    after = (ring[R_BLOCK] >= since) & np.isfinite(ring[R_NODE])
    count = after.sum(axis=0)
    third = count // 3
    place = np.cumsum(after, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        early, late = (
            np.where(after & part, ring[R_NODE], 0.0).sum(axis=0) / third
            for part in (place <= third, place > count - third)
        )
        return np.asarray((count >= CLIMB_BLOCKS) & (late - early > CLIMB * value))


def _take_in(s: Floats, c: Floats, use: Bools, known: Bools, apart: Apart, unknown: Floats) -> None:
    """Let the block into the baseline while the GPU is calm and the baseline young, or the load new to it."""
    calm = (c[SUM_OWN] < 6.0) & (c[SUM_NODE] < 6.0)
    quiet_so_far = (c[ALARM_OWN] <= 0) & (c[ALARM_NODE] <= 0)
    young = c[BLOCKS] < BASE_BLOCKS
    learn = use & calm & (young | (unknown > 0.03))
    share = np.where(learn, PER_BLOCK / np.maximum(s[BN], 1.0), 0.0)
    weight = np.where(learn, PER_BLOCK, 0.0)
    n = c[BASE_N] + weight
    safe = np.maximum(n, 1e-6)
    # What software or age has done to it is kept apart from the line.
    scale = 1 / (1 + np.clip(c[STEP] + np.where(young, 0.0, c[BIAS] + c[NODE_BIAS]), -0.5, 1.0))
    dx, dy = s[BMX] - c[BASE_X], s[BMY] * scale - c[BASE_Y]
    both = c[BASE_N] * weight / safe
    c[BASE_XX] += share * s[BSXX] + both * dx * dx
    c[BASE_XY] += share * s[BSXY] * scale + both * dx * dy
    c[BASE_X] += np.where(learn, weight / safe * dx, 0.0)
    c[BASE_Y] += np.where(learn, weight / safe * dy, 0.0)
    c[BASE_N] = n
    gain = 1 / np.where(young, c[BLOCKS] + 12.0, 240.0)
    for value, last, bias, variance in (
        (apart.own_usual, LAST, BIAS, VARIANCE), (apart.node_usual, NODE_LAST, NODE_BIAS, NODE_VARIANCE),
    ):  # fmt: skip
        there = known & np.isfinite(value)
        # A young baseline may be off by a constant, which is no drift: that is learned unless it is called.
        quiet = there & quiet_so_far & (calm | young)
        # Repaired or replaced paste: much cooler than ever before is the new usual after a week.
        faster = np.where(there & (value < -0.06), np.maximum(gain, 0.04), gain)
        c[bias] += np.where(quiet, faster * np.nan_to_num(value), 0.0)
        # From block to block, so that a drift does not hide in its own scatter and unrest shows at any time.
        fresh = np.minimum((np.where(there, value, 0.0) - c[last]) ** 2, 0.2**2)
        rate = 1 / np.clip(c[BLOCKS] + 1, 1.0, 40.0)
        c[variance] += np.where(there & (c[BLOCKS] > 1), rate * (fresh - c[variance]), 0.0)
        c[last] = np.where(there, value, c[last])
    c[BLOCKS] += use & quiet_so_far & (calm | young)
