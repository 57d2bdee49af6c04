"""The host section of gw-node."""

from __future__ import annotations

from dashboards.boards.common import NODE, RATE
from dashboards.model import Panel, Section
from dashboards.panels import Column, Line, alarm, rising, table, timeseries
from gigawatch.catalogue import Unit
from gigawatch.catalogue import host as h
from gigawatch.promql import (
    Expr,
    absolute,
    age,
    differs,
    increase,
    lacks,
    many_to_one,
    max_by,
    rate,
    series,
    sum_by,
)

_NODE = ("site", "rack", "node")


def host() -> Section:
    """Processor, memory, pressure, heat, clock, network and what the hardware complains of."""
    modes = sum_by(rate(series(h.HOST_CPU_SECONDS, mode=differs("idle"), **NODE), RATE), *_NODE, "mode")
    busy = many_to_one(modes, "/", max_by(series(h.HOST_CPUS, **NODE), *_NODE), _NODE).in_unit(Unit.RATIO)
    free = max_by(series(h.HOST_MEMORY_AVAILABLE, **NODE), *_NODE)
    size = max_by(series(h.HOST_MEMORY_SIZE, **NODE), *_NODE)
    errors = rate(series(h.HOST_NETWORK_ERRORS, **NODE), RATE)
    drops = rate(series(h.HOST_NETWORK_DROPS, **NODE), RATE)
    pressed = max_by(rate(series(h.HOST_PRESSURE, **NODE), RATE), "resource", "share")
    sensor = ("chip", "sensor")
    return Section(
        "Host",
        (
            timeseries(
                "Processors",
                "What keeps the processors busy? Much iowait points at storage.",
                Line(busy, "{{mode}}"),
                stacked=True,
                low=0,
                high=1,
            ),
            timeseries(
                "Pressure",
                "What does work on the host wait for: processors, memory or I/O? `some` is any task, "
                "`full` is "
                "all of them at once.",
                Line(pressed, "{{resource}} {{share}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "Waiting tasks",
                "Do tasks hang in storage or in a driver? They cannot be killed, and block the node's jobs.",
                Line(max_by(series(h.HOST_TASKS_BLOCKED, **NODE), *_NODE), "blocked now"),
                Line(max_by(increase(series(h.HOST_HUNG_TASKS, **NODE), RATE), *_NODE), "found hanging"),
                Line(max_by(increase(series(h.HOST_OOM_KILLS, **NODE), RATE), *_NODE), "killed for memory"),
                low=0,
            ),
            timeseries(
                "Memory",
                "Does the host run out of memory?",
                Line(size - free, "used"),
                Line(max_by(series(h.HOST_SWAP_USED, **NODE), *_NODE), "swap"),
                Line(size, "size", dashed=True),
                low=0,
            ),
            timeseries(
                "Load",
                "Do more tasks wait for a processor than there are processors?",
                Line(max_by(series(h.HOST_LOAD, **NODE), *_NODE), "load"),
                Line(max_by(series(h.HOST_CPUS, **NODE), *_NODE), "processors", dashed=True),
                low=0,
            ),
            timeseries(
                "Temperatures of the host",
                "Do processors or other chips come near to where they slow down?",
                Line(max_by(series(h.HOST_TEMPERATURE, **NODE), *sensor), "{{chip}} {{sensor}}"),
                Line(max_by(series(h.HOST_TEMPERATURE_CRITICAL, **NODE)), "critical", dashed=True),
            ),
            timeseries(
                "Network",
                "How much goes over the network interfaces?",
                Line(
                    sum_by(
                        rate(series(h.HOST_NETWORK_BYTES, device=lacks("lo"), **NODE), RATE),
                        "device",
                        "direction",
                    ),
                    "{{device}} {{direction}}",
                ),
                low=0,
            ),
            timeseries(
                "Network errors and drops",
                "Does a cable or a port lose packets, or its link?",
                Line(sum_by(errors, "device"), "{{device}} errors"),
                Line(sum_by(drops, "device"), "{{device}} drops"),
                Line(sum_by(rate(series(h.HOST_NETWORK_FLAPS, **NODE), RATE), "device"), "{{device}} flaps"),
                low=0,
            ),
            timeseries(
                "Clock",
                "How far is the clock off? Beyond 50 ms logs no longer sort, and timeouts misfire.",
                Line(max_by(absolute(series(h.HOST_CLOCK_OFFSET, **NODE)), *_NODE), "offset"),
                Line(max_by(series(h.HOST_CLOCK_MAX_ERROR, **NODE), *_NODE), "at most"),
                low=0,
            ),
            _day(),
            _network(),
        ),
        folded=True,
    )


def _day() -> Panel:
    def count(expr: Expr) -> Expr:
        return sum_by(expr, *_NODE)

    corrected = increase(series(h.HOST_MEMORY_ERRORS, severity="corrected", **NODE), "24h")
    wrong = increase(series(h.HOST_MEMORY_ERRORS, severity="uncorrected", **NODE), "24h")
    return table(
        "Host today",
        "Has the host restarted on its own, does its memory err, does heat slow it down, is its clock kept?",
        _NODE,
        Column("Up for", max_by(age(series(h.HOST_BOOT_TIMESTAMP, **NODE)), *_NODE), decimals=0),
        Column("Memory errors corrected", count(corrected), decimals=0, steps=rising(1, 100)),
        Column("not corrected", count(wrong), decimals=0, steps=alarm()),
        Column(
            "Slowed by heat",
            count(increase(series(h.HOST_CPU_THROTTLES, **NODE), "24h")),
            decimals=0,
            steps=alarm("orange"),
        ),
        Column(
            "Clock kept",
            series(h.HOST_CLOCK_SYNCHRONIZED, **NODE),
            states={0: ("no", "red"), 1: ("yes", "green")},
        ),
        width=14,
        height=6,
        hide=("site", "rack"),
    )


def _network() -> Panel:
    keys = ("node", "device")
    return table(
        "Network interfaces",
        "Does every interface have its link, at the speed it should have?",
        keys,
        Column("Link", series(h.HOST_NETWORK_UP, **NODE), states={0: ("down", "red"), 1: ("up", "green")}),
        Column("Speed", series(h.HOST_NETWORK_SPEED, **NODE), decimals=1),
        Column(
            "Lost its link in 24 h",
            sum_by(increase(series(h.HOST_NETWORK_FLAPS, **NODE), "24h"), *keys),
            decimals=0,
            steps=alarm("orange"),
        ),
        width=10,
        height=6,
        hide=("node",),
    )
