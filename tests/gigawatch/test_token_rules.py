"""Tokens per second, per joule and per dollar, with what sites do to them: restarts, gaps, idle engines."""

from __future__ import annotations

from pathlib import Path

from made_up import (
    COSTS,
    YES,
    between,
    gpu,
    held,
    labels,
    made,
    of_engine,
    on_gpu,
    pace,
    replica,
    serves,
    steady,
    tokens,
)
from rule_values import evaluate

from gigawatch.promql import recording as rec

M = labels(model="m")
SITE = labels()


def power_of(node: str, watts: float, source: str = "redfish") -> dict[str, str]:
    """Of a whole server."""
    return {made("aif_host_power_watts", rack="r1", node=node, source=source): steady(watts)}


def meters(bought: float, at_racks: float) -> dict[str, str]:
    """Watts by the meters of the site: the quotient is its PUE."""
    inlet = {"side": "A", "scope": "inlet"}
    return {
        made("aif_energy_joules_total", device="u", **inlet): pace(bought),
        made("aif_energy_joules_total", device="pdu", rack="r1", **inlet): pace(at_racks),
        made("aif_meter_info", device="u", role="facility"): YES,
        made("aif_meter_info", device="pdu", rack="r1", role="it"): YES,
    }


def test_three_scopes(tmp_path: Path) -> None:
    """Two GPUs of 500 W in a node of 1,500 W: each bears 750 W. PUE 1.3: 975 W. One serves 100 tokens/s."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 500),
            **gpu("GPU-1", 500),
            **power_of("n1", 1500),
            **power_of("n1", 200, "rapl"),  # processors only: not the node
            **meters(2600, 2000),
            **held("GPU-0", "7", user="ada"),
            **serves("GPU-0", "a"),
            **tokens("a", 100),
        },
        {
            rec.REPLICA_POWER.node.name: [(replica("a"), 750)],
            rec.REPLICA_POWER.facility.name: [(replica("a"), 975)],
            rec.MODEL_TPJ.gpu.name: [(M, 0.2)],
            rec.MODEL_TPJ.node.name: [(M, 0.1333)],
            rec.MODEL_TPJ.facility.name: [(M, 0.1026)],
            rec.SITE_TOKENS_PER_JOULE.name: [(SITE, 0.1026)],
            rec.JOB_TPJ.node.name: [(labels(job_id="7"), 0.1333)],
            rec.USER_TPJ.gpu.name: [(labels(user="ada"), 0.2)],
            rec.NAMESPACE_TPJ.gpu.name: [],
            rec.RACK_TPJ.facility.name: [(labels(rack="r1"), 0.1026)],
        },
    )


def test_the_facilitys_scope_where_no_node_tells_its_power(tmp_path: Path) -> None:
    """2,600 W are bought for GPUs that draw 1,000 W: each of their watts bears 2.6."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 500),
            **gpu("GPU-1", 500),
            **meters(2600, 2000),
            **serves("GPU-0", "a"),
            **tokens("a", 130),
        },
        {
            rec.MODEL_TPJ.gpu.name: [(M, 0.26)],
            rec.MODEL_TPJ.node.name: [],
            rec.MODEL_TPJ.facility.name: [(M, 0.1)],
        },
    )


def test_power_of_the_node_by_its_management_controller_as_a_device(tmp_path: Path) -> None:
    bmc = {"device": "bmc-n1", "rack": "r1", "node": "n1", "scope": "inlet"}
    inputs = {
        **gpu("GPU-0", 500),
        made("aif_power_active_watts", **bmc): steady(800),
        made("aif_power_active_watts", **bmc, id="psu0"): steady(400),
        **serves("GPU-0", "a"),
        **tokens("a", 100),
    }
    evaluate(tmp_path, inputs, {rec.MODEL_TPJ.node.name: [(M, 0.125)]})


def test_a_node_that_says_less_than_its_gpus_is_not_believed(tmp_path: Path) -> None:
    """Its controller lags behind a job that has just begun."""
    inputs = {**gpu("GPU-0", 500), **power_of("n1", 300), **serves("GPU-0", "a"), **tokens("a", 100)}
    evaluate(tmp_path, inputs, {rec.MODEL_TPJ.gpu.name: [(M, 0.2)], rec.MODEL_TPJ.node.name: []})


def test_tokens_without_energy_do_not_flatter(tmp_path: Path) -> None:
    """a: one of two GPUs does not tell its energy. b: all known. c: no GPU known. Only b is reckoned with."""
    silent = {name: value for name, value in gpu("GPU-1", 500).items() if "energy" not in name}
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 500),
            **silent,
            **gpu("GPU-2", 500),
            **serves("GPU-0", "a"),
            **serves("GPU-1", "a"),
            **serves("GPU-2", "b"),
            **tokens("a", 100),
            **tokens("b", 100),
            **tokens("c", 200, model="other"),
        },
        {
            rec.MODEL_TOKENS.name: [(M, 200), (labels(model="other"), 200)],
            rec.MODEL_TOKENS_PER_JOULE.name: [(M, 0.2)],
            rec.MODEL_TOKENS_KNOWN.name: [(M, 0.5), (labels(model="other"), 0)],
            rec.SITE_TOKENS_KNOWN.name: [(SITE, 0.25)],
            rec.SITE_TPJ.gpu.name: [(SITE, 0.2)],
        },
    )


def test_an_engine_without_token_counters_has_no_tokens_per_joule(tmp_path: Path) -> None:
    """b draws 500 W and its tokens nobody counts: that energy is not a's."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 500),
            **gpu("GPU-1", 500),
            **serves("GPU-0", "a"),
            **serves("GPU-1", "b"),
            **tokens("a", 100),
            of_engine("aif_inference_requests_running", "b"): steady(3),
        },
        {rec.MODEL_POWER.name: [(M, 1000)], rec.MODEL_TOKENS_PER_JOULE.name: [(M, 0.2)]},
    )


def test_an_engine_that_is_idle_makes_nothing_of_its_joules(tmp_path: Path) -> None:
    inputs = {**gpu("GPU-0", 80), **serves("GPU-0", "a"), **tokens("a", 0), **COSTS}
    evaluate(
        tmp_path,
        inputs,
        {rec.MODEL_TOKENS_PER_JOULE.name: [(M, 0)], rec.MODEL_USD_PER_MTOKEN.name: []},
    )


def test_a_restarted_engine_never_counts_backwards(tmp_path: Path) -> None:
    """100 tokens/s; half a minute before the reading its counter begins again at 0."""
    counted = of_engine("aif_inference_tokens_total", "a", kind="generation", source="computed")
    restarted = "0+1500x37 0+1500x200"
    evaluate(
        tmp_path,
        {**gpu("GPU-0", 500), **serves("GPU-0", "a"), counted: restarted},
        {
            between(rec.MODEL_TOKENS.name, 60, 101): [(M, 1)],
            between(rec.MODEL_TOKENS_PER_JOULE.name, 0.12, 0.202): [(M, 1)],
        },
    )


def test_a_restarted_driver_counts_energy_anew(tmp_path: Path) -> None:
    counter = on_gpu("aif_gpu_energy_joules_total", "GPU-0")
    evaluate(
        tmp_path,
        {**gpu("GPU-0", 500), counter: "0+7500x37 0+7500x200", **serves("GPU-0", "a"), **tokens("a", 100)},
        {between(rec.MODEL_POWER.name, 300, 501): [(M, 1)]},
    )


def test_an_engine_that_counts_when_a_request_ends(tmp_path: Path) -> None:
    """30,000 tokens appear at once every four minutes, once in the last five: 100 a second, and energy over
    the same time. That the GPU has idled for the last two minutes must not make the figure better."""
    counted = of_engine("aif_inference_tokens_total", "a", kind="generation", source="computed")
    energy = on_gpu("aif_gpu_energy_joules_total", "GPU-0")
    lumps = "0x15 30000x15 60000x15 90000x15"
    evaluate(
        tmp_path,
        {
            counted: lumps,
            of_engine("aif_inference_counting_info", "a", granularity="request"): YES,
            energy: "0+7500x32 241500+1500x40",
            **serves("GPU-0", "a"),
        },
        {
            # At 10 minutes: 12 steps of 7,500 J and 8 of 1,500 J in five minutes are 340 W.
            between(rec.MODEL_TOKENS.name, 99, 106): [(M, 1)],
            between(rec.MODEL_POWER.name, 310, 345): [(M, 1)],
            between(rec.MODEL_TOKENS_PER_JOULE.name, 0.28, 0.35): [(M, 1)],
        },
    )


def test_prompts_are_apart(tmp_path: Path) -> None:
    """Prompt tokens stand in no figure of generated ones; with some of unknown source they are not told."""
    unknown = of_engine("aif_inference_tokens_total", "b", kind="prompt", source="unknown")
    cached = of_engine("aif_inference_tokens_total", "a", kind="prompt", source="cached")
    evaluate(
        tmp_path,
        {
            **tokens("a", 100),
            **tokens("a", 900, kind="prompt"),
            cached: pace(5000),
            **tokens("b", 100),
            **tokens("b", 900, kind="prompt"),
            unknown: pace(10),
        },
        {
            rec.MODEL_TOKENS.name: [(M, 200)],
            rec.REPLICA_PROMPT_TOKENS.name: [(replica("a"), 900)],
        },
    )


def test_the_price_of_a_million_tokens_agrees_with_the_worked_example(tmp_path: Path) -> None:
    """$204.26 an hour at 100,000 tokens/s: $0.567 a million; with 400,000 computed prompt tokens/s a fifth.

    After an hour: the first minute of a rate reads low."""
    inputs = {**COSTS}
    for number in range(4):
        inputs |= {**gpu(f"GPU-{number}", 700), **serves(f"GPU-{number}", "a")}
        inputs |= held(f"GPU-{number}", "7", user="ada")
    evaluate(
        tmp_path,
        {**inputs, **tokens("a", 100_000), **tokens("a", 400_000, kind="prompt")},
        {
            rec.SITE_USD_PER_MTOKEN.name: [(SITE, 0.5674)],
            rec.SITE_USD_PER_MTOKEN_1H.name: [(SITE, 0.5674)],
            rec.MODEL_USD_PER_MTOKEN_1H.name: [(M, 0.5674)],
            rec.JOB_USD_PER_MTOKEN_1H.name: [(labels(job_id="7"), 0.5674)],
            rec.USER_USD_PER_MTOKEN_1H.name: [(labels(user="ada"), 0.5674)],
            rec.RACK_USD_PER_MTOKEN_1H.name: [(labels(rack="r1"), 0.5674)],
            rec.MODEL_USD_PER_MCOMPUTED_1H.name: [(M, 0.1135)],
            rec.MODEL_COST.name: [(M, 204.2617)],
            rec.SITE_USD_PER_GPU_HOUR.name: [(SITE, 51.0654)],
        },
        at="65m",
    )


def test_each_model_pays_for_its_gpus_and_its_power(tmp_path: Path) -> None:
    """big: three GPUs and 900 W of 1,200 W: 3 x $47.8154 + 3/4 of $13. small: one and 300 W: $51.0654."""
    inputs = {**COSTS}
    for number in range(4):
        name = "b" if number == 3 else "a"
        model = "small" if number == 3 else "big"
        inputs |= {**gpu(f"GPU-{number}", 300), **serves(f"GPU-{number}", name, model)}
    evaluate(
        tmp_path,
        {**inputs, **tokens("a", 1000, "big"), **tokens("b", 1000, "small")},
        {
            rec.MODEL_COST.name: [(labels(model="big"), 153.1963), (labels(model="small"), 51.0654)],
            rec.MODEL_USD_PER_MTOKEN.name: [(labels(model="big"), 42.5545), (labels(model="small"), 14.1848)],
        },
    )


def test_money_of_an_hour_adds_up_before_it_divides(tmp_path: Path) -> None:
    """100,000 tokens/s for half an hour, 100 for the other: the mean of both prices would be $284."""
    counted = of_engine("aif_inference_tokens_total", "a", kind="generation", source="computed")
    inputs = {**COSTS, counted: "0+1500000x120 180001500+1500x140"}
    for number in range(4):
        inputs |= {**gpu(f"GPU-{number}", 700), **serves(f"GPU-{number}", "a")}
    evaluate(
        tmp_path,
        inputs,
        {
            rec.MODEL_USD_PER_MTOKEN.name: [(M, 567.3936)],
            between(rec.MODEL_USD_PER_MTOKEN_1H.name, 1.1, 1.17): [(M, 1)],
        },
        at="60m",
    )


def test_without_a_price_or_energy_there_is_no_cost_rather_than_a_wrong_one(tmp_path: Path) -> None:
    known = {name: value for name, value in COSTS.items() if "energy_price" not in name}
    inputs = {**known, **gpu("GPU-0", 500), **serves("GPU-0", "a"), **tokens("a", 100)}
    evaluate(tmp_path, inputs, {rec.MODEL_USD_PER_MTOKEN.name: [], rec.MODEL_COST.name: []})


def test_what_the_gpus_of_a_place_cost(tmp_path: Path) -> None:
    """By the inventory, so that it is known of a node that is silent: $51.0654 for each of four."""
    where = {"rack": "r1", "node": "n1"}
    evaluate(
        tmp_path,
        {
            **COSTS,
            made("aif_gpus_expected", **where): steady(3),
            made("aif_gpus_expected", rack="r1", node="n2"): steady(1),
            made("aif_node_info", **where, hall="h", loop="l1"): YES,
            made("aif_node_info", rack="r1", node="n2", hall="h"): YES,  # cooled by air
        },
        {
            rec.NODE_COST.name: [
                (labels(rack="r1", node="n1"), 153.1963),
                (labels(rack="r1", node="n2"), 51.0654),
            ],
            rec.RACK_COST.name: [(labels(rack="r1"), 204.2617)],
            rec.LOOP_COST.name: [(labels(loop="l1"), 153.1963)],
        },
    )
