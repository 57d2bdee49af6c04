"""The signals that analytics looks at: what they are called, whose they are, how they are asked for."""

from __future__ import annotations

from analytics.fleet import Level
from analytics.signals.errors import ERRORS
from analytics.signals.model import PER_GPU, PER_NODE, Signal, own, rule
from analytics.signals.parts import PARTS
from analytics.signals.power import POWER_PATH, RACK_WATTS
from gigawatch.catalogue import Unit, facility, gpu, site, training, workload
from gigawatch.promql import matches, max_by, min_by, rate, series
from gigawatch.promql.recording import LOOP_FLOW_RATIO, LOOP_SUPPLY

__all__ = ["ESSENTIAL", "GPU_SIGNALS", "JOBS", "PLACES", "RACK_WATTS", "SIGNALS", "Signal"]

POWER = Signal("power", Level.GPU, Unit.WATTS, own(gpu.GPU_POWER, scope="gpu"), 15.0, "gpu_power_watts")
TEMPERATURE = Signal(
    "temperature",
    Level.GPU,
    Unit.CELSIUS,
    own(gpu.GPU_TEMPERATURE, sensor="core"),
    1.5,
    "gpu_temperature_celsius",
)
MEMORY_TEMPERATURE = Signal(
    "memory_temperature",
    Level.GPU,
    Unit.CELSIUS,
    own(gpu.GPU_TEMPERATURE, sensor="memory"),
    1.5,
    "gpu_memory_temperature_celsius",
)
UTILIZATION = Signal(
    "utilization",
    Level.GPU,
    Unit.RATIO,
    own(gpu.GPU_UTILIZATION, engine="gpu"),
    0.05,
    "gpu_utilization_ratio",
)
CLOCK = Signal("clock", Level.GPU, Unit.HERTZ, own(gpu.GPU_CLOCK, domain="sm"), 30e6, "gpu_clock_hertz")
MARGIN = Signal(
    "margin",
    Level.GPU,
    Unit.CELSIUS,
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *PER_GPU),
    1.5,
    "gpu_temperature_margin_celsius",
    novel=False,  # the core temperature upside down
)
RANK_WAIT = Signal(
    "rank_wait",
    Level.GPU,
    Unit.RATIO,
    max_by(rate(series(training.TRAINING_RANK_WAIT), "1m"), *PER_GPU),
    0.02,
    "training_rank_wait_ratio",
    novel=False,
)
INLET = Signal(
    "inlet",
    Level.NODE,
    Unit.CELSIUS,
    max_by(series(facility.AIR_TEMPERATURE, position="inlet", node=matches(".+")), *PER_NODE),
    0.7,
    "inlet_temperature_celsius",
)
SUPPLY = Signal(
    "coolant_supply",
    Level.LOOP,
    Unit.CELSIUS,
    rule(LOOP_SUPPLY, "loop"),
    0.5,
    "coolant_supply_temperature_celsius",
)
FLOW = Signal(
    "coolant_flow",
    Level.LOOP,
    Unit.RATIO,
    rule(LOOP_FLOW_RATIO, "loop"),
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
    SUPPLY,
    FLOW,
    *POWER_PATH,
    *PARTS,
    *ERRORS,
)
ESSENTIAL = (POWER, TEMPERATURE)
"""Without these there is nothing to score; the others may be missing on a site."""
GPU_SIGNALS = tuple(signal for signal in SIGNALS if signal.level is Level.GPU and signal.peers)
"""Those by which GPUs are compared with each other."""

PLACES = max_by(series(site.NODE_INFO), "node", "rack", "loop")
"""Which rack and loop a node belongs to."""
JOBS = max_by(series(workload.GPU_ALLOCATION_INFO), "uuid", "job_id")
"""Which job holds a GPU."""
