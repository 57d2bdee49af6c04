"""GPU: place and cooling loop, the base of every thermal question; its holders, the base of every bill."""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, site
from gigawatch.promql.expr import Expr, join, max_by, min_by, rate, series
from gigawatch.promql.joins import otherwise, sole
from gigawatch.promql.recording.common import LONG_WINDOW, NODE, WINDOW, gpu_power
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
_by_state = max_by(series(gpu.GPU_STATE, state="ok"), *NODE, "uuid")
GPU_PLACE = Recorded(
    "gpu:aif_place:info",
    sole(otherwise(_by_state, max_by(gpu_power, *NODE, "uuid"), "site", "uuid"), "site", "uuid") * 0 + 1,
    "Rack and node of each GPU; none while one shows up at two nodes. Always 1.",
    Unit.COUNT,
)


def _energy(window: str) -> Expr:
    # One that shows under two indices, or at two nodes, for a while is still one.
    return max_by(rate(series(gpu.GPU_ENERGY), window), "site", "uuid")


GPU_ENERGY_RATE = Recorded(
    "gpu:aif_gpu_energy_joules:rate1m",
    _energy(WINDOW),
    "Power of each GPU from its energy counter, over one minute.",
    Unit.WATTS,
)
GPU_ENERGY_RATE_LONG = Recorded(
    "gpu:aif_gpu_energy_joules:rate5m",
    _energy(LONG_WINDOW),
    "Power of each GPU from its energy counter, over five minutes.",
    Unit.WATTS,
)
