"""From an engine's answers to canonical series: differences, sums, models and ranks, restarts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from engine_series import pick, recording, series
from toy_engine import TOY, counts, tell, toy

from exporters.inference.dialect import Sample, generated
from exporters.inference.dialects.vllm import DIALECT as VLLM
from exporters.inference.normal import ExpositionError, Normaliser, Objective

# Differences, sums, scales


def test_a_difference_never_falls_while_the_engine_lives() -> None:
    normaliser = toy(counts(1, prompt=100, cached=40))
    assert pick(normaliser, "tokens_total", source="computed", kind="prompt") == 60
    tell(normaliser, counts(1, prompt=110, cached=80))  # the two were read at different instants
    assert pick(normaliser, "tokens_total", source="computed", kind="prompt") == 60
    tell(normaliser, counts(1, prompt=150, cached=80))
    assert pick(normaliser, "tokens_total", source="computed", kind="prompt") == 70


def test_a_difference_begins_anew_with_the_engine() -> None:
    normaliser = toy(counts(1, prompt=100, cached=40))
    normaliser.failed()
    tell(normaliser, counts(0, prompt=10, cached=4))
    assert pick(normaliser, "tokens_total", source="computed", kind="prompt") == 6
    assert pick(normaliser, "tokens_total", source="cached") == 4
    assert pick(normaliser, "tokens_total", kind="generation") == 0


def test_a_difference_outlives_a_change_of_the_other_series() -> None:
    normaliser = toy(counts(1, prompt=100, cached=40))
    tell(normaliser, counts(1, prompt=110, cached=80) + "\ntoy_waiting 3")
    assert pick(normaliser, "tokens_total", source="computed", kind="prompt") == 60


def test_dropped_labels_are_added_up_and_the_fullest_cache_counts() -> None:
    normaliser = toy(
        'toy_generated_total{stream="yes"} 5\ntoy_generated_total{stream="no"} 7\n'
        'toy_cache{part="a"} 20\ntoy_cache{part="b"} 80'
    )
    assert pick(normaliser, "tokens_total", kind="generation") == 12
    assert pick(normaliser, "kv_cache_usage_ratio") == 0.8


def test_only_one_rank_of_those_that_tell_the_same() -> None:
    normaliser = toy('toy_generated_total{stage="0"} 5\ntoy_generated_total{stage="1"} 5')
    assert pick(normaliser, "tokens_total", kind="generation") == 5


def test_milliseconds_become_seconds() -> None:
    normaliser = toy(
        'toy_first_ms_bucket{le="100"} 1\ntoy_first_ms_bucket{le="300"} 2\ntoy_first_ms_bucket{le="+Inf"} 4\n'
        "toy_first_ms_sum 900\ntoy_first_ms_count 4"
    )
    edges = {dict(labels).get("le") for _, labels in series(normaliser.blocks())} - {None}
    assert edges == {"0.1", "0.3", "+Inf"}
    assert pick(normaliser, "time_to_first_token_seconds_sum") == 0.9


def test_absent_cached_tokens_are_none() -> None:
    """A labelled counter that is declared and was never used says 0."""
    normaliser = toy("# TYPE toy_cached_total counter\ntoy_prompt_total 5")
    assert pick(normaliser, "tokens_total", kind="prompt", source="computed") == 5
    assert pick(normaliser, "tokens_total", kind="prompt", source="cached") is None


def test_no_split_is_unknown_and_no_guess() -> None:
    normaliser = toy("toy_prompt_total 5")
    assert pick(normaliser, "tokens_total", kind="prompt", source="unknown") == 5
    assert pick(normaliser, "tokens_total", kind="prompt", source="computed") is None


# Models and ranks


def test_two_models_on_one_server() -> None:
    normaliser = toy('toy_generated_total{model_name="a"} 5\ntoy_generated_total{model_name="b"} 7')
    assert pick(normaliser, "tokens_total", model="a") == 5
    assert pick(normaliser, "tokens_total", model="b") == 7
    assert normaliser.models == ("a", "b")
    assert normaliser.replicas == (("a", "n:1"), ("b", "n:1"))


def test_ranks_of_data_parallel_serving_are_replicas() -> None:
    text = "\n".join(f'toy_generated_total{{model_name="m",rank="{rank}"}} {rank + 1}' for rank in range(3))
    normaliser = toy(text)
    assert normaliser.replicas == (("m", "n:1"), ("m", "n:1/1"), ("m", "n:1/2"))
    assert [pick(normaliser, "tokens_total", replica=name) for _, name in normaliser.replicas] == [1, 2, 3]


def test_vllm_with_two_ranks() -> None:
    one = recording("vllm-0.32.0/after.txt").decode()
    second = re.sub(r"(?m)^#.*\n", "", one).replace('engine="0"', 'engine="1"')
    normaliser = Normaliser(VLLM, "n:1")
    normaliser.take((one + second).encode(), 0.0)
    assert normaliser.replicas == (("tiny", "n:1"), ("tiny", "n:1/1"))
    for replica in ("n:1", "n:1/1"):
        assert pick(normaliser, "tokens_total", kind="generation", replica=replica) == 2400
        assert pick(normaliser, "request_duration_seconds_count", replica=replica) == 12


def test_series_without_a_model_belong_to_the_configured_or_the_only_one() -> None:
    mixed = 'toy_generated_total{model_name="m"} 5\ntoy_running 2'
    assert pick(toy(mixed), "requests_running", model="m") == 2
    assert pick(toy(mixed, model="c"), "requests_running", model="c") == 2
    assert pick(toy("toy_running 2", model="c"), "requests_running", model="c") == 2
    assert pick(toy('toy_generated_total{model_name="m"} 5', model="c"), "tokens_total", model="m") == 5


def test_models_are_remembered_over_failures() -> None:
    normaliser = toy(model="c")
    assert normaliser.replicas == (("c", "n:1"),), "before it has said anything"
    tell(normaliser, 'toy_generated_total{model_name="m"} 5')
    normaliser.failed()
    assert (normaliser.models, normaliser.replicas) == (("m",), (("m", "n:1"),))
    with pytest.raises(ExpositionError):
        normaliser.take(b"<html>", 1.0)
    assert normaliser.models == ("m",)


def test_names_are_bounded() -> None:
    long, many = "x" * 5000, 300
    normaliser = toy(f'toy_generated_total{{model_name="{long}"}} 5')
    assert normaliser.models == ("x" * 256,)
    tell(normaliser, "\n".join(f'toy_generated_total{{model_name="{at}"}} 5' for at in range(many)))
    assert len(normaliser.models) == 200
    with pytest.raises(ExpositionError) as refused:
        tell(normaliser, "\n".join(f'toy_generated_total{{a="{at}"}} 5' for at in range(50_001)))
    assert refused.value.kind == "too_many_series"


def test_odd_names_of_models_come_through() -> None:
    name = 'model_name="a\\"b\\\\c%d{}"'
    normaliser = toy(
        f'toy_generated_total{{{name}}} 5\ntoy_queue_bucket{{{name},le="+Inf"}} 1\n'
        f"toy_queue_sum{{{name}}} 1\ntoy_queue_count{{{name}}} 1"
    )
    assert normaliser.models == ('a"b\\c%d{}',)
    assert len(series(normaliser.blocks())) == 6
    assert pick(normaliser, "queue_time_seconds_count", model='a\\"b\\\\c%d{}') == 1


# Restart of a whole engine, objectives, errors


def test_vllm_restarted() -> None:
    normaliser = Normaliser(VLLM, "n:1", objectives=lambda _: {"inter_token_latency": Objective(0.03, 0.9)})
    for name, generated_tokens in (("cold", 0), ("mid", 657), ("after", 2400), ("cold", 0), ("mid", 657)):
        normaliser.take(recording(f"vllm-0.32.0/{name}.txt"), 0.0)
        fresh = Normaliser(VLLM, "n:1", objectives=lambda _: {"inter_token_latency": Objective(0.03, 0.9)})
        fresh.take(recording(f"vllm-0.32.0/{name}.txt"), 0.0)
        assert pick(normaliser, "tokens_total", kind="generation") == generated_tokens
        assert series(normaliser.blocks()) == series(fresh.blocks())


def test_objectives_are_asked_for_by_model() -> None:
    text = "".join(
        f'toy_first_ms_bucket{{model_name="{model}",le="{le}"}} {count}\n'
        for model in "ab"
        for le, count in (("100", 1), ("+Inf", 2))
    ) + "".join(
        f'toy_first_ms_sum{{model_name="{m}"}} 1\ntoy_first_ms_count{{model_name="{m}"}} 2\n' for m in "ab"
    )
    normaliser = toy(
        text, objectives=lambda model: {"time_to_first_token": Objective(0.1, 0.5)} if model == "b" else {}
    )
    assert pick(normaliser, "objective_met_total") == 1
    assert pick(normaliser, "objective_met_total", model="b") == 1
    tell(normaliser, text.replace('count{model_name="b"} 2', 'count{model_name="b"} 3'))
    assert pick(normaliser, "objective_met_total") is None, "the histogram is refused, and so is this"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b'{"error": "not found"}\n', "json"),
        (b'[\n {"iter": 1,\n  "gpuMemUsage": 2}\n]\n', "json"),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n", "html"),
        (b"404 page not found\n", "no_samples"),
        (b"Not Found\n", "no_samples"),
        (b"# HELP toy_x only talk\n", "no_samples"),
        (b"\x1f\x8b\x08\x00\x00\x00", "not_text"),
        (b"toy_running 1", "no_figures"),  # cut off
        (b"x" * (16 * 2**20 + 1), "too_large"),
        (b"\n" * 300_000, "too_many_series"),
        (b"node_load1 0.5\npython_info 1\n", "no_figures"),
    ],
)
def test_what_is_no_exposition_of_the_engine(body: bytes, kind: str) -> None:
    normaliser = toy(counts(1))
    with pytest.raises(ExpositionError) as refused:
        normaliser.take(body, 1.0)
    assert refused.value.kind == kind
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200
    assert normaliser.blocks() == {}


def test_no_figures_says_what_the_engine_needs() -> None:
    with pytest.raises(ExpositionError, match=r"Toy.*told to count"):
        toy("python_info 1")


def test_an_engine_that_starts_with_nothing() -> None:
    normaliser = toy(dialect=replace(TOY, starts_empty=True), model="m")
    normaliser.take(b"", 0.0)
    assert normaliser.models == ("m",)
    assert pick(normaliser, "tokens_total") is None
    tell(normaliser, counts(3), 1.0)
    assert pick(normaliser, "tokens_total", kind="generation", model="m") == 3


def test_dialects_of_one_engine_do_not_mix() -> None:
    other = replace(TOY, figures=(generated(Sample("toy_running")),))
    first, second = toy(counts(1, running=9)), toy(counts(1, running=9), other)
    assert pick(first, "tokens_total", kind="generation") == 1
    assert pick(second, "tokens_total", kind="generation") == 9
