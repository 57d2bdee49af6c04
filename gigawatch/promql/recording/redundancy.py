"""What remains when a side, a feed or one of several devices fails: 2N and N+1, from measured load.

What rests on several meters is absent while one of them is silent: half a rack's power is not its power.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql.expr import (
    Expr,
    above,
    count_by,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    series,
    sum_by,
)
from gigawatch.promql.joins import otherwise
from gigawatch.promql.recording.common import DEVICE, RACK
from gigawatch.promql.recording.power import COOLING_RATED, DEVICE_CAPACITY, DEVICE_POWER
from gigawatch.promql.recording.rack import RACK_POWER
from gigawatch.promql.rule import Recorded, recorded

_KEY = ("site", "device")
_FEED = ("site", "feed")
_SIDE = (*RACK, "side")
_GROUP = ("site", "group")
LIVE_VOLTS = 100
"""Above this a conductor has voltage, at every line-to-neutral voltage in use (120 to 277 V)."""
_some = matches(".+")
_pdus = max_by(series(site.DEVICE_INFO, role="rack_pdu", rack=_some), *RACK, "device")
_sided = max_by(series(site.DEVICE_INFO, role="rack_pdu", rack=_some), *RACK, "device", "side")
_silent = count_by(on(_pdus, "unless", recorded(DEVICE_POWER), *_KEY), *RACK)

RACK_PDUS_SILENT = Recorded(
    "rack:aif_rack_pdus:silent",
    _silent.or_(count_by(_pdus, *RACK) * 0),
    "Rack PDUs of the inventory that tell no power.",
    Unit.COUNT,
)
RACK_POWER_WHOLE = Recorded(
    "rack:aif_power_active_watts:whole",
    on(recorded(RACK_POWER), "unless", recorded(RACK_PDUS_SILENT) > 0, *RACK),
    "Power into a rack, where all its PDUs tell theirs.",
    Unit.WATTS,
)
_capacity = many_to_one(recorded(DEVICE_CAPACITY), "*", _sided, _KEY, ("rack", "side"))
_unrated = on(_sided, "unless", recorded(DEVICE_CAPACITY), *_KEY)
RACK_SIDE_CAPACITY = Recorded(
    "rack:aif_power_capacity_watts:side",
    on(sum_by(_capacity, *_SIDE), "unless", _unrated, *_SIDE),
    "Power that the PDUs of one side of a rack may carry for hours.",
    Unit.WATTS,
)
_smaller = on(
    min_by(recorded(RACK_SIDE_CAPACITY), *RACK),
    "and",
    count_by(recorded(RACK_SIDE_CAPACITY), *RACK) >= 2,
    *RACK,
)
RACK_FAILOVER = Recorded(
    "rack:aif_power_failover:ratio",
    (recorded(RACK_POWER_WHOLE) / (_smaller > 0)).in_unit(Unit.RATIO),
    "Power into a rack over both sides against what its smaller side may carry alone; above 1 it is not 2N.",
    Unit.RATIO,
)
RACK_FAILOVER_LEFT = Recorded(
    "rack:aif_power_failover_watts:left",
    _smaller - recorded(RACK_POWER_WHOLE),
    "Power that may be added to a rack while one side can still carry it alone; negative: too much already.",
    Unit.WATTS,
)
_live = above(max_by(series(facility.VOLTAGE, node=""), *RACK, "device"), LIVE_VOLTS)
_live_side = many_to_one(_live, "*", _sided, (*RACK, "device"), ("side",))
RACK_SIDES_LIVE = Recorded(
    "rack:aif_power_sides:live",
    sum_by(max_by(_live_side, *_SIDE), *RACK).in_unit(Unit.COUNT),
    "Sides of a rack that have voltage.",
    Unit.COUNT,
)

# A feed: an intake and all behind it.
_feeds = max_by(series(site.DEVICE_INFO, role="rack_pdu", rack=_some, feed=_some), *RACK, "device", "feed")
_fed = many_to_one(recorded(DEVICE_POWER), "*", _feeds, (*RACK, "device"), ("feed",))
FEED_POWER = Recorded(
    "feed:aif_power_active_watts:sum",
    on(
        sum_by(_fed, *_FEED),
        "unless",
        on(_feeds, "unless", recorded(DEVICE_POWER), *_KEY),
        *_FEED,
    ),
    "Power that racks take from a feed; absent while one of their PDUs is silent.",
    Unit.WATTS,
)


def _rated_by_feed(role: str) -> Expr:
    info = max_by(series(site.DEVICE_INFO, role=role, feed=_some), *_KEY, "feed")
    whole = sum_by(many_to_one(recorded(DEVICE_CAPACITY), "*", info, _KEY, ("feed",)), *_FEED)
    return on(whole, "unless", on(info, "unless", recorded(DEVICE_CAPACITY), *_KEY), *_FEED)


_has_ups = max_by(series(site.DEVICE_INFO, role="ups", feed=_some), *_FEED)
FEED_CAPACITY = Recorded(
    "feed:aif_power_capacity_watts:sum",
    _rated_by_feed("ups").or_(on(_rated_by_feed("utility"), "unless", _has_ups, *_FEED)),
    "Power that the UPS of a feed may carry; without any, its intake.",
    Unit.WATTS,
)
_racks_on = max_by(_feeds, *RACK, "feed")
FEED_TAKEOVER = Recorded(
    "feed:aif_power_failover_watts:sum",
    on(
        sum_by(many_to_one(_racks_on, "*", recorded(RACK_POWER_WHOLE), RACK), *_FEED),
        "unless",
        on(_racks_on, "unless", recorded(RACK_POWER_WHOLE), *RACK),
        *_FEED,
    ).in_unit(Unit.WATTS),
    "Power that a feed would carry if the others failed: all that its racks draw.",
    Unit.WATTS,
)
_several = count_by(_racks_on, *RACK) >= 2
_redundant = max_by(many_to_one(_racks_on, "*", _several, RACK), *_FEED)
_takes_over = on(recorded(FEED_TAKEOVER), "and", _redundant, *_FEED)
FEED_FAILOVER = Recorded(
    "feed:aif_power_failover:ratio",
    (_takes_over / (recorded(FEED_CAPACITY) > 0)).in_unit(Unit.RATIO),
    "What a feed would carry if the others failed, against what it may; above 1 it would follow them.",
    Unit.RATIO,
)
FEED_FAILOVER_LEFT = Recorded(
    "feed:aif_power_failover_watts:left",
    recorded(FEED_CAPACITY) - _takes_over,
    "Power that may be added to a feed's racks while it can still carry them alone.",
    Unit.WATTS,
)

# Groups of the inventory: UPS, power shelves, coolant units, chillers that stand in for each other.
_spare = max_by(series(site.REDUNDANCY_SPARE), *_KEY, "group")
_member = _spare * 0 + 1
_heat = max_by(series(facility.HEAT_REMOVED), *_KEY)
_output = sum_by(max_by(series(facility.POWER_ACTIVE, scope="output", node=""), *DEVICE, "id"), *_KEY)
_inlet = max_by(recorded(DEVICE_POWER), *_KEY)
_load = otherwise(otherwise(_heat, _output, *_KEY), _inlet, *_KEY)
_size = otherwise(recorded(COOLING_RATED), recorded(DEVICE_CAPACITY), *_KEY)


def _of_group(values: Expr) -> Expr:
    return many_to_one(values, "*", _member, _KEY, ("group",))


_sizes = _of_group(_size)
_loads = _of_group(_load)
GROUP_CAPACITY = Recorded(
    "group:aif_redundancy_capacity_watts:without_spare",
    on(
        sum_by(_sizes, *_GROUP) - max_by(_sizes, *_GROUP) * max_by(_spare, *_GROUP),
        "unless",
        on(_member, "unless", _size, *_KEY),
        *_GROUP,
    ).in_unit(Unit.WATTS),
    "What devices that stand in for each other may carry without their largest spare ones.",
    Unit.WATTS,
)
_group_load = on(sum_by(_loads, *_GROUP), "unless", on(_member, "unless", _load, *_KEY), *_GROUP)
GROUP_LOAD = Recorded(
    "group:aif_redundancy_load:ratio",
    (_group_load / (recorded(GROUP_CAPACITY) > 0)).in_unit(Unit.RATIO),
    "Load of devices that stand in for each other against what they may carry without their spare; above 1 "
    "the spare is needed.",
    Unit.RATIO,
)
GROUP_LEFT = Recorded(
    "group:aif_redundancy_watts:left",
    (recorded(GROUP_CAPACITY) - _group_load).in_unit(Unit.WATTS),
    "Load that may be added to such a group while its spare stays spare.",
    Unit.WATTS,
)
