"""Cooling loop: its coolant, and the GPUs that hang on it."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, site
from gigawatch.promql.expr import Expr, Match, join, matches, max_by, min_by, series, sum_by
from gigawatch.promql.recording.common import LOOP
from gigawatch.promql.recording.gpu import GPU_MARGIN, GPU_POWER
from gigawatch.promql.rule import Recorded, recorded

# Its coolant units: a manifold or a rear door on the loop would count the same coolant again.
_unit: dict[str, str | Match] = {"loop": matches(".+"), "role": "cdu"}


def _loop(metric_expr: Expr, function: str) -> Expr:
    joined = join(metric_expr, site.DEVICE_INFO, ("site", "device"), ("loop",), **_unit)
    return {"sum": sum_by, "max": max_by, "min": min_by}[function](joined, *LOOP)


def _device(expr: Expr, *extra: str) -> Expr:
    return max_by(expr, "site", "device", *extra)


LOOP_SUPPLY = Recorded(
    "loop:aif_coolant_supply_temperature_celsius:max",
    _loop(_device(series(facility.COOLANT_SUPPLY_TEMPERATURE, circuit="tcs")), "max"),
    "Coolant temperature on its way to the racks.",
    Unit.CELSIUS,
)
LOOP_RETURN = Recorded(
    "loop:aif_coolant_return_temperature_celsius:max",
    _loop(_device(series(facility.COOLANT_RETURN_TEMPERATURE, circuit="tcs")), "max"),
    "Coolant temperature on its way back from the racks.",
    Unit.CELSIUS,
)
LOOP_FLOW = Recorded(
    "loop:aif_coolant_flow_cubic_meters_per_second:sum",
    _loop(_device(series(facility.COOLANT_FLOW, circuit="tcs")), "sum"),
    "Coolant flow of a loop.",
    Unit.CUBIC_METERS_PER_SECOND,
)
LOOP_FLOW_RATIO = Recorded(
    "loop:aif_coolant_flow:ratio",
    recorded(LOOP_FLOW) / _loop(_device(series(facility.COOLANT_DESIGN_FLOW, circuit="tcs")), "sum"),
    "Coolant flow of a loop against what it was built for.",
    Unit.RATIO,
)
LOOP_HEAT = Recorded(
    "loop:aif_heat_removed_watts:sum",
    _loop(_device(series(facility.HEAT_REMOVED, circuit="tcs")), "sum"),
    "Heat that a loop carries away.",
    Unit.WATTS,
)
LOOP_CAPACITY_USED = Recorded(
    "loop:aif_cooling_capacity:used",
    recorded(LOOP_HEAT) / _loop(_device(series(facility.COOLING_CAPACITY)), "sum"),
    "Heat of a loop against what its coolant units can carry.",
    Unit.RATIO,
)
LOOP_MARGIN = Recorded(
    "loop:aif_gpu_temperature_margin_celsius:min",
    min_by(recorded(GPU_MARGIN, loop=matches(".+")), *LOOP),
    "Smallest temperature margin among the GPUs on a loop.",
    Unit.CELSIUS,
)
LOOP_GPU_POWER = Recorded(
    "loop:aif_gpu_power_watts:sum",
    sum_by(recorded(GPU_POWER, loop=matches(".+")), *LOOP),
    "Power of the GPUs on a loop.",
    Unit.WATTS,
)
