"""TensorRT-LLM, served by `trtllm-serve`.

Traps that this table knows: `/metrics` answers JSON, the exposition lies at `/prometheus/metrics`; without
`return_perf_metrics` the series of requests and tokens stay empty, without `enable_iter_perf_stats` those
of queue and cache; tokens move only when a request ends, so progress is read from the cache blocks taken
while decoding and the batches of prefill, which move with the iterations; drafts are counted twice over,
per iteration (`spec_decode_num_*`) and per position when a request ends; figures called
`total_context_tokens` and `num_*_requests` are snapshots of one iteration.
"""

from __future__ import annotations

from exporters.inference.dialect import (
    Dialect,
    Figure,
    FirstOf,
    Granularity,
    Sample,
    finished,
    generated,
    prompt,
)
from gigawatch.catalogue import inference

_PROMPT = "trtllm_prompt_tokens_total"
_CACHED = "trtllm_prompt_cached_tokens_total"
_GENERATED = "trtllm_generation_tokens_total"
_SUCCESS = "trtllm_request_success_total"
_ABORTED = ("cancelled", "timeout")

DIALECT = Dialect(
    engine="tensorrt_llm",
    title="TensorRT-LLM",
    version="1.2",
    origin="tensorrt_llm/metrics/collector.py of NVIDIA/TensorRT-LLM, commit 050f80def8df; not recorded",
    recognised_by=("trtllm_",),
    port=8000,
    path="/prometheus/metrics",
    needs="configured with return_perf_metrics: true (tokens, latency) and enable_iter_perf_stats: true "
    "(queue, cache), and read at /prometheus/metrics",
    granularity=Granularity.REQUEST,
    patience=60.0,
    lazy=True,
    starts_empty=True,
    progress=(
        Sample("trtllm_kv_cache_gen_alloc_blocks_total"),
        Sample("trtllm_prefill_batch_tokens_count"),
        Sample(_GENERATED),
    ),
    figures=(
        generated(Sample(_GENERATED)),
        FirstOf(
            (
                (
                    prompt("computed", Sample(_PROMPT, minus=Sample(_CACHED))),
                    prompt("cached", Sample(_CACHED)),
                ),
                (prompt("unknown", Sample(_PROMPT)),),
            )
        ),
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("trtllm_num_requests_running")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("trtllm_num_requests_waiting")),
        finished("stop", Sample(_SUCCESS, where={"finished_reason": "stop"})),
        finished("length", Sample(_SUCCESS, where={"finished_reason": "length"})),
        finished("abort", Sample(_SUCCESS, where={"finished_reason": _ABORTED})),
        finished("other", Sample(_SUCCESS, but={"finished_reason": ("stop", "length", *_ABORTED)})),
        Figure(
            inference.INFERENCE_REQUESTS,
            Sample("trtllm_request_error_total"),
            {"outcome": "error"},
            expected=False,
        ),
        Figure(inference.INFERENCE_KV_CACHE_USAGE, Sample("trtllm_kv_cache_utilization", fold="max")),
        FirstOf(
            (
                (
                    Figure(inference.INFERENCE_CACHE_QUERIED, Sample(_PROMPT)),
                    Figure(inference.INFERENCE_CACHE_HIT, Sample(_CACHED)),
                ),
            ),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_DRAFT_TOKENS,
            Sample("trtllm_spec_decode_num_draft_tokens_total"),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_ACCEPTED_TOKENS,
            Sample("trtllm_spec_decode_num_accepted_tokens_total"),
            expected=False,
        ),
        Figure(inference.INFERENCE_TTFT, Sample("trtllm_time_to_first_token_seconds")),
        Figure(inference.INFERENCE_TPOT, Sample("trtllm_time_per_output_token_seconds")),
        Figure(inference.INFERENCE_QUEUE_TIME, Sample("trtllm_request_queue_time_seconds")),
        Figure(inference.INFERENCE_REQUEST_DURATION, Sample("trtllm_e2e_request_latency_seconds")),
    ),
    ignored=(
        # The same tokens and times cut another way, or sizes of requests.
        "trtllm_prompt_cache_hit_tokens_total", "trtllm_prompt_cached_tokens_per_request*",
        "trtllm_spec_decode_drafted_tokens_total", "trtllm_spec_decode_accepted_tokens_total",
        "trtllm_request_prefill_time_seconds*", "trtllm_request_decode_time_seconds*",
        "trtllm_request_inference_time_seconds*", "trtllm_num_requests_completed_total",
        # Snapshots of one iteration, and means that the engine worked out.
        "trtllm_num_context_requests", "trtllm_num_generation_requests", "trtllm_num_paused_requests",
        "trtllm_num_scheduled_requests", "trtllm_total_context_tokens", "trtllm_avg_decoded_tokens_per_iter",
        "trtllm_iteration_latency_seconds", "trtllm_prefill_batch_*", "trtllm_scheduled_batch_size*",
        "trtllm_spec_decode_acceptance_length", "trtllm_spec_decode_draft_overhead",
        # Memory, and the cache by block.
        "trtllm_gpu_memory_usage_bytes", "trtllm_cpu_memory_usage_bytes", "trtllm_pinned_memory_usage_bytes",
        "trtllm_kv_cache_*",
        # Settings; quality of the text.
        "trtllm_max_*", "trtllm_model_config_info", "trtllm_parallel_config_info",
        "trtllm_speculative_config_info", "trtllm_prefill_perplexity*", "trtllm_generation_perplexity*",
        # What Dynamo adds on the port of its workers.
        "trtllm_num_aborted_requests_total", "trtllm_request_type_*", "trtllm_kv_transfer_*",
        "trtllm_kv_event_*",
    ),
)  # fmt: skip
