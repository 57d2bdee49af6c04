"""From a rising thermal resistance to the time until the GPU throttles, and to a risk."""

from __future__ import annotations

import numpy as np

from analytics.columns import Columns, Floats

LONGEST = 30 * 86400.0
"""Seconds beyond which a forecast means nothing."""
_LEAST_TREND = 0.02
"""Kelvin per second under which a fast trend is noise."""
_FAST, _SLOW = 8.0, 45.0
"""Seconds of the two filters that a fast trend is read from."""


def throttle_time(margin: Floats, fast: Floats, slow: Floats, tau: float) -> Floats:
    """Seconds until the margin (K) is used up by a rise that goes on as it does now; NaN without a trend.

    `fast` and `slow` are two lagged means of the kelvin above the expected temperature, so their difference
    is the trend without what the load does.
    """
    trend = (fast - slow) / (_SLOW - _FAST)
    with np.errstate(invalid="ignore", divide="ignore"):
        seconds = np.maximum(margin, 0.0) / trend
        # A rise that has nearly reached its end (it moves by tau * trend yet) does not get there.
        reaches = margin <= 3.0 * tau * trend
        return np.where((trend > _LEAST_TREND) & reaches, seconds, np.nan)


def slow_outlook(c: Columns, limit: Floats, now: float) -> Floats:
    """Seconds until R reaches what the GPU can bear at its usual peak power and inlet; NaN without a trend.

    Straight line through the blocks of the ring; absent unless the lower bound (95 %) of its slope rises.
    """
    when, px, pxx, pxy = c["ring"]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(pxx > 0, (pxy - c["offset"] * px) / pxx, np.nan)
        recent = np.where(when > now - 5 * 86400.0, r, np.nan)
        t = np.where(np.isfinite(recent), when - now, np.nan)
        n = np.sum(np.isfinite(recent), axis=0)
        mean_t, mean_r = np.nansum(t, axis=0) / n, np.nansum(recent, axis=0) / n
        stt = np.nansum((t - mean_t) ** 2, axis=0)
        slope = np.nansum((t - mean_t) * (recent - mean_r), axis=0) / stt
        residual = recent - mean_r - slope * (t - mean_t)
        error = np.sqrt(np.nansum(residual**2, axis=0) / np.maximum(n - 2, 1) / stt)
        bearable = (limit - c["offset"] - c["inlet_high"]) / c["power_high"]
        seconds = np.maximum(bearable - (mean_r - slope * mean_t), 0.0) / slope
        good = (n >= 4) & (slope - 1.64 * error > 0) & (seconds < LONGEST)
        return np.where(good, seconds, np.nan)


def risk_of(eta: Floats, horizon: float, intercept: float = 0.5, slope: float = 1.5) -> Floats:
    """Chance of throttling within `horizon` seconds, given the forecast; NaN without one.

    Logistic in the logarithm of horizon / forecast: at a forecast equal to the horizon it is a little over
    one half. `gigawatch analytics backtest --calibrate` fits both numbers to a labelled history.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = intercept + slope * np.log(horizon / np.maximum(eta, 1.0))
        return 1 / (1 + np.exp(-odds))
