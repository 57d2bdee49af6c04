"""SGLang.

Traps that this table knows: token counters move only when a request ends, `realtime_tokens_total` in
between but with tokens counted again after a retraction; every pipeline rank tells the same, and with
`--enable-metrics-for-all-schedulers` every tensor rank as well, so that a sum multiplies: the first
pipeline rank is looked at, and of tensor ranks the largest figure. With priorities the total stands beside
its parts, under an empty label. Counters come into being with their first event. A request that is aborted
at work stands both under aborts and under the finished. `/health` makes an idle engine generate a token and
takes a second at least, 20 at most: it is asked seldom and given time, and is worth more than that of other
engines, since it goes through the scheduler. Time to first token means nothing for answers that are not
streamed.
"""

from __future__ import annotations

from exporters.inference.dialect import (
    Dialect,
    Figure,
    FirstOf,
    Granularity,
    HealthRoute,
    Sample,
    finished,
    generated,
    prompt,
)
from gigawatch.catalogue import inference

_PROMPT = "sglang:prompt_tokens_total"
_CACHED = "sglang:cached_tokens_total"
_COMPUTED = Sample("sglang:uncached_prompt_tokens_histogram_sum")
_GENERATED = "sglang:generation_tokens_total"
_REALTIME = "sglang:realtime_tokens_total"
_ALL_PRIORITIES = {"priority": ""}

DIALECT = Dialect(
    engine="sglang",
    title="SGLang",
    version="0.5.23",
    origin="python/sglang/srt/observability/metrics_collector.py of sgl-project/sglang, release 0.5.23 and "
    "commit 016d8605e458; older names from docs/references/production_metrics.md; not recorded",
    recognised_by=("sglang:",),
    port=30000,
    needs="started with --enable-metrics; FLOPs need --enable-mfu-metrics",
    health=HealthRoute(deadline=25.0, every=60.0),
    granularity=Granularity.REQUEST,
    # Statistics are written every 40 steps of decoding and at each step of prefill.
    patience=30.0,
    progress=(Sample(_REALTIME), Sample(_GENERATED)),
    rank_label="dp_rank",
    lazy=True,
    starts_empty=True,
    only={"pp_rank": ("", "0")},
    figures=(
        generated(Sample(_GENERATED)),
        FirstOf(
            (
                # There from the first request on, while the count of cached tokens waits for the first hit.
                (prompt("computed", _COMPUTED), prompt("cached", Sample(_PROMPT, minus=_COMPUTED))),
                (
                    prompt("computed", Sample(_PROMPT, minus=Sample(_CACHED))),
                    prompt("cached", Sample(_CACHED)),
                ),
                (prompt("unknown", Sample(_PROMPT)),),
            )
        ),
        Figure(
            inference.INFERENCE_REQUESTS_RUNNING,
            Sample("sglang:num_running_reqs", where=_ALL_PRIORITIES, fold="max"),
        ),
        Figure(
            inference.INFERENCE_REQUESTS_WAITING,
            Sample("sglang:num_queue_reqs", where=_ALL_PRIORITIES, fold="max"),
        ),
        finished("other", Sample("sglang:num_requests_total")),
        Figure(
            inference.INFERENCE_REQUESTS,
            Sample("sglang:num_aborted_requests_total"),
            {"outcome": "abort"},
            expected=False,
        ),
        Figure(inference.INFERENCE_KV_CACHE_USAGE, Sample("sglang:token_usage", fold="max")),
        Figure(
            inference.INFERENCE_PREEMPTIONS,
            Sample("sglang:num_retracted_requests_total", fold="max"),
            expected=False,
        ),
        FirstOf(
            tuple(
                (
                    Figure(inference.INFERENCE_CACHE_QUERIED, Sample(_PROMPT)),
                    Figure(inference.INFERENCE_CACHE_HIT, hit),
                )
                for hit in (Sample(_PROMPT, minus=_COMPUTED), Sample(_CACHED))
            ),
            expected=False,
        ),
        Figure(inference.INFERENCE_DRAFTS, Sample("sglang:spec_verify_calls_total"), expected=False),
        Figure(
            inference.INFERENCE_FLOPS,
            Sample("sglang:estimated_flops_per_gpu_total", fold="max", silent_zero=True),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_TTFT,
            Sample("sglang:time_to_first_token_seconds", but={"is_streaming": "false"}),
        ),
        FirstOf(
            (
                (Figure(inference.INFERENCE_ITL, Sample("sglang:inter_token_latency_seconds")),),
                (Figure(inference.INFERENCE_ITL, Sample("sglang:time_per_output_token_seconds")),),
            ),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_TPOT, Sample("sglang:request_time_per_output_token_seconds"), expected=False
        ),
        Figure(
            inference.INFERENCE_QUEUE_TIME, Sample("sglang:queue_time_seconds", fold="max"), expected=False
        ),
        Figure(inference.INFERENCE_REQUEST_DURATION, Sample("sglang:e2e_request_latency_seconds")),
    ),
    ignored=(
        # Figures of the Python process and of the HTTP server.
        "sglang:http_*", "sglang:process_*", "sglang:gc_*",
        # Rates and means that the engine worked out over an interval of its own.
        "sglang:gen_throughput", "sglang:input_throughput", "sglang:cache_hit_rate", "sglang:utilization",
        "sglang:fwd_occupancy", "sglang:spec_accept_*", "sglang:spec_cap_length", "sglang:spec_num_*",
        "sglang:spec_block_accept_length", "sglang:new_token_ratio", "sglang:is_cuda_graph", "sglang:eplb_*",
        # The same tokens, requests and times cut another way; sizes of requests.
        "sglang:prefill_effective_tokens_total", "sglang:dp_cooperation_*", "sglang:num_used_tokens",
        "sglang:decode_sum_seq_lens", "sglang:num_retracted_*", "sglang:num_paused_reqs",
        "sglang:num_grammar_*", "sglang:num_so_requests_total",
        "sglang:prompt_tokens_histogram*", "sglang:uncached_prompt_tokens_histogram*",
        "sglang:generation_tokens_histogram*", "sglang:per_stage_req_latency_seconds*",
        "sglang:func_latency_seconds*", "sglang:forward_execution_seconds_total",
        "sglang:cuda_graph_passes_total", "sglang:grammar_*", "sglang:get_loads_duration_seconds*",
        "sglang:num_unique_running_routing_keys", "sglang:routing_key_*", "sglang:prefill_delayer_*",
        "sglang:estimated_read_bytes_*", "sglang:estimated_write_bytes_*",
        # Parts of the cache and of the memory; `token_usage` is the fullest of them.
        "sglang:full_token_usage", "sglang:swa_*", "sglang:mamba_*", "sglang:kv_available_tokens",
        "sglang:kv_evictable_tokens", "sglang:kv_used_tokens", "sglang:pending_prealloc_token_usage",
        "sglang:hicache_*", "sglang:evict*", "sglang:load_back_*", "sglang:prefetch*", "sglang:backup*",
        # Prefill and decode on engines of their own: queues and transfers between them.
        "sglang:num_prefill_*", "sglang:num_decode_*", "sglang:kv_transfer_*", "sglang:num_bootstrap_*",
        "sglang:num_transfer_*", "sglang:encoder_*",
        # Settings and what happened at the start.
        "sglang:max_*", "sglang:page_size", "sglang:num_pages", "sglang:context_len",
        "sglang:cache_config_info", "sglang:startup_*", "sglang:weight_*", "sglang:engine_*", "sglang:lora_*",
        "sglang:kv_cache_memory_usage_gb", "sglang:graph_memory_usage_gb", "sglang:num_streaming_sessions",
        "sglang:streaming_session_*",
    ),
)  # fmt: skip
