"""Node: the GPUs of one server together."""

from __future__ import annotations

from gigawatch.catalogue import Unit, facility, gpu, host
from gigawatch.promql.expr import avg_by, matches, max_by, min_by, series, sum_by
from gigawatch.promql.joins import otherwise
from gigawatch.promql.recording.common import NODE, gpu_power
from gigawatch.promql.recording.generated import REPLICA_TOKENS, on_nodes
from gigawatch.promql.rule import Recorded, recorded

NODE_GPU_POWER = Recorded(
    "node:aif_gpu_power_watts:sum", sum_by(gpu_power, *NODE), "Power of a node's GPUs.", Unit.WATTS
)
NODE_UTILIZATION = Recorded(
    "node:aif_gpu_utilization_ratio:avg",
    avg_by(series(gpu.GPU_UTILIZATION, engine="gpu"), *NODE),
    "Mean GPU utilisation of a node.",
    Unit.RATIO,
)
NODE_MARGIN = Recorded(
    "node:aif_gpu_temperature_margin_celsius:min",
    min_by(series(gpu.GPU_TEMPERATURE_MARGIN), *NODE),
    "Smallest temperature margin among a node's GPUs.",
    Unit.CELSIUS,
)
NODE_TEMPERATURE = Recorded(
    "node:aif_gpu_temperature_celsius:max",
    max_by(series(gpu.GPU_TEMPERATURE, sensor="core"), *NODE),
    "Hottest GPU core of a node.",
    Unit.CELSIUS,
)
NODE_GPUS_OK = Recorded(
    "node:aif_gpus:ok",
    sum_by(series(gpu.GPU_STATE, state="ok"), *NODE),
    "GPUs of a node that work.",
    Unit.COUNT,
)
# A management controller is a device that carries its node; RAPL sees processors and memory only.
_metered = otherwise(
    max_by(series(host.HOST_POWER, source=matches("redfish|ipmi")), "site", "node"),
    max_by(series(facility.POWER_ACTIVE, scope="inlet", side="", id="", node=matches(".+")), "site", "node"),
    "site",
    "node",
)
NODE_POWER = Recorded(
    "node:aif_node_power_watts:max",
    _metered,
    "Power of a whole server at its inlet, as its management controller measures it.",
    Unit.WATTS,
)
_gpus = sum_by(max_by(gpu_power, "site", "node", "uuid"), "site", "node")
NODE_OVERHEAD = Recorded(
    "node:aif_node_power:per_gpu_watt",
    # Less than its own GPUs draw is a reading that lags: no figure rather than a wrong one.
    (recorded(NODE_POWER) / (_gpus > 0)).in_unit(Unit.COUNT) >= 1,
    "Watts that a node draws for each watt of its GPUs.",
    Unit.COUNT,
)
NODE_TOKENS = Recorded(
    "node:aif_inference_tokens:rate1m",
    on_nodes(recorded(REPLICA_TOKENS), *NODE),
    "Tokens generated per second on a node; those of a replica that spans nodes by its GPUs on each.",
    Unit.TOKENS_PER_SECOND,
)
