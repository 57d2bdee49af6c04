"""vLLM, V1 engine.

Traps that this table knows: `_success_total` counts aborts and errors too; `iteration_tokens_total` is a
histogram; tokens move at each step, but queue, duration and request_* histograms only when a request ends;
work thrown away by a preemption stands in no token count; FLOPs stay 0 unless a flag switches them on; the
names of V0 are gone.
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

_BY_SOURCE = "vllm:prompt_tokens_by_source_total"
_PROMPT = "vllm:prompt_tokens_total"
_CACHED = "vllm:prompt_tokens_cached_total"
_GENERATED = "vllm:generation_tokens_total"
_SUCCESS = "vllm:request_success_total"
_REASONS = ("stop", "length", "abort", "error")

DIALECT = Dialect(
    engine="vllm",
    title="vLLM",
    version="0.32.0",
    origin="recordings of 0.32.0; V0 names from its source",
    recognised_by=("vllm:",),
    port=8000,
    needs="started without --disable-log-stats; FLOPs need --enable-mfu-metrics",
    granularity=Granularity.STEP,
    progress=(Sample(_GENERATED), Sample(_PROMPT), Sample("vllm:iteration_tokens_total_count")),
    rank_label="engine",
    figures=(
        generated(Sample(_GENERATED)),
        FirstOf(
            (
                (
                    prompt("computed", Sample(_BY_SOURCE, where={"source": "local_compute"})),
                    prompt("cached", Sample(_BY_SOURCE, but={"source": "local_compute"})),
                ),
                (
                    prompt("computed", Sample(_PROMPT, minus=Sample(_CACHED))),
                    prompt("cached", Sample(_CACHED)),
                ),
                (prompt("unknown", Sample(_PROMPT)),),
            )
        ),
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("vllm:num_requests_running")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("vllm:num_requests_waiting")),
        *(finished(reason, Sample(_SUCCESS, where={"finished_reason": reason})) for reason in _REASONS),
        finished("other", Sample(_SUCCESS, but={"finished_reason": _REASONS})),
        FirstOf(
            (
                (
                    Figure(
                        inference.INFERENCE_KV_CACHE_USAGE, Sample("vllm:kv_cache_usage_perc", fold="max")
                    ),
                ),
                (
                    Figure(
                        inference.INFERENCE_KV_CACHE_USAGE, Sample("vllm:gpu_cache_usage_perc", fold="max")
                    ),
                ),
            )
        ),
        Figure(inference.INFERENCE_PREEMPTIONS, Sample("vllm:num_preemptions_total")),
        Figure(
            inference.INFERENCE_CACHE_QUERIED, Sample("vllm:prefix_cache_queries_total"), expected=False
        ),
        Figure(inference.INFERENCE_CACHE_HIT, Sample("vllm:prefix_cache_hits_total"), expected=False),
        Figure(inference.INFERENCE_DRAFTS, Sample("vllm:spec_decode_num_drafts_total"), expected=False),
        Figure(
            inference.INFERENCE_DRAFT_TOKENS,
            Sample("vllm:spec_decode_num_draft_tokens_total"),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_ACCEPTED_TOKENS,
            Sample("vllm:spec_decode_num_accepted_tokens_total"),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_FLOPS,
            Sample("vllm:estimated_flops_per_gpu_total", silent_zero=True),
            expected=False,
        ),
        Figure(inference.INFERENCE_TTFT, Sample("vllm:time_to_first_token_seconds")),
        FirstOf(
            (
                (Figure(inference.INFERENCE_ITL, Sample("vllm:inter_token_latency_seconds")),),
                (Figure(inference.INFERENCE_ITL, Sample("vllm:time_per_output_token_seconds")),),
            )
        ),
        Figure(
            inference.INFERENCE_TPOT, Sample("vllm:request_time_per_output_token_seconds"), expected=False
        ),
        Figure(inference.INFERENCE_QUEUE_TIME, Sample("vllm:request_queue_time_seconds")),
        Figure(inference.INFERENCE_REQUEST_DURATION, Sample("vllm:e2e_request_latency_seconds")),
    ),
    ignored=(
        # Figures of the Python process and of the HTTP server.
        "python_*", "process_*", "http_*",
        # The same figures cut another way, or sizes of requests.
        "vllm:num_requests_waiting_by_reason", "vllm:prompt_tokens_cached_by_source_total",
        "vllm:external_prefix_cache_*", "vllm:mm_cache_*", "vllm:admission_rejections_total",
        "vllm:request_prompt_tokens*", "vllm:request_generation_tokens*", "vllm:request_params_*",
        "vllm:request_max_num_generation_tokens*", "vllm:request_num_preemptions*",
        "vllm:request_inference_time_seconds*", "vllm:request_prefill_*", "vllm:request_decode_*",
        "vllm:iteration_tokens_total*", "vllm:estimated_read_bytes_*", "vllm:estimated_write_bytes_*",
        "vllm:spec_decode_num_accepted_tokens_per_pos_total",
        # Where the cache spills over or is handed on, and how long its blocks live: with flags of their own.
        "vllm:nixl_*", "vllm:kv_offload_*", "vllm:kv_block_*", "vllm:corrupted_requests*",
        # Settings and states.
        "vllm:cache_config_info", "vllm:engine_sleep_state", "vllm:lora_requests_info",
        # Names of V0 that say nothing new.
        "vllm:num_requests_swapped", "vllm:cpu_cache_usage_perc", "vllm:gpu_prefix_cache_*",
    ),
)  # fmt: skip
