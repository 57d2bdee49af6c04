"""Serving: quantiles of latency, what becomes of requests, saturation, burn of latency objectives."""

from __future__ import annotations

from pathlib import Path

from made_up import (
    between,
    labels,
    of_engine,
    on_gpu,
    pace,
    replica,
    serves,
    steady,
)
from rule_values import evaluate

from gigawatch.promql import recording as rec

WHO = labels(engine="vllm", model="m")


def first_tokens(name: str, engine: str, by_edge: dict[str, float]) -> dict[str, str]:
    """Observations per second up to each edge."""
    found = {}
    for edge, per_second in by_edge.items():
        series = of_engine("aif_inference_time_to_first_token_seconds_bucket", name, le=edge)
        found[series.replace('"vllm"', f'"{engine}"')] = pace(per_second)
    return found


def test_quantiles_of_all_replicas_but_never_of_different_engines(tmp_path: Path) -> None:
    """vLLM: replica a 10 requests/s within 1 s, b 10 between 1 and 2 s: half at 1 s, 95 % at 1.9 s. SGLang
    has buckets of its own."""
    evaluate(
        tmp_path,
        {
            **first_tokens("a", "vllm", {"1": 10, "2": 10, "+Inf": 10}),
            **first_tokens("b", "vllm", {"1": 0, "2": 10, "+Inf": 10}),
            **first_tokens("c", "sglang", {"0.4": 0, "0.8": 10, "+Inf": 10}),
        },
        {
            rec.ENGINE_TTFT.p50.name: [(labels(engine="sglang", model="m"), 0.6), (WHO, 1)],
            rec.ENGINE_TTFT.p95.name: [(labels(engine="sglang", model="m"), 0.78), (WHO, 1.9)],
            rec.ENGINE_TTFT.p99.name: [(labels(engine="sglang", model="m"), 0.796), (WHO, 1.98)],
            rec.ENGINE_ITL.p50.name: [],
        },
    )


def requests(outcome: str, per_second: float, name: str = "a") -> dict[str, str]:
    return {of_engine("aif_inference_requests_total", name, outcome=outcome): pace(per_second)}


def outcome(name: str) -> str:
    return labels(engine="vllm", model="m", outcome=name)


def test_what_becomes_of_requests(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {**requests("stop", 6), **requests("length", 3), **requests("error", 1), **requests("stop", 10, "b")},
        {
            rec.ENGINE_REQUESTS.name: [(outcome("error"), 1), (outcome("length"), 3), (outcome("stop"), 16)],
            rec.ENGINE_ERRORS.name: [(WHO, 0.05)],
        },
    )


def test_an_engine_that_does_not_tell_errors_has_no_share_of_them(tmp_path: Path) -> None:
    evaluate(tmp_path, requests("stop", 6), {rec.ENGINE_ERRORS.name: []})


def test_caches_preemptions_and_drafts(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            of_engine("aif_inference_prefix_cache_queried_tokens_total", "a"): pace(1000),
            of_engine("aif_inference_prefix_cache_hit_tokens_total", "a"): pace(600),
            of_engine("aif_inference_preemptions_total", "a"): pace(0.2),
            of_engine("aif_inference_preemptions_total", "b"): pace(0.1),
            of_engine("aif_inference_draft_tokens_total", "a"): pace(500),
            of_engine("aif_inference_accepted_draft_tokens_total", "a"): pace(350),
            of_engine("aif_inference_kv_cache_usage_ratio", "a"): steady(0.4),
            of_engine("aif_inference_kv_cache_usage_ratio", "b"): steady(0.97),
        },
        {
            rec.ENGINE_CACHE_HIT.name: [(WHO, 0.6)],
            rec.ENGINE_PREEMPTIONS.name: [(WHO, 0.3)],
            rec.ENGINE_ACCEPTANCE.name: [(WHO, 0.7)],
            rec.ENGINE_KV_USAGE.name: [(WHO, 0.97)],
        },
    )


def test_saturation(tmp_path: Path) -> None:
    """30 of 120 wait; a model without requests is not saturated."""
    running, waiting = "aif_inference_requests_running", "aif_inference_requests_waiting"
    evaluate(
        tmp_path,
        {
            of_engine(running, "a"): steady(60),
            of_engine(running, "b"): steady(30),
            of_engine(waiting, "a"): steady(30),
            of_engine(waiting, "b"): steady(0),
            of_engine(running, "c", "idle"): steady(0),
            of_engine(waiting, "c", "idle"): steady(0),
            of_engine(running, "d", "silent"): steady(5),  # does not tell its queue
        },
        {rec.ENGINE_SATURATION.name: [(labels(engine="vllm", model="idle"), 0), (WHO, 0.25)]},
    )


def objective(name: str, observed: str, met: str, share: float = 0.99) -> dict[str, str]:
    kind = {"objective": "time_to_first_token"}
    return {
        of_engine("aif_inference_objective_observations_total", name, **kind): observed,
        of_engine("aif_inference_objective_met_total", name, **kind): met,
        of_engine("aif_inference_objective_ratio", name, **kind): steady(share),
    }


BURNS = labels(engine="vllm", model="m", objective="time_to_first_token")


def test_burn_rates(tmp_path: Path) -> None:
    """Replica a misses 20 of 100, b none: a tenth of all, where a hundredth is granted: ten times as fast."""
    evaluate(
        tmp_path,
        {**objective("a", pace(100), pace(80)), **objective("b", pace(100), pace(100))},
        {rule.name: [(BURNS, 10)] for rule in rec.BURN.values()},
    )


def test_burn_of_a_short_window_forgets_what_a_long_one_remembers(tmp_path: Path) -> None:
    """For half an hour a tenth is missed, then for twelve minutes nothing."""
    evaluate(
        tmp_path,
        objective("a", pace(100), "0+1350x120 163500+1500x200"),
        {
            rec.BURN["5m"].name: [(BURNS, 0)],
            between(rec.BURN["30m"].name, 5.5, 6.5): [(BURNS, 1)],
            between(rec.BURN["1h"].name, 6.8, 7.4): [(BURNS, 1)],
        },
        at="42m",
    )


def test_nobody_asks_nothing_burns(tmp_path: Path) -> None:
    """Nor where an objective grants no miss at all, which no rate can be measured against."""
    evaluate(
        tmp_path,
        {**objective("a", steady(100), steady(80)), **objective("b", pace(10), pace(5), share=1)},
        {rec.BURN["5m"].name: []},
    )


def test_inference_mfu_stands_against_the_bf16_peak(tmp_path: Path) -> None:
    """Two GPUs of 1e15 for replica a, each doing 3e14; b tells no operations; c's peak is not known."""
    flops = "aif_inference_flops_total"
    evaluate(
        tmp_path,
        {
            **serves("GPU-0", "a"),
            **serves("GPU-1", "a"),
            **serves("GPU-2", "b"),
            **serves("GPU-3", "c"),
            **{on_gpu("aif_gpu_peak_flops", f"GPU-{n}", precision="bf16"): steady(1e15) for n in range(3)},
            of_engine(flops, "a"): pace(3e14),
            of_engine(flops, "c"): pace(3e14),
        },
        {
            rec.REPLICA_MFU.name: [(replica("a"), 0.3)],
            rec.MODEL_MFU.name: [(labels(model="m"), 0.3)],
        },
    )
