"""gw-power: the power chain from the utility to the racks, side A and side B."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    ANY_RACK_VARIABLE,
    DATASOURCE,
    RACK,
    SITE,
    SITE_VARIABLE,
    alerts_table,
    or_zero,
    state_code,
)
from dashboards.boards.power_chain import UPS, chain, power_devices
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, bars, stat, state_timeline, table, timeseries
from dashboards.places import POWER as UID
from gigawatch.catalogue import electrical, facility
from gigawatch.promql import count_by, matches, max_by, min_by, recorded, series, sum_by, topk
from gigawatch.promql import recording as rec

_RACK = ("site", "rack")
_FEED = ("site", "feed")
_BREAKER = ("site", "rack", "device", "id")
BATTERY = {0: ("normal", "green"), 1: ("low", "orange"), 2: ("depleted", "red")}


def board() -> Board:
    """The power chain."""
    return Board(
        UID,
        "Power chain",
        "Does every path carry its load, and what remains if one of them is lost?",
        ("gigawatch", "facility"),
        (DATASOURCE, SITE_VARIABLE, ANY_RACK_VARIABLE),
        (
            _now(),
            Section("One line from the utility to the racks", (chain(),)),
            _loss(),
            _breakers(),
            _ups(),
            _money(),
            Section("Alerts of power", (alerts_table(24, 6, domain="power"),)),
        ),
    )


def _now() -> Section:
    on_battery = or_zero(sum_by(series(facility.UPS_STATUS, state=matches("on_battery|bypass|off"), **SITE)))
    broken = or_zero(count_by(recorded(rec.RACK_FAILOVER, **SITE) > 1))
    one_sided = or_zero(count_by(recorded(rec.RACK_SIDES_LIVE, **SITE) < 2))
    open_breakers = or_zero(sum_by(series(facility.BREAKER_STATE, state=matches("tripped|off"), **SITE)))
    return Section(
        "Now",
        (
            stat(
                "Without 2N",
                "How many racks would not survive the loss of a side, because the other could not carry "
                "both? Move or cap load in the racks that the table below names.",
                broken,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "On one side",
                "How many racks have voltage on one side only? The next fault there takes them down: find "
                "the dead side in the diagram.",
                one_sided,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "UPS in trouble",
                "How many UPS run on battery, in bypass, or not at all? On battery the clock beside this "
                "runs.",
                on_battery,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Battery lasts",
                "How long would the weakest UPS carry its load? Under ten minutes there is no time to shed "
                "load by hand.",
                min_by(series(facility.UPS_RUNTIME, **SITE)),
                steps=limits.UPS_RUNTIME,
                decimals=0,
            ),
            stat(
                "Breakers open",
                "How many breakers have tripped or are off? Do not close one before its cause is known.",
                open_breakers,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Headroom",
                "How many amperes has the fullest breaker left under the 80 % rule? Below 0 it is beyond "
                "what it may carry continuously.",
                min_by(recorded(rec.BREAKER_HEADROOM, **SITE)),
                steps=limits.HEADROOM,
                decimals=1,
            ),
            stat(
                "Imbalance",
                "How far is the worst phase from the mean of its device? Move single-phase loads to the "
                "emptiest phase.",
                max_by(recorded(rec.PHASE_IMBALANCE, **SITE)),
                steps=limits.IMBALANCE,
                decimals=0,
            ),
            stat(
                "Stranded",
                "How much free power is of no use, because cooling, space or ports run out first?",
                sum_by(recorded(rec.SITE_STRANDED, **SITE)),
                decimals=1,
            ),
        ),
    )


def _loss() -> Section:
    def side(name: str) -> Column:
        power = recorded(rec.RACK_SIDE_POWER, side=name, **RACK)
        return Column(name, sum_by(power, *_RACK), decimals=1)

    return Section(
        "If a side or a feed is lost",
        (
            table(
                "Racks that lose a side",
                "Which racks could not live on one side? Above 100 % the smaller side would trip: take load "
                "out before anything else fails. PDUs that are silent make the figure absent.",
                _RACK,
                Column("Power", recorded(rec.RACK_POWER, **RACK), decimals=1),
                side("A"),
                side("B"),
                Column(
                    "Alone",
                    recorded(rec.RACK_FAILOVER, **RACK),
                    decimals=0,
                    steps=limits.FAILOVER,
                    cell="gauge",
                    low=0,
                    high=1.2,
                ),
                Column("Left", recorded(rec.RACK_FAILOVER_LEFT, **RACK), decimals=1, steps=limits.LEFT),
                Column("Sides", recorded(rec.RACK_SIDES_LIVE, **RACK), decimals=0, steps=limits.FEED_SIDES),
                Column(
                    "Silent",
                    recorded(rec.RACK_PDUS_SILENT, **RACK),
                    decimals=0,
                    steps=alarm("orange"),
                ),
                width=14,
                height=9,
                sort="Alone",
                descending=True,
                hide=("site",),
            ),
            table(
                "Feeds that take over",
                "Could each feed carry everything if the others failed? Above 100 % its UPS could not: shed "
                "load or cap GPUs before maintenance on another feed.",
                _FEED,
                Column("Power", recorded(rec.FEED_POWER, **SITE), decimals=1),
                Column("May", recorded(rec.FEED_CAPACITY, **SITE), decimals=1),
                Column("Would", recorded(rec.FEED_TAKEOVER, **SITE), decimals=1),
                Column(
                    "Alone",
                    recorded(rec.FEED_FAILOVER, **SITE),
                    decimals=0,
                    steps=limits.FAILOVER,
                ),
                Column("Left", recorded(rec.FEED_FAILOVER_LEFT, **SITE), decimals=1, steps=limits.LEFT),
                Column("Lasts", recorded(rec.FEED_BATTERY, **SITE), decimals=0, steps=limits.UPS_RUNTIME),
                width=10,
                height=9,
                sort="Alone",
                descending=True,
                hide=("site",),
            ),
        ),
    )


def _breakers() -> Section:
    return Section(
        "Breakers and phases",
        (
            table(
                "Breakers by load",
                "Which breakers are nearest to their rating? 80 % is the limit for a load of three hours and"
                " more (NEC 210.20); beyond it move load to another branch or side.",
                _BREAKER,
                Column(
                    "Load",
                    recorded(rec.BREAKER_LOAD, **RACK),
                    decimals=0,
                    steps=limits.BREAKER,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                Column("Headroom", recorded(rec.BREAKER_HEADROOM, **RACK), decimals=1, steps=limits.HEADROOM),
                width=12,
                height=9,
                sort="Load",
                descending=True,
                hide=("site",),
            ),
            timeseries(
                "Fullest breakers",
                "Do the fullest breakers creep towards 80 %?",
                Line(
                    topk(8, max_by(recorded(rec.BREAKER_LOAD, **RACK), "device", "id")), "{{device}} {{id}}"
                ),
                width=12,
                height=9,
                low=0,
                high=1,
                steps=limits.BREAKER,
            ),
            bars(
                "Phases furthest from the mean",
                "Which devices load their phases unevenly? From 20 % on a phase fills up long before the "
                "device does: move single-phase loads.",
                topk(8, max_by(recorded(rec.PHASE_IMBALANCE, **RACK), "device")),
                legend="{{device}}",
                steps=limits.IMBALANCE,
                width=12,
                high=0.3,
                decimals=1,
            ),
            timeseries(
                "Power by device",
                "Which rack PDU draws more than before, and did its twin take over?",
                Line(topk(12, max_by(recorded(rec.DEVICE_POWER, **RACK), "device")), "{{device}}"),
                width=12,
                low=0,
            ),
            power_devices(24, 9),
            table(
                "Residual currents",
                "Does current leave by a way it should not? More than a few milliamperes are failing "
                "insulation: find the branch before its protection trips.",
                ("site", "device", "side"),
                Column("Residual", series(electrical.RESIDUAL_CURRENT, **SITE), decimals=3),
                width=8,
                height=6,
                nothing="No meter tells residual currents",
                sort="Residual",
                descending=True,
                hide=("site",),
            ),
            table(
                "Redundancy by group",
                "Which devices that stand in for each other have no spare left? Above 100 % the loss of one "
                "overloads the others.",
                ("site", "group"),
                Column("Without spare", recorded(rec.GROUP_LOAD, **SITE), decimals=0, steps=limits.FAILOVER),
                Column("Left", recorded(rec.GROUP_LEFT, **SITE), decimals=1, steps=limits.LEFT),
                width=8,
                height=6,
                nothing="No groups in the inventory",
                sort="Without spare",
                descending=True,
                hide=("site",),
            ),
            table(
                "Transfer switches",
                "Which source does each transfer switch take? None is an outage; B where A is meant is a "
                "fault on A that nothing else may show.",
                ("site", "device", "source"),
                Column(
                    "Chosen",
                    series(electrical.TRANSFER_SOURCE, **SITE).equals(1),
                    states={1: ("yes", "green")},
                ),
                width=8,
                height=6,
                nothing="No transfer switch",
                hide=("site",),
            ),
        ),
    )


def _ups() -> Section:
    device = ("site", "device")
    return Section(
        "UPS",
        (
            table(
                "UPS and batteries",
                "Would each UPS hold? A low charge right after an outage is normal; a short battery at full "
                "charge is an old battery: have it tested.",
                device,
                Column(
                    "State",
                    state_code(
                        facility.UPS_STATUS, {"on_battery": 1, "bypass": 2, "off": 3}, *device, **SITE
                    ),
                    states=UPS,
                ),
                Column("Load", series(facility.UPS_LOAD, **SITE), decimals=0, steps=limits.UPS_LOAD),
                Column(
                    "Charge", series(facility.UPS_CHARGE, **SITE), decimals=0, steps=limits.BATTERY_CHARGE
                ),
                Column("Lasts", series(facility.UPS_RUNTIME, **SITE), decimals=0, steps=limits.UPS_RUNTIME),
                Column(
                    "Battery",
                    state_code(electrical.UPS_BATTERY_STATUS, {"low": 1, "depleted": 2}, *device, **SITE),
                    states=BATTERY,
                ),
                Column("Battery at", series(electrical.UPS_BATTERY_TEMPERATURE, **SITE), decimals=1),
                Column("Alarms", series(electrical.UPS_ALARMS, **SITE), decimals=0, steps=alarm("orange")),
                width=12,
                sort="Lasts",
                hide=("site",),
            ),
            state_timeline(
                "State of the UPS",
                "When did a UPS go to battery or bypass, and did it come back?",
                state_code(facility.UPS_STATUS, {"on_battery": 1, "bypass": 2, "off": 3}, "device", **SITE),
                UPS,
                legend="{{device}}",
                height=8,
            ),
        ),
    )


def _money() -> Section:
    return Section(
        "Energy and its price",
        (
            timeseries(
                "Power per feed",
                "Do the feeds share the load, and could one carry all of it?",
                Line(max_by(recorded(rec.FEED_POWER, **SITE), *_FEED), "{{feed}}"),
                Line(max_by(recorded(rec.FEED_TAKEOVER, **SITE), *_FEED), "{{feed}} alone", dashed=True),
                low=0,
            ),
            timeseries(
                "Energy cost per hour",
                "What does the power bought cost now?",
                Line(max_by(recorded(rec.SITE_COST_ENERGY, **SITE), "site"), "{{site}}"),
                low=0,
                decimals=2,
            ),
            bars(
                "Stranded power by rack",
                "Which racks have power that nothing can use? Cooling, space or ports ran out there first: "
                "the capacity board says which.",
                topk(10, max_by(recorded(rec.RACK_STRANDED, **RACK), "rack") > 0),
                legend="{{rack}}",
                decimals=1,
            ),
        ),
    )
