"""The activity, power and heat sections of gw-node."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import GPU, RATE, state_code
from dashboards.model import Section
from dashboards.panels import Line, state_timeline, timeseries
from gigawatch.catalogue import Metric, findings, gpu
from gigawatch.catalogue import gpu_activity as act
from gigawatch.promql import Expr, avg_by, max_by, min_by, rate, series, sum_by

HELD_CODES = {
    "sw_power_cap": 1,
    "sw_thermal_slowdown": 2,
    "hw_thermal_slowdown": 4,
    "hw_power_brake_slowdown": 8,
}
"""Reasons that can hold a clock down, as bits: several can act at once."""
_HELD_WORDS = {1: "power cap", 2: "software heat", 4: "hardware heat", 8: "power brake"}
_HELD_COLOURS = {0: "green", 1: "yellow", 2: "orange", 4: "red", 8: "red"}


def _held(code: int) -> tuple[str, str]:
    parts = [bit for bit in _HELD_WORDS if code & bit]
    return " + ".join(_HELD_WORDS[bit] for bit in parts) or "free", _HELD_COLOURS[max(parts, default=0)]


HELD = {code: _held(code) for code in range(16)}


def _each(metric: Metric, **labels: str) -> Line:
    return Line(max_by(series(metric, **GPU, **labels), "gpu"), "GPU {{gpu}}")


def _mean(metric: Metric, **labels: str) -> Expr:
    return avg_by(series(metric, **GPU, **labels))


def activity() -> Section:
    """What the GPUs really do, beside what the driver calls utilisation."""
    return Section(
        "GPU activity",
        (
            timeseries(
                "Busy or computing",
                "Do the GPUs compute, or does a kernel merely run? Utilisation counts a GPU that spins in a "
                "collective as fully busy; SM activity, tensor cores and memory show the work.",
                Line(_mean(gpu.GPU_UTILIZATION, engine="gpu"), "utilisation"),
                Line(_mean(act.GPU_GRAPHICS_ACTIVE), "engine active"),
                Line(_mean(act.GPU_SM_ACTIVE), "SM active"),
                Line(_mean(act.GPU_DRAM_ACTIVE), "memory active"),
                Line(_mean(act.GPU_PIPE_ACTIVE, pipe="tensor"), "tensor active"),
                Line(_mean(act.GPU_SM_OCCUPANCY), "occupancy"),
                width=12,
                height=9,
                low=0,
                high=1,
            ),
            timeseries(
                "Utilisation of each GPU",
                "Is a GPU idle while its siblings work?",
                _each(gpu.GPU_UTILIZATION, engine="gpu"),
                width=12,
                height=9,
                low=0,
                high=1,
            ),
            timeseries(
                "SM activity of each GPU",
                "Does one GPU work less than its siblings, or wait for them?",
                _each(act.GPU_SM_ACTIVE),
                low=0,
                high=1,
            ),
            timeseries(
                "Tensor cores",
                "How much of the time do the tensor cores work? Training that is well set up reaches half.",
                _each(act.GPU_PIPE_ACTIVE, pipe="tensor"),
                low=0,
                high=1,
            ),
            timeseries(
                "GPU memory traffic",
                "Is memory bandwidth the limit? Generating tokens comes near to it.",
                _each(act.GPU_DRAM_ACTIVE),
                low=0,
                high=1,
            ),
            timeseries(
                "Occupancy",
                "How full of work are the multiprocessors? Low with high SM activity: small kernels.",
                _each(act.GPU_SM_OCCUPANCY),
                low=0,
                high=1,
            ),
            timeseries(
                "GPU memory used",
                "Is a GPU close to running out of memory?",
                _each(gpu.GPU_MEMORY_USED),
                Line(max_by(series(gpu.GPU_MEMORY_SIZE, **GPU)), "size", dashed=True),
                low=0,
            ),
            timeseries(
                "Processes on each GPU",
                "Does a process hold a GPU that no job was given, or is one missing?",
                _each(act.GPU_PROCESSES),
                low=0,
            ),
        ),
    )


def heat() -> Section:
    """Power, temperatures and what holds the clocks down."""
    limit = max_by(series(gpu.GPU_POWER_LIMIT, kind="enforced", **GPU))
    held = state_code(gpu.GPU_CLOCK_EVENT_ACTIVE, HELD_CODES, "gpu", **GPU)
    return Section(
        "Power and heat",
        (
            timeseries(
                "Power of each GPU",
                "Which GPU draws more or less than its siblings, and is one at its limit?",
                Line(max_by(series(gpu.GPU_POWER, scope="gpu", **GPU), "gpu"), "GPU {{gpu}}"),
                Line(limit, "limit", dashed=True),
                low=0,
            ),
            timeseries(
                "GPU core temperature",
                "Which GPU runs warmer than its siblings at the same power?",
                Line(max_by(series(gpu.GPU_TEMPERATURE, sensor="core", **GPU), "gpu"), "GPU {{gpu}}"),
            ),
            timeseries(
                "Temperature margin",
                "How many kelvin are left until a GPU slows itself down?",
                Line(min_by(series(gpu.GPU_TEMPERATURE_MARGIN, **GPU), "gpu"), "GPU {{gpu}}"),
                steps=limits.MARGIN,
                low=0,
            ),
            timeseries(
                "GPU memory temperature",
                "Are the memory stacks warmer than their siblings?",
                Line(max_by(series(gpu.GPU_TEMPERATURE, sensor="memory", **GPU), "gpu"), "GPU {{gpu}}"),
            ),
            timeseries(
                "SM clock",
                "Does a GPU run slower than its siblings?",
                Line(max_by(series(gpu.GPU_CLOCK, domain="sm", **GPU), "gpu"), "GPU {{gpu}}"),
                low=0,
            ),
            timeseries(
                "Thermal resistance",
                "Does a GPU need more and more kelvin for a watt? Rising means paste, cold plate or flow.",
                Line(max_by(series(findings.THERMAL_RESISTANCE, **GPU), "gpu"), "GPU {{gpu}}"),
                decimals=3,
            ),
            state_timeline(
                "What holds the clocks down",
                "Is a GPU slowed by its power cap, by heat or by the power brake?",
                held,
                HELD,
                legend="GPU {{gpu}}",
                width=8,
            ),
            timeseries(
                "Time below full clock, by reason",
                "Which share of the time were the GPUs held down, and why?",
                Line(max_by(rate(series(gpu.GPU_CLOCK_EVENT_SECONDS, **GPU), RATE), "reason"), "{{reason}}"),
                height=7,
                low=0,
            ),
            timeseries(
                "Power from the energy counters",
                "Does the energy that the GPUs count agree with the power they report?",
                Line(sum_by(rate(series(gpu.GPU_ENERGY, **GPU), RATE)), "from energy"),
                Line(sum_by(series(gpu.GPU_POWER, scope="gpu", **GPU)), "reported"),
                height=7,
                low=0,
            ),
        ),
    )
