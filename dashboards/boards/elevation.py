"""gw-elevation: what stands where, and how it fares there."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    HALL_VARIABLE,
    PLACED_RACK_VARIABLE,
    RACK,
    ROW_VARIABLE,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    firing,
    maintenance_left,
    maintenance_table,
)
from dashboards.drawings import drawn, figure, matrix
from dashboards.model import Board, Figure, Panel, Section
from dashboards.panels import Column, States, alarm, rising, table
from dashboards.places import ELEVATION as UID
from dashboards.places import NODE
from dashboards.places import RACK as RACK_BOARD
from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql import (
    Expr,
    join,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    otherwise,
    recorded,
    series,
)
from gigawatch.promql import recording as rec
from gigawatch.promql.joins import copied

HEALTH: States = {0: ("no alert", "green"), 1: ("warning", "orange"), 2: ("critical", "red")}
_SLOT = ("site", "rack", "unit", "height", "face", "kind", "name")
_NODE = ("site", "rack", "node")
_NAMED = ("site", "rack", "name")


def board() -> Board:
    """Racks side by side."""
    return Board(
        UID,
        "Rack elevation",
        "What stands on which unit, how warm and how loaded is it there, and where is room?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, HALL_VARIABLE, ROW_VARIABLE, PLACED_RACK_VARIABLE),
        (
            Section("Racks", (_elevation(),)),
            Section(
                "Under maintenance and in alarm",
                (maintenance_table(10, 6), alerts_table(14, 6, rack=matches("$rack"))),
            ),
            Section("Thermal map", (_map(_inlet_figure()), _map(_margin_figure()))),
            Section("Load and alerts by place", (_map(_power_figure()), _map(_health_figure())), folded=True),
        ),
    )


def _of_nodes(expr: Expr) -> Expr:
    return copied(max_by(expr, *_NODE), "name", "node")


def inlet() -> Expr:
    """Air that each server breathes in."""
    air = series(facility.AIR_TEMPERATURE, position="inlet", **RACK, node=matches(".+"))
    return max_by(_of_nodes(air), *_NAMED)


def margin() -> Expr:
    """Smallest GPU margin of each node."""
    return max_by(_of_nodes(min_by(recorded(rec.NODE_MARGIN, **RACK), *_NODE)), *_NAMED)


def load() -> Expr:
    """Power of nodes against what was planned for them, and of PDUs against their breakers."""
    planned = max_by(series(site.NODE_DESIGN_POWER, **RACK), *_NODE)
    metered = max_by(recorded(rec.NODE_POWER, **SITE), "site", "node")
    used = on(join(metered, site.NODE_INFO, ("site", "node"), ("rack",), **RACK), "/", planned, *_NODE)
    breakers = max_by(recorded(rec.BREAKER_LOAD, id="main", **RACK), "site", "rack", "device")
    return max_by(
        otherwise(copied(used, "name", "node"), copied(breakers, "name", "device"), *_NAMED), *_NAMED
    ).in_unit(Unit.RATIO)


def health() -> Expr:
    """2 where a critical alert of a node fires, 1 where a warning does, 0 elsewhere."""
    worst = max_by(firing(severity="critical", **RACK, node=matches(".+")), *_NODE) * 2
    poor = max_by(firing(severity="warning", **RACK, node=matches(".+")), *_NODE)
    well = max_by(series(site.NODE_INFO, **RACK), *_NODE) * 0
    code = otherwise(worst, otherwise(poor, well, *_NODE), *_NODE)
    return max_by(_of_nodes(code), *_NAMED).in_unit(Unit.COUNT)


def _inlet_figure() -> Figure:
    return figure(
        "inlet", "Inlet air", inlet(), "name", decimals=1, steps=limits.INLET, low=21, high=33,
        scheme="continuous-GrYlRd",
    )  # fmt: skip


def _margin_figure() -> Figure:
    return figure(
        "margin", "GPU margin", margin(), "name", decimals=1, steps=limits.MARGIN, low=0, high=20,
        scheme="continuous-RdYlGr", unit="kelvin",
    )  # fmt: skip


def _power_figure() -> Figure:
    return figure(
        "load", "Power against limit", load(), "name", decimals=0, steps=limits.BREAKER, low=0.6, high=1,
        scheme="continuous-GrYlRd",
    )  # fmt: skip


def _health_figure() -> Figure:
    return figure("health", "Alerts", health(), "name", states=HEALTH, steps=rising(1, 2))


_QUESTIONS = {
    "inlet": "Where in the rows is the air warm? A warm corner is recirculation: look for blanking panels "
    "that are missing. A warm rack is its own air or door. Above 27 °C is outside what ASHRAE "
    "recommends.",
    "margin": "Which place has the GPUs nearest to slowdown? One cell: that node's cold plate. A column: the "
    "rack's coolant. Neighbouring columns: their loop.",
    "load": "Which node or rack PDU draws more than was planned for it? Above 80 % of its breaker a PDU has "
    "no more to give: move load to the other side.",
    "health": "Where do alerts of nodes fire now? A cell leads to the rack's board, which lists them.",
}


def _map(of: Figure) -> Panel:
    """A figure by unit and rack: Grafana's nearest to an elevation."""
    slots = max_by(series(site.RACK_SLOT_INFO, **RACK), *_SLOT)
    placed = many_to_one(slots, "*", of.expr, _NAMED)
    states = HEALTH if of.ref == "health" else None
    steps = tuple((step["color"], step["value"]) for step in of.config["thresholds"]["steps"])
    return matrix(
        f"{of.title} by unit and rack",
        _QUESTIONS[of.ref],
        placed.in_unit(of.expr.unit),
        rows="unit",
        columns="rack",
        steps=steps,
        decimals=of.config.get("decimals"),
        states=states,
        low=of.config.get("min"),
        high=of.config.get("max"),
        scheme="" if states else of.config["color"]["mode"],
        link=RACK_BOARD,
        height=9,
    )


def _elevation() -> Panel:
    slots = max_by(series(site.RACK_SLOT_INFO, **RACK), *_SLOT)

    def by_slot(expr: Expr) -> Expr:
        return many_to_one(slots, "*", expr, _NAMED).in_unit(expr.unit)

    used = max_by(recorded(rec.RACK_BUDGET_USED, **RACK), "site", "rack")
    racks = join(
        max_by(series(site.RACK_UNITS, **RACK), "site", "rack"),
        site.RACK_INFO,
        ("site", "rack"),
        ("row", "hall"),
        **SITE,
    )
    beside = max_by(
        series(site.DEVICE_INFO, **RACK, role=matches("rack_pdu|power_shelf|busway")),
        "site",
        "rack",
        "device",
        "role",
        "side",
    )
    panel = table(
        "Racks, unit by unit",
        "What stands where, and which place is too warm, too loaded or in alarm? Pick what colours the "
        "units; a node leads to its board, a rack's name to the rack. Hatched units are reserved, empty ones"
        " free.",
        _SLOT,
        Column("Place taken", slots, states={1: ("yes", "text")}),
        Column("Inlet air", by_slot(inlet()), decimals=1, steps=limits.INLET, cell="color-background"),
        Column("GPU margin", by_slot(margin()), decimals=1, steps=limits.MARGIN, cell="color-background"),
        Column("Against limit", by_slot(load()), decimals=0, steps=limits.BREAKER, cell="color-background"),
        Column("Alerts", by_slot(health()), states=HEALTH, steps=alarm(), cell="color-background"),
        height=21,
        sort="Rack",
        nothing="No rack with units in the inventory",
    )
    return drawn(
        panel,
        "elevation",
        {
            "racks": max_by(racks, "site", "hall", "row", "rack"),
            "slots": slots,
            "beside": beside,
            "maintenance": maintenance_left("rack"),
        },
        (figure("used", "Power against budget", used, "rack", decimals=0, steps=limits.BUDGET),),
        measures=(_inlet_figure(), _margin_figure(), _power_figure(), _health_figure()),
        links={"node": NODE, "rack": RACK_BOARD},
    )
