"""Node: the GPUs of one server together."""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, inference
from gigawatch.promql.expr import avg_by, max_by, min_by, rate, series, sum_by
from gigawatch.promql.recording.common import NODE, WINDOW, gpu_power
from gigawatch.promql.rule import Recorded

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
NODE_TOKENS = Recorded(
    "node:aif_inference_tokens:rate1m",
    sum_by(rate(series(inference.INFERENCE_TOKENS, kind="generation"), WINDOW), *NODE),
    "Tokens generated per second on a node.",
    Unit.TOKENS_PER_SECOND,
)
