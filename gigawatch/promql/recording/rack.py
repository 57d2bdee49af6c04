"""Rack. PDU inlets only: a watt shows at inlet, outlet and node, and must be counted once."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, gpu, site
from gigawatch.promql.expr import avg_by, many_to_one, max_by, min_by, on, series, sum_by
from gigawatch.promql.recording.common import RACK, gpu_power
from gigawatch.promql.recording.generated import REPLICA_TOKENS, on_nodes
from gigawatch.promql.recording.power import DEVICE_POWER
from gigawatch.promql.rule import Recorded, recorded

_pdu = max_by(series(site.DEVICE_INFO, role="rack_pdu"), *RACK, "device")
_into_pdus = many_to_one(recorded(DEVICE_POWER), "*", _pdu, (*RACK, "device"))
RACK_POWER = Recorded(
    "rack:aif_power_active_watts:sum",
    sum_by(_into_pdus, *RACK),
    "Power into a rack, over all its PDUs.",
    Unit.WATTS,
)
RACK_SIDE_POWER = Recorded(
    "rack:aif_power_active_watts:side",
    sum_by(_into_pdus, *RACK, "side"),
    "Power into a rack per feed side.",
    Unit.WATTS,
)
RACK_BUDGET_USED = Recorded(
    "rack:aif_power_budget:used",
    on(recorded(RACK_POWER), "/", max_by(series(site.POWER_BUDGET), *RACK), *RACK),
    "Power into a rack against its budget.",
    Unit.RATIO,
)
RACK_GPU_POWER = Recorded(
    "rack:aif_gpu_power_watts:sum", sum_by(gpu_power, *RACK), "Power of a rack's GPUs.", Unit.WATTS
)
RACK_UTILIZATION = Recorded(
    "rack:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *RACK),
    "Mean GPU utilisation of a rack.",
    Unit.RATIO,
)
RACK_MARGIN = Recorded(
    "rack:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *RACK),
    "Smallest temperature margin among a rack's GPUs.",
    Unit.CELSIUS,
)
RACK_TOKENS = Recorded(
    "rack:aif_inference_tokens:rate1m",
    on_nodes(recorded(REPLICA_TOKENS), *RACK),
    "Tokens generated per second in a rack; those of a replica that spans racks by its GPUs in each.",
    Unit.TOKENS_PER_SECOND,
)
RACK_INLET = Recorded(
    "rack:aif_air_temperature_celsius:max",
    max_by(series(facility.AIR_TEMPERATURE, position="inlet"), *RACK),
    "Warmest air inlet of a rack.",
    Unit.CELSIUS,
)
