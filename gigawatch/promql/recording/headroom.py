"""What a rack could still take, by power, cooling, space and ports; and the power that one of these strands.

Units and ports count as the power that stands on them by the rack's plan. The deep answer, kind of node by
kind of node, is that of `gigawatch capacity`.
"""

from __future__ import annotations

from gigawatch.catalogue import Metric, Unit, site
from gigawatch.promql.expr import (
    Expr,
    avg_over_time,
    clamp_min,
    max_by,
    min_by,
    on,
    quantile_over_time,
    series,
    sum_by,
)
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import RACK, SITE
from gigawatch.promql.recording.redundancy import RACK_POWER_WHOLE, RACK_SIDE_CAPACITY
from gigawatch.promql.rule import Recorded, recorded

RACK_POWER_5M = Recorded(
    "rack:aif_power_active_watts:avg5m",
    avg_over_time(recorded(RACK_POWER_WHOLE), "5m"),
    "Mean power into a rack over five minutes.",
    Unit.WATTS,
    slow=True,
)
RACK_POWER_P99 = Recorded(
    "rack:aif_power_active_watts:p99_1d",
    quantile_over_time(0.99, recorded(RACK_POWER_5M), "1d"),
    "What the five-minute means of a rack's power stay below for 99 % of a day (of what is known of it).",
    Unit.WATTS,
    slow=True,
)


def _rack(metric: Metric) -> Expr:
    return max_by(series(metric), *RACK)


_budget = _rack(site.POWER_BUDGET)
_side = min_by(recorded(RACK_SIDE_CAPACITY), *RACK)
_limit = min_by(relabel(_budget, "of", "budget", "site").or_(relabel(_side, "of", "side", "site")), *RACK)
_measured = recorded(RACK_POWER_P99)
_reserved = _rack(site.RACK_RESERVED_POWER).or_(_budget * 0)
_reserved_units = _rack(site.RACK_RESERVED_UNITS).or_(_rack(site.RACK_UNITS) * 0)


def _of(resource: str, watts: Expr) -> Expr:
    return relabel(clamp_min(watts, 0), "resource", resource, "site")


_parts = (
    _of("power", _limit - _measured - _reserved),
    _of("cooling", _rack(site.RACK_COOLING) - _measured - _reserved),
    _of(
        "space",
        (_rack(site.RACK_UNITS_FREE) - _reserved_units) / (_rack(site.RACK_UNITS) > 0) * _budget,
    ),
    _of("ports", _rack(site.RACK_PORTS_FREE) / (_rack(site.RACK_PORTS) > 0) * _budget),
)
RACK_FREE = Recorded(
    "rack:aif_capacity_free_watts:live",
    _parts[0].or_(_parts[1]).or_(_parts[2]).or_(_parts[3]),
    "Power that each resource of a rack still allows: its limit, less what is drawn (99th percentile of a "
    "day) and what is promised; units and ports at the density of the rack's plan.",
    Unit.WATTS,
    slow=True,
)
_power = max_by(recorded(RACK_FREE, resource="power"), *RACK)
RACK_USABLE = Recorded(
    "rack:aif_capacity_free_watts:min",
    on(min_by(recorded(RACK_FREE), *RACK), "and", _power, *RACK),
    "Power that can really be added to a rack: what the scarcest of its resources allows.",
    Unit.WATTS,
    slow=True,
)
RACK_STRANDED = Recorded(
    "rack:aif_capacity_stranded_watts:live",
    _power - recorded(RACK_USABLE),
    "Free power of a rack that cooling, space or ports make useless.",
    Unit.WATTS,
    slow=True,
)
SITE_STRANDED = Recorded(
    "site:aif_capacity_stranded_watts:live",
    sum_by(recorded(RACK_STRANDED), *SITE),
    "Free power of all racks that cooling, space or ports make useless.",
    Unit.WATTS,
    slow=True,
)
