"""The diagram of gw-cooling: chillers, coolant units, loops, racks."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE
from dashboards.boards.facility_cooling import LITERS_PER_MINUTE
from dashboards.drawings import drawn, figure, graph
from dashboards.model import Panel
from dashboards.places import RACK
from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql import Expr, Match, Recorded, many_to_one, matches, max_by, on, recorded, series, sum_by
from gigawatch.promql import recording as rec
from gigawatch.promql.joins import copied

LITERS_PER_KILOWATT = "suffix: L/min/kW"
LOOP: dict[str, str | Match] = {**SITE, "loop": matches("$loop")}
_DEVICE = ("site", "device")
_COOLS = "chiller|dry_cooler|cooling_tower|cdu|crah|rear_door"


def device_heat() -> Expr:
    """Heat that a unit carries away; of the technology side where it tells both sides."""
    return max_by(series(facility.HEAT_REMOVED, **SITE), *_DEVICE)


def cooling_load() -> Expr:
    """Heat against what a unit can carry."""
    rated = max_by(recorded(rec.COOLING_RATED, **SITE), *_DEVICE)
    return on(device_heat(), "/", rated, *_DEVICE)


def of_units(expr: Expr) -> Expr:
    """Only what chillers, coolant units, air handlers and their kin say."""
    units = max_by(series(site.DEVICE_INFO, role=matches(_COOLS), **SITE), *_DEVICE)
    return many_to_one(max_by(expr, *_DEVICE), "*", units, _DEVICE)


def _edge(expr: Expr, source: str, target: str) -> Expr:
    named = copied(
        copied(copied(expr, "source", source), "target", target), "id", source, target, between=" > "
    )
    return max_by(named, "id", "source", "target")


def loop_diagram() -> Panel:
    """Who carries whose heat away, as far as the chosen loops go."""
    path = max_by(series(site.COOLING_PATH_INFO, **SITE), *_DEVICE, "cooled_by")
    devices = max_by(
        series(site.DEVICE_INFO, role=matches(_COOLS), **SITE), *_DEVICE, "role", "loop", "rack", "hall"
    )
    units = max_by(series(site.DEVICE_INFO, role="cdu", **LOOP), *_DEVICE, "loop")
    loops = max_by(series(site.LOOP_RACK_INFO, **LOOP), "site", "loop", "rack", "hall")
    edges = (
        _edge(path, "cooled_by", "device")
        .or_(_edge(units, "device", "loop"))
        .or_(_edge(loops, "loop", "rack"))
    )
    panel = graph(
        "Loops and what cools them",
        "Where does the chain that carries the heat away weaken: at a chiller, a unit, a loop or a rack? "
        "Red: it stands, is full, has no spare, or GPUs will slow down. Bars end at what can be carried.",
        edges,
        height=19,
    )

    def of_loop(rule: Recorded) -> Expr:
        return max_by(recorded(rule, **LOOP), "site", "loop")

    def of_device(expr: Expr) -> Expr:
        return max_by(expr, *_DEVICE)

    return drawn(
        panel,
        "cooling",
        {
            "devices": devices,
            "path": path,
            "loops": loops,
            "racks": max_by(series(site.RACK_INFO, **SITE), "site", "rack", "hall", "cooling"),
        },
        (
            figure("heat", "Heat", device_heat(), "device", decimals=0),
            figure(
                "used",
                "Of capacity",
                cooling_load(),
                "device",
                decimals=0,
                steps=limits.CAPACITY,
                low=0,
                high=1,
            ),
            figure(
                "supply",
                "Supply",
                of_device(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs", **SITE)),
                "device",
                decimals=1,
            ),
            figure(
                "return",
                "Return",
                of_device(series(facility.COOLANT_RETURN_TEMPERATURE, circuit="tcs", **SITE)),
                "device",
                decimals=1,
            ),
            figure(
                "approach",
                "Approach",
                of_device(recorded(rec.CDU_APPROACH, **SITE)),
                "device",
                decimals=1,
                unit="kelvin",
            ),
            figure(
                "running",
                "Pumps that run",
                sum_by(max_by(series(facility.PUMP_RUNNING, **SITE), *_DEVICE, "pump"), *_DEVICE),
                "device",
                decimals=0,
            ),
            figure(
                "reservoir",
                "Reservoir",
                of_device(series(facility.RESERVOIR_LEVEL, **SITE)),
                "device",
                decimals=0,
                steps=limits.RESERVOIR,
            ),
            figure("loopSupply", "Supply", of_loop(rec.LOOP_SUPPLY), "loop", decimals=1),
            figure("loopReturn", "Return", of_loop(rec.LOOP_RETURN), "loop", decimals=1),
            figure(
                "flow",
                "Flow",
                (of_loop(rec.LOOP_FLOW) * 60_000).in_unit(Unit.COUNT),
                "loop",
                decimals=0,
                unit=LITERS_PER_MINUTE,
            ),
            figure(
                "flowPerKw",
                "Flow for each kW",
                of_loop(rec.LOOP_FLOW_PER_KW),
                "loop",
                decimals=2,
                steps=limits.FLOW_PER_KW,
                unit=LITERS_PER_KILOWATT,
            ),
            figure(
                "flowRatio",
                "Of design flow",
                of_loop(rec.LOOP_FLOW_RATIO),
                "loop",
                decimals=0,
                steps=limits.FLOW,
            ),
            figure("loopHeat", "Heat", of_loop(rec.LOOP_HEAT), "loop", decimals=0),
            figure(
                "loopUsed",
                "Of capacity",
                of_loop(rec.LOOP_CAPACITY_USED),
                "loop",
                decimals=0,
                steps=limits.CAPACITY,
                low=0,
                high=1,
            ),
            figure(
                "redundancy",
                "Without the largest unit",
                of_loop(rec.LOOP_REDUNDANCY),
                "loop",
                decimals=0,
                steps=limits.FAILOVER,
            ),
            figure(
                "dew",
                "Above dew point",
                of_loop(rec.LOOP_DEW_MARGIN),
                "loop",
                decimals=1,
                steps=limits.ABOVE_DEW_POINT,
                unit="kelvin",
            ),
            figure(
                "loopMargin",
                "GPU margin",
                of_loop(rec.LOOP_MARGIN),
                "loop",
                decimals=1,
                steps=limits.MARGIN,
                unit="kelvin",
            ),
            figure(
                "throttle",
                "Throttles in",
                of_loop(rec.LOOP_THROTTLE),
                "loop",
                decimals=0,
                steps=limits.TIME_TO_THROTTLE,
            ),
            figure(
                "rackPower",
                "Power",
                max_by(recorded(rec.RACK_POWER, **SITE), "site", "rack"),
                "rack",
                decimals=0,
            ),
            figure(
                "rackMargin",
                "GPU margin",
                max_by(recorded(rec.RACK_MARGIN, **SITE), "site", "rack"),
                "rack",
                decimals=1,
                steps=limits.MARGIN,
                unit="kelvin",
            ),
        ),
        links={"rack": RACK},
    )
