"""From a rising thermal resistance to the time until the GPU throttles, and to a risk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analytics.detectors import thermal_passage as passage
from analytics.detectors import thermal_slow as slow
from analytics.detectors.thermal_groups import Topology
from analytics.detectors.thermal_slow import BLOCK, R_BLOCK, R_OWN, R_PEAK, R_POWER, R_REF
from analytics.fleet.columns import Bools, Floats

DEFAULT_LIMIT, LIMIT_DOUBT = 88.0, 5.0
"""°C at which a GPU is taken to slow down where the driver does not say, and how far off that may be."""
_LEAST_TREND = 0.02
"""Kelvin per second under which a fast trend is noise."""
_LEAST_PACE = 0.002
"""The same for the mean pace of a rise that has lasted."""
_FAST, _SLOW = 8.0, 45.0
"""Seconds of the two filters that a fast trend is read from."""
LEAST_RISE = 5.0
"""Kelvin over its reference under which a block's hottest moment says nothing of load."""


QUICK_EARLY, QUICK_LATE = 0.4, 3.0
"""What a forecast from the trend of minutes is multiplied with for its 90 % interval, by ramps of 1 to 5 K a
minute: loads change and what heats up slows down."""
_Z = np.linspace(-5.0, 5.0, 201)
_BELOW = np.cumsum(np.exp(-0.5 * _Z**2)) / np.exp(-0.5 * _Z**2).sum()


@dataclass(frozen=True, slots=True)
class Outlook:
    """Unix times at which throttling is expected: most likely, and the 90 % interval."""

    at: float
    earliest: float
    latest: float


def room(core: Floats, limit: Floats, known: Bools) -> tuple[Floats, Floats, Floats]:
    """Kelvin from `core` (°C) to the limit: the middle and, where the limit is assumed, 5 and 95 %.

    An assumed limit lies above what a GPU has lived through, so that its room never is 0.
    """
    passed = np.interp((core - DEFAULT_LIMIT) / LIMIT_DOUBT, _Z, _BELOW)
    least, mid, most = (
        np.maximum(np.interp(passed + q * (1 - passed), _BELOW, _Z) * LIMIT_DOUBT + DEFAULT_LIMIT - core, 0.5)
        for q in (0.05, 0.5, 0.95)
    )
    mid, least, most = (np.where(known, limit - core, kelvin) for kelvin in (mid, least, most))
    return mid, least, most


def throttle_time(
    margin: Floats, fast: Floats, slow: Floats, first: Floats, lasted: Floats, tau: Floats
) -> Floats:
    """Seconds until the margin (K) is used up by a rise that goes on as it does now; NaN without a trend.

    `fast` and `slow` are two lagged means of the kelvin above the expected temperature, so their difference
    is the trend without what the load does. Once a rise has lasted (seconds since it began, at `first` K),
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


def remaining(at: Floats, latest: Floats, now: float) -> Floats:
    """Seconds left by the forecasts (Unix times; 0 or NaN is none), until the next block renews them.

    One that is overdue is not at 0: what has outlived its median of a tail like an exponential's has about a
    quarter of what is left to the 95 % before it.
    """
    overdue = np.minimum(0.23 * np.maximum(latest - now, 0.0), BLOCK)
    return np.where(at > 0, np.maximum(at - now, np.where(at > now, 0.0, overdue)), np.nan)


def outlooks(
    ring: Floats, c: Floats, limit: Floats, top: Topology, now: float
) -> Iterator[tuple[int, Outlook]]:
    """The forecasts of all GPUs (rows) with a slow alarm, their own or that of their node."""
    own, wide = c[slow.ALARM_OWN] > 0, c[slow.ALARM_NODE] > 0
    # The first of a node to throttle may be one whose own alarm is not up yet.
    noded = np.isin(top.node, top.node[wide])
    rows = np.flatnonzero(own | noded)
    found = [_leak(ring, c, limit, top, int(row)) if own[row] else (passage.LEAK, np.inf) for row in rows]
    for row, leak in zip(map(int, rows), passage.shared_leak(found), strict=True):
        by_own = own[row]
        since = c[slow.SINCE_OWN if by_own else slow.SINCE_NODE, row]
        if not by_own and not wide[row]:
            since = c[slow.SINCE_NODE, wide & (top.node == top.node[row])].min()
        one = slow_outlook(
            ring[:, :, row].astype(np.float64), slow.R_OWN if by_own else slow.R_NODE, float(since),
            float(limit[row]), leak, now,
        )  # fmt: skip
        if one is not None:
            yield row, one


def _leak(ring: Floats, c: Floats, limit: Floats, top: Topology, row: int) -> tuple[float, float]:
    """What `passage.leak_of` finds for a GPU against its node's others, in the blocks before its limit."""
    mine = ring[:, :, row].astype(np.float64)
    others = top.order[top.start[top.node[row]] : top.start[top.node[row] + 1]]
    others = others[others != row]
    if not len(others):
        return passage.LEAK, float("inf")
    same = ring[R_BLOCK][:, others][None] == mine[R_BLOCK][:, None, None]
    power = np.where(same, ring[R_POWER][:, others][None], 0.0).max(axis=1)
    power[power <= 0] = np.nan
    seen = np.isfinite(power).any(axis=1)
    peers = np.full(len(power), np.nan)
    peers[seen] = np.nanmedian(power[seen], axis=1)
    expected = c[slow.OFFSET, row] + c[slow.SLOPE, row] * mine[R_POWER]
    free = (mine[R_BLOCK] > 0) & ~(mine[R_PEAK] >= limit[row] - 0.5)
    return passage.leak_of(np.where(free, mine[R_POWER], np.nan), peers, expected * mine[R_OWN])


def slow_outlook(
    ring: Floats, row: int, since: float, limit: float, leak: float, now: float
) -> Outlook | None:
    """When one GPU throttles for the first time if its resistance goes on as it does; None if rather never.

    `ring` is that GPU's ring (rows, blocks), `row` the deviation to extrapolate, `since` the block in which
    it began, `limit` °C (NaN where the driver does not say), `leak` the share of power per kelvin.
    See `thermal_passage`.
    """
    number, d, peak, air = ring[R_BLOCK], ring[row], ring[R_PEAK], ring[R_REF]
    held = np.isfinite(d) & (number > 0)
    rose = held & (number >= since - 1)
    hot = held & (peak > -100) & (peak - air > LEAST_RISE) & (d > -0.5)
    if rose.sum() < 3 or not hot.any():
        return None
    days = ((number + 0.5) * BLOCK - now) / passage.DAY
    chance, course = passage.trends(days[rose], d[rose], (since * BLOCK - now) / passage.DAY)
    t, peak, air, d = days[hot], peak[hot], air[hot], d[hot]
    regime = passage.regime_days(t, (peak - air) / (1 + d))
    by_air, recent = (np.exp((t - t[-1]) / memory) for memory in (passage.AIR_MEMORY, min(regime, 1.0)))
    loaded = held.sum() / max(float(number[held][-1] - number[held][0]) + 1, 1.0)
    limits = _limits(limit, float(peak.max()))
    done = np.zeros(len(passage.AHEAD))
    for need in passage.needs(peak, air, d, limits, leak):
        for soft, share in zip(passage.SOFT, passage.SOFT_CHANCES / len(limits), strict=True):
            done += share * passage.passage(
                (1 + need) * soft - 1, by_air / by_air.sum(), recent / recent.sum(), regime, min(loaded, 1.0),
                chance, course,
            )  # fmt: skip
    if done[-1] < 0.5:
        return None
    early, at, late = (float(np.interp(share, done, passage.AHEAD)) for share in (0.05, 0.5, 0.95))
    return Outlook(now + at * passage.DAY, now + early * passage.DAY, now + late * passage.DAY)


def _limits(limit: float, hottest: float) -> Floats:
    """The limit, or, where the driver does not say, equally likely ones above the hottest moment seen."""
    if np.isfinite(limit):
        return np.array([limit])
    tried = DEFAULT_LIMIT + LIMIT_DOUBT * np.linspace(-2.2, 2.2, 23)
    chance = np.exp(-0.5 * ((tried - DEFAULT_LIMIT) / LIMIT_DOUBT) ** 2) * (tried > hottest + 0.5)
    if not chance.any():
        return hottest + np.array([0.5, 1.5, 2.5])
    share = (np.cumsum(chance) - 0.5 * chance) / chance.sum()
    return np.asarray(np.interp([0.1, 0.3, 0.5, 0.7, 0.9], share, tried))


def risk_of(eta: Floats, horizon: float, intercept: float = 0.5, slope: float = 1.5) -> Floats:
    """Chance of throttling within `horizon` seconds, given the forecast; NaN without one.

    Logistic in the logarithm of horizon / forecast: at a forecast equal to the horizon it is a little over
    one half. `gigawatch analytics backtest --calibrate` fits both numbers to a labelled history.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = intercept + slope * np.log(horizon / np.maximum(eta, 1.0))
        return 1 / (1 + np.exp(-odds))
