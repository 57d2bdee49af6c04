"""Cooling: what a loop has left when a unit fails, heat and flow against power; the air of a hall."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql.expr import (
    Expr,
    above,
    clamp_min,
    count_by,
    join,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    one_minus,
    series,
    slope,
    sum_by,
)
from gigawatch.promql.recording.common import DEVICE, LOOP, RACK
from gigawatch.promql.recording.loop import LOOP_FLOW, LOOP_HEAT, LOOP_MARGIN, LOOP_RETURN, LOOP_SUPPLY
from gigawatch.promql.recording.power import COOLING_RATED
from gigawatch.promql.recording.redundancy import RACK_POWER_WHOLE
from gigawatch.promql.rule import Recorded, recorded

LITERS_PER_MINUTE = 60_000
"""In one cubic meter per second."""
RECOMMENDED = (18, 27)
"""Inlet air in °C that ASHRAE recommends for the classes A1 to A4."""
ALLOWABLE = (15, 32)
"""Inlet air in °C that class A1 allows."""
_KEY = ("site", "device")
_HALL = ("site", "hall")

LOOP_RISE = Recorded(
    "loop:aif_coolant_rise_celsius:max",
    recorded(LOOP_RETURN) - recorded(LOOP_SUPPLY),
    "By how much the coolant of a loop warms up on its way.",
    Unit.CELSIUS,
)
_racks = max_by(series(site.LOOP_RACK_INFO), *LOOP, "rack")
_shared = count_by(_racks, *RACK) > 1
_known = on(recorded(RACK_POWER_WHOLE), "unless", _shared, *RACK)
LOOP_POWER = Recorded(
    "loop:aif_rack_power_watts:sum",
    on(
        sum_by(many_to_one(_racks, "*", _known, RACK), *LOOP),
        "unless",
        on(_racks, "unless", _known, *RACK),
        *LOOP,
    ).in_unit(Unit.WATTS),
    "Power into the racks on a loop; absent unless all of them tell it and hang on this loop alone.",
    Unit.WATTS,
)
LOOP_HEAT_SHARE = Recorded(
    "loop:aif_heat_removed:per_watt",
    (recorded(LOOP_HEAT) / (recorded(LOOP_POWER) > 1000)).in_unit(Unit.RATIO),
    "Heat that a loop carries away for each watt into its racks; the rest goes into the air.",
    Unit.RATIO,
)
LOOP_FLOW_PER_KW = Recorded(
    "loop:aif_coolant_flow:liters_per_minute_per_kilowatt",
    (recorded(LOOP_FLOW) * (LITERS_PER_MINUTE * 1000) / (recorded(LOOP_POWER) > 1000)).in_unit(Unit.COUNT),
    "Coolant flow for each kilowatt into the racks on the loop, in L/min; 1.5 is the usual design (OCP).",
    Unit.COUNT,
)
_unit_loop = max_by(series(site.DEVICE_INFO, role="cdu", loop=matches(".+")), *_KEY, "loop")
_rated = many_to_one(recorded(COOLING_RATED), "*", _unit_loop, _KEY, ("loop",))
LOOP_WITHOUT_LARGEST = Recorded(
    "loop:aif_cooling_capacity_watts:without_largest",
    on(
        on(sum_by(_rated, *LOOP) - max_by(_rated, *LOOP), "and", count_by(_rated, *LOOP) >= 2, *LOOP),
        "unless",
        on(_unit_loop, "unless", recorded(COOLING_RATED), *_KEY),
        *LOOP,
    ),
    "Heat that the coolant units of a loop can carry away without the largest of them.",
    Unit.WATTS,
)
LOOP_REDUNDANCY = Recorded(
    "loop:aif_cooling_redundancy:ratio",
    (recorded(LOOP_HEAT) / recorded(LOOP_WITHOUT_LARGEST)).in_unit(Unit.RATIO),
    "Heat of a loop against what its units can do without the largest; above 1 the loss of one overheats it.",
    Unit.RATIO,
)
_pumps = many_to_one(max_by(series(facility.PUMP_RUNNING), *_KEY, "pump"), "*", _unit_loop, _KEY, ("loop",))
LOOP_PUMPS = Recorded(
    "loop:aif_pumps:count", count_by(_pumps, *LOOP), "Pumps of a loop's coolant units.", Unit.COUNT
)
LOOP_PUMPS_RUNNING = Recorded(
    "loop:aif_pumps:running", sum_by(_pumps, *LOOP), "Pumps of a loop that turn.", Unit.COUNT
)
_turns = max_by(_pumps, *_KEY, "loop")
LOOP_UNITS = Recorded(
    "loop:aif_coolant_units:count", count_by(_unit_loop, *LOOP), "Coolant units of a loop.", Unit.COUNT
)
LOOP_UNITS_RUNNING = Recorded(
    "loop:aif_coolant_units:running",
    sum_by(above(_turns, 0), *LOOP).in_unit(Unit.COUNT),
    "Coolant units of a loop with a pump that turns.",
    Unit.COUNT,
)
_hall_dew = max_by(series(facility.DEW_POINT, position=matches("room|inlet")), *_HALL)
_loop_hall = max_by(series(site.LOOP_RACK_INFO), *LOOP, "hall")
LOOP_DEW_MARGIN = Recorded(
    "loop:aif_dew_point_margin_celsius:min",
    many_to_one(many_to_one(recorded(LOOP_SUPPLY), "*", _loop_hall, LOOP, ("hall",)), "-", _hall_dew, _HALL),
    "How much warmer the supply of a loop is than the dew point of its hall.",
    Unit.CELSIUS,
)
HALL_DEW_MARGIN = Recorded(
    "hall:aif_dew_point_margin_celsius:min",
    min_by(recorded(LOOP_DEW_MARGIN), *_HALL),
    "How much warmer the coldest loop of a hall is than its dew point.",
    Unit.CELSIUS,
)
_falls = slope(recorded(LOOP_MARGIN), "1m") < -0.05
LOOP_THROTTLE = Recorded(
    "loop:aif_time_to_throttle_seconds:trend",
    (clamp_min(recorded(LOOP_MARGIN), 0) / (_falls * -1)).in_unit(Unit.SECONDS),
    "When the first GPU of a loop slows down if its margin goes on falling as in the last minute; absent "
    "while it does not fall.",
    Unit.SECONDS,
)
_supply = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs"), *_HALL, "device")
_water = max_by(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="fws"), *_HALL, "device")
CDU_APPROACH = Recorded(
    "device:aif_cdu_approach_celsius:diff",
    join(_supply - _water, site.DEVICE_INFO, _KEY, ("loop",), role="cdu"),
    "How much warmer a coolant unit supplies its racks than it is supplied itself; 3 to 5 K at full load.",
    Unit.CELSIUS,
)


# Air. RCI: Herrlin, ASHRAE Transactions 111-2; SHI: Sharma, AIAA 2002-3091.
_inlets = max_by(series(facility.AIR_TEMPERATURE, position="inlet"), *DEVICE, "sensor")


def _index(too_far: Expr, span: float) -> Expr:
    return one_minus(sum_by(clamp_min(too_far, 0), *_HALL) / (count_by(_inlets, *_HALL) * span))


HALL_RCI_HIGH = Recorded(
    "hall:aif_rack_cooling_index_ratio:high",
    _index(_inlets - RECOMMENDED[1], ALLOWABLE[1] - RECOMMENDED[1]),
    "Rack cooling index, high side: 1 while no inlet is warmer than recommended (27 °C), 0 if all are at the "
    "allowable end (32 °C).",
    Unit.RATIO,
)
HALL_RCI_LOW = Recorded(
    "hall:aif_rack_cooling_index_ratio:low",
    _index(_inlets * -1 + RECOMMENDED[0], RECOMMENDED[0] - ALLOWABLE[0]),
    "Rack cooling index, low side: 1 while no inlet is colder than recommended (18 °C).",
    Unit.RATIO,
)
_handler = max_by(series(site.DEVICE_INFO, role="crah"), *_KEY)
_reference = min_by(
    many_to_one(
        min_by(series(facility.AIR_TEMPERATURE, position="exhaust"), *_HALL, "device"), "*", _handler, _KEY
    ),
    *_HALL,
)


def _over_reference(position: str) -> Expr:
    of_servers = series(facility.AIR_TEMPERATURE, position=position, node=matches(".+"))
    return sum_by(many_to_one(max_by(of_servers, *DEVICE), "-", _reference, _HALL), *_HALL)


HALL_SHI = Recorded(
    "hall:aif_supply_heat_index:ratio",
    (_over_reference("inlet") / (_over_reference("exhaust") > 0)).in_unit(Unit.RATIO),
    "Supply heat index: share of the air's heat that it picks up before it reaches a server; 0 is best. "
    "The return heat index is 1 less this. Needs the supply air of the air handlers (position exhaust).",
    Unit.RATIO,
)
