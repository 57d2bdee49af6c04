"""Model: what is served, with what power."""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, inference
from gigawatch.promql.expr import many_to_one, max_by, rate, series, sum_by
from gigawatch.promql.recording.common import MODEL, WINDOW
from gigawatch.promql.rule import Recorded, recorded

MODEL_TOKENS = Recorded(
    "model:aif_inference_tokens:rate1m",
    sum_by(rate(series(inference.INFERENCE_TOKENS, kind="generation"), WINDOW), *MODEL),
    "Tokens generated per second with a model.",
    Unit.TOKENS_PER_SECOND,
)
MODEL_POWER = Recorded(
    "model:aif_gpu_power_watts:sum",
    sum_by(
        many_to_one(
            max_by(rate(series(gpu.GPU_ENERGY), WINDOW), "site", "uuid"),
            "*",
            max_by(series(inference.INFERENCE_GPU_INFO), "site", "uuid", "model"),
            ("site", "uuid"),
            ("model",),
        ),
        *MODEL,
    ),
    "Power of the GPUs that serve a model (from their energy counters).",
    Unit.WATTS,
)
MODEL_TOKENS_PER_JOULE = Recorded(
    "model:aif_tokens_per_joule:gpu",
    (recorded(MODEL_TOKENS) / (recorded(MODEL_POWER) > 0)).in_unit(Unit.TOKENS_PER_JOULE),
    "Tokens generated per joule of GPU energy, per model.",
    Unit.TOKENS_PER_JOULE,
)
MODEL_REQUESTS_RUNNING = Recorded(
    "model:aif_inference_requests_running:sum",
    sum_by(series(inference.INFERENCE_REQUESTS_RUNNING), *MODEL),
    "Requests being worked on, per model.",
    Unit.COUNT,
)
MODEL_REQUESTS_WAITING = Recorded(
    "model:aif_inference_requests_waiting:sum",
    sum_by(series(inference.INFERENCE_REQUESTS_WAITING), *MODEL),
    "Requests waiting, per model.",
    Unit.COUNT,
)
