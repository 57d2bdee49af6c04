"""The one-line diagram of gw-power, and what hangs on what."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE, state_code
from dashboards.drawings import drawn, figure, graph
from dashboards.model import Panel
from dashboards.panels import Column, States, table
from dashboards.places import RACK
from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql import Expr, lacks, many_to_one, max_by, on, otherwise, recorded, series
from gigawatch.promql import recording as rec
from gigawatch.promql.joins import copied

UPS: States = {
    0: ("online", "green"),
    1: ("on battery", "orange"),
    2: ("bypass", "yellow"),
    3: ("off", "red"),
}
STATES: States = {
    **UPS,
    1: ("on battery", "red"),
    4: ("tripped", "red"),
    5: ("switched off", "red"),
    6: ("silent", "orange"),
}
_DEVICE = ("site", "device")
_CARRIES = "bmc|sensor|leak_detector|door|manifold|switch"
"""Roles that pass no power on."""


def chain() -> Panel:
    """Utility, UPS, floor PDU and rack PDU of both sides, with what they carry."""
    path = max_by(series(site.POWER_PATH_INFO, **SITE), *_DEVICE, "fed_by", "side")
    edges = copied(
        copied(copied(path, "source", "fed_by"), "target", "device"), "id", "fed_by", "device", between=" > "
    )
    panel = graph(
        "One-line diagram",
        "Which way does power take to each rack, how full is it, and would the other side carry the rack "
        "alone? Red: no redundancy left, on battery, or a breaker open. Bars end at the rating, the tick is "
        "the limit.",
        edges,
        height=19,
    )
    rack = ("site", "rack")
    return drawn(
        panel,
        "power",
        {
            "path": path,
            "devices": max_by(
                series(site.DEVICE_INFO, role=lacks(_CARRIES), **SITE), *_DEVICE, "role", "rack", "side"
            ),
        },
        (
            figure("power", "Power", device_power(), "device"),
            figure("capacity", "May carry", _rated(), "device"),
            figure("load", "Load", device_load(), "device", decimals=0, steps=limits.BREAKER, low=0, high=1),
            figure("state", "State", device_state(), "device", states=STATES),
            figure(
                "runtime",
                "Battery lasts",
                max_by(series(facility.UPS_RUNTIME, **SITE), *_DEVICE),
                "device",
                decimals=0,
                steps=limits.UPS_RUNTIME,
            ),
            figure(
                "headroom",
                "Headroom",
                max_by(recorded(rec.BREAKER_HEADROOM, id="main", **SITE), *_DEVICE),
                "device",
                decimals=1,
                steps=limits.HEADROOM,
            ),
            figure(
                "imbalance",
                "Imbalance",
                max_by(recorded(rec.PHASE_IMBALANCE, **SITE), *_DEVICE),
                "device",
                decimals=0,
                steps=limits.IMBALANCE,
            ),
            figure(
                "takeover",
                "If the others fail",
                max_by(recorded(rec.FEED_FAILOVER, **SITE), "site", "feed"),
                "feed",
                decimals=0,
                steps=limits.FAILOVER,
                low=0,
                high=1,
            ),
            figure(
                "rack",
                "Power of the rack",
                max_by(recorded(rec.RACK_POWER, **SITE), *rack),
                "rack",
                decimals=1,
            ),
            figure(
                "failover",
                "One side alone",
                max_by(recorded(rec.RACK_FAILOVER, **SITE), *rack),
                "rack",
                decimals=0,
                steps=limits.FAILOVER,
                low=0,
                high=1,
            ),
            figure(
                "left",
                "Left under 2N",
                max_by(recorded(rec.RACK_FAILOVER_LEFT, **SITE), *rack),
                "rack",
                decimals=1,
            ),
            figure(
                "live", "Live sides", max_by(recorded(rec.RACK_SIDES_LIVE, **SITE), *rack), "rack", decimals=0
            ),
        ),
        links={"rack": RACK},
    )


def device_power() -> Expr:
    """Power into each device of the chain."""
    return max_by(recorded(rec.DEVICE_POWER, **SITE), *_DEVICE)


def _rated() -> Expr:
    return max_by(recorded(rec.DEVICE_CAPACITY, **SITE), *_DEVICE)


def device_load() -> Expr:
    """Current against the main breaker; where there is none, power against what the device may carry."""
    breaker = max_by(recorded(rec.BREAKER_LOAD, id="main", **SITE), *_DEVICE)
    return otherwise(breaker, on(device_power(), "/", _rated(), *_DEVICE), *_DEVICE).in_unit(Unit.RATIO)


def device_state() -> Expr:
    """What is wrong with a device: its UPS, its breaker, or that it does not answer. 0 where nothing is."""
    ups = state_code(facility.UPS_STATUS, {"on_battery": 1, "bypass": 2, "off": 3}, *_DEVICE, **SITE)
    breaker = state_code(facility.BREAKER_STATE, {"tripped": 4, "off": 5}, *_DEVICE, **SITE, id="main")
    silent = max_by(series(facility.FACILITY_POLL_UP, **SITE), *_DEVICE).equals(0) + 6
    return otherwise(silent, otherwise(ups, breaker, *_DEVICE), *_DEVICE).in_unit(Unit.COUNT)


def power_devices(width: int, height: int) -> Panel:
    """The chain as a table: what each device carries, of what it may."""
    keys = (*_DEVICE, "role", "side", "fed_by")
    path = max_by(series(site.POWER_PATH_INFO, **SITE), *_DEVICE, "fed_by")
    info = max_by(series(site.DEVICE_INFO, role=lacks(_CARRIES), **SITE), *_DEVICE, "role", "side")
    # Intakes hang on nothing: their row has no feeder.
    placed = otherwise(many_to_one(info, "*", path, _DEVICE, ("fed_by",)), info, *_DEVICE)

    def of(expr: Expr) -> Expr:
        return many_to_one(placed, "*", expr, _DEVICE).in_unit(expr.unit)

    return table(
        "Devices of the chain",
        "What does each device carry, of what it may, and what feeds it? The fullest stand first.",
        keys,
        Column("Power", of(device_power()), decimals=1),
        Column("May carry", of(_rated()), decimals=1),
        Column("Load", of(device_load()), decimals=0, steps=limits.BREAKER, cell="gauge", low=0, high=1),
        Column("State", of(device_state()), states=STATES),
        width=width,
        height=height,
        sort="Load",
        descending=True,
        hide=("site",),
    )
