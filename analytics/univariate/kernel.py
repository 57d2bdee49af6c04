"""The compiled pass of the novelty detector: one value per series in, one novelty per series out.

Series are taken in groups whose features stay in the processor's cache. State is float32; values are kept
relative to an origin per series (in two parts), so that a large constant part costs no precision.
"""

from __future__ import annotations

import math

import numpy as np

from analytics.columns import Floats
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
    settle, block, kept, trust = knobs[5], knobs[6], knobs[7], knobs[8]
    feature = np.empty((FEATURES, _GROUP), np.float32)
    scatter = np.empty(_GROUP, np.float32)
    best = np.empty(_GROUP, np.float32)
    step = np.empty(_GROUP, np.float32)
    gain = np.empty(_GROUP, np.float32)
    forget = np.empty(_GROUP, np.float32)
    loss = math.log(2.0) / knobs[2]
    for start in range(0, len(values), _GROUP):
        size = min(_GROUP, len(values) - start)
        stop = start + size
        when = now[start:stop] if len(now) > 1 else now
        state = moments[:, start:stop]
        _means(values[start:stop], when, knobs, state, profile[:, start:stop], feature, scatter, step)
        rows, blocks, age = state[0], state[1], state[2]
        closing = False
        for j in range(size):
            best[j] = 0.0 if step[j] > 0.0 else np.nan
            past = rows[j] - settle
            step[j] = step[j] if past > 0.0 else 0.0
            gain[j] = max(step[j] / max(past, step[j], 1e-9), step[j] / 2000.0)
            forget[j] = step[j] * loss
            age[j] += step[j]
            closing |= age[j] >= block
        for f in range(FEATURES):
            high, low = peaks[0, f, start:stop], peaks[1, f, start:stop]
            scatter_high, scatter_low = levels[3, f, start:stop], levels[4, f, start:stop]
            for j in range(size):
                beyond = max(feature[f, j] - high[j], -low[j] - feature[f, j])
                # Before anything was learned the peaks are infinite and nothing is beyond them.
                if 0.0 < beyond < np.inf:
                    width = max(high[j] + low[j], scatter[j] if f < 3 else np.float32(0.5))
                    usual = scatter_high[j] if feature[f, j] > high[j] else scatter_low[j]
                    # Width and usual scatter of block peaks, one as important as the other; before there
                    # are blocks, a tenth of the width stands for the scatter.
                    scale = width * (usual * blocks[j] + 0.5 * width) / (blocks[j] + 5.0)
                    best[j] = max(best[j], weights[f] * beyond / math.sqrt(scale))
            _learn(feature[f], step, gain, forget, peaks[:, f, start:stop], levels[0, f, start:stop])
        if closing:
            for j in range(size):
                if age[j] >= block:
                    age[j] -= block
                    blocks[j] = min(blocks[j] + 1.0, kept)
                    _close_block(start + j, blocks[j], peaks, levels)
        for j in range(size):
            # A record means little while little has been seen.
            out[start + j] = best[j] * math.sqrt(min(rows[j] / trust, 1.0))


@compiled
def _learn(
    feature: Floats, learn: Floats, gain: Floats, forget: Floats, peaks: Floats, center: Floats
) -> None:
    """Take one feature of a group into its peaks; the peaks of all times sink slowly towards the centre."""
    high, low, block_high, block_low = peaks[0], peaks[1], peaks[2], peaks[3]
    for j in range(len(center)):
        taken = learn[j] > np.float32(0.0)
        x = feature[j] if taken else center[j]
        middle = center[j] + gain[j] * (x - center[j])
        top = max(high[j], x)
        bottom = max(low[j], -x)
        center[j] = middle
        high[j] = top - forget[j] * (top - middle) if taken else high[j]
        low[j] = bottom - forget[j] * (bottom + middle) if taken else low[j]
        block_high[j] = max(block_high[j], x) if taken else block_high[j]
        block_low[j] = max(block_low[j], -x) if taken else block_low[j]


@compiled
def _means(
    values: Floats,
    now: Floats,
    knobs: Floats,
    state: Floats,
    profile: Floats,
    feature: Floats,
    scatter: Floats,
    step: Floats,
) -> None:
    """Take the values of a group into their means and profiles; write features, scatter and steps.

    A step is how many rows a value counts as: 0 without a value, up to 1.
    """
    rows, clock, coarse, fine, days = state[0], state[3], state[4], state[5], state[6]
    short, short_var, long, mean, var = state[7], state[8], state[9], state[10], state[11]
    size, bins = len(values), profile.shape[0] // 2
    per_row, per_bin = 1.0 / knobs[4], bins / DAY
    moment, second, slot = np.nan, 0.0, 0
    for j in range(size):
        value = values[j]
        if not math.isfinite(value):
            step[j] = 0.0
            feature[:, j] = np.nan
            continue
        time = now[j] if len(now) > 1 else now[0]
        if time != moment:
            moment, second = time, time % DAY
            slot = int(second * per_bin)
            if math.floor(time / DAY + 4.0) % 7.0 in (0.0, 6.0):  # 1970 began on a Thursday
                slot += bins
        if rows[j] == 0.0:
            clock[j], coarse[j] = second, value
            fine[j] = value - coarse[j]
        passed = second - clock[j]
        passed += DAY if passed < 0.0 else 0.0
        clock[j] = second
        x = min(max((value - coarse[j]) - fine[j], -_LIMIT), _LIMIT)
        # A value counts by the time it stands for; where the clock stood still, as one row.
        step[j] = min(passed * per_row, 1.0) if passed > 0.0 else 1.0
        share = min(passed * per_bin, 1.0) if passed > 0.0 else 1.0
        days[j] = min(days[j] + share / bins, knobs[9])
        usual = profile[slot, j]
        usual = usual if usual == usual else x
        far = knobs[3] * math.sqrt(var[j]) + 1e-9 if rows[j] > 20.0 else np.inf
        profile[slot, j] = usual + share / max(days[j], 1.0) * min(max(x - usual, -far), far)
        feature[0, j] = x
        feature[2, j] = x - usual
    fast, slow, slowest, reach = (
        np.float32(2.0 / (knobs[0] + 1.0)),
        np.float32(2.0 / (knobs[1] + 1.0)),
        np.float32(1.0 / knobs[2]),
        np.float32(knobs[3]),
    )
    zero, one, most = np.float32(0.0), np.float32(1.0), np.float32(1e7)
    tiny, dust, some, huge = np.float32(1e-9), np.float32(1e-6), np.float32(20.0), np.float32(np.inf)
    for j in range(size):
        w = step[j]
        x = feature[0, j] if w > zero else zero
        n = min(rows[j] + w, most)
        rows[j] = n
        first = w / max(n, tiny)
        pace = max(w * slowest, first)
        away = x - mean[j]
        mean[j] += pace * away
        var[j] = max(var[j] + pace * (away * (x - mean[j]) - var[j]), zero)
        deviation = np.sqrt(var[j])
        scatter[j] = deviation + tiny + dust * abs(mean[j] + coarse[j])
        # One outlier moves the means no further than `reach` times the scatter would.
        far = reach * deviation + tiny if n > some else huge
        pace = min(max(fast * w, first), one)
        away = x - short[j]
        short[j] += pace * min(max(away, -far), far)
        short_var[j] = max(short_var[j] + pace * (away * (x - short[j]) - short_var[j]), zero)
        pace = min(max(slow * w, first), one)
        long[j] += pace * min(max(x - long[j], -far), far)
        feature[3, j] = np.sqrt(short_var[j]) + np.float32(0.02) * scatter[j]
        feature[1, j] = short[j] - long[j] if w > zero else np.float32(np.nan)
        feature[0, j] = x - long[j] if w > zero else np.float32(np.nan)
    for j in range(size):
        feature[3, j] = math.log(feature[3, j]) if step[j] > zero else np.float32(np.nan)


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
