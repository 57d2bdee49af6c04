"""gw-capacity: what still fits where, and how long it lasts."""

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
    or_zero,
)
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, bars, falling, stat, table, timeseries
from dashboards.places import CAPACITY as UID
from gigawatch.catalogue import capacity, site
from gigawatch.promql import Expr, join, max_by, min_by, recorded, series, sum_by, topk
from gigawatch.promql import recording as rec

_RACK = ("site", "rack")
_PLACE = ("site", "scope", "place", "resource")
RESOURCES = {"power": "Power", "cooling": "Cooling", "space": "Space", "ports": "Ports"}


def board() -> Board:
    """Free capacity and forecast."""
    return Board(
        UID,
        "Capacity",
        "Where is room for more, what is used up first, and when?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, HALL_VARIABLE, ROW_VARIABLE, PLACED_RACK_VARIABLE),
        (_now(), _racks(), _rows(), _forecast()),
    )


def _now() -> Section:
    soonest = series(capacity.CAPACITY_EXHAUSTION, bound="expected", **SITE)
    return Section(
        "Now",
        (
            stat(
                "Can be added",
                "How much power can still be added, with cooling, space and ports kept as well?",
                or_zero(sum_by(recorded(rec.RACK_USABLE, **RACK))),
                decimals=0,
            ),
            stat(
                "Stranded",
                "How much free power is of no use, because something else ran out first? The table names it.",
                or_zero(sum_by(recorded(rec.RACK_STRANDED, **RACK))),
                decimals=0,
            ),
            stat(
                "Units free",
                "How many height units are empty?",
                sum_by(series(site.RACK_UNITS_FREE, **RACK)),
                decimals=0,
            ),
            stat(
                "Ports free",
                "How many network ports are unused?",
                sum_by(series(site.RACK_PORTS_FREE, **RACK)),
                decimals=0,
            ),
            stat(
                "Promised",
                "How much power is reserved for what is to come?",
                or_zero(sum_by(series(site.RACK_RESERVED_POWER, **RACK))),
                decimals=0,
            ),
            stat(
                "U promised",
                "How many units are reserved for what is to come?",
                or_zero(sum_by(series(site.RACK_RESERVED_UNITS, **RACK))),
                decimals=0,
            ),
            stat(
                "Nodes that fit",
                "How many nodes of the kind that fits best can still be placed on the site?",
                max_by(series(capacity.CAPACITY_NODES_FREE, scope="site", **SITE)),
                decimals=0,
                steps=falling(2, 1),
            ),
            stat(
                "First limit",
                "When is the first limit reached if the trend goes on? Half a year is the time to order.",
                min_by(soonest),
                decimals=0,
                steps=limits.EXHAUSTION,
            ),
        ),
    )


def _free(resource: str) -> Expr:
    return max_by(recorded(rec.RACK_FREE, resource=resource, **RACK), *_RACK)


def _racks() -> Section:
    p99 = max_by(recorded(rec.RACK_POWER_P99, **RACK), *_RACK)
    budget = max_by(series(site.POWER_BUDGET, **RACK), *_RACK)
    return Section(
        "Racks",
        (
            table(
                "Room by rack",
                "Which rack takes more, and what stops it? Each resource is given as the power it still "
                "allows; the least of them can be added. Power is measured (99 of 100 minutes of a day), not"
                " nameplate.",
                _RACK,
                Column("Budget", budget, decimals=0),
                Column("Measured p99", p99, decimals=1),
                Column(
                    "Of budget", p99 / budget, decimals=0, steps=limits.SPACE, cell="gauge", low=0, high=1
                ),
                Column("Promised", series(site.RACK_RESERVED_POWER, **RACK), decimals=0),
                *(
                    Column(f"By {title.lower()}", _free(name), decimals=0)
                    for name, title in RESOURCES.items()
                ),
                Column("Can be added", recorded(rec.RACK_USABLE, **RACK), decimals=0, steps=limits.LEFT),
                Column("Stranded", recorded(rec.RACK_STRANDED, **RACK), decimals=0),
                Column("U free", series(site.RACK_UNITS_FREE, **RACK), decimals=0),
                Column("Ports free", series(site.RACK_PORTS_FREE, **RACK), decimals=0),
                height=10,
                sort="Can be added",
                descending=True,
                hide=("site",),
            ),
            bars(
                "Power that can be added by rack",
                "Where does the next rack or node go?",
                topk(12, max_by(recorded(rec.RACK_USABLE, **RACK), "rack")),
                legend="{{rack}}",
                decimals=0,
            ),
            bars(
                "Units free by rack",
                "Where are empty units?",
                topk(12, max_by(series(site.RACK_UNITS_FREE, **RACK), "rack")),
                legend="{{rack}}",
                decimals=0,
            ),
            timeseries(
                "Fullest racks",
                "Which racks come near to their budget?",
                Line(topk(8, max_by(recorded(rec.RACK_BUDGET_USED, **RACK), "rack")), "{{rack}}"),
                low=0,
                steps=limits.BUDGET,
            ),
        ),
    )


def _rows() -> Section:
    row = ("site", "hall", "row")

    def by_row(expr: Expr) -> Expr:
        placed = join(max_by(expr, *_RACK), site.RACK_INFO, _RACK, ("hall", "row"), **SITE)
        return sum_by(placed, *row).in_unit(expr.unit)

    kinds = ("site", "scope", "place", "kind")
    return Section(
        "Rows and what fits",
        (
            table(
                "Room by row",
                "Which row has room, and is it power, units or ports that it lacks?",
                row,
                Column("Budget", by_row(series(site.POWER_BUDGET, **RACK)), decimals=0),
                Column("Measured", by_row(recorded(rec.RACK_POWER, **RACK)), decimals=0),
                Column("Can be added", by_row(recorded(rec.RACK_USABLE, **RACK)), decimals=0),
                Column("Stranded", by_row(recorded(rec.RACK_STRANDED, **RACK)), decimals=0),
                Column("U free", by_row(series(site.RACK_UNITS_FREE, **RACK)), decimals=0),
                Column("Ports free", by_row(series(site.RACK_PORTS_FREE, **RACK)), decimals=0),
                width=14,
                sort="Can be added",
                descending=True,
                hide=("site",),
            ),
            table(
                "Nodes that still fit",
                "How many nodes of each kind fit where, with power, cooling, space, ports and redundancy all"
                " kept? `gigawatch capacity` names the units.",
                kinds,
                Column("Fit", series(capacity.CAPACITY_NODES_FREE, **SITE), decimals=0, steps=falling(2, 1)),
                width=10,
                sort="Fit",
                descending=True,
                nothing="The analysis has not told yet",
                hide=("site",),
            ),
        ),
    )


def _forecast() -> Section:
    def until(bound: str) -> Expr:
        return max_by(series(capacity.CAPACITY_EXHAUSTION, bound=bound, **SITE), *_PLACE)

    used = max_by(series(capacity.CAPACITY_USED, **SITE), *_PLACE)
    return Section(
        "Forecast",
        (
            table(
                "How long it lasts",
                "When is each limit reached if the trend goes on? The dates hold with 90 % between the two "
                "ends; no date means that nothing grows. Below half a year order, below a month act.",
                _PLACE,
                Column("Used", used, decimals=0, steps=limits.SPACE, cell="gauge", low=0, high=1),
                Column("Free", max_by(series(capacity.CAPACITY_FREE_POWER, **SITE), *_PLACE), decimals=0),
                Column("At the earliest", until("early"), decimals=0, steps=limits.EXHAUSTION),
                Column("Expected", until("expected"), decimals=0, steps=limits.EXHAUSTION),
                Column("At the latest", until("late"), decimals=0),
                height=9,
                sort="Expected",
                nothing="The analysis has not told yet",
                hide=("site",),
            ),
            timeseries(
                "Used of each resource",
                "Which resource fills up fastest on the site?",
                Line(
                    max_by(series(capacity.CAPACITY_USED, scope="site", **SITE), "site", "resource"),
                    "{{site}} {{resource}}",
                ),
                width=12,
                low=0,
                high=1,
                steps=limits.SPACE,
            ),
            timeseries(
                "Stranded power over time",
                "Does power that nothing can use grow?",
                Line(max_by(recorded(rec.SITE_STRANDED, **SITE), "site"), "{{site}}"),
                width=12,
                low=0,
            ),
        ),
    )
