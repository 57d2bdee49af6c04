"""Signals of the power path: racks, their sides, feeds, breakers, supplies, jobs. All may be missing."""

from __future__ import annotations

from analytics.fleet import Level
from analytics.signals.model import PER_GPU, PER_NODE, Signal, rule
from gigawatch.catalogue import Unit, facility, gpu, host, site
from gigawatch.promql import (
    count_by,
    many_to_one,
    matches,
    max_by,
    min_by,
    on,
    recorded,
    relabel,
    series,
    sum_by,
)
from gigawatch.promql.recording import (
    BREAKER_LOAD,
    FEED_CAPACITY,
    FEED_POWER,
    JOB_POWER,
    RACK_FAILOVER_LEFT,
    RACK_POWER,
    RACK_SIDE_POWER,
    RACK_SIDES_LIVE,
)

RACK_WATTS = Signal("rack_power", Level.RACK, Unit.WATTS, rule(RACK_POWER, "rack"), 300.0, "rack_power_watts")
RACK_BUDGET = Signal(
    "rack_power_budget",
    Level.RACK,
    Unit.WATTS,
    max_by(series(site.POWER_BUDGET), "rack"),
    1.0,
    "power_budget_watts",
    novel=False,
    every=60.0,
)
RACK_LEFT = Signal(
    "rack_failover_left",
    Level.RACK,
    Unit.WATTS,
    rule(RACK_FAILOVER_LEFT, "rack"),
    300.0,
    "rack_failover_left_watts",
    novel=False,
)
RACK_SIDE_LEAST = Signal(
    "rack_side_power_least",
    Level.RACK,
    Unit.WATTS,
    on(
        min_by(recorded(RACK_SIDE_POWER), "rack"),
        "and",
        count_by(recorded(RACK_SIDE_POWER), "rack") >= 2,
        "rack",
    ),
    300.0,
    "rack_side_power_least_watts",
    novel=False,
)
RACK_SIDES = Signal(
    "rack_sides_live",
    Level.RACK,
    Unit.COUNT,
    rule(RACK_SIDES_LIVE, "rack"),
    0.5,
    "rack_power_sides_live",
    novel=False,
)
FEED_WATTS = Signal(
    "feed_power", Level.FEED, Unit.WATTS, rule(FEED_POWER, "feed"), 1e3, "feed_power_watts", novel=False
)
FEED_LIMIT = Signal(
    "feed_capacity",
    Level.FEED,
    Unit.WATTS,
    rule(FEED_CAPACITY, "feed"),
    1.0,
    "feed_power_capacity_watts",
    novel=False,
    every=60.0,
)
BREAKER = Signal(
    "breaker_load",
    Level.DEVICE,
    Unit.RATIO,
    max_by(recorded(BREAKER_LOAD), "rack", "device"),
    0.02,
    "breaker_load_ratio",
    novel=False,
)
NODE_WATTS = Signal(
    "node_power",
    Level.NODE,
    Unit.WATTS,
    max_by(series(host.HOST_POWER, source=matches("redfish|ipmi")), *PER_NODE),
    100.0,
    "host_power_watts",
    novel=False,
)
JOB_WATTS = Signal(
    "job_power",
    Level.JOB,
    Unit.WATTS,
    max_by(relabel(rule(JOB_POWER, "job_id"), "job", "$1", "job_id"), "job"),
    1e3,
    "job_power_watts",
    novel=False,
)
SUPPLIES_FAILED = Signal(
    "supplies_failed",
    Level.NODE,
    Unit.COUNT,
    sum_by(
        series(
            facility.COMPONENT_HEALTH,
            component=matches("psu.*"),
            status=matches("warning|critical"),
            node=matches(".+"),
        ),
        *PER_NODE,
    )
    > 0,
    0.5,
    "node_supplies_failed",
    novel=False,
    every=15.0,
    sparse=True,
)
LIMIT = Signal(
    "power_limit",
    Level.GPU,
    Unit.WATTS,
    many_to_one(
        max_by(series(gpu.GPU_POWER_LIMIT, kind="enforced"), *PER_GPU),
        "<",
        max_by(series(gpu.GPU_POWER_LIMIT, kind="default"), *PER_GPU),
        PER_GPU,
    ),
    1.0,
    "gpu_power_limit_watts",
    novel=False,
    peers=False,
    every=60.0,
    sparse=True,
)

POWER_PATH = (
    RACK_WATTS,
    RACK_BUDGET,
    RACK_LEFT,
    RACK_SIDE_LEAST,
    RACK_SIDES,
    FEED_WATTS,
    FEED_LIMIT,
    BREAKER,
    NODE_WATTS,
    JOB_WATTS,
    SUPPLIES_FAILED,
    LIMIT,
)
