"""Heat, coolant and air that cannot be as they are told."""

from __future__ import annotations

from gigawatch.catalogue import Metric, Unit, facility, site
from gigawatch.promql.expr import (
    Expr,
    absolute,
    avg_over_time,
    count_by,
    many_to_one,
    matches,
    max_by,
    max_over_time,
    min_over_time,
    on,
    quantile_by,
    series,
)
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import DEVICE, LOOP, RACK
from gigawatch.promql.recording.contradiction import RACK_POWER_AGREEMENT, claim, inverse, outside, rule
from gigawatch.promql.recording.cooling import LOOP_HEAT_SHARE, LOOP_POWER
from gigawatch.promql.recording.loop import LOOP_HEAT
from gigawatch.promql.rule import Recorded, recorded

HEAT_PER_CUBIC_METER = 1030 * 3974
"""J/(m3 K) of water with 25 % propylene glycol (PG25); that of water is 2 % more."""
_KEY = ("site", "device")
_CIRCUIT = (*DEVICE, "circuit")


def _mean(metric: Metric) -> Expr:
    return max_by(avg_over_time(series(metric), "5m"), *_CIRCUIT)


_warming = _mean(facility.COOLANT_RETURN_TEMPERATURE) - _mean(facility.COOLANT_SUPPLY_TEMPERATURE)
_computed = ((_warming > 1) * _mean(facility.COOLANT_FLOW) * HEAT_PER_CUBIC_METER).in_unit(Unit.WATTS)
_told = on(_mean(facility.HEAT_REMOVED), "and", max_by(series(facility.HEAT_REMOVED), *_CIRCUIT), *_CIRCUIT)
_flow = series(facility.COOLANT_FLOW)
_most = max_by(max_over_time(_flow, "5m"), *_CIRCUIT)
# While the flow changes, the product of two means is not the mean of the products.
_steady = _most < max_by(min_over_time(_flow, "5m"), *_CIRCUIT) * 1.2
_much = (_told > 3000).or_(_computed > 3000)
HEAT_AGREEMENT = Recorded(
    "device:aif_heat_agreement:ratio",
    on(on(_told / (_computed > 100), "and", _much, *_CIRCUIT), "and", _steady, *_CIRCUIT).in_unit(Unit.RATIO),
    "Heat that a device tells against its flow times the rise of its coolant (PG25), over five minutes of "
    "steady flow.",
    Unit.RATIO,
)
_apart = outside(recorded(HEAT_AGREEMENT), 0.75, 1.33)
_of_circuit = max_by(_apart, *DEVICE)
_unit_loop = max_by(series(site.DEVICE_INFO, role="cdu", loop=matches(".+")), *_KEY, "loop")
_share = recorded(LOOP_HEAT_SHARE)
_plausible = (_share > 0.3) <= 1.1
_at_plausible = max_by(many_to_one(_unit_loop, "*", _plausible, LOOP), *_KEY)
_at_known = max_by(many_to_one(_unit_loop, "*", _share, LOOP), *_KEY)
_heat_is_right = max_by(inverse(_apart), *DEVICE)
HEAT_FLOW = rule(
    "heat_flow",
    claim(on(_heat_is_right, "and", _at_plausible, *_KEY), "heat_flow", "flow or temperatures")
    .or_(
        claim(
            on(on(_of_circuit, "and", _at_known, *_KEY), "unless", _at_plausible, *_KEY), "heat_flow", "heat"
        )
    )
    .or_(claim(on(_of_circuit, "unless", _at_known, *_KEY), "heat_flow", "heat, flow or temperatures")),
    "Heat that a device tells against its flow times the rise of its coolant, over five minutes: a quarter "
    "apart. Flow or temperatures lie if the heat fits the power of the racks, else the heat.",
)
_heat = on(avg_over_time(recorded(LOOP_HEAT), "10m"), "and", recorded(LOOP_HEAT), *LOOP)
_power = on(avg_over_time(recorded(LOOP_POWER), "10m"), "and", recorded(LOOP_POWER), *LOOP)
_too_hot = _heat / (_power > 3000) > 1.15
_hall = max_by(series(site.LOOP_RACK_INFO), *LOOP, "hall")
_of_loop = many_to_one(_too_hot, "*", _hall, LOOP, ("hall",))
_units_apart = max_by(many_to_one(_of_circuit, "*", _unit_loop, _KEY, ("loop",)), *LOOP)
_racks = max_by(series(site.LOOP_RACK_INFO), *LOOP, "rack")
_pdus_lie = max_by(on(_racks, "and", recorded(RACK_POWER_AGREEMENT) < 0.85, *RACK), *LOOP)
_heat_lies = on(on(_of_loop, "unless", _units_apart, *LOOP), "unless", _pdus_lie, *LOOP)


def _loop_as_device(values: Expr) -> Expr:
    return relabel(
        max_by(relabel(values, "device", "$1", "loop"), "site", "hall", "device"), "rack", "", "site"
    )


HEAT_POWER = rule(
    "heat_power",
    claim(_loop_as_device(_heat_lies), "heat_power", "heat", text="coolant units of $1"),
    "Heat that a loop carries away against all power into its racks, over ten minutes: 15 % more than there "
    "is. Where heat, flow and temperatures of a unit contradict each other as well, that one tells more.",
)
_supply, _return = _mean(facility.COOLANT_SUPPLY_TEMPERATURE), _mean(facility.COOLANT_RETURN_TEMPERATURE)
_backwards = on(_supply - _return > 1, "and", _mean(facility.COOLANT_FLOW) > 0.00002, *_CIRCUIT)
COOLANT_ORDER = rule(
    "coolant_order",
    claim(max_by(on(_supply / (_return > 0), "and", _backwards, *_CIRCUIT), *DEVICE), "coolant_order",
          "temperatures (supply and return swapped)"),
    "Coolant that returns colder than it was sent, while it flows.",
)  # fmt: skip
_AIR = (*DEVICE, "position", "sensor")
_PEERS = ("site", "hall", "position")
_air = max_by(series(facility.AIR_TEMPERATURE, position=matches("inlet|exhaust|room")), *_AIR)
_usual = on(quantile_by(0.5, _air, *_PEERS), "and", count_by(_air, *_PEERS) >= 3, *_PEERS)
_converted = absolute(many_to_one((_air - 32) / 1.8, "-", _usual, _PEERS)) < 3
_far = many_to_one(_air, "-", _usual, _PEERS) > 15
FAHRENHEIT = rule(
    "fahrenheit",
    claim(
        max_by(on(on(_air, "and", _far, *_AIR), "and", _converted, *_AIR), *DEVICE)
        / max_by(on((_air - 32) / 1.8, "and", _far, *_AIR), *DEVICE),
        "fahrenheit",
        "air temperature",
    ),
    "Air 15 K warmer than at its peers in the hall, which in degrees Fahrenheit is as warm as there.",
)
