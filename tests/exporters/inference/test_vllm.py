"""vLLM, as recorded: every figure that was counted beside the recordings."""

from __future__ import annotations

import pytest
from engine_series import pick, recording, series

from exporters.inference.dialects.vllm import DIALECT
from exporters.inference.normal import Normaliser, Objective, recognise
from exporters.runtime.textformat import parse
from gigawatch.serving.exposition import assemble

FILES = ("cold", "mid", "after", "preempted-after", "saturated-mid")


def taken(name: str) -> Normaliser:
    normaliser = Normaliser(
        DIALECT, "node-1:8000", objectives=lambda _: {"time_to_first_token": Objective(0.09, 0.99)}
    )
    normaliser.take(recording(f"vllm-0.32.0/{name}.txt"), 100.0)
    return normaliser


@pytest.mark.parametrize(
    ("name", "computed", "cached", "generated"),
    [
        ("cold", 0, 0, 0),
        ("mid", 592, 0, 657),
        ("after", 890, 0, 2400),
        ("preempted-after", 296, 0, 2800),
        ("saturated-mid", 296, 0, 933),
    ],
)
def test_tokens(name: str, computed: int, cached: int, generated: int) -> None:
    normaliser = taken(name)
    assert pick(normaliser, "tokens_total", kind="generation", source="computed") == generated
    assert pick(normaliser, "tokens_total", kind="prompt", source="cached") == cached
    assert pick(normaliser, "tokens_total", kind="prompt", source="computed") == computed
    assert pick(normaliser, "tokens_total", kind="prompt", source="unknown") is None


@pytest.mark.parametrize(
    ("name", "running", "waiting"),
    [("cold", 0, 0), ("mid", 8, 4), ("after", 0, 0), ("saturated-mid", 4, 36)],
)
def test_requests_in_it(name: str, running: int, waiting: int) -> None:
    normaliser = taken(name)
    assert pick(normaliser, "requests_running") == running
    assert pick(normaliser, "requests_waiting") == waiting


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unknown_missing_or_refused(name: str) -> None:
    normaliser = taken(name)
    assert (normaliser.unmapped, normaliser.missing) == ((), ())
    assert (normaliser.rejected, normaliser.bad_lines) == ({}, 0)
    assert normaliser.replicas == (("tiny", "node-1:8000"),)
    assert recognise(recording(f"vllm-0.32.0/{name}.txt")) is DIALECT
    assert not any("created" in metric for metric, _ in series(normaliser.blocks()))


@pytest.mark.parametrize("name", FILES)
def test_what_is_served_is_an_exposition(name: str) -> None:
    families = parse(assemble((taken(name).blocks(),)))
    histograms = [family for family in families.values() if family.kind == "histogram"]
    assert len(histograms) == 5
    assert all(name.startswith("aif_inference_") for name in families)


def test_a_success_is_not_always_one() -> None:
    normaliser = taken("after")
    by_outcome = {
        outcome: pick(normaliser, "requests_total", outcome=outcome)
        for outcome in ("stop", "length", "abort", "error", "other")
    }
    assert by_outcome == {"stop": 0, "length": 12, "abort": 0, "error": 0, "other": 0}


def test_preemptions_and_the_cache() -> None:
    assert pick(taken("preempted-after"), "preemptions_total") == 2
    assert pick(taken("saturated-mid"), "preemptions_total") == 0
    assert pick(taken("saturated-mid"), "kv_cache_usage_ratio") == pytest.approx(0.8, abs=0.05)
    assert pick(taken("mid"), "prefix_cache_queried_tokens_total") == 592
    assert pick(taken("mid"), "prefix_cache_hit_tokens_total") == 0


def test_flops_only_where_they_are_counted() -> None:
    assert pick(taken("preempted-after"), "flops_total") == 4.564242432e9
    assert pick(taken("after"), "flops_total") is None, "not switched on: 2400 tokens cannot cost nothing"


def test_histograms_keep_their_buckets() -> None:
    normaliser = taken("mid")
    first = {
        dict(labels)["le"]: value
        for (name, labels), value in series(normaliser.blocks()).items()
        if name == "aif_inference_time_to_first_token_seconds_bucket"
    }
    assert len(first) == 23
    assert (first["0.001"], first["0.08"], first["0.1"], first["1.0"], first["+Inf"]) == (0, 1, 8, 8, 8)
    assert pick(normaliser, "time_to_first_token_seconds_count") == 8
    assert pick(normaliser, "time_to_first_token_seconds_sum") == 0.7134103775024414
    assert pick(normaliser, "inter_token_latency_seconds_count") == 705
    assert pick(normaliser, "queue_time_seconds_count") == 0, "counted when a request ends"
    assert pick(normaliser, "request_duration_seconds_count") == 0
    assert pick(taken("after"), "inter_token_latency_seconds_count") == 2400 - 12
    assert pick(taken("after"), "time_per_output_token_seconds_count") == 12
    assert pick(taken("after"), "request_duration_seconds_count") == 12


def test_objective_within_a_bucket() -> None:
    normaliser = taken("mid")
    # One answer took up to 80 ms, seven more up to 100 ms: half of these count at 90 ms.
    assert pick(normaliser, "objective_met_total", objective="time_to_first_token") == pytest.approx(4.5)
    assert pick(normaliser, "objective_observations_total", objective="time_to_first_token") == 8
    assert pick(normaliser, "objective_seconds", objective="time_to_first_token") == 0.09
    assert pick(normaliser, "objective_ratio", objective="time_to_first_token") == 0.99
    assert pick(normaliser, "objective_met_total", objective="inter_token_latency") is None


def test_a_type_decides_and_not_the_suffix() -> None:
    """`iteration_tokens_total` is a histogram: its sum is no token counter, its count is steps."""
    normaliser = taken("after")
    assert pick(normaliser, "progress_total") == 401 + 890 + 2400
    assert 3290 not in series(normaliser.blocks()).values()


def test_what_its_counters_are_worth() -> None:
    normaliser = taken("after")
    assert pick(normaliser, "counting_info", granularity="step") == 1
    assert pick(normaliser, "stall_patience_seconds") == 20


def test_names_of_v0() -> None:
    body = b"""# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{model_name="m"} 7.0
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{model_name="m"} 0.0
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_sum{model_name="m"} 1.0
vllm:time_per_output_token_seconds_bucket{le="0.01",model_name="m"} 1.0
vllm:time_per_output_token_seconds_bucket{le="+Inf",model_name="m"} 2.0
vllm:time_per_output_token_seconds_count{model_name="m"} 2.0
"""
    normaliser = Normaliser(DIALECT, "n:1")
    normaliser.take(body, 0.0)
    assert pick(normaliser, "kv_cache_usage_ratio") == 0.5
    assert pick(normaliser, "tokens_total") == 7
    assert pick(normaliser, "tokens_total", kind="prompt", source="unknown") == 7
    assert pick(normaliser, "inter_token_latency_seconds_count") == 2
    assert normaliser.unmapped == ()
