"""When a rising thermal resistance first meets a peak of load that takes the GPU to its limit.

A first passage, not a crossing of two lines: the rise goes on as a line or an exponential, nobody knows which
nor how steep exactly; peaks of load and of the air come as they came before; a hotter die draws more power.
All that is averaged over, so that the middle of the distribution is the forecast and its tails are honest.

Method: Bayesian averaging of regressions (BIC weights); first passage with renewals for the load's regimes.
"""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats

DAY = 86400.0
SCATTER, SCATTER_BLOCKS = 0.012, 4.0
"""Relative scatter of a block's deviation that is assumed at first, and for how many blocks' worth."""
ALIKE, ALIKE_BLOCKS = 0.7, 16.0
"""Correlation of the errors of one block and the next that is assumed at first, and for how many blocks'
worth."""
FADE = 2.0
"""Days after which a block counts a third in the trend: faults speed up, fans catch up with them."""
ONSET = 0.03
"""How far from 0 the deviation may have been when it began."""
RESTS = 0.15
"""Chance, before anything was seen, that what rose rests from now on, as after a step."""
AIR_MEMORY = 5.0
"""Days for which the air's or coolant's state tells of the days to come."""
NEW_LOAD = 0.05
"""Relative change of the peak rise from one block to the next that is another job."""
REGIMES, REGIME = 2.0, 1.0
"""How many regimes of load are assumed at first to have been seen, each lasting so many days."""
SOFT, SOFT_CHANCES = np.exp([-0.065, 0.0, 0.065]), np.array([0.3, 0.4, 0.3])
"""Factors, and their chances, by which what a GPU needs for its limit may be off: 5 % standard deviation, for
steps of the reading, peaks between two samples, and a resistance that is not quite the same at the peak."""
LEAK, LEAK_DOUBT = 0.0025, 0.0015
"""Share by which a die draws more power per kelvin, and how far one device model's may be off that."""
LEAK_ALIKE = 0.0007
"""By how much that share differs between GPUs, with all errors of one estimate that are not its scatter."""
AHEAD = np.concatenate(([0.0], np.arange(0.25, 6, 0.25), np.arange(6, 20, 0.5), np.arange(20, 61, 2.0)))
"""Days ahead at which the chance of having throttled is worked out."""
_STEPS = np.array([-2.0, -1.2, -0.6, 0.0, 0.6, 1.2, 2.0])
_CHANCES = np.exp(-0.5 * _STEPS**2) / np.exp(-0.5 * _STEPS**2).sum()


def trends(days: Floats, d: Floats, onset: float) -> tuple[Floats, Floats]:
    """Courses that the deviation may take: their chances (courses,), and values (courses, len(AHEAD)).

    `days` (ascending, up to 0 = now) and `d` are the blocks since it began, `onset` the day it did.
    """
    weight = np.exp((days - days[-1]) / FADE)
    size = weight.sum()
    found = [_fitted(days, d, weight, onset, grows) for grows in (False, True)]
    late = d[days >= onset + 0.25]
    rested = found[0][0]
    if len(late) >= 2:
        left = np.sum((late - late.mean()) ** 2) + SCATTER_BLOCKS * SCATTER**2
        rested = left / (len(late) - 1 + SCATTER_BLOCKS)
    best = min(variance for variance, *_ in found)
    free = len(d) / min(spread for _, spread, _ in found)
    chances = [(variance / best) ** (-0.5 * free) * _CHANCES for variance, _, _ in found]
    courses = [course for *_, course in found]
    if len(late) >= 2 and size > 0:
        chances.append(np.array([RESTS * (rested / best) ** (-0.5 * free)]))
        courses.append(np.full((1, len(AHEAD)), d[-4:].mean()))
    every = np.concatenate(chances)
    return every / every.sum(), np.concatenate(courses)


def _fitted(
    days: Floats, d: Floats, weight: Floats, onset: float, grows: bool
) -> tuple[float, float, Floats]:
    """Residual variance of a line or exponential, how many blocks count as one, and its courses."""
    y = np.log1p(np.maximum(d, -0.5)) if grows else d
    all_t, all_y = np.append(days, onset), np.append(y, 0.0)
    all_w = np.append(weight, (SCATTER / ONSET) ** 2)
    total = all_w.sum()
    t0, y0 = (all_w * all_t).sum() / total, (all_w * all_y).sum() / total
    across = max(float((all_w * (all_t - t0) ** 2).sum()), 1e-9)
    slope = (all_w * (all_t - t0) * (all_y - y0)).sum() / across
    left = y - y0 - slope * (days - t0)
    back = left * (1 + np.maximum(d, -0.5)) if grows else left
    known = max(float(weight.sum()) - 1, 0.5) + SCATTER_BLOCKS
    variance, scaled = (
        (float((weight * error**2).sum()) + SCATTER_BLOCKS * SCATTER**2) / known for error in (back, left)
    )
    alike = ALIKE
    if len(d) > 4:
        alike = float((back[1:] * back[:-1]).sum() / max(float((back**2).sum()), 1e-9))
    alike = (alike * len(d) + ALIKE * ALIKE_BLOCKS) / (len(d) + ALIKE_BLOCKS)
    alike = min(max(alike, 0.0), 0.9)
    spread = (1 + alike) / (1 - alike)
    slopes = slope + _STEPS * np.sqrt(scaled * spread / across)
    course = np.maximum(y0 + slopes[:, None] * (AHEAD - t0), -0.4)
    return variance, spread, np.expm1(np.minimum(course, 3.0)) if grows else course


def needs(peak: Floats, air: Floats, d: Floats, limits: Floats, leak: float) -> Floats:
    """Deviation at which each peak of load would reach each limit over each state of the air.

    `peak` and `air` (°C) are a block's hottest moment and its reference. The answer has the shape
    (limits, peaks, air).
    """
    cool = (peak - air) / (1 + d)
    more = 1 + leak * np.maximum(limits[:, None] - peak, 0.0)
    needed: Floats = (limits[:, None, None] - air) / (cool * more)[..., None] - 1
    return needed


def passage(
    need: Floats, by_air: Floats, recent: Floats, regime: float, loaded: float, chance: Floats, course: Floats
) -> Floats:
    """Chance of having throttled by each moment of AHEAD.

    `need` (peaks, air), `by_air` and `recent` the weights of the air's states and of the peaks of the present
    regime of load, which lasts `regime` days at the mean; then any of all peaks may come, if the GPU is
    `loaded` (share of time). `chance`, `course`: see `trends`.
    """
    every = need.ravel()
    order = np.argsort(every)
    at = np.searchsorted(every[order], course)
    usual = np.full(len(recent), 1 / len(recent))
    now_on, later = (
        np.append(0.0, np.cumsum((weight[:, None] * by_air).ravel()[order]))[at] for weight in (recent, usual)
    )
    later = np.minimum(later * loaded, 0.995)
    renewed = 1 - np.exp(-AHEAD / regime)
    hit = np.minimum((1 - renewed) * now_on + renewed * later, 0.995)
    within = np.maximum.accumulate(-np.log1p(-hit), axis=1)
    # It has not throttled so far: what the present load would need is more than the present deviation.
    within -= within[:, :1]
    between = np.cumsum(later * np.diff(AHEAD, prepend=0.0), axis=1) / regime
    alive: Floats = (chance[:, None] * np.exp(-within - between)).sum(axis=0)
    return np.maximum.accumulate(1 - alive)


def regime_days(days: Floats, cool: Floats) -> float:
    """How long a level of load lasts, from the peak rises (K, less what the fault adds) of the blocks."""
    jumps = np.count_nonzero(np.abs(np.diff(np.log(np.maximum(cool, 1.0)))) > NEW_LOAD)
    return float((days[-1] - days[0] + REGIMES * REGIME) / (jumps + REGIMES))


def leak_of(power: Floats, peers: Floats, warmer: Floats) -> tuple[float, float]:
    """Share of power that a GPU draws more per kelvin, and the standard error; (LEAK, inf) if unknown.

    `power` and `peers`' (W, the same blocks) move together with the job; what is left follows the kelvin that
    the GPU is `warmer` than it used to be. Iterated Cauchy weights: blocks with another job do not count.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log(power / peers)
    use = np.isfinite(y) & np.isfinite(warmer)
    y, x = y[use], warmer[use]
    near = np.abs(y - np.median(y)) < 0.1 if len(y) else use[:0]
    y, x = y[near], x[near]
    if len(y) < 6:
        return LEAK, float("inf")
    weight, slope, scale, across = np.ones(len(y)), 0.0, 0.01, 1e-9
    for _ in range(8):
        x0, y0 = np.average(x, weights=weight), np.average(y, weights=weight)
        across = max(float((weight * (x - x0) ** 2).sum()), 1e-9)
        slope = float((weight * (x - x0) * (y - y0)).sum()) / across
        left = y - y0 - slope * (x - x0)
        scale = max(1.48 * float(np.median(np.abs(left))), 0.002)
        weight = 1 / (1 + (left / (2 * scale)) ** 2)
    return slope, float(np.hypot(scale * np.sqrt(3.0 / across), LEAK_ALIKE))


def shared_leak(found: list[tuple[float, float]]) -> list[float]:
    """The best estimate for each GPU, from its own and those of all, `found` as by `leak_of`."""
    value, error = np.array(found, float).reshape(-1, 2).T
    value = np.clip(value, -0.002, 0.01)
    each = 1 / error**2
    prior = 1 / LEAK_DOUBT**2
    common = (LEAK * prior + (value * each).sum()) / (prior + each.sum())
    kept = 1 / LEAK_ALIKE**2
    return [float(v) for v in np.maximum((common * kept + value * each) / (kept + each), 0.0)]
