"""When a limit is reached if the trend of the last weeks goes on, with an interval.

One value a day (the day's 99th percentile), a line through them by Theil and Sen (the median of the slopes of
all pairs, which one odd day in four does not move), and its spread from a bootstrap over whole weeks, because
neighbouring days are alike. Growth that came in one step (a new row) is no trend: only what followed counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.fleet.columns import Floats

DAY = 86400.0
FEWEST_DAYS = 10
"""Less history says nothing about weeks to come."""
HORIZON_DAYS = 5 * 365.0
"""What lies further ahead is not told."""
_ROUNDS = 200
_BLOCK = 7
_STEP = 6.0
"""A jump of so many times the usual day-to-day change is a step."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until the limit. `expected` is the median of the bootstrap, `early` and `late` its 5th and 95th
    percentile; infinite where it is not reached within the horizon."""

    expected: float
    early: float
    late: float
    level: float
    """The line's value today."""
    per_day: float
    """Growth."""
    days: int
    """Days of history that count."""


def forecast(days: Floats, values: Floats, limit: float, today: float, seed: int = 1) -> Forecast | None:
    """From values by day (days as numbers, rising). None where there is too little history, or no growth that
    leads to the limit within the horizon."""
    known = np.isfinite(values)
    days, values = days[known], values[known]
    days, values = _after_last_step(days, values)
    if len(values) < FEWEST_DAYS or limit <= 0:
        return None
    growth, level = (float(found[0]) for found in _lines(days, values[None, :], today))
    residuals = values - (level + growth * (days - today))
    made = values - residuals + _resampled(residuals, np.random.default_rng(seed))
    waits = _waits(*_lines(days, made, today), limit)
    early, expected, late = (float(np.quantile(waits, q, method="nearest")) for q in (0.05, 0.5, 0.95))
    if not np.isfinite(expected):
        return None
    return Forecast(expected * DAY, early * DAY, late * DAY, level, growth, len(values))


def _lines(days: Floats, values: Floats, today: float) -> tuple[Floats, Floats]:
    """Slope per day and value today of each row of values."""
    i, j = np.triu_indices(len(days), 1)
    slopes = np.median((values[:, j] - values[:, i]) / (days[j] - days[i]), axis=1)
    return slopes, np.median(values - slopes[:, None] * (days - today), axis=1)


def _waits(slopes: Floats, levels: Floats, limit: float) -> Floats:
    """Days until each line reaches the limit."""
    waits = np.divide(limit - levels, slopes, out=np.full(len(slopes), np.inf), where=slopes > 0)
    waits[waits > HORIZON_DAYS] = np.inf
    return np.where(levels >= limit, 0.0, waits)


def _resampled(residuals: Floats, rng: np.random.Generator) -> Floats:
    """Rows of residuals, put together from whole weeks."""
    count = len(residuals)
    block = min(_BLOCK, count)
    starts = rng.integers(0, count - block + 1, size=(_ROUNDS, -(-count // block)))
    places = starts[:, :, None] + np.arange(block)
    return np.asarray(residuals[places.reshape(_ROUNDS, -1)[:, :count]])


def _after_last_step(days: Floats, values: Floats) -> tuple[Floats, Floats]:
    """What came after the last jump: a level that changes from one day to the next and stays."""
    if len(values) < FEWEST_DAYS:
        return days, values
    changes = np.diff(values)
    usual = 1.4826 * float(np.median(np.abs(changes - np.median(changes))))
    usual = max(usual, 0.005 * float(np.median(np.abs(values))), 1e-9)
    for place in range(len(changes) - 1, -1, -1):
        if abs(changes[place]) <= _STEP * usual:
            continue
        before, after = values[max(0, place - 3) : place + 1], values[place + 1 : place + 5]
        if abs(float(np.median(after) - np.median(before))) > _STEP * usual:
            return days[place + 1 :], values[place + 1 :]
    return days, values
