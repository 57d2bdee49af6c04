"""gw-rooms: water where it must not be, doors, people, smoke, and the air around the racks."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    HALL,
    HALL_VARIABLE,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    or_zero,
    state_code,
)
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, States, alarm, stat, state_timeline, table, timeseries
from dashboards.places import ROOMS as UID
from gigawatch.catalogue import Unit, facility, liquid, room, site
from gigawatch.promql import (
    Expr,
    increase,
    join,
    matches,
    max_by,
    min_by,
    one_minus,
    otherwise,
    quantile_by,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

LEAK: States = {
    0: ("dry", "green"),
    1: ("moisture", "orange"),
    2: ("leak", "red"),
    3: ("sensor fault", "yellow"),
}
OPEN: States = {0: ("closed", "green"), 1: ("open", "orange")}
SMOKE: States = {0: ("clear", "green"), 1: ("smoke", "red")}
ISOLATED: States = {0: ("connected", "green"), 1: ("cut off", "red")}
_CODES = {"warning": 1, "leak": 2, "fault": 3}
_ZONE = ("site", "device", "zone")
_PLACED = (*_ZONE, "location", "endangers")


def board() -> Board:
    """Leaks, doors, access, smoke and air."""
    return Board(
        UID,
        "Rooms",
        "Is there water or smoke, is a door open, who tried to get in, and is the air as it should be?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, HALL_VARIABLE),
        (
            _now(),
            _leaks(),
            _doors(),
            _inlets(),
            _humidity(),
            Section(
                "Alerts of rooms", (alerts_table(24, 6, domain=matches("cooling|room|security|facility")),)
            ),
        ),
    )


def zones() -> Expr:
    """State of each leak zone, with its place and what stands there, where the inventory knows them."""
    state = state_code(facility.LEAK_STATE, _CODES, *_ZONE, **SITE)
    placed = join(state, site.LEAK_ZONE_INFO, _ZONE, ("location", "endangers"), **SITE)
    return max_by(otherwise(placed, state, *_ZONE), *_PLACED).in_unit(Unit.COUNT)


def _now() -> Section:
    def count(state: str) -> Expr:
        return or_zero(sum_by(series(facility.LEAK_STATE, state=state, **SITE)))

    denied = series(room.ACCESS_EVENTS, result=matches("denied|forced"), **SITE)
    return Section(
        "Now",
        (
            stat(
                "Leaks",
                "How many zones are wet? Isolate the loop of the zone first, then move jobs off what it "
                "endangers.",
                count("leak"),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Moisture",
                "How many zones show a first trace of moisture? Go and look within the hour: condensation or"
                " a weep.",
                count("warning"),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Sensor faults",
                "How many leak sensors are broken, so that a leak there would stay unseen?",
                count("fault"),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Smoke",
                "How many zones have smoke? The fire panel leads; this board only tells.",
                or_zero(sum_by(series(room.SMOKE, **SITE))),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Doors open",
                "How many doors stand open? An open rack door also spoils the air of its neighbours.",
                or_zero(sum_by(series(room.DOOR_OPEN, **SITE))),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Refused, 1 h",
                "How often was somebody refused, or a door forced? Names are in the access control, not "
                "here.",
                or_zero(sum_by(increase(denied, "1h"))),
                steps=alarm("orange", 0.5),
                decimals=0,
                filled=True,
            ),
            stat(
                "Warmest inlet",
                "How warm is the warmest air that a server breathes in? Above 27 °C is outside ASHRAE's "
                "recommendation.",
                max_by(series(facility.AIR_TEMPERATURE, position="inlet", **SITE)),
                steps=limits.INLET,
                decimals=1,
            ),
            stat(
                "Cooling index",
                "How near to ideal are the inlets of the worst hall? 100 % is no inlet above 27 °C, below 90"
                " % poor.",
                min_by(recorded(rec.HALL_RCI_HIGH, **HALL)),
                steps=limits.RCI,
                decimals=0,
            ),
        ),
    )


def _leaks() -> Section:
    return Section(
        "Leaks",
        (
            table(
                "Leak zones",
                "Where is it wet, and what stands below? Wet zones stand first; the loop of the device is to"
                " be isolated.",
                _PLACED,
                Column("State", zones(), states=LEAK, cell="color-background", steps=alarm()),
                width=24,
                height=7,
                sort="State",
                descending=True,
                nothing="No leak sensors",
                hide=("site",),
            ),
            state_timeline(
                "Leak zones over time",
                "When did it begin, and where first? The first zone is nearest to the cause.",
                state_code(facility.LEAK_STATE, _CODES, "device", "zone", **SITE),
                LEAK,
                legend="{{device}} {{zone}}",
                width=10,
                height=8,
            ),
            table(
                "Cut off",
                "Which racks are cut off from their coolant or their power?",
                ("site", "rack", "device", "kind"),
                Column("State", series(liquid.ISOLATED, **SITE), states=ISOLATED, steps=alarm()),
                width=7,
                height=8,
                nothing="No device tells of isolation",
                sort="State",
                descending=True,
                hide=("site",),
            ),
            table(
                "Smoke detectors",
                "Which zone has smoke? The fire panel leads.",
                _ZONE,
                Column("State", series(room.SMOKE, **SITE), states=SMOKE, steps=alarm()),
                width=7,
                height=8,
                nothing="No smoke detectors",
                sort="State",
                descending=True,
                hide=("site",),
            ),
        ),
    )


def _doors() -> Section:
    events = series(room.ACCESS_EVENTS, **SITE)
    return Section(
        "Doors and access",
        (
            state_timeline(
                "Doors",
                "Which door stands open, and since when?",
                max_by(series(room.DOOR_OPEN, **SITE), "device", "door").in_unit(Unit.COUNT),
                OPEN,
                legend="{{device}} {{door}}",
                width=10,
                height=8,
            ),
            table(
                "Passing doors in 24 h",
                "Which door was passed how often, and how often was it refused or forced? One refusal is "
                "a typing error, ten are not.",
                ("site", "device", "door", "result"),
                Column("Times", increase(events, "24h"), decimals=0),
                width=7,
                sort="Times",
                descending=True,
                nothing="Nobody passed a watched door",
                hide=("site",),
            ),
            timeseries(
                "Passing doors by result",
                "When was there coming and going, and when was it refused?",
                Line(sum_by(increase(events, "5m"), "result"), "{{result}} in 5 min"),
                width=7,
                low=0,
            ),
        ),
    )


def _inlets() -> Section:
    air = max_by(
        series(facility.AIR_TEMPERATURE, position="inlet", **SITE), "site", "rack", "device", "sensor"
    )
    return Section(
        "Inlet air",
        (
            timeseries(
                "Spread of the inlets",
                "Do the inlets drift together (the plant) or apart (an aisle)?",
                Line(min_by(air), "coldest"),
                Line(quantile_by(0.5, air), "middle"),
                Line(quantile_by(0.95, air), "95 of 100 below"),
                Line(max_by(air), "warmest"),
                steps=limits.INLET,
            ),
            timeseries(
                "Warmest inlet by rack",
                "Which rack breathes the warmest air?",
                Line(max_by(recorded(rec.RACK_INLET, **SITE), "rack"), "{{rack}}"),
                steps=limits.INLET,
            ),
            timeseries(
                "Rack cooling index",
                "Are inlets too warm (high) or overcooled (low)? 100 % is neither.",
                Line(max_by(recorded(rec.HALL_RCI_HIGH, **HALL), "hall"), "{{hall}} high"),
                Line(max_by(recorded(rec.HALL_RCI_LOW, **HALL), "hall"), "{{hall}} low"),
                high=1,
                steps=limits.RCI,
            ),
        ),
    )


def _humidity() -> Section:
    shi = max_by(recorded(rec.HALL_SHI, **HALL), "hall")
    return Section(
        "Humidity, dew point and pressure",
        (
            timeseries(
                "Humidity",
                "Is the air too dry (static) or too damp (corrosion)? 20 to 70 % is the band.",
                Line(
                    max_by(series(facility.HUMIDITY, **HALL), "device", "position"), "{{device}} {{position}}"
                ),
                low=0,
                high=1,
            ),
            timeseries(
                "Dew point",
                "Does the dew point come near to the coolant supply? -9 to 15 °C is recommended.",
                Line(
                    max_by(series(facility.DEW_POINT, **HALL), "device", "position"),
                    "{{device}} {{position}}",
                ),
                Line(min_by(recorded(rec.LOOP_SUPPLY, **SITE)), "coldest coolant supply", dashed=True),
            ),
            timeseries(
                "Air by position",
                "How warm are room, exhaust and outdoors?",
                Line(
                    max_by(
                        series(
                            facility.AIR_TEMPERATURE,
                            position=matches("room|exhaust|outdoor"),
                            **HALL,
                            node="",
                        ),
                        "device",
                        "position",
                    ),
                    "{{device}} {{position}}",
                ),
            ),
            timeseries(
                "Air pressure",
                "Does the floor or the containment hold its pressure? A drop is an open tile or door.",
                Line(
                    max_by(series(room.AIR_PRESSURE, **HALL), "device", "position"), "{{device}} {{position}}"
                ),
                width=12,
            ),
            timeseries(
                "Return heat index",
                "How much of the cold air reaches the servers before it mixes with warm? 100 % is best.",
                Line(one_minus(shi), "{{hall}}"),
                width=12,
                low=0,
                high=1,
            ),
        ),
    )
