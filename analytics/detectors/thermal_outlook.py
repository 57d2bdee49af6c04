"""From a rising thermal resistance to the time until the GPU throttles, and to a risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.detectors.thermal_slow import BLOCK, R_BLOCK, R_PEAK, R_REF
from analytics.fleet.columns import Floats

LONGEST = 60 * 86400.0
"""Seconds beyond which a forecast means nothing."""
DEFAULT_LIMIT, LIMIT_DOUBT = 87.0, 4.0
"""°C at which a GPU is taken to slow down where the driver does not say, and how far off that may be."""
_LEAST_TREND = 0.02
"""Kelvin per second under which a fast trend is noise."""
_LEAST_PACE = 0.002
"""The same for the mean pace of a rise that has lasted."""
_FAST, _SLOW = 8.0, 45.0
"""Seconds of the two filters that a fast trend is read from."""
_PEAKS = 12
"""Blocks (three days) whose hottest moments stand for those to come."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Unix times at which throttling is expected: most likely, and the 90 % interval."""

    at: float
    earliest: float
    latest: float


def throttle_time(
    margin: Floats, fast: Floats, slow: Floats, first: Floats, lasted: Floats, tau: Floats
) -> Floats:
    """Seconds until the margin (K) is used up by a rise that goes on as it does now; NaN without a trend.

    `fast` and `slow` are two lagged means of the kelvin above the expected temperature, so their difference
    is the trend without what the load does. Once a rise has lasted (seconds since it began, at `first`
    kelvin),
    its mean pace says more than that difference.
    """
    now = (fast - slow) / (_SLOW - _FAST)
    with np.errstate(invalid="ignore", divide="ignore"):
        pace = (slow - first) / lasted
        long = lasted > np.maximum(120.0, 3.0 * tau)
        trend = np.where(long, pace, now)
        goes_on = long & (now > 0.3 * pace) & (pace > _LEAST_PACE)
        # A rise that has nearly reached its end (it moves by tau * trend yet) does not get there.
        reaches = ~long & (margin <= 3.0 * tau * trend) & (trend > _LEAST_TREND)
        return np.where(goes_on | reaches, np.maximum(margin, 0.0) / trend, np.nan)


def slow_outlook(
    ring: Floats, row: int, since: float, limit: float, doubt: float, now: float
) -> Outlook | None:
    """When one GPU reaches its limit by the trend of its resistance; None without a trend that says so.

    `ring` is that GPU's ring (rows, blocks), `row` the deviation to extrapolate, `since` the block in which
    it
    began. A straight line and an exponential are fitted to what came after; the one that fits better speaks,
    both where they fit alike. The limit is what the hottest moments of the last three days would need.
    """
    number = ring[R_BLOCK]
    held = np.isfinite(ring[row]) & (number > 0)
    needed = required(ring[:, held][:, -_PEAKS:], row, limit)
    use = held & (number >= since - 1)
    if not np.isfinite(needed) or use.sum() < 3:
        return None
    t, d = (number[use] + 1) * BLOCK - now, ring[row, use]
    least, most = (required(ring[:, held][:, -_PEAKS:], row, limit + k * doubt) for k in (-1.64, 1.64))
    straight = _crossing(t, d, needed, least, most, False)
    grown = _crossing(t, d, needed, least, most, True)
    both = [found for found in (straight, grown) if found is not None]
    if not both:
        return None
    best = min(found[3] for found in both)
    # Where the data cannot tell a line from an exponential, the truth lies between the two.
    near = [found for found in both if found[3] <= 1.3 * best + 1e-9]
    at = float(np.exp(np.mean([np.log(max(found[0], 60.0)) for found in near])))
    early, late = min(found[1] for found in near), max(found[2] for found in near)
    if at > LONGEST:
        return None
    return Outlook(now + at, now + max(0.0, min(early, at)), now + max(late, at))


def required(ring: Floats, row: int, limit: float) -> float:
    """Deviation at which a peak like the recent ones reaches `limit`; NaN if there were none."""
    peak, reference, d = ring[R_PEAK], ring[R_REF], ring[row]
    rise = peak - reference
    good = (rise > 5.0) & np.isfinite(d) & (peak > -100)
    if not good.any():
        return float("nan")
    each = np.sort((limit - reference[good]) / rise[good] * (1 + d[good]) - 1)
    return float(np.quantile(each, 0.25))


def _crossing(
    t: Floats, d: Floats, needed: float, least: float, most: float, grows: bool
) -> tuple[float, float, float, float] | None:
    """Seconds until `needed` is reached, lower and upper bound, and the residual variance of the fit."""
    y = np.log1p(np.maximum(d, -0.5)) if grows else d
    goal, low, high = (np.log1p(max(v, -0.5)) if grows else v for v in (needed, least, most))
    days = t / 86400.0
    mean_t, mean_y = days.mean(), y.mean()
    stt = max(float(((days - mean_t) ** 2).sum()), 1e-9)
    slope = float(((days - mean_t) * (y - mean_y)).sum()) / stt
    left = y - mean_y - slope * (days - mean_t)
    back = np.expm1(y) - np.expm1(y - left) if grows else left
    variance = float((back**2).sum()) / max(len(y) - 2, 1)
    error = float(np.sqrt(max(float((left**2).sum()) / max(len(y) - 2, 1), 1e-6) / stt))
    if slope - 1.64 * error <= 0:
        return None
    level = mean_y - slope * mean_t
    day = 86400.0
    return (
        max(goal - level, 0.0) / slope * day,
        max(min(low, goal) - level, 0.0) / (slope + 1.64 * error) * day,
        max(max(high, goal) - level, 0.0) / max(slope - 1.64 * error, 0.2 * slope) * day,
        variance,
    )


def risk_of(eta: Floats, horizon: float, intercept: float = 0.5, slope: float = 1.5) -> Floats:
    """Chance of throttling within `horizon` seconds, given the forecast; NaN without one.

    Logistic in the logarithm of horizon / forecast: at a forecast equal to the horizon it is a little over
    one half. `gigawatch analytics backtest --calibrate` fits both numbers to a labelled history.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = intercept + slope * np.log(horizon / np.maximum(eta, 1.0))
        return 1 / (1 + np.exp(-odds))
