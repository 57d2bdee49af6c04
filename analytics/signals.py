"""The signals that analytics looks at: what they are called, whose they are, how they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.fleet import Level
from gigawatch.catalogue import Metric, Unit, facility, gpu, site, training, workload
from gigawatch.promql import Expr, Match, matches, max_by, min_by, rate, recorded, series
from gigawatch.promql.recording import LOOP_FLOW_RATIO, LOOP_SUPPLY, RACK_POWER
from gigawatch.promql.rule import Recorded

_GPU = ("rack", "node", "gpu", "uuid")


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of series.

    `noise` is how far apart healthy peers may lie without it meaning anything (in `unit`); `column` names it
    in files for backtests; `novel` says whether the novelty detector looks at it.
    """

    key: str
    level: Level
    unit: Unit
    query: Expr
    noise: float
    column: str
    novel: bool = True


def _own(metric: Metric, **labels: str | Match) -> Expr:
    return max_by(series(metric, **labels), *_GPU)


def _rule(rule: Recorded, *labels: str) -> Expr:
    return max_by(recorded(rule), *labels)


POWER = Signal("power", Level.GPU, Unit.WATTS, _own(gpu.GPU_POWER, scope="gpu"), 15.0, "gpu_power_watts")
TEMPERATURE = Signal(
    "temperature",
    Level.GPU,
    Unit.CELSIUS,
    _own(gpu.GPU_TEMPERATURE, sensor="core"),
    1.5,
    "gpu_temperature_celsius",
)
MEMORY_TEMPERATURE = Signal(
    "memory_temperature",
    Level.GPU,
    Unit.CELSIUS,
    _own(gpu.GPU_TEMPERATURE, sensor="memory"),
    1.5,
    "gpu_memory_temperature_celsius",
)
UTILIZATION = Signal(
    "utilization",
    Level.GPU,
    Unit.RATIO,
    _own(gpu.GPU_UTILIZATION, engine="gpu"),
    0.05,
    "gpu_utilization_ratio",
)
CLOCK = Signal("clock", Level.GPU, Unit.HERTZ, _own(gpu.GPU_CLOCK, domain="sm"), 30e6, "gpu_clock_hertz")
MARGIN = Signal(
    "margin",
    Level.GPU,
    Unit.CELSIUS,
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *_GPU),
    1.5,
    "gpu_temperature_margin_celsius",
    novel=False,  # the core temperature upside down
)
RANK_WAIT = Signal(
    "rank_wait",
    Level.GPU,
    Unit.RATIO,
    max_by(rate(series(training.TRAINING_RANK_WAIT), "1m"), *_GPU),
    0.02,
    "training_rank_wait_ratio",
    novel=False,
)
INLET = Signal(
    "inlet",
    Level.NODE,
    Unit.CELSIUS,
    max_by(series(facility.AIR_TEMPERATURE, position="inlet", node=matches(".+")), "rack", "node"),
    0.7,
    "inlet_temperature_celsius",
)
RACK_WATTS = Signal(
    "rack_power", Level.RACK, Unit.WATTS, _rule(RACK_POWER, "rack"), 300.0, "rack_power_watts"
)
SUPPLY = Signal(
    "coolant_supply",
    Level.LOOP,
    Unit.CELSIUS,
    _rule(LOOP_SUPPLY, "loop"),
    0.5,
    "coolant_supply_temperature_celsius",
)
FLOW = Signal(
    "coolant_flow",
    Level.LOOP,
    Unit.RATIO,
    _rule(LOOP_FLOW_RATIO, "loop"),
    0.02,
    "coolant_flow_cubic_meters_per_second",  # only its change counts, so either unit will do
)

SIGNALS = (
    POWER,
    TEMPERATURE,
    MEMORY_TEMPERATURE,
    UTILIZATION,
    CLOCK,
    MARGIN,
    RANK_WAIT,
    INLET,
    RACK_WATTS,
    SUPPLY,
    FLOW,
)
ESSENTIAL = (POWER, TEMPERATURE)
"""Without these there is nothing to score; the others may be missing on a site."""
GPU_SIGNALS = tuple(signal for signal in SIGNALS if signal.level is Level.GPU)

PLACES = max_by(series(site.NODE_INFO), "node", "rack", "loop")
"""Which rack and loop a node belongs to."""
JOBS = max_by(series(workload.GPU_ALLOCATION_INFO), "uuid", "job_id")
"""Which job holds a GPU."""
