"""NVIDIA Dynamo, its frontend.

Traps that this table knows: the frontend tells of the same tokens and requests as the engines behind it,
whose own metrics Dynamo passes on at the port of each worker (`DYN_SYSTEM_PORT`, off by default); that port
speaks as the engine and is read as such. Where both are read, the engines count (`stands_before`).
`active_requests` holds those that are queued as well. Series come into being with a model's first request,
which is no drift. `DYN_METRICS_PREFIX` renames everything, so leave it alone. Models are written in lower
case. `kv_hit_rate` is a guess made while routing.
"""

from __future__ import annotations

from exporters.inference.dialect import Dialect, Figure, FirstOf, Granularity, Sample
from gigawatch.catalogue import Metric, inference

_PROMPT = Sample("dynamo_frontend_input_sequence_tokens_sum")
_CACHED = Sample("dynamo_frontend_cached_tokens_sum")
_GENERATED = Sample("dynamo_frontend_output_tokens_total")
_QUEUED = Sample("dynamo_frontend_queued_requests")
_REQUESTS = "dynamo_frontend_requests_total"
_SUCCESS = {"status": "success"}
_CANCELLED = {"error_type": "cancelled"}


def _figure(to: Metric, sample: Sample, **labels: str) -> Figure:
    return Figure(to, sample, labels)


DIALECT = Dialect(
    engine="dynamo",
    title="Dynamo frontend",
    version="1.6.1",
    origin="lib/runtime/src/metrics/prometheus_names.rs of ai-dynamo/dynamo, release 1.6.1 and commits "
    "04277994ab15, 4415465e3e0d (older names); not recorded",
    recognised_by=("dynamo_frontend_",),
    port=8000,
    needs="started without DYN_METRICS_PREFIX; workers are read at DYN_SYSTEM_PORT, as the engines they run",
    granularity=Granularity.STEP,
    # Nothing of a prompt shows here before its first token, and all requests may be waiting for theirs.
    patience=120.0,
    progress=(_GENERATED,),
    model_labels=("model",),
    lazy=True,
    stands_before=True,
    passes_on=("vllm", "sglang", "tensorrt_llm"),
    figures=(
        _figure(inference.INFERENCE_TOKENS, _GENERATED, kind="generation", source="computed"),
        FirstOf(
            (
                (
                    _figure(
                        inference.INFERENCE_TOKENS,
                        Sample(_PROMPT.name, minus=_CACHED),
                        kind="prompt",
                        source="computed",
                    ),
                    _figure(inference.INFERENCE_TOKENS, _CACHED, kind="prompt", source="cached"),
                ),
                (_figure(inference.INFERENCE_TOKENS, _PROMPT, kind="prompt", source="unknown"),),
            ),
        ),
        FirstOf(
            (
                (
                    Figure(
                        inference.INFERENCE_REQUESTS_RUNNING,
                        Sample("dynamo_frontend_active_requests", minus=_QUEUED),
                    ),
                ),
                (
                    Figure(
                        inference.INFERENCE_REQUESTS_RUNNING,
                        Sample("dynamo_frontend_inflight_requests", minus=_QUEUED),
                    ),
                ),
            ),
        ),
        _figure(inference.INFERENCE_REQUESTS_WAITING, _QUEUED),
        _figure(inference.INFERENCE_REQUESTS, Sample(_REQUESTS, where=_SUCCESS), outcome="other"),
        _figure(inference.INFERENCE_REQUESTS, Sample(_REQUESTS, where=_CANCELLED), outcome="abort"),
        _figure(
            inference.INFERENCE_REQUESTS,
            Sample(_REQUESTS, but=_SUCCESS | _CANCELLED),
            outcome="error",
        ),
        _figure(inference.INFERENCE_TTFT, Sample("dynamo_frontend_time_to_first_token_seconds")),
        _figure(inference.INFERENCE_ITL, Sample("dynamo_frontend_inter_token_latency_seconds")),
        _figure(inference.INFERENCE_REQUEST_DURATION, Sample("dynamo_frontend_request_duration_seconds")),
    ),
    ignored=(
        # Read in part: the rest of these histograms are sizes of requests.
        "dynamo_frontend_input_sequence_tokens*", "dynamo_frontend_cached_tokens*",
        "dynamo_frontend_output_sequence_tokens*", "dynamo_frontend_images_per_request*",
        "dynamo_frontend_videos_per_request*", "dynamo_frontend_audio_per_request*",
        # Requests on their way in, and those turned away before they were any.
        "dynamo_frontend_inflight_requests", "dynamo_frontend_requests_started_total",
        "dynamo_frontend_disconnected_clients", "dynamo_frontend_admission_*",
        "dynamo_frontend_model_migration_*", "dynamo_frontend_model_cancellation_total",
        "dynamo_frontend_model_rejection_total", "dynamo_frontend_embedding_latency_seconds*",
        # Guesses of the router, and what it knows of each worker.
        "dynamo_frontend_kv_*", "dynamo_frontend_shared_cache_*", "dynamo_frontend_worker_*",
        "dynamo_frontend_router_*", "dynamo_frontend_lora_*",
        # Stages of the frontend's own work.
        "dynamo_frontend_tokenize*", "dynamo_frontend_template_seconds*", "dynamo_frontend_detokenize_*",
        "dynamo_frontend_stage_*", "dynamo_frontend_event_loop_*",
        # Settings of the models.
        "dynamo_frontend_model_total_kv_blocks", "dynamo_frontend_model_max_*",
        "dynamo_frontend_model_context_length", "dynamo_frontend_model_kv_cache_block_size",
    ),
)  # fmt: skip
