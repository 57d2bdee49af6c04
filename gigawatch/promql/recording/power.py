"""Power devices: what goes into each, what each may carry, and how near its breakers are to their limit.

A breaker carries 80 % of its rating for hours (NEC 210.20); what a device says of itself comes before what
the inventory plans. Management controllers are left out: they measure servers.
"""

from __future__ import annotations

from collections.abc import Callable

from gigawatch.catalogue import Metric, Unit, electrical, facility, site
from gigawatch.promql.expr import (
    Expr,
    Selector,
    absolute,
    avg_by,
    count_by,
    differs,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    series,
    sum_by,
)
from gigawatch.promql.joins import otherwise, relabel
from gigawatch.promql.recording.common import DEVICE
from gigawatch.promql.rule import Recorded, recorded

CONTINUOUS = 0.8
"""Share of its rating that a breaker carries for hours (NEC 210.20)."""
POWER_ROLES = "utility|ups|floor_pdu|rack_pdu|busway|transfer_switch|power_shelf"
COOLING_ROLES = "cdu|chiller|crah|dry_cooler|cooling_tower|rear_door"
_KEY = ("site", "device")


def _itself(readings: Selector) -> Expr:
    return readings


def inlet(metric: Metric, over: Callable[[Selector], Expr] = _itself) -> Expr:
    """What a device says of its whole input, else the sum over its inlets."""
    labels = (*DEVICE, "side")
    whole = max_by(over(series(metric, scope="inlet", id="", node="")), *labels)
    parts = max_by(over(series(metric, scope="inlet", id=differs(""), node="")), *labels, "id")
    return otherwise(whole, sum_by(parts, *labels), *_KEY)


def with_role(roles: str) -> Expr:
    """Devices of some roles; always 1."""
    return max_by(series(site.DEVICE_INFO, role=matches(roles)), *_KEY)


DEVICE_POWER = Recorded(
    "device:aif_power_active_watts:inlet",
    inlet(facility.POWER_ACTIVE),
    "Power into a facility device: its total, or else the sum of its inlets.",
    Unit.WATTS,
)


def _rated(own: Metric, roles: str) -> Expr:
    planned = on(max_by(series(site.DEVICE_CAPACITY), *_KEY), "and", with_role(roles), *_KEY)
    return otherwise(max_by(series(own), *_KEY), planned, *_KEY)


DEVICE_CAPACITY = Recorded(
    "device:aif_power_capacity_watts:rated",
    _rated(facility.POWER_CAPACITY, POWER_ROLES),
    "Power that a device may carry for hours: as it says itself, or else as the inventory plans.",
    Unit.WATTS,
)
COOLING_RATED = Recorded(
    "device:aif_cooling_capacity_watts:rated",
    _rated(facility.COOLING_CAPACITY, COOLING_ROLES),
    "Heat that a device can carry away: as it says itself, or else as the inventory plans.",
    Unit.WATTS,
)
BREAKER_RATED = Recorded(
    "device:aif_breaker_rating_amperes:rated",
    otherwise(
        max_by(series(facility.BREAKER_RATING), *_KEY, "id"),
        relabel(max_by(series(site.DEVICE_BREAKER), *_KEY), "id", "main", "site"),
        *_KEY,
        "id",
    ),
    "Rated current of a breaker (main, or a branch): as the device says, or else as the inventory plans.",
    Unit.AMPERES,
)
_phases = max_by(series(facility.CURRENT, scope="phase", node=""), *DEVICE, "id")
_worst = otherwise(
    max_by(_phases, *DEVICE),
    max_by(series(facility.CURRENT, scope=matches("inlet|line"), node=""), *DEVICE),
    *_KEY,
)
_branches = max_by(series(facility.CURRENT, scope="branch", node=""), *DEVICE, "id")
BREAKER_CURRENT = Recorded(
    "device:aif_breaker_current_amperes:max",
    relabel(_worst, "id", "main", "site").or_(_branches),
    "Current through a breaker: the worst phase through the main one, or that of a branch.",
    Unit.AMPERES,
)
_breaker = (*_KEY, "id")
BREAKER_LOAD = Recorded(
    "device:aif_breaker_load:ratio",
    many_to_one(recorded(BREAKER_CURRENT), "/", recorded(BREAKER_RATED) > 0, _breaker).in_unit(Unit.RATIO),
    "Current through a breaker against its rating; 0.8 is the limit for hours.",
    Unit.RATIO,
)
BREAKER_HEADROOM = Recorded(
    "device:aif_breaker_headroom_amperes:left",
    many_to_one(recorded(BREAKER_CURRENT), "-", recorded(BREAKER_RATED) * CONTINUOUS, _breaker) * -1,
    "Amperes that may be added before a breaker carries 80 % of its rating; negative: too much already.",
    Unit.AMPERES,
)
_mean = avg_by(_phases, *DEVICE)
_apart = max_by(absolute(many_to_one(_phases, "-", _mean, DEVICE)), *DEVICE)
_several = on(_mean > 3, "and", count_by(_phases, *DEVICE) >= 2, *DEVICE)
PHASE_IMBALANCE = Recorded(
    "device:aif_phase_imbalance_ratio:max",
    otherwise(
        max_by(series(electrical.PHASE_IMBALANCE, scope="inlet", node=""), *DEVICE),
        on(_apart, "/", _several, *DEVICE),
        *_KEY,
    ),
    "How far the worst phase is from the mean of all: as the device says, or else from its currents.",
    Unit.RATIO,
)
FEED_BATTERY = Recorded(
    "feed:aif_ups_battery_runtime_seconds:min",
    min_by(
        many_to_one(
            min_by(series(facility.UPS_RUNTIME), *_KEY),
            "*",
            max_by(series(site.DEVICE_INFO, role="ups", feed=matches(".+")), *_KEY, "feed"),
            _KEY,
            ("feed",),
        ),
        "site",
        "feed",
    ),
    "How long the batteries of a feed last at the present load: that of its weakest UPS.",
    Unit.SECONDS,
)
