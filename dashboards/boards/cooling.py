"""gw-cooling: the way of heat from the cold plates to the outside."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    LOOP_VARIABLE,
    RATE,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    or_zero,
)
from dashboards.boards.cooling_loops import (
    LITERS_PER_KILOWATT,
    LOOP,
    cooling_load,
    device_heat,
    loop_diagram,
    of_units,
)
from dashboards.boards.facility_cooling import LITERS_PER_MINUTE, PUMP, of_loop
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, stat, state_timeline, table, timeseries
from dashboards.places import COOLING as UID
from gigawatch.catalogue import Unit, facility, liquid
from gigawatch.promql import (
    Expr,
    Recorded,
    count_by,
    increase,
    max_by,
    min_by,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

_KEYS = ("site", "loop")


def board() -> Board:
    """Loops and what cools them."""
    return Board(
        UID,
        "Cooling loops",
        "Is the heat carried off on every loop, what is left if a unit fails, and how long until GPUs slow "
        "down?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, LOOP_VARIABLE),
        (
            _now(),
            Section("From the chillers to the racks", (loop_diagram(),)),
            _loops(),
            _units(),
            _trends(),
            _balance(),
            Section("Alerts of cooling", (alerts_table(24, 6, domain="cooling"),)),
        ),
    )


def _of(rule: Recorded, lowest: bool = False) -> Expr:
    return (min_by if lowest else max_by)(recorded(rule, **LOOP), *_KEYS)


def _now() -> Section:
    stopped = or_zero(count_by(series(facility.PUMP_RUNNING, **SITE).equals(0)))
    lost = or_zero(count_by(recorded(rec.LOOP_REDUNDANCY, **SITE) > 1))
    return Section(
        "Now",
        (
            stat(
                "Throttling in",
                "In how many minutes does the first loop make GPUs slow down, if it goes on like this? Empty"
                " is good: nothing falls.",
                min_by(recorded(rec.LOOP_THROTTLE, **SITE)),
                steps=limits.TIME_TO_THROTTLE,
                decimals=0,
            ),
            stat(
                "Without N+1",
                "How many loops would overheat if their largest unit failed? Do no work on their units now.",
                lost,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Pumps stopped",
                "How many pumps do not turn? One of two is a lost spare, not an outage: the diagram shows "
                "whose.",
                stopped,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Least flow",
                "How much of its design flow does the weakest loop have? Look for a pump, a filter, a valve,"
                " air.",
                min_by(recorded(rec.LOOP_FLOW_RATIO, **SITE)),
                steps=limits.FLOW,
                decimals=0,
            ),
            stat(
                "Flow per kW",
                "How many litres a minute does the leanest loop have for each kilowatt? 1.5 is the design "
                "figure, below 1.0 the racks warm up.",
                min_by(recorded(rec.LOOP_FLOW_PER_KW, **SITE)),
                steps=limits.FLOW_PER_KW,
                decimals=2,
                unit=LITERS_PER_KILOWATT,
            ),
            stat(
                "Over dew point",
                "How many kelvin is the coldest supply away from water condensing on it? Below 2 raise the "
                "set point at once.",
                min_by(recorded(rec.LOOP_DEW_MARGIN, **SITE)),
                steps=limits.ABOVE_DEW_POINT,
                decimals=1,
            ),
            stat(
                "Reservoir",
                "How much coolant has the emptiest reservoir? A level that falls is a leak until proven "
                "otherwise.",
                min_by(series(facility.RESERVOIR_LEVEL, **SITE)),
                steps=limits.RESERVOIR,
                decimals=0,
            ),
            stat(
                "Fullest loop",
                "How much of what its units can carry does the fullest loop carry?",
                max_by(recorded(rec.LOOP_CAPACITY_USED, **SITE)),
                steps=limits.CAPACITY,
                decimals=0,
            ),
        ),
    )


def _loops() -> Section:
    return Section(
        "Loops",
        (
            table(
                "Loops one by one",
                "Which loop is short of flow, cold, spare or time? A loop's name narrows the board to it. "
                "Rise above 15 K: too little flow; below 3 K under load: coolant bypasses the racks.",
                _KEYS,
                Column("Flow", _of(rec.LOOP_FLOW) * 60_000, decimals=0, unit=LITERS_PER_MINUTE),
                Column("Of design", _of(rec.LOOP_FLOW_RATIO), decimals=0, steps=limits.FLOW),
                Column(
                    "For each kW",
                    _of(rec.LOOP_FLOW_PER_KW),
                    decimals=2,
                    steps=limits.FLOW_PER_KW,
                    unit=LITERS_PER_KILOWATT,
                ),
                Column("Supply", _of(rec.LOOP_SUPPLY), decimals=1),
                Column("Rise", _of(rec.LOOP_RISE), decimals=1, steps=limits.RISE),
                Column(
                    "Dew point",
                    _of(rec.LOOP_DEW_MARGIN, lowest=True),
                    decimals=1,
                    steps=limits.ABOVE_DEW_POINT,
                ),
                Column("Heat", _of(rec.LOOP_HEAT), decimals=1),
                Column("Of capacity", _of(rec.LOOP_CAPACITY_USED), decimals=0, steps=limits.CAPACITY),
                Column("Without largest", _of(rec.LOOP_REDUNDANCY), decimals=0, steps=limits.FAILOVER),
                Column("Pumps run", _of(rec.LOOP_PUMPS_RUNNING), decimals=0),
                Column("Of pumps", _of(rec.LOOP_PUMPS), decimals=0),
                Column("GPU margin", _of(rec.LOOP_MARGIN), decimals=1, steps=limits.MARGIN),
                Column("Throttles in", _of(rec.LOOP_THROTTLE), decimals=0, steps=limits.TIME_TO_THROTTLE),
                height=8,
                sort="GPU margin",
                hide=("site",),
            ),
        ),
    )


def _units() -> Section:
    keys = ("site", "device")
    fws = of_units(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="fws", **SITE))
    tcs = of_units(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs", **SITE))
    return Section(
        "Units, pumps and filters",
        (
            table(
                "Units that carry heat",
                "Which chiller, coolant unit or air handler is near its limit, fouled or low? An approach "
                "that grows at equal load is a heat exchanger that fouls.",
                keys,
                Column("Heat", of_units(device_heat()), decimals=1),
                Column(
                    "Of capacity",
                    cooling_load(),
                    decimals=0,
                    steps=limits.CAPACITY,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                Column("Facility supply", fws, decimals=1),
                Column("Technology supply", tcs, decimals=1),
                Column("Approach", recorded(rec.CDU_APPROACH, **SITE), decimals=1),
                Column(
                    "Reservoir", series(facility.RESERVOIR_LEVEL, **SITE), decimals=0, steps=limits.RESERVOIR
                ),
                width=14,
                height=9,
                sort="Of capacity",
                descending=True,
                hide=("site",),
            ),
            table(
                "Pumps one by one",
                "Does every pump turn, how hard, and how long has it run? Equal pumps at unequal speed: one "
                "of them wears out.",
                ("site", "device", "pump"),
                Column("Turns", series(facility.PUMP_RUNNING, **SITE), states=PUMP),
                Column("Speed", series(facility.PUMP_SPEED, **SITE), decimals=0),
                Column("Service", series(liquid.PUMP_SERVICE, **SITE), decimals=0),
                width=10,
                height=9,
                sort="Turns",
                hide=("site",),
            ),
            table(
                "Filters",
                "Which filter takes the most pressure? Change it when it has doubled since it was new.",
                ("site", "device", "filter"),
                Column("Takes", series(liquid.FILTER_PRESSURE, **SITE), decimals=1),
                width=8,
                height=6,
                sort="Takes",
                descending=True,
                nothing="No unit tells what its filters take",
                hide=("site",),
            ),
            table(
                "Valves",
                "Which valve stands fully open, with nothing left to regulate?",
                ("site", "device", "valve"),
                Column("Open", series(liquid.VALVE_POSITION, **SITE), decimals=0),
                width=8,
                height=6,
                sort="Open",
                descending=True,
                nothing="No unit tells its valves",
                hide=("site",),
            ),
            table(
                "Coolant quality",
                "Does the coolant conduct more than it did? That is corrosion or contamination: take a "
                "sample.",
                ("site", "device", "circuit"),
                Column("Conductivity", series(liquid.CONDUCTIVITY, **SITE), decimals=4),
                width=8,
                height=6,
                nothing="No unit tells conductivity",
                hide=("site",),
            ),
        ),
    )


def _trends() -> Section:
    pumps = max_by(of_loop(series(facility.PUMP_RUNNING, **SITE), "pump"), "device", "pump")
    return Section(
        "Trends",
        (
            timeseries(
                "Supply and return",
                "Do the units hold their supply, and how much does the coolant warm up?",
                Line(_of(rec.LOOP_SUPPLY), "{{loop}} supply"),
                Line(_of(rec.LOOP_RETURN), "{{loop}} return"),
            ),
            timeseries(
                "Flow against design",
                "Does a loop get the flow it was built for? A step is a pump, a slope a filter.",
                Line(_of(rec.LOOP_FLOW_RATIO), "{{loop}}"),
                low=0,
                steps=limits.FLOW,
            ),
            timeseries(
                "Heat without the largest unit",
                "Would a loop survive the loss of its largest unit? Above 100 % it would not.",
                Line(_of(rec.LOOP_REDUNDANCY), "{{loop}}"),
                low=0,
                steps=limits.FAILOVER,
            ),
            timeseries(
                "Supply above dew point",
                "Does a supply come near to the dew point of its hall?",
                Line(min_by(recorded(rec.LOOP_DEW_MARGIN, **LOOP), *_KEYS), "{{loop}}"),
                steps=limits.ABOVE_DEW_POINT,
            ),
            timeseries(
                "Approach",
                "Does a heat exchanger foul? Its approach grows at equal load.",
                Line(max_by(recorded(rec.CDU_APPROACH, **LOOP), "device"), "{{device}}"),
            ),
            state_timeline(
                "Pumps over time",
                "When did a pump stop?",
                pumps.in_unit(Unit.COUNT),
                PUMP,
                legend="{{device}} {{pump}}",
                width=8,
                height=8,
            ),
        ),
    )


def _balance() -> Section:
    drawn = max_by(recorded(rec.LOOP_POWER, **LOOP), *_KEYS)
    heat = max_by(recorded(rec.LOOP_HEAT, **LOOP), *_KEYS)
    water = sum_by(rate(series(liquid.WATER_CONSUMED, **SITE), RATE), "site")
    reused = sum_by(rate(series(liquid.HEAT_REUSED, **SITE), RATE), "site")
    return Section(
        "Balance of heat and water",
        (
            timeseries(
                "Heat against power of the racks",
                "Does as much heat leave by the coolant as the racks take in power? Far less: the rest heats"
                " the room. More: a meter is wrong.",
                Line(heat, "{{loop}} heat"),
                Line(drawn, "{{loop}} power", dashed=True),
                low=0,
            ),
            timeseries(
                "Share of the heat that the coolant carries",
                "Which share of the racks' power leaves by the coolant? 85 to 105 % where racks are fully "
                "liquid.",
                Line(_of(rec.LOOP_HEAT_SHARE), "{{loop}}"),
                low=0,
            ),
            timeseries(
                "Heat given away",
                "How much heat does somebody else use?",
                Line(reused, "{{site}}"),
                low=0,
            ),
            timeseries(
                "Water used",
                "How much water does the site use up per hour? A step without more load is a leak or a "
                "valve.",
                Line((water * 3600).in_unit(Unit.CUBIC_METERS), "{{site}}"),
                width=12,
                low=0,
            ),
            table(
                "Water of the last hour and day",
                "How much water was used up, and is today like yesterday?",
                ("site",),
                Column(
                    "1 h", sum_by(increase(series(liquid.WATER_CONSUMED, **SITE), "1h"), "site"), decimals=2
                ),
                Column(
                    "24 h", sum_by(increase(series(liquid.WATER_CONSUMED, **SITE), "24h"), "site"), decimals=1
                ),
                width=12,
                nothing="No water meter",
            ),
        ),
    )
