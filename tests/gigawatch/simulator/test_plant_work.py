"""What engines and training jobs of the plant tell of themselves, and what its schedulers tell of queues."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch.catalogue import Metric, gpu_activity, inference, training, workload
from gigawatch.readings import Reading
from gigawatch.simulator import latency, queues
from gigawatch.simulator.faults import Fault, Target
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.service import PlantService
from gigawatch.simulator.view import Emitter
from gigawatch.topology import blueprint

Fresh = Callable[..., Plant]
VLLM, SGLANG = ("vllm", "llama-3.1-70b", "chat-0"), ("sglang", "qwen-2.5-coder-32b", "code-0")
JOB = ("pretrain-7", "llama-3.1-70b")
DAY = 86400.0


def page(plant: Plant, node: str) -> dict[tuple[Metric, tuple[str, ...]], float]:
    emitter = Emitter(plant.layout)
    emitter.refresh(plant.state)
    return {(r.metric, r.labels): r.value for r in emitter.node(node)}


@pytest.mark.parametrize(("node", "who"), [("r03-n01", VLLM), ("r04-n01", SGLANG)])
@pytest.mark.parametrize("metric", latency.HISTOGRAMS, ids=lambda metric: metric.key)
def test_histograms_rise_with_their_edges_and_agree_with_their_sum(
    node: str, who: tuple[str, ...], metric: Metric, fresh_plant: Fresh
) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(120)
    found = {labels[-1]: value for (m, labels), value in page(plant, node).items() if m is metric}
    total, count = found.pop("sum"), found.pop("count")
    own = latency.EDGES[who[0]][latency.HISTOGRAMS.index(metric)]
    assert list(found) == [*(repr(edge) for edge in own), "+Inf"], "the engine's own edges"
    counts = list(found.values())
    assert counts == sorted(counts)
    assert counts[-1] == count > 1000
    # The mean lies where the buckets say: between what all edges round down and round up to.
    steps = np.diff([0, *counts])
    low, high = np.array([0, *own]), np.array([*own, 4 * own[-1]])
    assert (steps * low).sum() <= total * 1.001
    assert (steps * high).sum() >= total * 0.999


def test_an_engine_counts_each_request_once_and_a_gap_between_two_tokens(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(100)
    for node, who in (("r03-n01", VLLM), ("r04-n01", SGLANG)):
        told = page(plant, node)
        finished = sum(v for (m, ls), v in told.items() if m is inference.INFERENCE_REQUESTS)
        observed = told[inference.INFERENCE_TTFT, (*who, "count")]
        gaps = told[inference.INFERENCE_ITL, (*who, "count")]
        tokens = told[inference.INFERENCE_TOKENS, (*who, "generation", "computed")]
        assert observed == pytest.approx(finished, rel=0.01)
        assert gaps == pytest.approx(tokens - finished, rel=0.01)
        queried = told[inference.INFERENCE_CACHE_QUERIED, who]
        prompt = [v for (m, ls), v in told.items() if m is inference.INFERENCE_TOKENS and "prompt" in ls]
        assert queried == sum(prompt)


def test_objectives_count_what_the_buckets_say(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(60)
    told = page(plant, "r03-n01")
    for objective, (metric, seconds, share) in latency.OBJECTIVES.items():
        assert told[inference.INFERENCE_OBJECTIVE, (*VLLM, objective)] == seconds
        met = told[inference.INFERENCE_MET, (*VLLM, objective)]
        observed = told[inference.INFERENCE_OBSERVED, (*VLLM, objective)]
        assert met == told[metric, (*VLLM, repr(seconds))]
        assert observed == told[metric, (*VLLM, "count")]
        assert met / observed > share, "a healthy plant burns nothing"


def test_a_day_without_faults_keeps_every_objective() -> None:
    plant = Plant(blueprint("mid-scale"), 3, 0.0, warm_up=600)
    serves = plant.layout.inference
    before = plant.state.latency_counts.copy()
    for _ in range(48):
        plant.advance(1800)
        new = plant.state.latency_counts - before
        before = plant.state.latency_counts.copy()
        for objective, (metric, _, share) in latency.OBJECTIVES.items():
            met = new[latency.objective_row(objective), serves].sum()
            assert met / new[latency.count_row(metric), serves].sum() > share


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=5, max_size=5),
    st.sampled_from(["vllm", "sglang", "what else"]),
)
def test_whatever_is_observed_counts_rise_with_the_edge(
    observed: list[tuple[float, float]], engine: str
) -> None:
    edges = latency.Latency(["", engine])
    counts, sums = np.zeros((latency.ROWS, 2)), np.zeros((5, 2))
    numbers = np.array([[0.0, number] for number, _ in observed])
    totals = np.array([[0.0, number * mean] for number, mean in observed])
    edges.observe(counts, sums, numbers, totals)
    assert np.isfinite(counts).all()
    assert (counts >= 0).all()
    assert not counts[:, 0].any()
    for number, metric in enumerate(latency.HISTOGRAMS):
        rows = [counts[row, 1] for _, row in latency.rows_of(engine, number)]
        assert rows == sorted(rows)
        assert rows[-1] == pytest.approx(observed[number][0])
        assert rows[-1] == counts[latency.count_row(metric), 1]


def test_an_engine_without_gpus_is_down_and_tells_nothing(fresh_plant: Fresh) -> None:
    plant = fresh_plant("starter")
    chat = ("vllm", "llama-3.1-70b", "chat-0")
    told = {m for m, _ in page(plant, "r01-n01") if m.key.startswith("inference_")}
    plant.set_faults(
        Fault("xid-79", Target("gpu", "r01-n01", index), plant.time, plant.time + 60, 0, 1)
        for index in range(8)
    )
    plant.advance(10, longest=1)
    dead = page(plant, "r01-n01")
    assert dead[inference.INFERENCE_ENGINE_UP, chat] == 0
    assert dead[inference.INFERENCE_ENGINE_HEALTHY, chat] == 0
    kept = {m for m, _ in dead if m.key.startswith("inference_")}
    assert inference.INFERENCE_REQUESTS_RUNNING in told - kept
    assert not any(m.key.endswith("_total") for m in kept)


def test_a_jobs_time_is_steps_checkpoints_and_what_is_lost(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(DAY / 24)
    crashing = Fault("training-restart", Target("node", "r01-n03"), plant.time, plant.time + 300, 0, 1)
    plant.set_faults([crashing])
    plant.advance(600)
    told = page(plant, "r01-n01")

    def of(metric: Metric, *extra: str) -> float:
        return told[metric, (*JOB, *extra)]

    lost = {reason: of(training.TRAINING_LOST, reason) for reason in training.TRAINING_LOST.values["reason"]}
    spent = of(training.TRAINING_STEP_SECONDS) + of(training.TRAINING_CHECKPOINT_SECONDS)
    assert spent + lost["downtime"] + lost["startup"] == pytest.approx(of(training.TRAINING_ELAPSED), abs=0.1)
    assert of(training.TRAINING_RESTARTS) == 3
    assert lost["downtime"] == 45
    assert 0 < lost["rework"] < of(training.TRAINING_STEP_SECONDS)
    assert of(training.TRAINING_ELAPSED) == pytest.approx(plant.time - of(training.TRAINING_START_TIMESTAMP))
    assert of(training.TRAINING_CHECKPOINTS) >= 6
    written = of(training.TRAINING_CHECKPOINT_SECONDS) / of(training.TRAINING_CHECKPOINTS)
    assert written == pytest.approx(of(training.TRAINING_CHECKPOINT_DURATION), rel=0.2)
    assert 1.75 < of(training.TRAINING_LOSS) < 10


def test_model_flops_against_the_gpus_peak_give_a_believable_utilisation(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    before = page(plant, "r01-n01")
    plant.advance(120)
    after = page(plant, "r01-n01")
    assert after[training.TRAINING_PRECISION_INFO, (*JOB, "bf16")] == 1
    rate = (after[training.TRAINING_FLOPS, JOB] - before[training.TRAINING_FLOPS, JOB]) / 120
    tokens = (after[training.TRAINING_TOKENS, JOB] - before[training.TRAINING_TOKENS, JOB]) / 120
    assert rate == pytest.approx(6 * 70e9 * tokens, rel=1e-3)
    peak = after[gpu_activity.GPU_PEAK_FLOPS, ("0", plant.layout.uuids[0], "bf16")]
    assert 0.3 < rate / (64 * peak) < 0.45
    assert after[training.TRAINING_LOSS, JOB] < before[training.TRAINING_LOSS, JOB]


def test_every_node_tells_its_ranks_and_all_are_at_one_step(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(7)
    steps: dict[str, set[float]] = defaultdict(set)
    ranks: dict[str, float] = defaultdict(float)
    emitter = Emitter(plant.layout)
    emitter.refresh(plant.state)
    for node in plant.inventory.nodes:
        for reading in emitter.node(node.name):
            if reading.metric is training.TRAINING_RANK_STEP:
                steps[reading.labels[0]].add(reading.value)
            if reading.metric is training.TRAINING_RANKS:
                ranks[reading.labels[0]] += reading.value
    assert {job: len(found) for job, found in steps.items()} == {"pretrain-7": 1, "finetune-42": 1}
    assert ranks == {"pretrain-7": 64, "finetune-42": 8}


def queue_at(plant: Plant, now: float) -> dict[tuple[Metric, tuple[str, ...]], float]:
    return {(r.metric, r.labels): r.value for r in queues.readings(plant.layout, now)}


def test_queues_fill_and_empty_and_stay_within_reason(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    seen: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for now in np.arange(plant.time, plant.time + DAY, 300.0):
        told = queue_at(plant, float(now))
        assert told == queue_at(plant, float(now))
        for (metric, labels), value in told.items():
            if metric is workload.JOBS_PENDING:
                seen[labels].append(value)
                gpus, oldest = (told[m, labels] for m in (workload.GPUS_PENDING, workload.OLDEST_PENDING))
                assert gpus >= value * (plant.layout.group_gpus[0] + 2), "who waits wants more than is free"
                assert (gpus > 0) == (value > 0)
                assert 0 <= oldest <= queues.LONGEST
    stages = {(scheduler, stage) for scheduler, _, _, stage in seen}
    assert stages == {("slurm", "data_preparation"), ("slurm", "training"), ("kubernetes", "inference")}
    for counts in seen.values():
        assert min(counts) == 0
        assert 1 <= max(counts) < 10


def test_jobs_that_run_have_waited_and_have_a_stage(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    told = queue_at(plant, plant.time)
    assert told[workload.JOB_STAGE_INFO, ("slurm", "pretrain-7", "training")] == 1
    waited = {ls[1]: v for (m, ls), v in told.items() if m is workload.JOB_QUEUE_TIME}
    assert set(waited) == {"pretrain-7", "finetune-42", "chat", "code"}
    assert all(30 < value < 4 * 3600 for value in waited.values())
    later = queue_at(plant, plant.time + DAY)
    assert {ls[1]: v for (m, ls), v in later.items() if m is workload.JOB_QUEUE_TIME} == waited


def test_the_running_plant_speaks_for_the_sites_schedulers(tmp_path: Path) -> None:
    service = PlantService(blueprint("starter"), tmp_path, 1, lambda: 1_767_225_600.0)
    service.tick()
    told = service.readings()
    service.close()
    assert Reading(workload.JOB_STAGE_INFO, ("kubernetes", "chat", "inference"), 1.0) in told
    assert all(math.isfinite(reading.value) for reading in told)
