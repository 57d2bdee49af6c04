"""Training jobs: steps, goodput, utilisation of what the GPUs could do, energy and price of their tokens."""

from __future__ import annotations

from pathlib import Path

from made_up import (
    ALWAYS,
    COSTS,
    YES,
    between,
    gpu,
    held,
    labels,
    made,
    on_gpu,
    pace,
    pod,
    serves,
    steady,
    tokens,
)
from rule_values import evaluate

from gigawatch.promql import recording as rec

JOB = labels(job_id="7")
SITE = labels()


def told(metric: str, job: str = "7", model: str = "llama", **more: str) -> str:
    """A series that the job's first rank tells on node n1."""
    return made(f"aif_training_{metric}", rack="r1", node="n1", job_id=job, model=model, **more)


def peak(uuid: str, flops: float, precision: str = "bf16") -> dict[str, str]:
    return {on_gpu("aif_gpu_peak_flops", uuid, precision=precision): steady(flops)}


def test_steps_and_tokens_that_come_once_a_minute(tmp_path: Path) -> None:
    """A step of 55 s every minute, 600,000 tokens each: 10,000 a second, however seldom they are told."""
    evaluate(
        tmp_path,
        {
            told("steps_total"): "0x3 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x3 10x100",
            told("step_seconds_total"): "0x3 55x3 110x3 165x3 220x3 275x3 330x3 385x3 440x3 495x3 550x100",
            told(
                "tokens_total"
            ): "0x3 6e5x3 12e5x3 18e5x3 24e5x3 30e5x3 36e5x3 42e5x3 48e5x3 54e5x3 60e5x100",
        },
        {
            rec.JOB_STEP_TIME.name: [(JOB, 55)],
            between(rec.JOB_TOKENS_5M.name, 9900, 10600): [(JOB, 1)],
        },
    )


def test_goodput_is_what_is_left_of_an_hour(tmp_path: Path) -> None:
    """Of each second 0.9 in steps, a tenth of that done again; 0.06 in checkpoints; 0.04 starting up."""
    evaluate(
        tmp_path,
        {
            told("elapsed_seconds_total"): pace(1),
            told("step_seconds_total"): pace(0.9),
            told("checkpoint_seconds_total"): pace(0.06),
            told("lost_seconds_total", reason="rework"): pace(0.09),
            told("lost_seconds_total", reason="startup"): pace(0.04),
            told("elapsed_seconds_total", "8"): pace(1),
            told("step_seconds_total", "8"): pace(0.5),  # nothing is told of losses
            told("step_seconds_total", "9"): pace(0.5),  # nor of time
        },
        {
            rec.JOB_GOODPUT.name: [(JOB, 0.81), (labels(job_id="8"), 0.5)],
            rec.JOB_CHECKPOINT_SHARE.name: [(JOB, 0.06)],
            rec.JOB_LOST.name: [
                (labels(job_id="7", reason="rework"), 324),
                (labels(job_id="7", reason="startup"), 144),
            ],
        },
        at="65m",
    )


def test_goodput_of_a_job_that_was_down_half_the_hour(tmp_path: Path) -> None:
    """Its counters stand while it is down; time goes on. Then it does an older step again."""
    down = "0+13.5x120 1620x120 1633.5+13.5x40"
    evaluate(
        tmp_path,
        {told("elapsed_seconds_total"): pace(1), told("step_seconds_total"): down},
        {between(rec.JOB_GOODPUT.name, 0.44, 0.46): [(JOB, 1)]},
        at="60m",
    )


def test_the_rank_that_does_not_wait(tmp_path: Path) -> None:
    waits = {"0": 0.3, "1": 0.3, "2": 0.02, "3": 0.34}
    inputs = {
        made("aif_training_rank_wait_seconds_total", node="n1", job_id="7", rank=rank): pace(share)
        for rank, share in waits.items()
    }
    evaluate(tmp_path, inputs, {rec.JOB_WAIT.name: [(JOB, 0.24)], rec.JOB_WAIT_LEAST.name: [(JOB, 0.02)]})


def test_mfu_agrees_with_the_worked_example(tmp_path: Path) -> None:
    """6 x 70e9 parameters x 100,000 tokens/s = 4.2e16, on 128 GPUs of 9.89e14: 0.332. (Here 4 large ones.)"""
    inputs = {told("flops_total"): pace(4.2e16)}
    for number in range(4):
        inputs |= {**held(f"GPU-{number}", "7"), **peak(f"GPU-{number}", 32 * 9.89e14)}
        inputs |= peak(f"GPU-{number}", 64 * 9.89e14, "fp8")
    evaluate(tmp_path, inputs, {rec.JOB_MFU.name: [(JOB, 0.3318)]})
    inputs[told("precision_info", precision="fp8")] = YES
    evaluate(tmp_path, inputs, {rec.JOB_MFU.name: [(JOB, 0.1659)]})
    inputs[told("precision_info", precision="bf16")] = YES
    evaluate(tmp_path, inputs, {rec.JOB_MFU.name: []})  # which of the two?


def test_mfu_counts_half_a_gpu_and_is_absent_where_a_peak_is_unknown(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            **held("GPU-0", "7"),
            **held("GPU-1", "7"),
            **held("GPU-1", "9"),
            **held("GPU-2", "8"),
            **held("GPU-3", "8"),
            **peak("GPU-0", 1e15),
            **peak("GPU-1", 1e15),
            **peak("GPU-2", 1e15),
            told("flops_total"): pace(6e14),
            told("flops_total", "8"): pace(6e14),
        },
        {rec.JOB_PEAK_FLOPS.name: [(JOB, 1.5e15)], rec.JOB_MFU.name: [(JOB, 0.4)]},
    )


def test_ofu_is_the_hardwares_word_and_stands_apart(tmp_path: Path) -> None:
    """Tensor pipes at work 0.6 of the cycles at 1.5 of 2 GHz: 0.45. Job 8 has a GPU that tells nothing."""
    inputs = {**held("GPU-0", "7"), **held("GPU-0", "8", user="b"), **held("GPU-1", "8", user="b")}
    inputs |= {
        on_gpu("aif_gpu_pipe_active_ratio", "GPU-0", pipe="tensor"): steady(0.6),
        on_gpu("aif_gpu_clock_hertz", "GPU-0", domain="sm"): steady(1.5e9),
        on_gpu("aif_gpu_clock_max_hertz", "GPU-0", domain="sm"): steady(2e9),
    }
    evaluate(
        tmp_path,
        inputs,
        {
            rec.GPU_OFU.name: [(labels(uuid="GPU-0"), 0.45)],
            rec.JOB_OFU.name: [(JOB, 0.45)],
            rec.JOB_MFU.name: [],
        },
    )


def test_joules_and_dollars_of_training_tokens(tmp_path: Path) -> None:
    """Job 7: two GPUs of 500 W, 100 tokens/s. Job 8: 300 tokens/s, and one of its GPUs tells no energy."""
    silent = {name: value for name, value in gpu("GPU-3", 500).items() if "energy" not in name}
    evaluate(
        tmp_path,
        {
            **COSTS,
            **gpu("GPU-0", 500),
            **gpu("GPU-1", 500, "n2", "r2"),
            **gpu("GPU-2", 500),
            **silent,
            **held("GPU-0", "7", user="ada"),
            **held("GPU-1", "7", "n2", "r2", user="ada"),
            **held("GPU-2", "8", user="ada"),
            **held("GPU-3", "8", user="ada"),
            told("tokens_total"): pace(100),
            told("tokens_total", "8"): pace(300),
        },
        {
            rec.JOB_TRAINING_TPJ.gpu.name: [(JOB, 0.1)],
            rec.USER_TRAINING_TPJ.gpu.name: [(labels(user="ada"), 0.1)],
            rec.MODEL_TRAINING_TPJ.gpu.name: [(labels(model="llama"), 0.1)],
            rec.RACK_TRAINING_TPJ.gpu.name: [(labels(rack="r1"), 0.1), (labels(rack="r2"), 0.1)],
            rec.SITE_TRAINING_TPJ.gpu.name: [(SITE, 0.1)],
            rec.JOB_TRAINING_TPJ.node.name: [],
            # 130 kW are bought for 2 kW of GPUs, so that half of them are 65 kW.
            rec.JOB_TRAINING_TPJ.facility.name: [(JOB, 0.0015)],
            rec.MODEL_TPJ.gpu.name: [],  # nothing is generated
            # 2 x $47.8154 and half of $13 for 0.36 million tokens an hour; job 8 for three times as many.
            rec.JOB_USD_PER_MTRAINING_1H.name: [(JOB, 283.6968), (labels(job_id="8"), 94.5656)],
            rec.SITE_USD_PER_MTRAINING_1H.name: [(SITE, 141.8484)],
        },
        at="70m",
    )


def test_a_job_that_trains_and_generates_keeps_both_apart(tmp_path: Path) -> None:
    """Reinforcement learning: all its energy stands against each kind of tokens."""
    evaluate(
        tmp_path,
        {
            **gpu("GPU-0", 500),
            **held("GPU-0", "7"),
            **serves("GPU-0", "a"),
            **tokens("a", 100),
            told("tokens_total"): pace(50),
        },
        {rec.JOB_TPJ.gpu.name: [(JOB, 0.2)], rec.JOB_TRAINING_TPJ.gpu.name: [(JOB, 0.1)]},
    )


def load(uuid: str, ratio: float) -> dict[str, str]:
    return {on_gpu("aif_gpu_utilization_ratio", uuid, engine="gpu"): steady(ratio)}


def test_allocated_busy_and_productive_are_three_things(tmp_path: Path) -> None:
    """Ten GPUs: 0, 1 train (goodput 0.8); 2 serves; 3 serves and generates nothing; 4 is held and tells
    nothing; 5 runs an engine that no scheduler knows; 6 works for nobody; 7: an engine and a notebook."""
    inputs = {made("aif_gpus_owned"): steady(10), made("aif_gpus_expected", rack="r1", node="n1"): steady(10)}
    for number, busy in enumerate((0.9, 0.9, 0.5, 0.1, 1.0, 0.3, 0.4, 0.5)):
        inputs |= {**gpu(f"GPU-{number}", 500), **load(f"GPU-{number}", busy)}
    evaluate(
        tmp_path,
        {
            **inputs,
            **held("GPU-0", "7"),
            **held("GPU-1", "7"),
            told("elapsed_seconds_total"): pace(1),
            told("step_seconds_total"): pace(0.8),
            **held("GPU-2", "8"),
            **serves("GPU-2", "a"),
            **tokens("a", 100),
            **held("GPU-3", "8"),
            **serves("GPU-3", "b"),
            **tokens("b", 0),
            **held("GPU-4", "9"),
            **serves("GPU-5", "c"),
            **tokens("c", 100, kind="prompt"),
            **tokens("c", 0),
            **pod("GPU-7", "serve"),
            **pod("GPU-7", "notebook"),
            **serves("GPU-7", "d"),
            **tokens("d", 100),
        },
        {
            rec.SITE_SPLIT.allocated.name: [(SITE, 0.7)],
            rec.SITE_SPLIT.busy.name: [(SITE, 0.46)],
            rec.SITE_SPLIT.productive.name: [(SITE, 0.41)],  # 0.8 + 0.8 + 1 + 0 + 1 + 0.5
            rec.SITE_SPLIT.telling.name: [(SITE, 0.6)],  # not 4
            rec.RACK_SPLIT.productive.name: [(labels(rack="r1"), 0.41)],
            rec.JOB_BUSY.name: [
                (JOB, 0.9),
                (labels(job_id="8"), 0.3),
                (labels(job_id="9"), 1),
                (labels(job_id="ns/notebook"), 0.5),
                (labels(job_id="ns/serve"), 0.5),
            ],
            rec.JOB_PRODUCTIVE.name: [
                (JOB, 0.8),
                (labels(job_id="8"), 0.5),
                (labels(job_id="ns/notebook"), 0.5),
                (labels(job_id="ns/serve"), 0.5),
            ],
        },
    )


def test_a_site_where_nothing_runs(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {made("aif_gpus_owned"): steady(10), **gpu("GPU-0", 80)},
        {
            rec.SITE_SPLIT.allocated.name: [(SITE, 0)],
            rec.SITE_SPLIT.productive.name: [(SITE, 0)],
            rec.RACK_SPLIT.allocated.name: [(labels(rack="r1"), 0)],  # without inventory: of those seen
        },
    )


def test_stages(tmp_path: Path) -> None:
    """Job 7 says so itself, against the queue; 8 by the queue; 9 nobody says; 10 says two things."""
    stage = "aif_job_stage_info"
    evaluate(
        tmp_path,
        {
            **COSTS,
            **held("GPU-0", "7", stage="training"),
            **held("GPU-1", "7", stage="training"),
            **held("GPU-2", "8"),
            **held("GPU-3", "9"),
            **held("GPU-4", "10", stage="training"),
            **held("GPU-5", "10", stage="inference"),
            made(stage, scheduler="slurm", job_id="7", stage="inference"): YES,
            made(stage, scheduler="slurm", job_id="8", stage="evaluation"): YES,
            **gpu("GPU-0", 600),
            **gpu("GPU-1", 400),
            **gpu("GPU-2", 1000),
            **load("GPU-0", 0.9),
            **load("GPU-1", 0.5),
            made("aif_job_queue_seconds", scheduler="slurm", job_id="7", stage="training"): steady(100),
            made("aif_job_queue_seconds", scheduler="slurm", job_id="6", stage="training"): steady(500),
            made("aif_job_queue_seconds", scheduler="slurm", job_id="9"): steady(60),
            made("aif_jobs_pending", scheduler="slurm", partition="a", stage="training"): steady(2),
            made("aif_jobs_pending", scheduler="slurm", partition="b", stage="training"): steady(3),
            made("aif_jobs_pending", scheduler="kubernetes"): steady(0),
            made("aif_gpus_pending", scheduler="slurm", partition="a", stage="training"): steady(64),
            made("aif_jobs_pending_oldest_seconds", scheduler="slurm", stage="training"): f"0+15{ALWAYS}",
        },
        {
            rec.STAGE_GPUS.name: [
                (labels(stage="evaluation"), 1),
                (labels(stage="training"), 2),
                (labels(stage="unknown"), 3),
            ],
            rec.STAGE_POWER.name: [(labels(stage="evaluation"), 1000), (labels(stage="training"), 1000)],
            rec.STAGE_UTILIZATION.name: [(labels(stage="training"), 0.7)],
            rec.STAGE_COST.name: [
                (labels(stage="evaluation"), 54.3154),
                (labels(stage="training"), 102.1308),
                (labels(stage="unknown"), 143.4463),
            ],
            rec.STAGE_QUEUE_MEAN.name: [(labels(stage="training"), 300), (labels(stage="unknown"), 60)],
            rec.STAGE_QUEUE_MAX.name: [(labels(stage="training"), 500), (labels(stage="unknown"), 60)],
            rec.STAGE_JOBS_PENDING.name: [(labels(stage="training"), 5), (labels(stage="unknown"), 0)],
            rec.STAGE_GPUS_PENDING.name: [(labels(stage="training"), 64)],
            rec.STAGE_OLDEST_PENDING.name: [(labels(stage="training"), 600)],
        },
    )
