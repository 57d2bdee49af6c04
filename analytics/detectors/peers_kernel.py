"""The arithmetic of the peer comparison: one signal of all GPUs against four kinds of peers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analytics.fleet.group_kernels import Networks, Plan, Rows, Single, medians
from analytics.jit import compiled

LEAST_PEERS = 4
WARM_UP = np.float32(90.0)
"""Seconds with the same peers before anything is said."""
FIRST_MEMORY, OFFSET_MEMORY = np.float32(30.0), np.float32(3600.0)
"""Seconds over which the usual distance from the peers is learned: at first, and later."""
CALM = np.float32(4.0)
"""Robust standard deviations up to which a residual is ordinary and learned from."""
SLOWER = np.float32(1 / 24)
"""What is beyond that is learned as well, in a day rather than an hour."""
HALF_SCORE = np.float32(8.0)
"""Robust standard deviations that score 0.5."""
_TO_DEVIATION = np.float32(1.4826)
"""Standard deviations in a median absolute deviation of normal values."""
_FARTHEST, _NEVER, _NONE, _UNKNOWN = map(np.float32, (1e6, np.inf, 0.0, np.nan))
_BLOCK = 512
"""GPUs at a time, so that their figures stay in the nearest cache."""


@compiled
def keep_time(
    held: Single, known: Single, signature: Single, offset: Single, dt: Single, gain: Single
) -> None:
    """How long every GPU has had the same peers; offsets from others are forgotten.

    `held`, `known`, `signature` and `gain` are by kind and GPU, `offset` by kind, signal and GPU. `gain`
    becomes how much of a residual is learned now, below 0 where it is too early to say anything.
    """
    kinds, signals, rows = offset.shape
    for kind in range(kinds):
        lasted, rate = held[kind], gain[kind]
        for i in range(rows):
            lasted[i] += dt[i]
        for i in range(rows):
            if known[kind, i] != signature[kind, i]:
                known[kind, i] = signature[kind, i]
                lasted[i] = 0.0
                for signal in range(signals):
                    offset[kind, signal, i] = np.nan
        for i in range(rows):
            memory = lasted[i] if lasted[i] > FIRST_MEMORY else FIRST_MEMORY
            memory = memory if memory < OFFSET_MEMORY else OFFSET_MEMORY
            pace = dt[i] / (dt[i] + memory)
            rate[i] = pace if lasted[i] >= WARM_UP else -pace


class Peering(NamedTuple):
    """Who is compared with whom, as the loops take it (see `PeerGroups`).

    `pools` and `teams` are groups of places in `pooled` and `teamed`, which hold the rows of their samples.
    """

    cells: Plan
    slots: Plan
    racks: Plan
    jobs: Plan
    pools: Plan
    pooled: Rows
    teams: Plan
    teamed: Rows
    code: Rows
    scatter: Rows


@compiled
def compare(
    values: Single,
    which: Rows,
    noise: Single,
    peering: Peering,
    nets: Networks,
    dt: Single,
    gain: Single,
    offset: Single,
    age: Single,
    score: Single,
    of_jobs: Single,
) -> None:
    """Score some signals of all GPUs, and learn how far each usually is from its peers.

    `values` is (given signals, GPUs), finite or NaN; `which` says which signals of `offset` (kind, signal,
    GPU) and `age` (signal, GPU; seconds with a value) they are, `noise` how far apart their residuals are
    taken to lie at least. `gain` is by kind and GPU. `score` is laid out as `values`; `of_jobs` (signals,
    jobs) becomes the medians of the jobs, NaN where too few have a value.
    """
    signals, rows = values.shape
    # GPU by GPU, a cache line holds all that is asked of one.
    table = np.empty((rows, signals), np.float32)
    for s in range(signals):
        for i in range(rows):
            table[i, s] = values[s, i] if values[s, i] == values[s, i] else _NEVER
    cells, present = _centres(table, peering.cells, nets)
    slots, there = _centres(table, peering.slots, nets)
    racks, _ = _centres(cells, peering.racks, nets)
    jobs, _ = _centres(cells, peering.jobs, nets)
    _leave_small(racks, _total(peering.racks, present))
    _leave_small(jobs, _total(peering.jobs, present))
    _leave_small(cells, present)
    _leave_small(slots, there)
    code, pooled, teamed = peering.code, peering.pooled, peering.teamed
    cell_width = _weights(table, code[0], cells, offset[0], which, pooled, peering.pools, nets, noise)
    slot_width = _weights(table, code[1], slots, offset[1], which, pooled, peering.pools, nets, noise)
    rack_width = _weights(table, code[2], racks, offset[2], which, pooled, peering.pools, nets, noise)
    job_width = _weights(table, code[3], jobs, offset[3], which, teamed, peering.teams, nets, noise)
    for s in range(signals):
        centres = (_column(cells, s), _column(slots, s), _column(racks, s), _column(jobs, s))
        weights = (
            _column(cell_width, s), _column(slot_width, s), _column(rack_width, s), _column(job_width, s)
        )  # fmt: skip
        of_jobs[s] = centres[3][:-1]
        _judge(values[s], peering, centres, weights, dt, gain, offset, which[s], age[which[s]], score[s])


@compiled
def _centres(values: Single, plan: Plan, nets: Networks) -> tuple[Single, Rows]:
    groups, signals = len(plan.starts) - 1, values.shape[1]
    out, present = np.empty((groups, signals), np.float32), np.empty((groups, signals), np.int32)
    medians(values, plan, nets, out, present)
    return out, present


@compiled
def _total(plan: Plan, present: Rows) -> Rows:
    total = np.zeros((len(plan.starts) - 1, present.shape[1]), np.int32)
    for g in range(len(total)):
        for k in range(plan.starts[g], plan.starts[g + 1]):
            for s in range(total.shape[1]):
                total[g, s] += present[plan.order[k], s]
    return total


@compiled
def _leave_small(centre: Single, present: Rows) -> None:
    """Infinite, for absent, where too few have a value."""
    for g in range(len(centre)):
        for s in range(centre.shape[1]):
            if present[g, s] < LEAST_PEERS:
                centre[g, s] = _NEVER


@compiled
def _column(table: Single, s: int) -> Single:
    """One signal of all groups, NaN for absent; so is one place more at the end, which is where -1 leads."""
    out = np.empty(len(table) + 1, np.float32)
    out[-1] = np.nan
    for g in range(len(table)):
        out[g] = table[g, s] if table[g, s] < _NEVER else _UNKNOWN
    return out


@compiled
def _weights(
    table: Single,
    code: Rows,
    centre: Single,
    offset: Single,
    which: Rows,
    members: Rows,
    plan: Plan,
    nets: Networks,
    noise: Single,
) -> Single:
    """One over the robust standard deviation of each pool's residuals."""
    far = np.empty((len(members), table.shape[1]), np.float32)
    for k in range(len(members)):
        row = members[k]
        at = code[row]
        for s in range(far.shape[1]):
            r = _NEVER
            if at >= 0:
                usual = offset[which[s], row]
                r = abs(table[row, s] - centre[at, s] - (usual if usual == usual else _NONE))
            far[k, s] = r if r < _NEVER else _NEVER
    weight, _ = _centres(far, plan, nets)
    for g in range(len(weight)):
        for s in range(far.shape[1]):
            width = _TO_DEVIATION * weight[g, s]
            weight[g, s] = np.float32(1.0) / (width if noise[s] < width < _NEVER else noise[s])
    return weight


@compiled
def _judge(
    values: Single,
    peering: Peering,
    centres: tuple[Single, Single, Single, Single],
    weights: tuple[Single, Single, Single, Single],
    dt: Single,
    gain: Single,
    offset: Single,
    signal: int,
    age: Single,
    score: Single,
) -> None:
    """The kindest of the kinds of peers that are known says how far a GPU is off.

    Loops touch few arrays each: else the compiler, which must rule out that they overlap, does not vectorise.
    """
    own, apart = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    far, nearest = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    rate = np.empty(_BLOCK, np.float32)
    for begin in range(0, len(values), _BLOCK):
        n = min(_BLOCK, len(values) - begin)
        end = begin + n
        old, lapse, said, x = age[begin:end], dt[begin:end], score[begin:end], values[begin:end]
        for i in range(n):
            memory = old[i] if old[i] > FIRST_MEMORY else FIRST_MEMORY
            memory = memory if memory < OFFSET_MEMORY else OFFSET_MEMORY
            pace = lapse[i] / (lapse[i] + memory)
            own[i] = pace if old[i] >= WARM_UP else -pace
            nearest[i] = _NEVER
        for kind in range(len(centres)):
            centre, weight = centres[kind], weights[kind]
            learned, step = offset[kind][signal][begin:end], gain[kind][begin:end]
            code, pool = peering.code[kind][begin:end], peering.scatter[kind // 3][begin:end]
            for i in range(n):
                usual = learned[i] if learned[i] == learned[i] else _NONE
                apart[i] = x[i] - centre[code[i]] - usual
            for i in range(n):
                far[i] = abs(apart[i]) * weight[pool[i]]
            for i in range(n):
                ready = (own[i] > _NONE) & (step[i] > _NONE) & (learned[i] == learned[i]) & (far[i] == far[i])
                far[i] = far[i] if ready else _NEVER
            for i in range(n):
                slow = abs(own[i]) if abs(own[i]) > abs(step[i]) else abs(step[i])
                rate[i] = slow * SLOWER if (far[i] > CALM) & (far[i] < _NEVER) else slow
            for i in range(n):
                moved = learned[i] + rate[i] * apart[i] if learned[i] == learned[i] else apart[i]
                learned[i] = moved if apart[i] == apart[i] else learned[i]
            for i in range(n):
                nearest[i] = far[i] if far[i] < nearest[i] else nearest[i]
        for i in range(n):
            there = x[i] == x[i]
            old[i] += lapse[i] if there else _NONE
            z1 = nearest[i] if nearest[i] < _FARTHEST else _FARTHEST
            known = there & (nearest[i] < _NEVER)
            said[i] = z1 * z1 / (z1 * z1 + HALF_SCORE * HALF_SCORE) if known else _UNKNOWN
