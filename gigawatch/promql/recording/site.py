"""Site: all GPUs, the power that is bought, the tokens that are made."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, gpu, site, training, workload
from gigawatch.promql.expr import (
    Expr,
    avg_by,
    count_by,
    many_to_one,
    max_by,
    min_by,
    on,
    rate,
    series,
    sum_by,
)
from gigawatch.promql.recording.common import SITE, WINDOW, gpu_power
from gigawatch.promql.recording.generated import REPLICA_TOKENS
from gigawatch.promql.recording.power import inlet
from gigawatch.promql.rule import Recorded, recorded

SITE_GPU_POWER = Recorded(
    "site:aif_gpu_power_watts:sum", sum_by(gpu_power, *SITE), "Power of all GPUs.", Unit.WATTS
)
SITE_UTILIZATION = Recorded(
    "site:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *SITE),
    "Mean GPU utilisation.",
    Unit.RATIO,
)
SITE_MARGIN = Recorded(
    "site:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *SITE),
    "Smallest temperature margin of all GPUs.",
    Unit.CELSIUS,
)
SITE_GPUS_OK = Recorded(
    "site:aif_gpus:ok", sum_by(series(gpu.GPU_STATE, state="ok"), *SITE), "GPUs that work.", Unit.COUNT
)
SITE_GPUS_ALLOCATED = Recorded(
    "site:aif_gpus:allocated",
    count_by(max_by(series(workload.GPU_ALLOCATION_INFO), *SITE, "uuid"), *SITE),
    "GPUs that a job holds.",
    Unit.COUNT,
)


def meters(role: str) -> Expr:
    """Meters that count for a role (facility or it); always 1."""
    return max_by(series(site.METER_INFO, role=role), "site", "device")


def silent_meters() -> Expr:
    """Meters, of whatever role, that tell no energy."""
    told = max_by(series(facility.ENERGY, scope="inlet"), "site", "device")
    return on(max_by(series(site.METER_INFO), "site", "device"), "unless", told, "site", "device")


def _metered(role: str) -> Expr:
    rates = inlet(facility.ENERGY, lambda readings: rate(readings, WINDOW))
    counted = meters(role)
    told = sum_by(many_to_one(rates, "*", counted, ("site", "device")), *SITE)
    # A sum that lacks a meter would be wrong, and with it the PUE.
    silent = on(counted, "unless", rates, "site", "device")
    return on(told, "unless", silent, *SITE).in_unit(Unit.WATTS)


SITE_FACILITY_POWER = Recorded(
    "site:aif_facility_power_watts:rate1m",
    _metered("facility"),
    "Power the site buys; absent while one of its meters is silent.",
    Unit.WATTS,
)
SITE_IT_POWER = Recorded(
    "site:aif_it_power_watts:rate1m",
    _metered("it"),
    "Power that reaches the racks; absent while one of their meters is silent.",
    Unit.WATTS,
)
SITE_PUE = Recorded(
    "site:aif_pue:ratio",
    recorded(SITE_FACILITY_POWER) / (recorded(SITE_IT_POWER) > 0),
    "Power usage effectiveness, interim, category 2 (ISO/IEC 30134-2).",
    Unit.COUNT,
)
SITE_TOKENS = Recorded(
    "site:aif_inference_tokens:rate1m",
    sum_by(recorded(REPLICA_TOKENS), *SITE),
    "Tokens generated per second.",
    Unit.TOKENS_PER_SECOND,
)
SITE_TRAINING_TOKENS = Recorded(
    "site:aif_training_tokens:rate1m",
    sum_by(rate(series(training.TRAINING_TOKENS), WINDOW), *SITE),
    "Training tokens per second.",
    Unit.TOKENS_PER_SECOND,
)
