"""The arithmetic of the multivariate model: one pass over rows, compiled."""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats
from analytics.jit import compiled

VIEWS = 3
RESIDUAL, STEP, LEVEL = range(VIEWS)
"""How each metric is looked at: against the other metrics, against the row before, its short mean against
its usual value."""
SHARPNESS = 4
"""Power of strangeness in the score: half as strange again as the alarm level scores 0.83."""
CLIP = 10.0
"""Standard deviations to which a metric is cut before it explains others."""
FLOOR = 0.01
"""Share of a metric's range below which nothing is a deviation. For a metric that never moved in training the
range is its greatest excursion since; the share grows after ten changes: what moves often is no news."""


@compiled
def run(
    rows: Floats,
    mean: Floats,
    deviation: Floats,
    weights: Floats,
    scale: Floats,
    moves: Floats,
    last: Floats,
    short: Floats,
    usual: Floats,
    reach: Floats,
    changes: Floats,
    held: Floats,
    tops: Floats,
    short_gain: float,
    usual_gain: float,
    decay: float,
    scores: Floats,
    shares: Floats,
) -> None:
    """Score `rows` [rows, metrics] in order; last to held are what is carried on, in place.

    `weights` [metrics, metrics] turn standardised metrics into residuals, `scale` [views, metrics] is what
    is ordinary; `moves` is 0 for a metric that was constant in training, and below for one that was absent.
    `held` is the held score, `scores` [rows] gets it row by row, `shares` [rows, metrics] what each metric
    adds to the row's own score (pass no rows to go without). NaN values are left out.
    """
    count, metrics = rows.shape
    z = np.zeros(metrics)
    strange = np.zeros((VIEWS, metrics))
    for i in range(count):
        for j in range(metrics):
            x = rows[i, j]
            z[j] = 0.0
            if moves[j] > 0.0 and np.isfinite(x):
                z[j] = min(max((x - mean[j]) / deviation[j], -CLIP), CLIP)
        total = 0.0
        for j in range(metrics):
            x = rows[i, j]
            strange[:, j] = 0.0
            if not np.isfinite(x) or moves[j] < 0.0:
                continue
            apart = x - usual[j]
            short[j] += short_gain * (apart - short[j])
            usual[j] += usual_gain * apart
            floor_step, floor_level = scale[STEP, j], scale[LEVEL, j]
            if moves[j] > 0.0:
                residual = 0.0
                for k in range(metrics):
                    residual += z[k] * weights[k, j]
                strange[RESIDUAL, j] = abs(residual) / scale[RESIDUAL, j]
            else:
                reach[j] = max(reach[j], abs(apart))
                changes[j] += np.isfinite(last[j]) and x != last[j]
                floor_step = floor_level = reach[j] * min(FLOOR * max(changes[j] / 10.0, 1.0), 1.0)
            if np.isfinite(last[j]) and floor_step > 0.0:
                strange[STEP, j] = abs(x - last[j]) / floor_step
            if floor_level > 0.0:
                strange[LEVEL, j] = abs(short[j]) / floor_level
            last[j] = x
        for view in range(VIEWS):
            top = min(int(tops[view]), metrics)
            for _ in range(top):
                best, where = 0.0, -1
                for j in range(metrics):
                    if strange[view, j] > best:
                        best, where = strange[view, j], j
                if where < 0:
                    break
                part = np.log1p(best) / top
                total += part
                strange[view, where] = 0.0
                if len(shares):
                    shares[i, where] += part
        held[0] = max(held[0] * decay, total)
        scores[i] = held[0]
