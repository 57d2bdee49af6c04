"""Model: what is served, and with what power."""

from __future__ import annotations

from gigawatch.catalogue import Unit, inference
from gigawatch.promql.expr import series, sum_by
from gigawatch.promql.recording.common import MODEL
from gigawatch.promql.recording.generated import REPLICA_GPU_POWER, REPLICA_TOKENS
from gigawatch.promql.rule import Recorded, recorded

MODEL_TOKENS = Recorded(
    "model:aif_inference_tokens:rate1m",
    sum_by(recorded(REPLICA_TOKENS), *MODEL),
    "Tokens generated per second with a model.",
    Unit.TOKENS_PER_SECOND,
)
MODEL_POWER = Recorded(
    "model:aif_gpu_power_watts:sum",
    sum_by(recorded(REPLICA_GPU_POWER), *MODEL),
    "Power of the GPUs that serve a model (from their energy counters); replicas whose GPUs do not all tell "
    "it are left out.",
    Unit.WATTS,
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
