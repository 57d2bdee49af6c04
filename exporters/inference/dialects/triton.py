"""Triton Inference Server with the TensorRT-LLM backend.

Traps that this table knows: nearly all of the backend's figures are gauges of one iteration, also those
called `total_context_tokens` and `total_generation_tokens`, so no tokens are taken from them; newer
releases count tokens in two histograms of lengths, whose sums move when a request ends. An ensemble passes
each request through several models, and every one counts it: requests are taken from the model
`tensorrt_llm` alone. The label `model` is that name, whatever is served, so the configuration names the
model. Triton polls the backend every `--metrics-interval-ms` (two seconds). Its own latencies are sums in
microseconds; the histogram of first responses exists for decoupled models, where it was asked for, in
milliseconds, and tells of the first piece of an answer. Figures of GPUs are the node agent's to give.
"""

from __future__ import annotations

from exporters.inference.dialect import (
    Dialect,
    Figure,
    Granularity,
    HealthRoute,
    Sample,
    finished,
)
from gigawatch.catalogue import inference

_REQUESTS = "nv_trt_llm_request_metrics"
_BACKEND = {"model": "tensorrt_llm"}

DIALECT = Dialect(
    engine="triton",
    title="Triton with TensorRT-LLM",
    version="0.20 (Triton 25.06)",
    origin="README.md of triton-inference-server/tensorrtllm_backend, commit 00b494754b31, and "
    "triton_backend/inflight_batcher_llm/src/custom_metrics_reporter of NVIDIA/TensorRT-LLM; not recorded",
    recognised_by=("nv_trt_llm_", "nv_llm_"),
    port=8002,
    needs="started without --allow-metrics=false; tokens need a backend that has nv_llm_output_token_len, "
    "time to first token a decoupled model and --metrics-config histogram_latencies=true",
    health=HealthRoute("/v2/health/ready", port=8000),
    granularity=Granularity.REQUEST,
    patience=30.0,
    progress=(Sample("nv_trt_llm_general_metrics", where={"general_type": "iteration_counter"}),),
    model_labels=(),
    figures=(
        Figure(
            inference.INFERENCE_TOKENS,
            Sample("nv_llm_output_token_len_sum"),
            {"kind": "generation", "source": "computed"},
            expected=False,
        ),
        Figure(
            inference.INFERENCE_TOKENS,
            Sample("nv_llm_input_token_len_sum"),
            {"kind": "prompt", "source": "unknown"},
            expected=False,
        ),
        Figure(
            inference.INFERENCE_REQUESTS_RUNNING, Sample(_REQUESTS, where={"request_type": "active"})
        ),
        Figure(
            inference.INFERENCE_REQUESTS_WAITING,
            Sample(_REQUESTS, where={"request_type": "waiting"}),
            expected=False,
        ),
        finished("other", Sample("nv_inference_request_success", where=_BACKEND)),
        finished("error", Sample("nv_inference_request_failure", where=_BACKEND)),
        Figure(
            inference.INFERENCE_KV_CACHE_USAGE,
            Sample(
                "nv_trt_llm_kv_cache_block_metrics", where={"kv_cache_block_type": "fraction"}, fold="max"
            ),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_TTFT,
            Sample("nv_inference_first_response_histogram_ms", where=_BACKEND, scale=0.001),
            expected=False,
        ),
    ),
    ignored=(
        # Snapshots of one iteration: no counters, whatever their names say.
        "nv_trt_llm_v1_metrics", "nv_trt_llm_inflight_batcher_metrics", "nv_trt_llm_general_metrics",
        "nv_trt_llm_runtime_memory_metrics", "nv_trt_llm_disaggregated_serving_metrics",
        # Triton's own: sums of latencies without buckets, and steps of every model of an ensemble.
        "nv_inference_*", "nv_cache_*", "nv_model_*", "nv_llm_*",
        # Of the machine; the node agent gives these.
        "nv_gpu_*", "nv_energy_*", "nv_cpu_*", "nv_pinned_memory_pool_*",
    ),
)  # fmt: skip
