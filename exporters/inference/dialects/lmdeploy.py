"""LMDeploy.

Traps that this table knows: `iteration_tokens_total` is a histogram; `iter_token_latency` is in seconds,
though its name does not say so; `time_per_output_token_seconds` has one observation per step (the gap
shared by the step's tokens), not per request, so it is no mean time of a request and only stands in where
older releases had nothing else; `num_requests_succeeded` and others are cumulative, but typed gauge; a
prompt counts whole with its first token, its cached part only when the request ends, so tokens computed run
ahead of those cached for the length of a request. Reasons are written as Python shows an enum, and `FINISH`
means both stop and length.
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

_PROMPT = "lmdeploy:prompt_tokens_total"
_CACHED = "lmdeploy:cached_tokens_total"
_GENERATED = "lmdeploy:generation_tokens_total"
_SUCCESS = "lmdeploy:request_success_total"
_DONE = ("ResponseType.FINISH", "FINISH")
_CANCELLED = ("ResponseType.CANCEL", "CANCEL")

DIALECT = Dialect(
    engine="lmdeploy",
    title="LMDeploy",
    version="0.18.0",
    origin="lmdeploy/metrics/loggers.py and stats.py of InternLM/lmdeploy, release 0.18.0 and commits "
    "7c8d16f58b94, 0168eedaef94 (older names); not recorded",
    recognised_by=("lmdeploy:",),
    port=23333,
    needs="started without --disable-metrics (from Python: enable_metrics=True)",
    granularity=Granularity.STEP,
    # A prompt shows only with its first token, however long its prefill takes.
    patience=60.0,
    progress=(Sample(_GENERATED), Sample(_PROMPT)),
    rank_label="engine",
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
        Figure(inference.INFERENCE_REQUESTS_RUNNING, Sample("lmdeploy:num_requests_running")),
        Figure(inference.INFERENCE_REQUESTS_WAITING, Sample("lmdeploy:num_requests_waiting")),
        FirstOf(
            (
                (
                    finished("other", Sample(_SUCCESS, where={"finished_reason": _DONE})),
                    finished("abort", Sample(_SUCCESS, where={"finished_reason": _CANCELLED})),
                    finished("error", Sample(_SUCCESS, but={"finished_reason": (*_DONE, *_CANCELLED)})),
                ),
            ),
            expected=False,
        ),
        Figure(inference.INFERENCE_KV_CACHE_USAGE, Sample("lmdeploy:gpu_cache_usage_perc", fold="max")),
        FirstOf(
            (
                (
                    Figure(inference.INFERENCE_CACHE_QUERIED, Sample(_PROMPT)),
                    Figure(inference.INFERENCE_CACHE_HIT, Sample(_CACHED)),
                ),
            ),
            expected=False,
        ),
        Figure(inference.INFERENCE_DRAFTS, Sample("lmdeploy:spec_decode_num_drafts_total"), expected=False),
        Figure(
            inference.INFERENCE_DRAFT_TOKENS,
            Sample("lmdeploy:spec_decode_num_draft_tokens_total"),
            expected=False,
        ),
        Figure(
            inference.INFERENCE_ACCEPTED_TOKENS,
            Sample("lmdeploy:spec_decode_num_accepted_tokens_total"),
            expected=False,
        ),
        Figure(inference.INFERENCE_TTFT, Sample("lmdeploy:time_to_first_token_seconds")),
        FirstOf(
            (
                (Figure(inference.INFERENCE_ITL, Sample("lmdeploy:iter_token_latency")),),
                (Figure(inference.INFERENCE_ITL, Sample("lmdeploy:time_per_output_token_seconds")),),
            )
        ),
        Figure(inference.INFERENCE_QUEUE_TIME, Sample("lmdeploy:request_queue_time_seconds")),
        Figure(inference.INFERENCE_REQUEST_DURATION, Sample("lmdeploy:e2e_request_latency_seconds")),
    ),
    ignored=(
        # Cumulative, but typed gauge; `request_success_total` tells the same by reason.
        "lmdeploy:num_requests_succeeded", "lmdeploy:num_requests_failed", "lmdeploy:num_requests_finished",
        "lmdeploy:num_requests_unfinished",
        # The way from the HTTP server to the engine: the same requests once more.
        "lmdeploy:num_api_requests_routed", "lmdeploy:num_api_requests_waiting",
        # The same figures cut another way, or sizes of requests.
        "lmdeploy:iteration_tokens_total*", "lmdeploy:request_prompt_tokens*",
        "lmdeploy:request_generation_tokens*", "lmdeploy:request_max_num_generation_tokens*",
        "lmdeploy:request_params_*", "lmdeploy:request_inference_time_seconds*",
        "lmdeploy:request_prefill_time_seconds*", "lmdeploy:request_decode_time_seconds*",
        "lmdeploy:prefix_cache_hit_rate", "lmdeploy:external_prefix_cache_*", "lmdeploy:multimodal_*",
        "lmdeploy:spec_decode_mean_*", "lmdeploy:spec_decode_per_position_*",
        "lmdeploy:spec_decode_num_accepted_tokens_per_pos_total",
        # Settings.
        "lmdeploy:backend_config_info",
    ),
)  # fmt: skip
