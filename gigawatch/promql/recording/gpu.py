"""GPU: place and cooling loop, the base of every thermal question; its holders, the base of every bill."""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, site
from gigawatch.promql.expr import join, min_by, series
from gigawatch.promql.recording.common import NODE, gpu_power
from gigawatch.promql.rule import Recorded

GPU_POWER = Recorded(
    "gpu:aif_gpu_power_watts:loop",
    join(gpu_power, site.NODE_INFO, ("site", "node"), ("hall", "row", "loop")),
    "Power of each GPU, with place and cooling loop.",
    Unit.WATTS,
)
GPU_MARGIN = Recorded(
    "gpu:aif_gpu_temperature_margin_celsius:loop",
    join(
        min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *NODE, "gpu", "uuid"),
        site.NODE_INFO,
        ("site", "node"),
        ("hall", "row", "loop"),
    ),
    "Kelvin left until each GPU slows down, with place and cooling loop.",
    Unit.CELSIUS,
)
