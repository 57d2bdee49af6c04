"""gw-facility: the way of power into the racks and the way of heat out of them."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    LOOP_VARIABLE,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    metered,
    or_zero,
    state_code,
)
from dashboards.boards.facility_cooling import air, coolant, loops
from dashboards.model import Board, Section
from dashboards.panels import (
    Column,
    Line,
    alarm,
    bars,
    stat,
    state_timeline,
    table,
    timeseries,
)
from dashboards.places import FACILITY as UID
from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql import (
    Expr,
    count_by,
    join,
    matches,
    max_by,
    min_by,
    recorded,
    series,
    sum_by,
    topk,
)
from gigawatch.promql import recording as rec

UPS = {0: ("online", "green"), 1: ("on battery", "orange"), 2: ("bypass", "yellow"), 3: ("off", "red")}
_BREAKER = ("site", "device", "side")


def board() -> Board:
    """Power path and cooling."""
    return Board(
        UID,
        "Power and cooling",
        "Is there enough power and cooling on every path, and what is lost on the way?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, LOOP_VARIABLE),
        (
            _now(),
            _path(),
            loops(),
            coolant(),
            air(),
            Section(
                "Alerts of power and cooling",
                (alerts_table(24, 6, domain=matches("power|cooling")),),
            ),
        ),
    )


def of_role(expr: Expr, role: str) -> Expr:
    """A device metric, of the devices of a role, with that role."""
    values = max_by(expr, "site", "device", "side")
    return join(values, site.DEVICE_INFO, ("site", "device"), ("role",), **SITE, role=matches(role))


def inlet(role: str) -> Expr:
    """Power at the inlet of the devices of a role."""
    return of_role(series(facility.POWER_ACTIVE, scope="inlet", **SITE), role)


def _now() -> Section:
    silent = or_zero(count_by(series(facility.FACILITY_POLL_UP, **SITE).equals(0)))
    on_battery = or_zero(sum_by(series(facility.UPS_STATUS, state=matches("on_battery|bypass|off"), **SITE)))
    open_breakers = or_zero(sum_by(series(facility.BREAKER_STATE, state=matches("tripped|off"), **SITE)))
    wet = or_zero(sum_by(series(facility.LEAK_STATE, state="leak", **SITE)))
    return Section(
        "Now",
        (
            stat(
                "Power bought",
                "How much power does the site draw from its utility intakes?",
                metered("facility"),
                decimals=1,
            ),
            stat(
                "PUE",
                "How many watts are bought for each watt that reaches the racks? Interim figure, category 2.",
                max_by(recorded(rec.SITE_PUE, **SITE), "site"),
                legend="{{site}}",
                steps=limits.PUE,
                decimals=2,
            ),
            stat(
                "UPS not online",
                "How many UPS run on battery, in bypass, or not at all?",
                on_battery,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Shortest battery",
                "How long would the weakest UPS carry its load?",
                min_by(series(facility.UPS_RUNTIME, **SITE)),
                steps=limits.UPS_RUNTIME,
                decimals=0,
            ),
            stat(
                "Breakers open",
                "How many breakers have tripped or are off?",
                open_breakers,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Lowest loop flow",
                "How much of its design flow does the weakest coolant loop have?",
                min_by(recorded(rec.LOOP_FLOW_RATIO, **SITE)),
                steps=limits.FLOW,
                decimals=0,
            ),
            stat("Leaks", "How many leak sensors are wet?", wet, steps=alarm(), decimals=0, filled=True),
            stat(
                "Devices silent",
                "How many facility devices did not answer their last poll?",
                silent,
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
        ),
    )


def breaker_load() -> Expr:
    """Highest phase current of each rack PDU against the rating of its main breaker."""
    current = max_by(series(facility.CURRENT, scope="phase", **SITE), *_BREAKER)
    rating = max_by(series(facility.BREAKER_RATING, id="main", **SITE), *_BREAKER)
    return current / rating


def _path() -> Section:
    carried = ("site", "device", "role", "side")
    rated = max_by(recorded(rec.DEVICE_CAPACITY, **SITE), "site", "device")
    roles = matches("utility|ups|floor_pdu|rack_pdu")
    capacity = join(rated, site.DEVICE_INFO, ("site", "device"), ("role", "side"), **SITE, role=roles)
    power = inlet("utility|ups|floor_pdu|rack_pdu")
    ups_in = sum_by(inlet("ups"), "site", "device")
    ups_out = sum_by(of_role(series(facility.POWER_ACTIVE, scope="output", **SITE), "ups"), "site", "device")
    return Section(
        "Power path",
        (
            timeseries(
                "Power bought per side",
                "Do the A and B sides share the load, and could one carry all of it?",
                Line(sum_by(inlet("utility"), "site", "side"), "{{site}} {{side}}"),
                low=0,
            ),
            timeseries(
                "Where the power goes",
                "How much reaches the racks, and how much goes into cooling?",
                Line(sum_by(inlet("rack_pdu")), "racks"),
                Line(sum_by(inlet("chiller")), "chillers"),
                Line(sum_by(inlet("cdu")), "coolant units"),
                Line(sum_by(inlet("crah")), "room air"),
                stacked=True,
                low=0,
            ),
            timeseries(
                "PUE over time",
                "Does the building take more for the same work?",
                Line(max_by(recorded(rec.SITE_PUE, **SITE), "site"), "{{site}}"),
                decimals=2,
            ),
            timeseries(
                "UPS load",
                "Would one UPS carry both sides? Above half, it would not.",
                Line(max_by(series(facility.UPS_LOAD, **SITE), "device"), "{{device}}"),
                low=0,
                high=1,
                steps=limits.UPS_LOAD,
            ),
            timeseries(
                "UPS losses",
                "How much power stays in the UPS?",
                Line(ups_in - ups_out, "{{device}}"),
                low=0,
            ),
            timeseries(
                "UPS battery",
                "Are the batteries charged?",
                Line(max_by(series(facility.UPS_CHARGE, **SITE), "device"), "{{device}}"),
                low=0,
                high=1,
            ),
            state_timeline(
                "UPS",
                "Did a UPS go to battery or bypass?",
                state_code(facility.UPS_STATUS, {"on_battery": 1, "bypass": 2, "off": 3}, "device", **SITE),
                UPS,
                legend="{{device}}",
                width=8,
                height=8,
            ),
            bars(
                "Breakers closest to their rating",
                "Which rack PDUs have the least current to spare? 80 % is the limit for continuous load.",
                topk(10, max_by(breaker_load(), "device")),
                legend="{{device}}",
                steps=limits.BREAKER,
                high=1,
                decimals=0,
            ),
            table(
                "Power devices",
                "What does each device of the power path carry, and what could it?",
                carried,
                Column("Power", sum_by(power, *carried), decimals=1),
                Column("Capacity", sum_by(capacity, *carried), decimals=1),
                Column(
                    "Load",
                    (sum_by(power, *carried) / sum_by(capacity, *carried)).in_unit(Unit.RATIO),
                    decimals=0,
                    steps=limits.BREAKER,
                ),
                width=8,
                height=8,
                sort="Load",
                descending=True,
                hide=("site",),
            ),
        ),
    )
