"""llm-d router, its endpoint picker (EPP; once the Gateway API inference extension).

Traps that this table knows: the router tells of the same tokens and requests as the engines behind it;
where both are read, the engines count (`stands_before`). It still writes its old names beside the new ones,
and a pattern over both doubles everything: of each figure the newest name that is there is read, and no
other. All counts move when a request ends, so a router whose engines hang cannot be told from one with long
answers; read the engines. Gaps between tokens are gaps between pieces of a streamed answer, of which one
may hold several tokens. Time to first token means nothing for answers that are not streamed. `/metrics`
wants a bearer token unless `--metrics-endpoint-auth=false`. Series come into being with the first request,
which is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporters.inference.dialect import Dialect, Figure, FirstOf, Granularity, Sample, Value
from gigawatch.catalogue import Metric, inference

_NEW = "llm_d_epp_"
_ROUTER = "llm_d_router_epp_"
_SCHEDULER = "llm_d_inference_scheduler_"
_OBJECTIVE = "inference_objective_"
_MODEL = "inference_model_"
_OLDER = (_ROUTER, _SCHEDULER, _OBJECTIVE, _MODEL)


def _newest(
    to: Metric,
    new: str,
    old: str = "",
    but: Mapping[str, Value] | None = None,
    expected: bool = False,
    **labels: str,
) -> FirstOf:
    """A figure by its name of today, or by that of older releases (`old` where it was another)."""
    names = [_NEW + new, *(prefix + (old or new) for prefix in _OLDER)]
    sets = ((Figure(to, Sample(name, but=but or {}), labels),) for name in names)
    return FirstOf(tuple(sets), expected)


def _prompt() -> FirstOf:
    """Tokens of prompts, split where the router says how many were cached."""
    names = [(f"{_NEW}request_input_tokens", f"{_NEW}request_cached_tokens")]
    names += [(f"{prefix}input_tokens", f"{prefix}prompt_cached_tokens") for prefix in _OLDER]
    sets: list[tuple[Figure, ...]] = []
    for whole, cached in names:
        part = Sample(f"{cached}_sum")
        total = Sample(f"{whole}_sum")
        sets += [
            (
                _tokens(Sample(total.name, minus=part), "computed"),
                _tokens(part, "cached"),
            ),
            (_tokens(total, "unknown"),),
        ]
    return FirstOf(tuple(sets))


def _tokens(sample: Sample, source: str) -> Figure:
    return Figure(inference.INFERENCE_TOKENS, sample, {"kind": "prompt", "source": source})


_WHOLE: Mapping[str, Value] = {"streaming": "false"}

DIALECT = Dialect(
    engine="llm_d",
    title="llm-d router",
    version="ebab68792",
    origin="pkg/epp/metrics/llm_d_router_metrics.go and docs/metrics.md of llm-d/llm-d-router, commit "
    "ebab68792; older names from commits 047069960690, b64f44e1b64f; not recorded",
    recognised_by=(_NEW, _ROUTER, _SCHEDULER, _OBJECTIVE, _MODEL, "inference_pool_"),
    port=9090,
    needs="shown a bearer token, unless it runs with --metrics-endpoint-auth=false",
    health=None,
    granularity=Granularity.REQUEST,
    patience=0.0,
    model_labels=("target_model_name", "model_name"),
    lazy=True,
    stands_before=True,
    figures=(
        _newest(
            inference.INFERENCE_TOKENS,
            "request_output_tokens_sum",
            "output_tokens_sum",
            expected=True,
            kind="generation",
            source="computed",
        ),
        _prompt(),
        _newest(inference.INFERENCE_REQUESTS_RUNNING, "request_running", "running_requests", expected=True),
        _newest(inference.INFERENCE_REQUESTS_WAITING, "flow_control_queue_size"),
        _newest(inference.INFERENCE_REQUESTS, "request_duration_seconds_count", outcome="other"),
        _newest(inference.INFERENCE_REQUESTS, "request_error_total", outcome="error"),
        _newest(inference.INFERENCE_TTFT, "request_ttft_seconds", but=_WHOLE),
        _newest(inference.INFERENCE_ITL, "request_streaming_itl_seconds"),
        _newest(inference.INFERENCE_TPOT, "request_streaming_tpot_seconds", "request_tpot_seconds"),
        _newest(inference.INFERENCE_REQUEST_DURATION, "request_duration_seconds", expected=True),
    ),
    ignored=(
        # Sizes; the time per token with prefill in it; requests as they come in.
        *(f"{prefix}{name}" for prefix in (_NEW, *_OLDER) for name in (
            "request_total", "request_size*", "response_size*", "request_ntpot_seconds*",
            "normalized_time_per_output_token_seconds*", "request_input_tokens*", "request_output_tokens*",
            "request_cached_tokens*", "input_tokens*", "output_tokens*", "prompt_cached_tokens*",
            # Averages over a pool of engines, and what the router knows of each.
            "average_*", "std_dev_*", "ready_*", "per_endpoint_*", "inflight_*", "info",
            # Its own work: scheduling, plug-ins, guesses, streams, queues.
            "request_processing_*", "response_processing_*", "scheduler_*", "plugin_*", "model_rewrite_*",
            "datalayer_*", "prefix_indexer_*", "encoder_cache_*", "program_aware_*",
            "inference_request_metric", "request_predicted_*", "request_ttft_prediction_*",
            "request_tpot_prediction_*", "request_slo_violation_*", "disagg*", "flow_control_*",
            "extproc_*", "kv_cache_index_*", "kv_events_*", "config_reload_*", "pd_decision_*",
        )),
        # Names without a successor among these figures.
        "inference_pool_*", "inference_extension_*", "kvcache_*", "moriio_*",
    ),
)  # fmt: skip
