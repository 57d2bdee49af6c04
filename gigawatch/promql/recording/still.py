"""Sensors that are dead and still answer: values that must move, and have not for a day.

Only values that cannot stand still are watched: power and current under load, and air and coolant that carry
away a load's heat. What a control holds steady (a set point, a supply, a room) may well be constant.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility
from gigawatch.promql.expr import Expr, Selector, before, changes, matches, max_by, max_over_time, on, series
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import DEVICE
from gigawatch.promql.rule import Recorded, recorded

_READING = (*DEVICE, "reading", "id")


def _moves(reading: str, readings: Selector, least: float, id_of: str) -> Expr:
    """Changes within an hour of readings above `least`."""
    loaded = on(changes(readings, "1h"), "and", readings > least, *DEVICE, id_of)
    named = relabel(max_by(loaded, *DEVICE, id_of), "reading", reading, "site")
    return named if id_of == "id" else max_by(relabel(named, "id", "$1", id_of), *_READING)


READING_CHANGES = Recorded(
    "data:aif_reading_changes:1h",
    _moves("power", series(facility.POWER_ACTIVE, scope="inlet"), 200, "id")
    .or_(_moves("current", series(facility.CURRENT, scope="phase"), 3, "id"))
    .or_(_moves("exhaust air", series(facility.AIR_TEMPERATURE, position="exhaust"), 0, "sensor"))
    .or_(_moves("outdoor air", series(facility.AIR_TEMPERATURE, position="outdoor"), -60, "sensor"))
    .or_(
        _moves(
            "coolant return",
            series(facility.COOLANT_RETURN_TEMPERATURE, circuit=matches("tcs")),
            0,
            "circuit",
        )
    ),
    "How often readings that must move have changed within an hour, of those under load.",
    Unit.COUNT,
    slow=True,
)
_day = max_over_time(recorded(READING_CHANGES), "1d").equals(0)
READING_STILL = Recorded(
    "data:aif_reading_still:info",
    on(_day, "and", before(recorded(READING_CHANGES), "23h"), *_READING) + 1,
    "Readings that must move and have stood still for a day; always 1.",
    Unit.COUNT,
    slow=True,
)
