"""gw-rack: one rack, its feeds, its air and coolant, its nodes."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    RACK,
    RACK_VARIABLE,
    RATE,
    SITE_VARIABLE,
    alerts_table,
    maintenance_table,
    or_zero,
    state_code,
)
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, stat, state_timeline, table, timeseries
from dashboards.places import RACK as UID
from gigawatch.catalogue import Unit, facility, findings, gpu, site
from gigawatch.promql import (
    Expr,
    avg_by,
    many_to_one,
    matches,
    max_by,
    min_by,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

_NODE = ("site", "rack", "node")
_DEVICE = ("site", "rack", "device", "side")
_OF_NODES = {**RACK, "node": matches(".+")}
"""Series of this rack that belong to a node: of its controller or its analysis."""
BREAKER = {0: ("normal", "green"), 1: ("tripped", "red"), 2: ("off", "orange")}
LEAK = {0: ("dry", "green"), 1: ("leak", "red"), 2: ("fault", "orange")}


def board() -> Board:
    """One rack."""
    return Board(
        UID,
        "Rack",
        "Does this rack have the power and the cooling it needs, and which of its nodes stands out?",
        ("gigawatch", "rack"),
        (DATASOURCE, SITE_VARIABLE, RACK_VARIABLE),
        (
            _now(),
            _nodes(),
            _power(),
            _cooling(),
            Section("Alerts of this rack", (alerts_table(14, 7, **RACK), maintenance_table(10, 7))),
        ),
    )


def breaker_load() -> Expr:
    """Current of each phase against the rating of the device's main breaker."""
    current = max_by(series(facility.CURRENT, scope="phase", **RACK), *_DEVICE, "id")
    rating = max_by(series(facility.BREAKER_RATING, id="main", **RACK), *_DEVICE)
    return many_to_one(current, "/", rating, _DEVICE).in_unit(Unit.RATIO)


def _now() -> Section:
    power = max_by(recorded(rec.RACK_POWER, **RACK), "site", "rack")
    expected = sum_by(series(site.GPUS_EXPECTED, **RACK))
    working = or_zero(sum_by(series(gpu.GPU_STATE, state="ok", **RACK)))
    sick = expected - working
    wet = or_zero(sum_by(series(facility.LEAK_STATE, state="leak", **RACK)))
    ill = or_zero(sum_by(series(facility.COMPONENT_HEALTH, status=matches("warning|critical"), **RACK)))
    return Section(
        "Now",
        (
            stat("Power", "How much does the rack draw at its PDUs?", power, decimals=1),
            stat(
                "Of budget",
                "How much of the power planned for the rack is used?",
                max_by(recorded(rec.RACK_BUDGET_USED, **RACK), "site", "rack"),
                steps=limits.BUDGET,
                decimals=0,
            ),
            stat(
                "GPUs not working",
                "How many of the rack's GPUs are lost, hung or not reported?",
                sick,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Utilisation",
                "How busy are the rack's GPUs on average?",
                max_by(recorded(rec.RACK_UTILIZATION, **RACK), "site", "rack"),
                decimals=0,
            ),
            stat(
                "Smallest margin",
                "How many kelvin is the rack's GPU nearest to slowdown away from it?",
                max_by(recorded(rec.RACK_MARGIN, **RACK), "site", "rack"),
                steps=limits.MARGIN,
                decimals=1,
            ),
            stat(
                "Warmest inlet",
                "How warm is the warmest air that a server breathes in? 27 °C is ASHRAE's recommended limit.",
                max_by(recorded(rec.RACK_INLET, **RACK), "site", "rack"),
                steps=limits.INLET,
                decimals=1,
            ),
            stat(
                "Leaks",
                "How many leak sensors in the rack are wet?",
                wet,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Sick parts",
                "How many power supplies and fans do the servers themselves report as not in order?",
                ill,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
        ),
    )


def _nodes() -> Section:
    hottest = max_by(series(gpu.GPU_TEMPERATURE, sensor="memory", **RACK), *_NODE)
    return Section(
        "Nodes",
        (
            table(
                "Nodes",
                "Which node stands out from its neighbours? A node's name leads to its board.",
                _NODE,
                Column("GPUs working", recorded(rec.NODE_GPUS_OK, **RACK), decimals=0),
                Column("GPUs expected", series(site.GPUS_EXPECTED, **RACK), decimals=0),
                Column("GPU power", recorded(rec.NODE_GPU_POWER, **RACK), decimals=1),
                Column(
                    "Server power",
                    sum_by(series(facility.POWER_ACTIVE, scope="inlet", **_OF_NODES), *_NODE),
                    decimals=1,
                ),
                Column("Utilisation", recorded(rec.NODE_UTILIZATION, **RACK), decimals=0),
                Column("Margin", recorded(rec.NODE_MARGIN, **RACK), decimals=1, steps=limits.MARGIN),
                Column("Hottest core", recorded(rec.NODE_TEMPERATURE, **RACK), decimals=1),
                Column("Hottest memory", hottest, decimals=1),
                Column(
                    "Inlet",
                    max_by(series(facility.AIR_TEMPERATURE, position="inlet", **_OF_NODES), *_NODE),
                    decimals=1,
                    steps=limits.INLET,
                ),
                Column("Tokens", recorded(rec.NODE_TOKENS, **RACK), decimals=0),
                Column(
                    "Anomaly",
                    max_by(series(findings.ANOMALY_SCORE, **_OF_NODES), *_NODE),
                    decimals=2,
                    steps=limits.ANOMALY,
                ),
                height=9,
                sort="Node",
            ),
        ),
    )


def _power() -> Section:
    side = max_by(recorded(rec.RACK_SIDE_POWER, **RACK), "site", "rack", "side")
    budget = max_by(series(site.POWER_BUDGET, **RACK), "site", "rack")
    voltage = min_by(series(facility.VOLTAGE, scope="phase", **RACK), "device", "id")
    return Section(
        "Power",
        (
            timeseries(
                "Power per feed against budget",
                "Do both sides carry their share, and would one side alone carry the rack?",
                Line(side, "side {{side}}"),
                Line(max_by(recorded(rec.RACK_POWER, **RACK), "site", "rack"), "rack"),
                Line(budget, "budget", dashed=True),
                low=0,
            ),
            timeseries(
                "Phase current against breaker",
                "Is a phase close to the rating of its breaker? 80 % is the limit for continuous load.",
                Line(breaker_load(), "{{device}} {{id}}"),
                low=0,
                steps=limits.BREAKER,
            ),
            timeseries(
                "Power of the nodes",
                "Which node draws more or less than the others?",
                Line(sum_by(series(facility.POWER_ACTIVE, scope="inlet", **_OF_NODES), *_NODE), "{{node}}"),
                low=0,
            ),
            state_timeline(
                "Breakers",
                "Has a breaker of this rack opened?",
                state_code(facility.BREAKER_STATE, {"tripped": 1, "off": 2}, "device", "id", **RACK),
                BREAKER,
                legend="{{device}} {{id}}",
            ),
            timeseries(
                "Voltage",
                "Is the supply steady on every phase?",
                Line(voltage, "{{device}} {{id}}"),
                width=12,
                height=7,
            ),
        ),
    )


def _cooling() -> Section:
    air = max_by(
        series(facility.AIR_TEMPERATURE, position=matches("inlet|exhaust"), **_OF_NODES), "node", "position"
    )
    return Section(
        "Cooling and health",
        (
            timeseries(
                "Smallest margin per node",
                "Which node drifts towards slowdown?",
                Line(max_by(recorded(rec.NODE_MARGIN, **RACK), *_NODE), "{{node}}"),
                steps=limits.MARGIN,
                low=0,
            ),
            timeseries(
                "Server air",
                "What air do the servers get, and how much do they warm it?",
                Line(air, "{{node}} {{position}}"),
            ),
            timeseries(
                "Server fans",
                "Do the fans of a node run harder than those of its neighbours, or not at all?",
                Line(avg_by(series(facility.FAN_SPEED, **_OF_NODES), "node"), "{{node}} mean"),
                Line(min_by(series(facility.FAN_SPEED, **_OF_NODES), "node"), "{{node}} slowest"),
                low=0,
                high=1,
            ),
            state_timeline(
                "Leak sensors",
                "Is there coolant where it must not be?",
                state_code(facility.LEAK_STATE, {"leak": 1, "fault": 2}, "device", "zone", **RACK),
                LEAK,
                legend="{{device}} {{zone}}",
            ),
            timeseries(
                "GPU clocks held down",
                "Which share of the time do the GPUs of a node spend below their clock, and why?",
                Line(
                    avg_by(rate(series(gpu.GPU_CLOCK_EVENT_SECONDS, **RACK), RATE), "node", "reason"),
                    "{{node}} {{reason}}",
                ),
                width=12,
                height=7,
                low=0,
            ),
        ),
    )
