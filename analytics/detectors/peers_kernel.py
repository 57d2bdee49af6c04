"""The arithmetic of the peer comparison: all signals of all GPUs against four kinds of peers.

The signals of one GPU, of one group, lie side by side, `SIDE` at a time: whoever is looked up, in whatever
order, one read brings all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analytics.fleet.group_kernels import SIDE, Networks, Plan, Rows, Single, medians
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
_BLOCK = 64
"""GPUs at a time, so that their figures stay in the nearest cache."""
_WIDE = _BLOCK * SIDE
_X, _AGE, _STEP, _OWN, _NEAREST, _CENTRE, _WEIGHT, _LEARNED = map(np.uint64, range(0, 8 * _WIDE, _WIDE))
"""Where the figures of a block lie in its room. Places in it are numbers without a sign: those cannot count
from the end, and only then does the compiler reckon GPUs side by side."""


@compiled
def keep_time(
    held: Single, known: Single, signature: Single, offset: Single, dt: Single, gain: Single
) -> None:
    """How long every GPU has had the same peers; offsets from others are forgotten.

    `held`, `known`, `signature` and `gain` are by kind and GPU, `offset` by kind, GPU and signal. `gain`
    becomes how much of a residual is learned now, below 0 where it is too early to say anything.
    """
    for kind in range(len(offset)):
        lasted, rate = held[kind], gain[kind]
        for i in range(len(dt)):
            lasted[i] += dt[i]
        for i in range(len(dt)):
            if known[kind, i] != signature[kind, i]:
                known[kind, i] = signature[kind, i]
                lasted[i] = 0.0
                offset[kind, i] = np.nan
        for i in range(len(dt)):
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
    """Score the signals of all GPUs, and learn how far each usually is from its peers.

    `values` is (signals, GPUs), finite or NaN, up to `SIDE` signals; `noise` (`SIDE`) says how far apart
    their residuals are taken to lie at least. `offset` is (kind, GPU, `SIDE`), `age` (GPU, `SIDE`; seconds
    with a value), `gain` by kind and GPU. `score` is laid out as `values`; `of_jobs` (signals, jobs) becomes
    the medians of the jobs, NaN where too few have a value.
    """
    signals, rows = values.shape
    table = np.empty((rows, SIDE), np.float32)
    for begin in range(0, rows, _BLOCK):
        end = min(begin + _BLOCK, rows)
        for s in range(SIDE):
            if s < signals:
                for i in range(begin, end):
                    table[i, s] = values[s, i] if values[s, i] == values[s, i] else _NEVER
            else:
                for i in range(begin, end):
                    table[i, s] = _NEVER
    cells, present = _centres(table, peering.cells, nets)
    slots, there = _centres(table, peering.slots, nets)
    racks, _ = _centres(cells[:-1], peering.racks, nets)
    jobs, _ = _centres(cells[:-1], peering.jobs, nets)
    _leave_small(racks, _total(peering.racks, present))
    _leave_small(jobs, _total(peering.jobs, present))
    _leave_small(cells, present)
    _leave_small(slots, there)
    code, pooled, teamed = peering.code, peering.pooled, peering.teamed
    widths = (
        _weights(table, code[0], cells, offset[0], pooled, peering.pools, nets, noise),
        _weights(table, code[1], slots, offset[1], pooled, peering.pools, nets, noise),
        _weights(table, code[2], racks, offset[2], pooled, peering.pools, nets, noise),
        _weights(table, code[3], jobs, offset[3], teamed, peering.teams, nets, noise),
    )
    for s in range(signals):
        for g in range(len(jobs) - 1):
            of_jobs[s, g] = jobs[g, s]
    _judge(table, peering, (cells, slots, racks, jobs), widths, dt, gain, offset, age, score)


@compiled
def _centres(values: Single, plan: Plan, nets: Networks) -> tuple[Single, Rows]:
    """Medians of groups, and one row of NaN more at the end, which is where -1 leads."""
    groups = len(plan.starts) - 1
    out, present = np.empty((groups + 1, SIDE), np.float32), np.empty((groups, SIDE), np.int32)
    medians(values, plan, nets, out, present)
    out[groups] = np.nan
    return out, present


@compiled
def _total(plan: Plan, present: Rows) -> Rows:
    total = np.zeros((len(plan.starts) - 1, SIDE), np.int32)
    for g in range(len(total)):
        for k in range(plan.starts[g], plan.starts[g + 1]):
            for s in range(SIDE):
                total[g, s] += present[plan.order[k], s]
    return total


@compiled
def _leave_small(centre: Single, present: Rows) -> None:
    """NaN, for absent, where too few have a value."""
    for g in range(len(present)):
        for s in range(SIDE):
            centre[g, s] = _UNKNOWN if present[g, s] < LEAST_PEERS else centre[g, s]


@compiled
def _weights(
    table: Single,
    code: Rows,
    centre: Single,
    offset: Single,
    members: Rows,
    plan: Plan,
    nets: Networks,
    noise: Single,
) -> Single:
    """One over the robust standard deviation of each pool's residuals; NaN, for no pool, in the last row."""
    far = np.empty((len(members), SIDE), np.float32)
    for k in range(len(members)):
        row = members[k]
        at = code[row]
        for s in range(SIDE):
            usual = offset[row, s] if offset[row, s] == offset[row, s] else _NONE
            r = abs(table[row, s] - centre[at, s] - usual)
            far[k, s] = r if r < _NEVER else _NEVER
    weight, _ = _centres(far, plan, nets)
    for g in range(len(weight) - 1):
        for s in range(SIDE):
            width = _TO_DEVIATION * weight[g, s]
            weight[g, s] = np.float32(1.0) / (width if noise[s] < width < _NEVER else noise[s])
    return weight


@compiled
def _spread(figures: Single, out: Single) -> None:
    """The figure of every GPU beside each of its signals."""
    for i in range(len(figures)):
        for s in range(SIDE):
            out[SIDE * i + s] = figures[i]


@compiled
def _look_up(table: Single, code: Rows, out: Single) -> None:
    """The row of its group for every GPU."""
    for i in range(len(code)):
        at = code[i] if code[i] >= 0 else len(table) - 1
        for s in range(SIDE):
            out[SIDE * i + s] = table[at, s]


@compiled
def _put(given: Single, out: Single) -> None:
    """Copy into the beginning."""
    for i in range(len(given)):
        out[i] = given[i]


@compiled
def _judge(
    table: Single,
    peering: Peering,
    centres: tuple[Single, Single, Single, Single],
    weights: tuple[Single, Single, Single, Single],
    dt: Single,
    gain: Single,
    offset: Single,
    age: Single,
    score: Single,
) -> None:
    """The kindest of the kinds of peers that are known says how far a GPU is off.

    All figures of a block lie in one array at fixed distances: else the compiler, which must rule out that
    they overlap, does not vectorise.
    """
    signals, rows = score.shape
    room = np.empty(8 * _WIDE, np.float32)
    flat, ages = table.reshape(rows * SIDE), age.reshape(rows * SIDE)
    for begin in range(0, rows, _BLOCK):
        end = min(begin + _BLOCK, rows)
        n = SIDE * (end - begin)
        old = ages[SIDE * begin : SIDE * end]
        _put(flat[SIDE * begin : SIDE * end], room[_X:])
        _put(old, room[_AGE:])
        _spread(dt[begin:end], room[_STEP:])
        for place in range(n):
            i = np.uint64(place)
            memory = room[_AGE + i] if room[_AGE + i] > FIRST_MEMORY else FIRST_MEMORY
            memory = memory if memory < OFFSET_MEMORY else OFFSET_MEMORY
            pace = room[_STEP + i] / (room[_STEP + i] + memory)
            room[_OWN + i] = pace if room[_AGE + i] >= WARM_UP else -pace
            room[_NEAREST + i] = _NEVER
            room[_AGE + i] += room[_STEP + i] if room[_X + i] < _NEVER else _NONE
        _put(room[_AGE : _AGE + np.uint64(n)], old)
        for kind in range(len(centres)):
            learned = offset[kind].reshape(rows * SIDE)[SIDE * begin : SIDE * end]
            _put(learned, room[_LEARNED:])
            _look_up(centres[kind], peering.code[kind][begin:end], room[_CENTRE:])
            _look_up(weights[kind], peering.scatter[kind // 3][begin:end], room[_WEIGHT:])
            _spread(gain[kind][begin:end], room[_STEP:])
            _approach(room, n)
            _put(room[_LEARNED : _LEARNED + np.uint64(n)], learned)
        for place in range(n):
            i = np.uint64(place)
            z1 = room[_NEAREST + i] if room[_NEAREST + i] < _FARTHEST else _FARTHEST
            known = (room[_X + i] < _NEVER) & (room[_NEAREST + i] < _NEVER)
            room[_X + i] = z1 * z1 / (z1 * z1 + HALF_SCORE * HALF_SCORE) if known else _UNKNOWN
        said = room[_X:]
        for s in range(signals):
            for gpu in range(end - begin):
                score[s, begin + gpu] = said[SIDE * gpu + s]


@compiled
def _approach(room: Single, n: int) -> None:
    """How far a block is from one kind of peers: into the nearest, and into what is usual."""
    for place in range(n):
        i = np.uint64(place)
        usual, own, step = room[_LEARNED + i], room[_OWN + i], room[_STEP + i]
        known = usual == usual
        apart = room[_X + i] - room[_CENTRE + i] - (usual if known else _NONE)
        far = abs(apart) * room[_WEIGHT + i]
        pace = own if own < step else step
        far = far if pace > _NONE else _NEVER
        far = far if known else _NEVER
        far = far if far < _NEVER else _NEVER
        room[_NEAREST + i] = far if far < room[_NEAREST + i] else room[_NEAREST + i]
        own, step = abs(own), abs(step)
        rate = own if own > step else step
        slower = rate * SLOWER if far > CALM else rate
        rate = slower if far < _NEVER else rate
        moved = usual + rate * apart if known else apart
        room[_LEARNED + i] = moved if abs(apart) < _NEVER else usual
