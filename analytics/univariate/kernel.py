"""The compiled pass of the novelty detector: one value per series in, one novelty per series out.

Series are taken in groups whose features stay in the processor's cache. State is float32; values are kept
relative to an origin per series (in two parts), so that a large constant part costs no precision.
"""

from __future__ import annotations

import math

import numpy as np

from analytics.fleet.columns import Floats
from analytics.jit import compiled

DAY = 86400.0
FEATURES = 4
"""Value above the long mean, short above long mean, value above its profile, logarithm of the spread."""
MOMENTS = 12
"""Rows, blocks, rows in this block, second of the day, origin (2), days, short mean and variance, long mean,
mean and variance over the half-life."""
PEAKS = 4
"""Highest value seen, negative of the lowest, and both within this block."""
LEVELS = 5
"""Centre, mean of the blocks' peaks on both sides, and their mean absolute deviation on both sides."""
_GROUP = 256
_LIMIT = 1e18  # the square of a deviation must fit into float32


@compiled
def advance(
    values: Floats,
    now: Floats,
    knobs: Floats,
    weights: Floats,
    moments: Floats,
    peaks: Floats,
    levels: Floats,
    profile: Floats,
    out: Floats,
) -> None:
    """Judge one row, then learn it.

    `values` and `out` have one entry per series; `now` (Unix time) too, or one for all. `knobs` and `weights`
    come from `NoveltySettings`, `moments` is (MOMENTS, series), `peaks` (PEAKS, FEATURES, series), `levels`
    (LEVELS, FEATURES, series), `profile` (2 x bins, series): the bins of working days, then of weekends.
    `out` becomes the novelty, NaN without a value.
    """
    settle, block, kept, trust = np.float32(knobs[5]), np.float32(knobs[6]), knobs[7], knobs[8]
    zero, tiny, least, missing = np.float32(0.0), np.float32(1e-9), np.float32(1 / 2000.0), np.float32(np.nan)
    feature = np.empty((FEATURES, _GROUP), np.float32)
    scatter = np.empty(_GROUP, np.float32)
    best = np.empty(_GROUP, np.float32)
    step = np.empty(_GROUP, np.float32)
    gain = np.empty(_GROUP, np.float32)
    forget = np.empty(_GROUP, np.float32)
    excess, room = np.empty(_GROUP, np.float32), np.empty((4, _GROUP), np.float32)
    exact = np.empty(_GROUP, np.float64)
    loss = np.float32(math.log(2.0) / knobs[2])
    for start in range(0, len(values), _GROUP):
        size = min(_GROUP, len(values) - start)
        stop = start + size
        when = now[start:stop] if len(now) > 1 else now
        _means(values[start:stop], when, start, knobs, moments, profile, feature, scatter, step, room, exact)
        # Slices of one row each, not of all: only what lies side by side for sure is reckoned side by side.
        rows, blocks, age = moments[0][start:stop], moments[1][start:stop], moments[2][start:stop]
        closing = False
        for j in range(size):
            best[j] = zero if step[j] > zero else missing
        for j in range(size):
            step[j] = step[j] if rows[j] - settle > zero else zero
        for j in range(size):
            past = rows[j] - settle if rows[j] - settle > step[j] else step[j]
            quick = step[j] / (past if past > tiny else tiny)
            gain[j] = quick if quick > least * step[j] else least * step[j]
        for j in range(size):
            forget[j] = step[j] * loss
        for j in range(size):
            age[j] += step[j]
        for j in range(size):
            closing |= age[j] >= block
        for f in range(FEATURES):
            high, low = peaks[0][f][start:stop], peaks[1][f][start:stop]
            scatter_high, scatter_low = levels[3][f][start:stop], levels[4][f][start:stop]
            here = feature[f]
            for j in range(size):
                over, under = here[j] - high[j], -low[j] - here[j]
                excess[j] = over if over > under else under
            for j in range(size):
                beyond = excess[j]
                # Before anything was learned the peaks are infinite and nothing is beyond them.
                if zero < beyond < np.inf:
                    width = max(high[j] + low[j], scatter[j] if f < 3 else np.float32(0.5))
                    usual = scatter_high[j] if feature[f, j] > high[j] else scatter_low[j]
                    # Width and usual scatter of block peaks, one as important as the other; before there
                    # are blocks, a tenth of the width stands for the scatter.
                    scale = width * (usual * blocks[j] + 0.5 * width) / (blocks[j] + 5.0)
                    best[j] = max(best[j], weights[f] * beyond / math.sqrt(scale))
            _learn(
                here, step, gain, forget, high, low, peaks[2][f][start:stop], peaks[3][f][start:stop],
                levels[0][f][start:stop], excess[:size],
            )  # fmt: skip
        if closing:
            for j in range(size):
                if age[j] >= block:
                    age[j] -= block
                    blocks[j] = min(blocks[j] + 1.0, kept)
                    _close_block(start + j, blocks[j], peaks, levels)
        for j in range(size):
            # A record means little while little has been seen.
            out[start + j] = best[j] * math.sqrt(min(rows[j] / trust, 1.0)) if best[j] > zero else best[j]


@compiled
def _learn(
    feature: Floats,
    learn: Floats,
    gain: Floats,
    forget: Floats,
    high: Floats,
    low: Floats,
    block_high: Floats,
    block_low: Floats,
    center: Floats,
    x: Floats,
) -> None:
    """Take one feature of a group into its peaks; the peaks of all times sink slowly towards the centre.

    `x` is room. As everywhere here, loops touch few arrays each: else the compiler, which must rule out that
    they overlap, does not reckon series side by side.
    """
    zero = np.float32(0.0)
    for j in range(len(center)):
        x[j] = feature[j] if learn[j] > zero else center[j]
    for j in range(len(center)):
        center[j] += gain[j] * (x[j] - center[j])
    for j in range(len(center)):
        top = high[j] if high[j] > x[j] else x[j]
        high[j] = top - forget[j] * (top - center[j]) if learn[j] > zero else high[j]
    for j in range(len(center)):
        bottom = low[j] if low[j] > -x[j] else -x[j]
        low[j] = bottom - forget[j] * (bottom + center[j]) if learn[j] > zero else low[j]
    for j in range(len(center)):
        higher = (learn[j] > zero) & (x[j] > block_high[j])
        block_high[j] = x[j] if higher else block_high[j]
    for j in range(len(center)):
        lower = (learn[j] > zero) & (-x[j] > block_low[j])
        block_low[j] = -x[j] if lower else block_low[j]


@compiled
def _means(
    values: Floats,
    now: Floats,
    start: int,
    knobs: Floats,
    moments: Floats,
    profile: Floats,
    feature: Floats,
    scatter: Floats,
    step: Floats,
    room: Floats,
    exact: Floats,
) -> None:
    """Take the values of a group into their means and profiles; write features, scatter and steps.

    A step is how many rows a value counts as: 0 without a value, up to 1.
    """
    size = len(values)
    stop = start + size
    if len(now) > 1:
        for j in range(size):
            where = slice(j, j + 1)
            _place(
                values[where], now[j], start + j, knobs, moments, profile, feature[0][where],
                feature[2][where], step[where], room, exact,
            )  # fmt: skip
    else:
        _place(values, now[0], start, knobs, moments, profile, feature[0], feature[2], step, room, exact)
    rows, coarse = moments[0][start:stop], moments[4][start:stop]
    short, short_var, long = moments[7][start:stop], moments[8][start:stop], moments[9][start:stop]
    mean, var = moments[10][start:stop], moments[11][start:stop]
    value, lately, spread = feature[0], feature[1], feature[3]
    fast, slow, slowest, reach = (
        np.float32(2.0 / (knobs[0] + 1.0)),
        np.float32(2.0 / (knobs[1] + 1.0)),
        np.float32(1.0 / knobs[2]),
        np.float32(knobs[3]),
    )
    zero, one, most = np.float32(0.0), np.float32(1.0), np.float32(1e7)
    tiny, dust, some, huge = np.float32(1e-9), np.float32(1e-6), np.float32(20.0), np.float32(np.inf)
    some_scatter, missing = np.float32(0.02), np.float32(np.nan)
    first, x, far, pace = room[0], room[1], room[2], room[3]
    for j in range(size):
        x[j] = value[j] if step[j] > zero else zero
    for j in range(size):
        n = rows[j] + step[j]
        rows[j] = n if n < most else most
        first[j] = step[j] / (rows[j] if rows[j] > tiny else tiny)
    for j in range(size):
        w = step[j] * slowest
        w = w if w > first[j] else first[j]
        away = x[j] - mean[j]
        mean[j] += w * away
        moved = var[j] + w * (away * (x[j] - mean[j]) - var[j])
        var[j] = moved if moved > zero else zero
    for j in range(size):
        scatter[j] = np.sqrt(var[j]) + tiny + dust * abs(mean[j] + coarse[j])
    for j in range(size):
        # One outlier moves the means no further than `reach` times the scatter would.
        far[j] = reach * np.sqrt(var[j]) + tiny if rows[j] > some else huge
    for j in range(size):
        w = fast * step[j]
        w = w if w > first[j] else first[j]
        pace[j] = w if w < one else one
    for j in range(size):
        away = x[j] - short[j]
        near = away if away > -far[j] else -far[j]
        near = near if near < far[j] else far[j]
        short[j] += pace[j] * near
        moved = short_var[j] + pace[j] * (away * (x[j] - short[j]) - short_var[j])
        short_var[j] = moved if moved > zero else zero
    for j in range(size):
        w = slow * step[j]
        w = w if w > first[j] else first[j]
        pace[j] = w if w < one else one
    for j in range(size):
        near = x[j] - long[j]
        near = near if near > -far[j] else -far[j]
        near = near if near < far[j] else far[j]
        long[j] += pace[j] * near
    for j in range(size):
        spread[j] = np.sqrt(short_var[j]) + some_scatter * scatter[j]
    for j in range(size):
        lately[j] = short[j] - long[j] if step[j] > zero else missing
    for j in range(size):
        value[j] = x[j] - long[j] if step[j] > zero else missing
    for j in range(size):
        spread[j] = math.log(spread[j]) if step[j] > zero else np.float32(np.nan)


@compiled
def _slot(time: float, bins: int) -> int:
    """Bin of the profile: those of working days, then of weekends."""
    weekend = math.floor(time / DAY + 4.0) % 7.0 in (0.0, 6.0)  # 1970 began on a Thursday
    return int(time % DAY * (bins / DAY)) + (bins if weekend else 0)


@compiled
def _place(
    values: Floats,
    now: float,
    start: int,
    knobs: Floats,
    moments: Floats,
    profile: Floats,
    here: Floats,
    apart: Floats,
    step: Floats,
    room: Floats,
    x: Floats,
) -> None:
    """Take values of one moment, of the series from `start` on, into their origin, clock and profile.

    Without branches, so that series are reckoned side by side.
    """
    stop = start + len(values)
    rows, clock, days = moments[0][start:stop], moments[3][start:stop], moments[6][start:stop]
    coarse, fine, var = moments[4][start:stop], moments[5][start:stop], moments[11][start:stop]
    bins = profile.shape[0] // 2
    usual_now = profile[_slot(now, bins)][start:stop]
    per_row, per_bin = np.float32(1.0 / knobs[4]), np.float32(bins / DAY)
    second, day, a_bin = np.float32(now % DAY), np.float32(DAY), np.float32(1.0 / bins)
    most_days, reach = np.float32(knobs[9]), np.float32(knobs[3])
    some, huge = np.float32(20.0), np.float32(np.inf)
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-9)
    passed, share, far = room[0], room[1], room[2]
    for j in range(len(values)):
        new = (rows[j] == zero) & (abs(values[j]) < np.inf)
        coarse[j] = np.float32(values[j]) if new else coarse[j]
    for j in range(len(values)):
        new = (rows[j] == zero) & (abs(values[j]) < np.inf)
        fine[j] = np.float32(values[j] - coarse[j]) if new else fine[j]
    for j in range(len(values)):
        value = (values[j] - coarse[j]) - fine[j]
        value = value if value > -_LIMIT else -_LIMIT
        value = value if value < _LIMIT else _LIMIT
        x[j] = value if abs(values[j]) < np.inf else np.nan
    for j in range(len(values)):
        here[j] = np.float32(x[j])
    for j in range(len(values)):
        since = second - (second if rows[j] == zero else clock[j])
        since += day if since < zero else zero
        # A value counts by the time it stands for; where the clock stood still, as one row.
        passed[j] = since if since > zero else huge
    for j in range(len(values)):
        clock[j] = second if here[j] == here[j] else clock[j]
    for j in range(len(values)):
        weight = passed[j] * per_row
        weight = weight if weight < one else one
        step[j] = weight if here[j] == here[j] else zero
    for j in range(len(values)):
        part = passed[j] * per_bin
        share[j] = part if part < one else one
    for j in range(len(values)):
        lived = days[j] + share[j] * a_bin
        lived = lived if lived < most_days else most_days
        days[j] = lived if here[j] == here[j] else days[j]
    for j in range(len(values)):
        share[j] = share[j] / (days[j] if days[j] > one else one)
    for j in range(len(values)):
        far[j] = reach * np.sqrt(var[j]) + tiny if rows[j] > some else huge
    for j in range(len(values)):
        usual = usual_now[j] if usual_now[j] == usual_now[j] else np.float32(x[j])
        apart[j] = np.float32(x[j] - usual)
    for j in range(len(values)):
        usual = usual_now[j] if usual_now[j] == usual_now[j] else here[j]
        away = apart[j] if apart[j] < far[j] else far[j]
        away = away if away > -far[j] else -far[j]
        usual_now[j] = usual + share[j] * away if here[j] == here[j] else usual_now[j]


@compiled
def _close_block(i: int, blocks: float, peaks: Floats, levels: Floats) -> None:
    """Take the peaks of a finished block of series i into their mean and scatter; begin the next."""
    for f in range(FEATURES):
        for side in range(2):
            peak = peaks[2 + side, f, i]
            away = peak - levels[1 + side, f, i]
            if blocks == 1.0:
                levels[1 + side, f, i] = peak
            else:
                levels[1 + side, f, i] += away / blocks
                # The second peak is judged by the first alone, and is twice as far off as from their mean.
                off = abs(away) if blocks > 2.0 else 0.5 * abs(away)
                levels[3 + side, f, i] += (off - levels[3 + side, f, i]) / (blocks - 1.0)
            peaks[2 + side, f, i] = -np.inf


@compiled
def peaks_only(scores: Floats, refractory: float, held: Floats, age: Floats, out: Floats) -> None:
    """Pass scores that beat what is held for `refractory` rows; everything else becomes 0."""
    for i in range(len(scores)):
        age[i] += 1.0
        if age[i] > refractory:
            held[i] = 0.0
        out[i] = 0.0
        if scores[i] > held[i]:
            held[i] = out[i] = scores[i]
            age[i] = 0.0


@compiled
def as_scores(novelty: Floats, rows: Floats, half: float, warm_up: float) -> None:
    """Novelty becomes a score from 0 to 1, `half` becoming 0.5; NaN within the first `warm_up` rows."""
    for i in range(len(novelty)):
        known = rows[i] > warm_up
        novelty[i] = novelty[i] / (novelty[i] + half) if known else np.nan
