"""The two compiled passes of the thermal model over all GPUs of a tick.

State is one float32 array, rows named here, GPUs along the last axis. Pass 1 filters the power and says what
rise the GPU's own line expects; between the passes, peers give what is shared; pass 2 judges and learns.
"""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats
from analytics.jit import compiled

TAUS = (6.0, 15.0, 38.0, 85.0, 190.0)
"""Seconds of the lags that are tried; every GPU uses the one that fits it best."""
K = len(TAUS)
FIRST_TAU = 2
MEMORY = 86400.0
"""Seconds of forgetting of the fast line."""
HIGH_MEMORY = 10 * MEMORY
LOADED = 0.5
"""Share of its usual peak power that a GPU must draw for the slow lane to look: idle rises say little."""
CAP = 60.0
"""Samples that the line may count: errors around it are correlated, so more samples do not sharpen it."""
OFFSET_SENSED, OFFSET_BLIND = 3.0, 6.0
"""Kelvin by which the offset of the line may differ from 0 before load swings have shown it."""
NOISE = 1.5
"""Kelvin of correlated error around the line (1 °C steps, sensor drift, imperfect lag)."""
IDLE = 0.3
"""Share of its usual peak power below which a GPU's temperature does not tell that what was wrong is over."""
LEAST_BASELINE, LEAST_SAMPLES, SETTLE, GAP = 90.0, 15.0, 30.0, 1800.0
"""Seconds (and samples) before anything is judged; seconds after a start or gap that are not learned from;
what counts as a gap."""
YOUNG, REST = 900.0, 1.5
"""Seconds after its first sample in which a die may still be on the way to its balance, whatever its lag:
until then the line begins again whenever the temperature has moved by the second figure (K), so that nothing
is learned on that way, and nothing judged before a stretch at rest has taught it."""
ALLOWANCE, RAMP_ALLOWANCE, SOON = 0.12, 0.05, 900.0
"""Relative rise that is never called; the same for a rise that will reach the limit within SOON seconds."""
ALARM, CLEAR, CEILING = 2.0, 0.5, 6.0
"""Relative rise above the allowance times seconds: where an alarm starts, ends, and stops adding up."""
LARGEST_STEP = 0.5
"""What one sample may add to that, so that no alarm rests on fewer than four."""
SPARSE, SPARSE_ALLOWANCE, SPARSE_STEP = 20.0, 0.25, 0.1
"""Samples further apart than so many seconds cannot follow a load: more must be seen, in more of them."""
FARTHEST = 45.0
"""Seconds between samples over which single GPUs are left to the slow lane."""
SCATTER_MEMORY, SCATTER_JUMP = 7200.0, 2.0
"""Seconds of memory of a GPU's own scatter, and how many scatters a sample may count for there: what rises
within minutes must not make its own rise look usual."""
LIMIT_UNKNOWN = 4.0
"""Kelvin by which the assumed limit of a GPU whose driver tells none may be too high."""
OUTSIDE_WEIGHT = 0.1
"""What a sample outside the tolerance counts in the fast line, beside one inside."""
CHOOSE = 120.0
"""Seconds between two looks at which lag fits best."""
DOUBTFUL = 7200.0
"""Seconds that an alarm lasts at least before a young baseline is blamed for it."""
GROWN = 1800.0
"""Seconds of learning before a GPU's own lag is believed: until then a fault that begins looks like a slow
lag, and the one that fits the others best stands in for it."""
WINDOW = 600.0
"""Seconds whose mean is one sample of the slow lane: errors of single samples average out."""

F, MX, SXX, SXY = 0, K, 2 * K, 3 * K
(N, MY, SYY, AGE, WAIT, RISE, EXCESS, EXCESS_SLOW, SCATTER, SUM, ALARMED, SHARED_SUM, SHARED_ALARMED, LOW_FOR,
 HIGH, SWING, BEFORE, BEST, AMBIENT, LIMIT, WN, WX, WY, WF, WAGE, BN, BMX, BMY, BSXX, BSXY, PEAK, PEAK_REF,
 ALARM_FOR, FIRST_EXCESS, SEEN, NODE_FOR, GROUP_FOR, OWN_LAG, ANCHOR,
 SIZE) = range(4 * K, 4 * K + 40)  # fmt: skip
"""Rows of the state. `NODE_FOR` and `GROUP_FOR`: seconds for which what a GPU shows is still the trouble of
its whole node, or loop or rack, that was called (`thermal_words`). `OWN_LAG`: 1 once `BEST` is its own.
`ANCHOR`: °C around which a young die rests."""


@compiled
def expect(
    now: float,
    power: Floats,
    core: Floats,
    sensor: Floats,
    margin: Floats,
    last: Floats,
    s: Floats,
    out: Floats,
    taus: Floats,
) -> None:
    """Pass 1. Fills `out`: seconds since the last sample (NaN absent), slope, expected rise, doubt, residual.

    The residual is in kelvin over sensor and line; where there is no sensor, over the line alone.
    """
    known = -1.0
    keep = np.empty(K)
    for i in range(len(power)):
        p, t = power[i], core[i]
        if not (p > 0 and p < 1e5 and t > -60 and t < 300):
            out[0, i] = np.nan
            out[4, i] = np.nan
            continue
        dt = now - last[i]
        if dt > GAP or last[i] == 0:
            dt = 0.0
            # A die that is new here has to rest before it teaches, which does as well.
            s[WAIT, i] = SETTLE if s[SEEN, i] > 0 else 0.0
            s[WN, i] = 0.0
            f = power_of(t, sensor[i] if sensor[i] == sensor[i] else s[AMBIENT, i], p, s, i)
            for k in range(K):
                s[F + k, i] = f
            s[SWING, i] = 0.5 * abs(p - f)
            s[BEFORE, i] = p
        else:
            s[WAIT, i] = max(s[WAIT, i] - dt, 0.0)
            if dt != known:
                known = dt
                for k in range(K):
                    keep[k] = np.exp(-dt / taus[k])
            step = abs(p - s[BEFORE, i])
            for k in range(K):
                s[F + k, i] = p + keep[k] * (s[F + k, i] - p)
            # When within the interval the load moved is not known: what that leaves open fades with the lag.
            s[SWING, i] = keep[3] * s[SWING, i] + step * dt / (dt + 60.0)
            s[BEFORE, i] = p
        last[i] = now
        if margin[i] == margin[i] and abs(margin[i]) < 200:
            s[LIMIT, i] = t + margin[i]
        s[HIGH, i] = max(s[F + FIRST_TAU, i], s[HIGH, i] * (1 - dt / HIGH_MEMORY))
        k = int(s[BEST, i])
        n = min(s[N, i], CAP)
        out[0, i] = dt
        if n < 1:
            out[1, i], out[2, i], out[3, i], out[4, i] = np.nan, np.nan, np.nan, np.nan
            continue
        slope, offset, doubt = line(
            n, s[MX + k, i], s[MY, i], s[SXX + k, i] / s[N, i], s[SXY + k, i] / s[N, i], s[F + k, i],
            OFFSET_SENSED if sensor[i] == sensor[i] else OFFSET_BLIND,
        )  # fmt: skip
        rise = slope * s[F + k, i] + offset
        # What was learned between one balance and another by a lag not its own fits badly and says little.
        left = s[SYY, i] + slope * (slope * s[SXX + k, i] - 2.0 * s[SXY + k, i])
        doubt *= np.sqrt(max(left / (s[N, i] * NOISE**2), 1.0))
        out[1, i], out[2, i], out[3, i] = slope, rise, doubt
        out[4, i] = t - rise - (sensor[i] if sensor[i] == sensor[i] else 0.0)


@compiled
def power_of(t: float, reference: float, p: float, s: Floats, i: int) -> float:
    """The filtered power that a die's temperature tells after a gap, when what it drew before is not known.

    `p` (W), what it draws now, where there is no line to tell it by.
    """
    n = min(s[N, i], CAP)
    if n < LEAST_SAMPLES or reference != reference or s[AGE, i] < LEAST_BASELINE:
        return p
    k = int(s[BEST, i])
    slope, offset, _ = line(
        n, s[MX + k, i], s[MY, i], s[SXX + k, i] / s[N, i], s[SXY + k, i] / s[N, i], p, OFFSET_SENSED
    )
    return float(min(max((t - reference - offset) / slope, 0.0), max(s[HIGH, i], p)))


@compiled
def line(
    n: float, mx: float, my: float, vxx: float, vxy: float, x: float, loose: float
) -> tuple[float, float, float]:
    """Slope (K/W), offset (K) of the regression and its standard error (K) at `x`.

    The offset is held near 0 (standard deviation `loose`), so that steady load alone gives a line too.
    """
    prior = (NOISE / loose) ** 2
    pull = n * prior / (n + prior)
    weight = max(n * vxx + pull * mx * mx, 1e-9)
    slope = max((n * vxy + pull * mx * my) / weight, 1e-4)
    offset = (my - slope * mx) * n / (n + prior)
    lever = x - mx * n / (n + prior)
    return slope, offset, NOISE * np.sqrt(lever * lever / weight + 1 / (n + prior))


@compiled
def follow(dt: Floats, residual: Floats, ambient: Floats, s: Floats, out: Floats) -> None:
    """Smoothed relative rise over the line into `out` (NaN before enough was seen).

    `ambient` is what to subtract from the residual of a GPU without sensor (0 with one).
    """
    known, gain, slow_gain = -1.0, 0.0, 0.0
    for i in range(len(residual)):
        out[0, i] = np.nan
        if residual[i] != residual[i]:
            continue
        k = int(s[BEST, i])
        error = residual[i] - ambient[i]
        slope = out[1, i]
        s[SEEN, i] = min(s[SEEN, i] + dt[i], 1e6)
        if s[OWN_LAG, i] > 0:
            lag = 0.25 * abs(s[F + min(k + 1, K - 1), i] - s[F + max(k - 1, 0), i])
        else:  # until it has been seen to follow a load, any lag may be its own
            lag = 0.7 * max(abs(s[F, i] - s[F + k, i]), abs(s[F + K - 1, i] - s[F + k, i]))
        tolerance = 1.0 + 2.0 * out[3, i] + slope * (lag + 0.5 * s[SWING, i])
        scale = max(out[2, i], 0.35 * slope * s[HIGH, i], 8.0)
        rise = max(abs(error) - tolerance, 0.0) / scale
        if dt[i] != known:
            known = dt[i]
            step = max(known, 1e-3)
            gain, slow_gain = 1 - np.exp(-step / 8.0), 1 - np.exp(-step / 45.0)
        s[RISE, i] += gain * ((rise if error > 0 else -rise) - s[RISE, i])
        s[EXCESS, i] += gain * (error - s[EXCESS, i])
        s[EXCESS_SLOW, i] += slow_gain * (error - s[EXCESS_SLOW, i])
        out[3, i] = rise
        out[4, i] = abs(error) / scale
        if s[AGE, i] >= LEAST_BASELINE and s[N, i] >= LEAST_SAMPLES:
            out[0, i] = s[RISE, i]


@compiled
def learn(
    now: float,
    began: Floats,
    dt: Floats,
    core: Floats,
    reference: Floats,
    exact: Floats,
    shared: Floats,
    margin_left: Floats,
    s: Floats,
    out: Floats,
) -> None:
    """Pass 2: add up what is abnormal, and learn from what is not.

    `reference` is the air or coolant the fast lane uses, `exact` the one of the slow lane (both °C), `shared`
    the relative rise that nearly all peers have, `margin_left` kelvin to the limit; `began` (Unix time) is
    kept for every GPU whose sum has left 0.
    """
    for i in range(len(core)):
        d = dt[i]
        if not (d == d and reference[i] == reference[i]):
            continue
        y = core[i] - reference[i]
        s[NODE_FOR, i], s[GROUP_FOR, i] = max(s[NODE_FOR, i] - d, 0.0), max(s[GROUP_FOR, i] - d, 0.0)
        ready = out[0, i] == out[0, i]
        own = 0.0
        if ready:
            own = s[RISE, i] - shared[i]
            trend = (s[EXCESS, i] - s[EXCESS_SLOW, i]) / 37.0
            allowance = max(ALLOWANCE, 3.0 * s[SCATTER, i])
            left = margin_left[i] if s[LIMIT, i] == s[LIMIT, i] else margin_left[i] - LIMIT_UNKNOWN
            if d <= SPARSE and trend > 0.02 and left < SOON * trend and s[EXCESS, i] > 3.0:
                allowance = max(RAMP_ALLOWANCE, 2.0 * s[SCATTER, i])
            step = min(d, 10.0)
            if s[SUM, i] <= 0:
                began[i] = now
                s[FIRST_EXCESS, i] = s[EXCESS_SLOW, i]
            most, common = LARGEST_STEP, ALLOWANCE
            if d > SPARSE:
                most, common, allowance = (
                    SPARSE_STEP,
                    SPARSE_ALLOWANCE,
                    max(SPARSE_ALLOWANCE, 4 * s[SCATTER, i]),
                )
            judged = min(step * (own - allowance), most) if d <= FARTHEST else -SPARSE_STEP
            if judged < 0 and s[F + FIRST_TAU, i] < IDLE * s[HIGH, i]:
                judged *= 0.05  # a die without work says little, for or against
            add(s, SUM, ALARMED, judged, i)
            add(s, SHARED_SUM, SHARED_ALARMED, min(step * (shared[i] - common), most), i)
            calm = s[SUM, i] < CLEAR and s[SHARED_SUM, i] < CLEAR
            if calm:
                square = s[SCATTER, i] ** 2
                most = min(SCATTER_JUMP * max(s[SCATTER, i], 0.01), 0.15)
                square += min(d / SCATTER_MEMORY, 1.0) * (min(out[4, i], most) ** 2 - square)
                s[SCATTER, i] = np.sqrt(square)
            # A GPU that runs much cooler for ten minutes was repaired: its old line no longer describes it.
            s[LOW_FOR, i] = s[LOW_FOR, i] + d if own < -0.15 else 0.0
            s[ALARM_FOR, i] = s[ALARM_FOR, i] + d if s[ALARMED, i] > 0 else 0.0
            # An alarm far older than the baseline it rests on says that the baseline was no good, unless
            # peers speak for it: then `thermal_words` sets it back.
            doubtful = s[ALARM_FOR, i] > max(DOUBTFUL, 6.0 * s[AGE, i])
            if (s[LOW_FOR, i] > 600.0 and d < 60) or doubtful:
                for r in range(MX, AGE + 1):
                    s[r, i] = 0.0
                s[LOW_FOR, i] = s[RISE, i] = s[SUM, i] = s[ALARMED, i] = s[ALARM_FOR, i] = 0.0
                s[OWN_LAG, i] = 0.0
                s[EXCESS, i] = s[EXCESS_SLOW, i] = 0.0
                continue
        if s[WAIT, i] > 0:
            continue
        window(d, y + reference[i] - exact[i], core[i], exact[i], s, i)
        abnormal = s[SUM, i] >= CLEAR or s[SHARED_SUM, i] >= CLEAR or abs(s[RISE, i]) > ALLOWANCE
        if abnormal and ready:
            continue
        if s[AGE, i] < LEAST_BASELINE and s[SEEN, i] < YOUNG and abs(core[i] - s[ANCHOR, i]) > REST:
            s[ANCHOR, i] = core[i]
            for r in range(MX, AGE + 1):
                s[r, i] = 0.0
        fade = np.exp(-d / MEMORY) if d > 100 else 1 - d / MEMORY
        # What lies outside the tolerance may be the beginning of a fault that the line must not take in.
        weight = OUTSIDE_WEIGHT if ready and out[3, i] > 0 else 1.0
        n = fade * s[N, i] + weight
        dy = y - s[MY, i]
        s[MY, i] += weight * dy / n
        after = y - s[MY, i]
        for k in range(K):
            dx = s[F + k, i] - s[MX + k, i]
            s[MX + k, i] += weight * dx / n
            s[SXX + k, i] = fade * s[SXX + k, i] + weight * dx * (s[F + k, i] - s[MX + k, i])
            s[SXY + k, i] = fade * s[SXY + k, i] + weight * dx * after
        s[SYY, i] = fade * s[SYY, i] + weight * dy * after
        s[N, i] = n
        age = min(s[AGE, i] + d, 1e6)
        if age >= GROWN and int(age / CHOOSE) != int(s[AGE, i] / CHOOSE):
            s[BEST, i] = best_lag(s, i)
            s[OWN_LAG, i] = 1.0 if varied(s, i) else 0.0
        s[AGE, i] = age if age < 1e6 else 5e5


def pooled_lag(s: Floats) -> int:
    """The lag that fits most of the GPUs whose temperature has varied enough; the first guess if none has."""
    excited = (s[N] > 0) & (s[SYY] > 9.0 * np.maximum(s[N], 12.0))
    if not excited.any():
        return FIRST_TAU
    sxx, sxy, syy = s[SXX : SXX + K, excited], s[SXY : SXY + K, excited], s[SYY, excited]
    left = (syy - sxy**2 / np.maximum(sxx, 1e-9)) / syy
    return int(np.argmin(np.median(left, axis=1)))


@compiled
def add(s: Floats, total: int, alarm: int, step: float, i: int) -> None:
    """Cumulative sum with hysteresis."""
    s[total, i] = min(max(s[total, i] + step, 0.0), CEILING)
    if s[total, i] >= ALARM:
        s[alarm, i] = 1.0
    elif s[total, i] < CLEAR:
        s[alarm, i] = 0.0


@compiled
def window(d: float, y: float, core: float, reference: float, s: Floats, i: int) -> None:
    """Means over ten minutes, then moments of those means over the block; the hottest moment of the block."""
    if y != y:
        return
    if s[WN, i] == 0:
        s[WX, i] = s[WY, i] = s[WAGE, i] = 0.0
        s[WF, i] = s[F + K - 1, i]
    k = int(s[BEST, i])
    s[WN, i] += 1
    s[WX, i] += (s[F + k, i] - s[WX, i]) / s[WN, i]
    s[WY, i] += (y - s[WY, i]) / s[WN, i]
    s[WAGE, i] += d
    if core > s[PEAK, i]:
        s[PEAK, i] = core
        s[PEAK_REF, i] = reference
    if s[WAGE, i] < WINDOW or s[WN, i] < 3:
        return
    steady = abs(s[F + K - 1, i] - s[WF, i]) < 0.1 * s[HIGH, i]
    if steady and s[WX, i] > LOADED * s[HIGH, i]:
        s[BN, i] += 1
        dx, dy = s[WX, i] - s[BMX, i], s[WY, i] - s[BMY, i]
        s[BMX, i] += dx / s[BN, i]
        s[BMY, i] += dy / s[BN, i]
        s[BSXX, i] += dx * (s[WX, i] - s[BMX, i])
        s[BSXY, i] += dx * (s[WY, i] - s[BMY, i])
    s[WN, i] = 0.0


@compiled
def varied(s: Floats, i: int) -> bool:
    """Whether the temperature of a GPU has varied enough to tell its lag by."""
    return bool(s[SYY, i] > 9.0 * max(s[N, i], 12.0))


@compiled
def best_lag(s: Floats, i: int) -> int:
    """The lag that leaves the least error; the present one until the temperature has varied enough."""
    best, least = int(s[BEST, i]), np.inf
    if varied(s, i):
        for j in range(K):
            left = s[SYY, i] - s[SXY + j, i] ** 2 / max(s[SXX + j, i], 1e-9)
            if left < least:
                best, least = j, left
    return best
