"""The arithmetic of the peer comparison: one signal of all GPUs against four kinds of peers."""

from __future__ import annotations

import numpy as np

from analytics.groups import Rows, Single
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
_FARTHEST, _NEVER, _NONE, _UNKNOWN = map(np.float32, (1e6, np.inf, 0.0, np.nan))
_BLOCK = 1024
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
        for i in range(rows):
            if known[kind, i] == signature[kind, i]:
                held[kind, i] += dt[i]
            else:
                known[kind, i] = signature[kind, i]
                held[kind, i] = 0.0
                for signal in range(signals):
                    offset[kind, signal, i] = np.nan
            memory = min(max(held[kind, i], FIRST_MEMORY), OFFSET_MEMORY)
            rate = dt[i] / (dt[i] + memory)
            gain[kind, i] = rate if held[kind, i] >= WARM_UP else -rate


@compiled
def residuals(values: Single, code: Rows, centre: Single, offset: Single, out: Single) -> None:
    """Distance from the centre of its group less the usual one, for one kind of peers; NaN if unknown.

    `centre` is NaN for a group that is too small to be one.
    """
    for i in range(len(values)):
        at = code[i]
        if at < 0:
            out[i] = np.nan
        else:
            usual = offset[i]
            out[i] = values[i] - centre[at] - (usual if usual == usual else np.float32(0.0))


@compiled
def in_deviations(apart: Single, scatter: Rows, weight: Single) -> None:
    """Residuals of one kind of peers, without sign, times one over the robust deviation of their pool."""
    for i in range(len(apart)):
        apart[i] *= weight[scatter[i]] if scatter[i] >= 0 else np.float32(np.nan)


@compiled
def judge(
    apart: Single,
    far: Single,
    dt: Single,
    gain: Single,
    offset: Single,
    signal: int,
    age: Single,
    score: Single,
) -> None:
    """Scores of one signal from residuals and deviations by kind and GPU; and the learning of what is usual.

    The kindest of the kinds that are known says how far a GPU is off. `age` counts seconds with a value, and
    `score` holds the values at first. `far` is used up. Loops are short and apart so that each is vectorised.
    """
    kinds, rows = apart.shape
    own = np.empty(_BLOCK, np.float32)
    for begin in range(0, rows, _BLOCK):
        n = min(_BLOCK, rows - begin)
        old, lapse, said = age[begin : begin + n], dt[begin : begin + n], score[begin : begin + n]
        for i in range(n):
            memory = old[i] if old[i] > FIRST_MEMORY else FIRST_MEMORY
            memory = memory if memory < OFFSET_MEMORY else OFFSET_MEMORY
            rate = lapse[i] / (lapse[i] + memory)
            own[i] = rate if old[i] >= WARM_UP else -rate
        for kind in range(kinds):
            r, z = apart[kind, begin : begin + n], far[kind, begin : begin + n]
            learned, step = offset[kind, signal, begin : begin + n], gain[kind, begin : begin + n]
            for i in range(n):
                ready = (own[i] > 0) & (step[i] > 0) & (learned[i] == learned[i]) & (z[i] == z[i])
                z[i] = z[i] if ready else _NEVER
            for i in range(n):
                slow = abs(own[i]) if abs(own[i]) > abs(step[i]) else abs(step[i])
                slow = slow * SLOWER if (z[i] > CALM) & (z[i] < _NEVER) else slow
                moved = learned[i] + slow * r[i] if learned[i] == learned[i] else r[i]
                learned[i] = moved if r[i] == r[i] else learned[i]
        nearest = far[0, begin : begin + n]
        for kind in range(1, kinds):
            z = far[kind, begin : begin + n]
            for i in range(n):
                nearest[i] = z[i] if z[i] < nearest[i] else nearest[i]
        for i in range(n):
            there = abs(said[i]) < _NEVER
            old[i] += lapse[i] if there else _NONE
            z1 = nearest[i] if nearest[i] < _FARTHEST else _FARTHEST
            known = there & (nearest[i] < _NEVER)
            said[i] = z1 * z1 / (z1 * z1 + HALF_SCORE * HALF_SCORE) if known else _UNKNOWN
