"""Signals of the parts around the GPUs: fans, pumps, filters, and the pace of jobs. All may be missing."""

from __future__ import annotations

from analytics.fleet import Level
from analytics.signals.model import PER_NODE, Signal, rule
from gigawatch.catalogue import Unit, facility, liquid, site
from gigawatch.promql import (
    Expr,
    avg_by,
    join,
    matches,
    max_by,
    min_by,
    relabel,
    series,
)
from gigawatch.promql.recording import JOB_STEP_TIME, LOOP_PUMPS_RUNNING


def _on_loops(per_device: Expr) -> Expr:
    """What a loop's coolant units say, with the loop as a label."""
    return join(per_device, site.DEVICE_INFO, ("site", "device"), ("loop",), role="cdu", loop=matches(".+"))


_OF_NODES = matches(".+")
FAN = Signal(
    "fan_speed",
    Level.NODE,
    Unit.RATIO,
    max_by(series(facility.FAN_SPEED, node=_OF_NODES), *PER_NODE),
    0.03,
    "fan_speed_ratio",
    novel=False,
)
FAN_SLOWEST = Signal(
    "fan_speed_slowest",
    Level.NODE,
    Unit.RATIO,
    min_by(series(facility.FAN_SPEED, node=_OF_NODES), *PER_NODE),
    0.03,
    "fan_speed_slowest_ratio",
    novel=False,
)
PUMP = Signal(
    "pump_speed",
    Level.LOOP,
    Unit.RATIO,
    avg_by(_on_loops(max_by(series(facility.PUMP_SPEED), "site", "device", "pump") > 0.05), "loop"),
    0.02,
    "pump_speed_ratio",
    novel=False,
)
PUMPS_RUNNING = Signal(
    "pumps_running",
    Level.LOOP,
    Unit.COUNT,
    rule(LOOP_PUMPS_RUNNING, "loop"),
    0.5,
    "pumps_running",
    novel=False,
)
LOOP_PRESSURE = Signal(
    "coolant_pressure",
    Level.LOOP,
    Unit.PASCALS,
    max_by(_on_loops(max_by(series(facility.COOLANT_PRESSURE, circuit="tcs"), "site", "device")), "loop"),
    5e3,
    "coolant_differential_pressure_pascals",
    novel=False,
)
FILTER = Signal(
    "filter_pressure",
    Level.LOOP,
    Unit.PASCALS,
    max_by(_on_loops(max_by(series(liquid.FILTER_PRESSURE), "site", "device")), "loop"),
    2e3,
    "filter_differential_pressure_pascals",
    novel=False,
    every=60.0,
)
STEP = Signal(
    "step_time",
    Level.JOB,
    Unit.SECONDS,
    max_by(relabel(rule(JOB_STEP_TIME, "job_id"), "job", "$1", "job_id"), "job"),
    0.05,
    "training_step_duration_seconds",
    novel=False,
    every=15.0,
)

PARTS = (FAN, FAN_SLOWEST, PUMP, PUMPS_RUNNING, LOOP_PRESSURE, FILTER, STEP)
