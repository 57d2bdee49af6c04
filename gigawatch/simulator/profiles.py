"""GPU models as data, and how single GPUs of a model differ.

Power, temperature limits: NVIDIA/k8s-test-infra mock profiles and data sheets. Thermal resistance, time
constant and the spread of a population are set so that the percentiles of simulated A100s lie near those of
the clusters Seren and Kalos in AcmeTrace (Hu et al., NSDI'24, CC-BY-4.0): idle 60 to 70 W, 28-30 % of
samples;
loaded 95th percentile 408 to 413 W and 62 to 65 °C; memory 39 °C idle to 66 °C loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.errors import UserError

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """One GPU model. SI units; temperatures in °C, thermal resistance in K/W from inlet or coolant to die."""

    name: str
    architecture: str
    tdp: float
    limits: tuple[float, float]
    """Lowest and highest power limit that can be set."""
    idle: float
    memory: float
    sm_clock: float
    memory_clock: float
    temperatures: tuple[float, float, float, float]
    """Highest for operation, slowdown, shutdown, highest for memory."""
    nvlinks: int
    pcie_generation: int
    tflops: float
    """Dense bfloat16."""
    resistance_liquid: float
    resistance_air: float
    nvlink_speed: float = 26.5625e9
    """Bytes per second of one link, one way."""
    tau_liquid: float = 18.0
    tau_air: float = 60.0

    @property
    def peak(self) -> dict[str, float]:
        """Dense teraflops by number format; every format of half the width doubles the rate, where the GPU
        has it. fp4 and fp8 came with Blackwell and Hopper."""
        found = {"tf32": self.tflops / 2, "fp16": self.tflops, "bf16": self.tflops}
        if self.architecture != "Ampere":
            found["fp8"] = 2 * self.tflops
        if self.architecture == "Blackwell":
            found["fp4"] = 4 * self.tflops
        return found


_HOPPER = (83.0, 87.0, 92.0, 95.0)
_BLACKWELL = (85.0, 90.0, 95.0, 95.0)

_TABLE = (
    GpuProfile("A100", "Ampere", 400, (100, 400), 61.5, 80 * GIB, 1.410e9, 1.593e9, _HOPPER, 12, 4, 312,
               0.065, 0.088, 25e9),
    GpuProfile("H100", "Hopper", 700, (200, 700), 70, 80 * GIB, 1.980e9, 2.619e9, _HOPPER, 18, 5, 989,
               0.045, 0.072),
    GpuProfile("H200", "Hopper", 700, (200, 700), 75, 141 * GIB, 1.980e9, 3.201e9, _HOPPER, 18, 5, 989,
               0.045, 0.072),
    GpuProfile("B200", "Blackwell", 1000, (200, 1200), 140, 180 * GIB, 1.965e9, 3.996e9, _BLACKWELL, 18, 5,
               2250,
               0.031, 0.052, 53.125e9),
    GpuProfile("GB200", "Blackwell", 1200, (200, 1200), 155, 186 * GIB, 2.062e9, 3.996e9, _BLACKWELL, 18, 6,
               2500,
               0.027, 0.046, 53.125e9),
)  # fmt: skip

# Spread between GPUs of one model, as fractions (standard deviation of a log-normal) or kelvin.
RESISTANCE_SPREAD = 0.08
IDLE_SPREAD = 0.035
PEAK_SPREAD = 0.03
TAU_SPREAD = 0.10
MEMORY_OFFSET = 12.0
MEMORY_OFFSET_SPREAD = 2.0
MEMORY_COUPLING = 0.70
"""Share of the core's rise over the coolant that its memory follows; fits (27 °C, 39 °C)
and (65 °C, 66 °C)."""
POWER_NOISE = 0.025
"""Samples of a capped A100 exceed its limit in a tenth of all samples or so: the limiter
works on averages."""


def profile_of(model: str, node: str) -> GpuProfile:
    """The profile whose name the model begins with (B200-SXM-180GB: B200). UserError names the known ones."""
    for profile in _TABLE:
        if model.upper().startswith(profile.name):
            return profile
    known = ", ".join(profile.name for profile in _TABLE)
    raise UserError(
        f"node '{node}': gpu_model '{model}' has no simulation profile; models begin with one of {known}"
    )
