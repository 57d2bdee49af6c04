"""What one coolant supply or inlet air usually is at this time of day, and how far above it now.

The usual is a level and a daily swing, by regression with forgetting; two filters of the deviation from it
are judged, one of minutes against events, one of an hour against drifts, each in its own usual scatter. One
float32 array holds the state, rows named here, sensors along the last axis.

Method: recursive least squares with exponential forgetting, harmonic regressors; hysteresis.
"""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats
from analytics.jit import compiled

DAY = 86400.0
MEMORY = 4 * DAY
"""Seconds of forgetting: a season moves a tenth of a kelvin a day, a drift that matters ten times as much."""
APART = 3600.0
"""Seconds between readings that tell something new: rooms and loops wander in between."""
SWING = 2.0
"""Kelvin of daily swing that is likely before any was seen (standard deviation of its two parts)."""
SCATTER, LEAST_SCATTER = 0.4, 0.05
"""Kelvin of scatter that is assumed at first, and that is assumed at least."""
SCATTER_MEMORY, SCATTER_YOUNG = 8 * DAY, 21600.0
QUICK, HOURLY, LATE = 120.0, 3600.0, 6 * 3600.0
"""Seconds of the filters of the deviation; the last one only shows which way it goes."""
STRIDE = 600.0
"""Seconds that one reading stands for at most in the slower two."""
RISE, MANY = 2.0, 5.0
"""Kelvin, and multiples of its scatter, from which on a deviation is abnormal. Supplies are held within 1."""
WARM, SOME = 1.0, 4.0
"""The same where some GPU would not bear it."""
CLEAR = 0.6
"""Share of those at which an alarm ends."""
WARM_UP, HOLD = 60.0, 10.0
"""Seconds before anything is judged; seconds that a deviation must last, in two readings at least."""
LASTING, AT_REST, BACK = DAY, 0.3, 3 * 3600.0
"""Seconds after which a deviation that has come to rest (kelvin) is the new usual; that one which had ended
and was taken for usual is given up again."""

(A00, A01, A02, A11, A12, A22, B0, B1, B2, QUICK_DEV, HOURLY_DEV, LATE_DEV, QUICK_SCATTER, HOURLY_SCATTER,
 AGE, HELD, ON, WARM_FOR, LOW_FOR, SHIFTED, USUAL, SHARE, WARM_SHARE, SIZE) = range(24)  # fmt: skip


@compiled
def track(now: float, values: Floats, common: float, s: Floats, last: Floats, began: Floats) -> None:
    """Judge one reading of every sensor, then learn it; NaN is absent.

    `common` is what all others of the kind are above their usual (K): that much is weather. Into `s`: USUAL
    (°C), SHARE (deviation in multiples of what is abnormal), WARM_SHARE (of what is where GPUs are short of
    room), ON; into `began` (Unix time) when it left its usual.
    """
    angle = 2 * np.pi * (now % DAY) / DAY
    x1, x2 = np.sin(angle), np.cos(angle)
    for i in range(len(values)):
        v = values[i]
        if not (-60 < v < 150):
            continue
        if last[i] == 0:
            weigh(s, i, 1.0, x1, x2, v)
            s[QUICK_SCATTER, i] = s[HOURLY_SCATTER, i] = SCATTER
            last[i] = began[i] = now
            s[USUAL, i] = v
            continue
        dt = max(now - last[i], 0.0)
        last[i] = now
        usual, lever = expected(s, i, x1, x2)
        s[USUAL, i] = usual
        dev = v - usual
        s[QUICK_DEV, i] += (1 - np.exp(-dt / QUICK)) * (dev - s[QUICK_DEV, i])
        # After a gap one reading is still no more than one.
        step = min(dt, STRIDE)
        s[HOURLY_DEV, i] += (1 - np.exp(-step / HOURLY)) * (dev - s[HOURLY_DEV, i])
        s[LATE_DEV, i] += (1 - np.exp(-step / LATE)) * (dev - s[LATE_DEV, i])
        unsure = lever * s[QUICK_SCATTER, i] ** 2
        quick = np.sqrt(s[QUICK_SCATTER, i] ** 2 + unsure)
        hourly = np.sqrt(s[HOURLY_SCATTER, i] ** 2 + unsure)
        over_quick, over_hourly = s[QUICK_DEV, i] - common, s[HOURLY_DEV, i] - common
        share = max(over_quick / max(RISE, MANY * quick), over_hourly / max(RISE, MANY * hourly), 0.0)
        warm = max(
            s[QUICK_DEV, i] / max(WARM, SOME * quick), s[HOURLY_DEV, i] / max(WARM, SOME * hourly), 0.0
        )
        s[SHARE, i], s[WARM_SHARE, i] = share, warm
        if share < 0.3:
            began[i] = now
        if s[AGE, i] >= WARM_UP:
            s[HELD, i] = min(s[HELD, i] + min(max(dt, 1.0), 0.5 * HOLD), HOLD) if share >= 1 else 0.0
            if s[HELD, i] >= HOLD:
                s[ON, i] = 1.0
        if share < CLEAR:
            s[ON, i] = 0.0
        if warm >= 1 or s[ON, i] > 0 or (s[WARM_FOR, i] > 0 and warm >= CLEAR):
            s[WARM_FOR, i] += dt if s[WARM_FOR, i] > 0 else 1e-3
        else:
            s[WARM_FOR, i] = 0.0
        low = s[HOURLY_DEV, i] < -max(RISE, MANY * hourly)
        returned = s[SHIFTED, i] > WARM and s[HOURLY_DEV, i] < -0.5 * s[SHIFTED, i]
        s[LOW_FOR, i] = s[LOW_FOR, i] + dt if low or returned else 0.0
        fade = np.exp(-dt / MEMORY)
        s[SHIFTED, i] *= fade
        lasts = s[WARM_FOR, i] > LASTING and abs(s[HOURLY_DEV, i] - s[LATE_DEV, i]) < AT_REST
        if lasts or s[LOW_FOR, i] > (BACK if returned else LASTING):
            shift(s, i)
        if s[ON, i] <= 0 and share < 1:
            # What may be the beginning of a drift is not to become usual by itself.
            weight = min(dt / APART, 0.5) * (1.0 if share < 0.5 else 0.3)
            for r in range(A00, B2 + 1):
                s[r, i] *= fade
            weigh(s, i, weight, x1, x2, v)
            gain = min(dt / min(max(s[AGE, i], SCATTER_YOUNG), SCATTER_MEMORY), 0.1)
            gain *= 1.0 if warm < 1 else 0.3
            for d, r in ((QUICK_DEV, QUICK_SCATTER), (HOURLY_DEV, HOURLY_SCATTER)):
                # 1.25 mean deviations are one standard deviation; what stands out counts no more than three.
                seen = 1.25 * min(abs(s[d, i]), 3 * s[r, i])
                s[r, i] = max(s[r, i] + gain * (seen - s[r, i]), LEAST_SCATTER)
        s[AGE, i] = min(s[AGE, i] + dt, 1e7)


@compiled
def weigh(s: Floats, i: int, weight: float, x1: float, x2: float, v: float) -> None:
    """Add one reading to the sums of the regression."""
    s[A00, i] += weight
    s[A01, i] += weight * x1
    s[A02, i] += weight * x2
    s[A11, i] += weight * x1 * x1
    s[A12, i] += weight * x1 * x2
    s[A22, i] += weight * x2 * x2
    s[B0, i] += weight * v
    s[B1, i] += weight * v * x1
    s[B2, i] += weight * v * x2


@compiled
def expected(s: Floats, i: int, x1: float, x2: float) -> tuple[float, float]:
    """Usual value at a time of day, and its variance in variances of one reading."""
    n = max(s[A00, i], 1e-3)
    m1, m2, my = s[A01, i] / n, s[A02, i] / n, s[B0, i] / n
    loose = (SCATTER / SWING) ** 2
    c11 = s[A11, i] - n * m1 * m1 + loose
    c22 = s[A22, i] - n * m2 * m2 + loose
    c12 = s[A12, i] - n * m1 * m2
    d1, d2 = s[B1, i] - n * m1 * my, s[B2, i] - n * m2 * my
    det = max(c11 * c22 - c12 * c12, 1e-9)
    u1, u2 = x1 - m1, x2 - m2
    swing = (u1 * (c22 * d1 - c12 * d2) + u2 * (c11 * d2 - c12 * d1)) / det
    return my + swing, 1 / n + (c22 * u1 * u1 - 2 * c12 * u1 * u2 + c11 * u2 * u2) / det


@compiled
def shift(s: Floats, i: int) -> None:
    """Take the deviation of the last hour for usual."""
    by = s[HOURLY_DEV, i]
    s[B0, i] += by * s[A00, i]
    s[B1, i] += by * s[A01, i]
    s[B2, i] += by * s[A02, i]
    s[SHIFTED, i] = max(s[SHIFTED, i] + by, 0.0)
    for r in (QUICK_DEV, HOURLY_DEV, LATE_DEV):
        s[r, i] -= by
    s[WARM_FOR, i] = s[LOW_FOR, i] = s[ON, i] = s[HELD, i] = 0.0


def above(s: Floats) -> Floats:
    """Kelvin above the usual."""
    return np.asarray(np.maximum(s[QUICK_DEV], s[HOURLY_DEV]))
