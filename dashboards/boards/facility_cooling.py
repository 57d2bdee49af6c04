"""The cooling sections of gw-facility."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE, state_code
from dashboards.model import Section
from dashboards.panels import Column, Line, state_timeline, table, timeseries
from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql import Expr, Match, Recorded, join, matches, max_by, min_by, on, recorded, series
from gigawatch.promql import recording as rec

_LOOP: dict[str, str | Match] = {**SITE, "loop": matches("$loop")}
_KEYS = ("site", "loop")
LITERS_PER_MINUTE = "flowlpm"
LEAK = {0: ("dry", "green"), 1: ("leak", "red"), 2: ("fault", "orange")}
PUMP = {0: ("stands", "red"), 1: ("runs", "green")}


def _of(rule: Recorded) -> Expr:
    return max_by(recorded(rule, **_LOOP), *_KEYS)


def of_loop(expr: Expr, *keep: str) -> Expr:
    """A metric of coolant units, of those on the chosen loops, with the loop's name."""
    return join(
        max_by(expr, "site", "device", *keep), site.DEVICE_INFO, ("site", "device"), ("loop",), **_LOOP
    )


def _flow() -> Expr:
    return _of(rec.LOOP_FLOW) * 60_000


def loops() -> Section:
    """Every loop in one table."""
    setpoint = max_by(of_loop(series(facility.COOLANT_SETPOINT, circuit="tcs", **SITE)), *_KEYS)
    return Section(
        "Coolant loops",
        (
            table(
                "Loops",
                "Which loop is short of flow, cold or capacity? A loop's name narrows the board to it.",
                _KEYS,
                Column("Flow", _flow(), decimals=1, unit=LITERS_PER_MINUTE),
                Column("Of design flow", _of(rec.LOOP_FLOW_RATIO), decimals=0, steps=limits.FLOW),
                Column("Set point", setpoint, decimals=1),
                Column("Supply", _of(rec.LOOP_SUPPLY), decimals=1),
                Column("Return", _of(rec.LOOP_RETURN), decimals=1),
                Column("Heat", _of(rec.LOOP_HEAT), decimals=1),
                Column("Of capacity", _of(rec.LOOP_CAPACITY_USED), decimals=0, steps=limits.CAPACITY),
                Column("GPU power", _of(rec.LOOP_GPU_POWER), decimals=1),
                Column("Smallest margin", _of(rec.LOOP_MARGIN), decimals=1, steps=limits.MARGIN),
                height=6,
                sort="Smallest margin",
            ),
        ),
    )


def coolant() -> Section:
    """The coolant loops over time."""
    setpoint = max_by(of_loop(series(facility.COOLANT_SETPOINT, circuit="tcs", **SITE)), *_KEYS)
    pumps = max_by(of_loop(series(facility.PUMP_RUNNING, **SITE), "pump"), "device", "pump")
    return Section(
        "Coolant",
        (
            timeseries(
                "Supply and return",
                "Does the coolant unit hold its set point, and how much does the coolant warm up?",
                Line(_of(rec.LOOP_SUPPLY), "{{loop}} supply"),
                Line(_of(rec.LOOP_RETURN), "{{loop}} return"),
                Line(setpoint, "{{loop}} set point", dashed=True),
            ),
            timeseries(
                "Flow against design",
                "Does a loop get the flow it was built for?",
                Line(_of(rec.LOOP_FLOW_RATIO), "{{loop}}"),
                low=0,
                steps=limits.FLOW,
            ),
            timeseries(
                "Heat against capacity",
                "How close are the coolant units to what they can carry away?",
                Line(_of(rec.LOOP_CAPACITY_USED), "{{loop}}"),
                low=0,
                steps=limits.CAPACITY,
            ),
            timeseries(
                "Heat and GPU power",
                "Does the heat that the loop carries follow the power of its GPUs?",
                Line(_of(rec.LOOP_HEAT), "{{loop}} heat"),
                Line(_of(rec.LOOP_GPU_POWER), "{{loop}} GPU power"),
                low=0,
            ),
            timeseries(
                "Pump speed",
                "Does a pump work harder for the same flow? Then a filter or a valve is closing.",
                Line(
                    max_by(of_loop(series(facility.PUMP_SPEED, **SITE), "pump"), "device", "pump"),
                    "{{device}} {{pump}}",
                ),
                low=0,
                high=1,
            ),
            timeseries(
                "Differential pressure",
                "Does the pressure between supply and return move against the flow?",
                Line(
                    max_by(of_loop(series(facility.COOLANT_PRESSURE, circuit="tcs", **SITE)), "device"),
                    "{{device}}",
                ),
                low=0,
            ),
            state_timeline(
                "Pumps",
                "Does every pump run?",
                pumps.in_unit(Unit.COUNT),
                PUMP,
                legend="{{device}} {{pump}}",
                width=8,
            ),
            timeseries(
                "Reservoir",
                "Does a loop lose coolant?",
                Line(max_by(of_loop(series(facility.RESERVOIR_LEVEL, **SITE)), "device"), "{{device}}"),
                height=7,
                low=0,
                high=1,
                steps=limits.RESERVOIR,
            ),
            state_timeline(
                "Leak sensors of coolant units",
                "Is there coolant where it must not be?",
                state_code(
                    facility.LEAK_STATE, {"leak": 1, "fault": 2}, "device", "zone", **SITE, zone="cdu"
                ),
                LEAK,
                legend="{{device}} {{zone}}",
                width=8,
            ),
        ),
    )


def air() -> Section:
    """Room air, dew point and what carries the heat out of the building."""
    room = max_by(series(facility.AIR_TEMPERATURE, position="room", **SITE), "device")
    heat = max_by(series(facility.HEAT_REMOVED, **SITE), "site", "device")
    capacity = max_by(series(facility.COOLING_CAPACITY, **SITE), "site", "device")
    dew = max_by(series(facility.DEW_POINT, **SITE), "site")
    above = on(min_by(recorded(rec.LOOP_SUPPLY, **_LOOP), "site"), "-", dew, "site")
    return Section(
        "Air and heat rejection",
        (
            timeseries(
                "Room and outdoor air",
                "Is the room warm, and how warm is it outside?",
                Line(room, "{{device}} room"),
                Line(
                    max_by(series(facility.AIR_TEMPERATURE, position="outdoor", **SITE), "device"),
                    "{{device}} outdoor",
                ),
                Line(max_by(series(facility.DEW_POINT, **SITE), "device"), "{{device}} dew point"),
            ),
            timeseries(
                "Coolant above dew point",
                "How far is the coldest supply from water condensing on its pipes?",
                Line(above, "{{site}}"),
                steps=limits.ABOVE_DEW_POINT,
            ),
            timeseries(
                "Cooling devices against capacity",
                "Which chiller, coolant unit or air handler is close to its limit?",
                Line(heat / capacity, "{{device}}"),
                low=0,
                steps=limits.CAPACITY,
            ),
            timeseries(
                "Humidity",
                "Is the air too dry or too damp? 20 to 80 % is allowed.",
                Line(max_by(series(facility.HUMIDITY, **SITE), "device"), "{{device}}"),
                low=0,
                high=1,
                width=12,
            ),
            table(
                "Facility devices",
                "Which facility devices answer?",
                ("site", "device"),
                Column(
                    "Answers",
                    series(facility.FACILITY_POLL_UP, **SITE),
                    states={0: ("no", "red"), 1: ("yes", "green")},
                    cell="color-text",
                ),
                width=12,
                height=8,
                sort="Answers",
            ),
        ),
    )
