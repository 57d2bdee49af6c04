"""What is not served: what is stale, cannot be true, or is not known; and that it is told."""

from __future__ import annotations

import pytest
from engine_series import pick, recording
from toy_engine import counts, tell, toy

from exporters.inference.dialects.vllm import DIALECT as VLLM
from exporters.inference.normal import ExpositionError, Normaliser, Objective


def test_nothing_is_served_twice() -> None:
    normaliser = toy(counts(1))
    assert normaliser.blocks()
    normaliser.failed()
    assert normaliser.blocks() == {}
    tell(normaliser, counts(1))
    assert pick(normaliser, "tokens_total", kind="generation") == 1
    with pytest.raises(ExpositionError):
        normaliser.take(b"", 1.0)
    assert normaliser.blocks() == {}


def test_blocks_that_were_handed_out_do_not_change() -> None:
    normaliser = toy(counts(1))
    held = normaliser.blocks()
    before = dict(held)
    tell(normaliser, counts(2))
    assert held == before
    assert normaliser.blocks() != before


def test_a_series_that_goes_is_gone() -> None:
    normaliser = toy(counts(1) + "\ntoy_waiting 3")
    tell(normaliser, counts(1))
    assert pick(normaliser, "requests_waiting") is None


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e300"])
def test_what_cannot_be_true_is_left_out_and_counted(value: str) -> None:
    normaliser = toy(counts(1))
    tell(normaliser, counts(1).replace("generated_total 1", f"generated_total {value}"))
    assert pick(normaliser, "tokens_total", kind="generation") is None
    assert pick(normaliser, "requests_running") == 0
    reason = "not_a_number" if value == "NaN" else "out_of_range"
    assert normaliser.rejected["aif_inference_tokens_total", reason] == 1
    tell(normaliser, counts(2))
    assert pick(normaliser, "tokens_total", kind="generation") == 2


def test_a_part_that_cannot_be_true_spoils_its_sum() -> None:
    for value in ("-3", "NaN"):
        normaliser = toy(f'toy_generated_total{{a="1"}} 5\ntoy_generated_total{{a="2"}} {value}')
        assert pick(normaliser, "tokens_total", kind="generation") is None


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ('le="2"} 3', 'le="2"} 9'),  # falls towards the larger edge
        ("queue_count 4", "queue_count 5"),
        ('toy_queue_bucket{le="+Inf"} 4\n', ""),
        ("toy_queue_sum 6\n", ""),
        ("toy_queue_sum 6", "toy_queue_sum NaN"),
        ("toy_queue_sum 6", "toy_queue_sum -6"),
        ('le="1"} 1', 'le="1"} -1'),
        ('le="1"} 1', 'le="1"} NaN'),
    ],
)
def test_a_histogram_that_contradicts_itself_is_left_out_whole(found: str, put: str) -> None:
    good = (
        'toy_queue_bucket{le="1"} 1\ntoy_queue_bucket{le="2"} 3\ntoy_queue_bucket{le="+Inf"} 4\n'
        "toy_queue_sum 6\ntoy_queue_count 4"
    )
    assert pick(toy(good), "queue_time_seconds_count") == 4
    normaliser = toy(good.replace(found, put) + "\ntoy_running 1")
    assert set(normaliser.blocks()) == {"aif_inference_requests_running", "aif_inference_counting_info"}
    assert sum(normaliser.rejected.values()) == 1


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    def one(stream: str, counts: tuple[int, int], total: float) -> str:
        return (
            f'toy_first_ms_bucket{{s="{stream}",le="1000"}} {counts[0]}\n'
            f'toy_first_ms_bucket{{s="{stream}",le="+Inf"}} {counts[1]}\n'
            f'toy_first_ms_sum{{s="{stream}"}} {total}\ntoy_first_ms_count{{s="{stream}"}} {counts[1]}\n'
        )

    normaliser = toy(one("a", (1, 2), 1500) + one("b", (3, 4), 2500))
    assert pick(normaliser, "time_to_first_token_seconds_bucket", le="1.0") == 4
    assert pick(normaliser, "time_to_first_token_seconds_count") == 6
    assert pick(normaliser, "time_to_first_token_seconds_sum") == 4
    largest = toy((one("a", (1, 2), 1) + one("b", (3, 4), 2)).replace("first_ms", "queue"))
    assert pick(largest, "queue_time_seconds_count") == 4
    unlike = toy(one("a", (1, 2), 1500) + one("b", (3, 4), 2500).replace("1000", "2000"))
    assert pick(unlike, "time_to_first_token_seconds_count") is None


def test_a_histogram_of_a_thousand_buckets_is_left_out() -> None:
    edges = "".join(f'toy_queue_bucket{{le="{edge}"}} 1\n' for edge in (*range(1000), "+Inf"))
    normaliser = toy(f"{edges}toy_queue_sum 1\ntoy_queue_count 1\ntoy_running 1")
    assert normaliser.rejected == {("aif_inference_queue_time_seconds", "too_many_buckets"): 1}


def test_a_lost_line_does_not_look_like_a_restart() -> None:
    both = 'toy_generated_total{a="1"} 5\ntoy_generated_total{a="2"} 7\ntoy_running 1'
    normaliser = toy(both)
    tell(normaliser, both.replace('{a="2"} 7', '{a="2 7'))
    assert normaliser.bad_lines == 1
    assert pick(normaliser, "tokens_total", kind="generation") is None, "5 would be a fall"
    assert pick(normaliser, "requests_running") == 1
    tell(normaliser, both)
    assert pick(normaliser, "tokens_total", kind="generation") == 12
    assert normaliser.bad_lines == 0


def test_a_histogram_that_lost_an_edge_is_left_out_once() -> None:
    """With other edges, what is interpolated between them would jump or fall."""
    objective = {"time_to_first_token": Objective(0.15, 0.9)}
    whole = (
        'toy_first_ms_bucket{le="100"} 4\ntoy_first_ms_bucket{le="200"} 6\ntoy_first_ms_bucket{le="+Inf"} 6\n'
        "toy_first_ms_sum 600\ntoy_first_ms_count 6"
    )
    less = whole.replace('toy_first_ms_bucket{le="100"} 4\n', "")
    normaliser = toy(whole, objectives=lambda _: objective)
    assert pick(normaliser, "objective_met_total") == 5
    tell(normaliser, less)
    assert pick(normaliser, "objective_met_total") is None
    assert pick(normaliser, "time_to_first_token_seconds_count") is None
    tell(normaliser, whole)
    assert pick(normaliser, "objective_met_total") == 5


def test_a_sum_that_lost_a_part_is_left_out_once() -> None:
    both = 'toy_generated_total{a="1"} 5\ntoy_generated_total{a="2"} 7'
    normaliser = toy(both)
    tell(normaliser, 'toy_generated_total{a="1"} 5')
    assert pick(normaliser, "tokens_total", kind="generation") is None
    assert normaliser.rejected["aif_inference_tokens_total", "incomplete"] == 1
    tell(normaliser, 'toy_generated_total{a="1"} 5')
    assert pick(normaliser, "tokens_total", kind="generation") == 5, "the engine has it no more"


# Drift


def test_a_renamed_metric_is_noticed() -> None:
    body = recording("vllm-0.32.0/after.txt").replace(b"vllm:generation_tokens", b"vllm:output_tokens")
    normaliser = Normaliser(VLLM, "n:1")
    normaliser.take(body, 0.0)
    assert normaliser.unmapped == ("vllm:output_tokens_total",)
    assert normaliser.missing == ("vllm:generation_tokens_total",)
    assert pick(normaliser, "tokens_total", kind="generation") is None


def test_a_histogram_is_one_unmapped_metric() -> None:
    body = recording("vllm-0.32.0/after.txt").replace(b"vllm:e2e_request_latency_s", b"vllm:request_s")
    normaliser = Normaliser(VLLM, "n:1")
    normaliser.take(body, 0.0)
    assert normaliser.unmapped == ("vllm:request_seconds",)
    assert normaliser.missing == ("vllm:e2e_request_latency_seconds",)


def test_first_of_misses_only_when_no_set_is_there() -> None:
    assert toy("toy_generated_total 1\ntoy_prompt_total 1\ntoy_running 1").missing == ()
    assert toy("toy_generated_total 1\ntoy_running 1").missing == ("toy_prompt_total", "toy_cached_total")


def test_what_is_known_to_be_of_no_use_is_not_unmapped() -> None:
    text = "toy_setting 1\npython_info 1\ntoy_generated_created 1\ntoy_new 1\n# TYPE toy_newer gauge"
    assert toy(counts(1) + "\n" + text).unmapped == ("toy_new", "toy_newer")


def test_the_type_decides_what_a_name_is() -> None:
    text = (
        "# TYPE toy_generated_total histogram\n"
        'toy_generated_total_bucket{le="+Inf"} 3\ntoy_generated_total_sum 9\ntoy_generated_total_count 3\n'
        "toy_running 1"
    )
    normaliser = toy(text)
    assert pick(normaliser, "tokens_total", kind="generation") is None
    assert "toy_generated_total" in normaliser.missing
    summary = toy('# TYPE toy_running summary\ntoy_running{quantile="0.5"} 1\ntoy_generated_total 1')
    assert pick(summary, "requests_running") is None


def test_the_version_is_read() -> None:
    normaliser = toy(counts(1) + '\ntoy_build_info{version="1.2.3"} 1')
    assert normaliser.version == "1.2.3"
    assert normaliser.unmapped == ()
