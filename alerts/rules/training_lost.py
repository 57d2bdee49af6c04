"""Training jobs that lose time: restarts, rework, slow checkpoints, silence; and jobs that wait for GPUs."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, appeared, at_node, both
from gigawatch.catalogue import Metric, gpu, training, workload
from gigawatch.promql import age, max_by, min_by, on, recorded, recording, series, sum_by

_RUN = (*NODE, "job_id", "model")
_JOB = {"job_id": "42", "model": "llama"}
_HOLDER = ("site", "job_id")
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power", "loop-cooling", "node-cooling")

_restarts = sum_by(appeared(series(training.TRAINING_RESTARTS), "1h"), *_RUN)
_held = max_by(series(workload.GPU_ALLOCATION_INFO), *_HOLDER)
_silence = min_by(age(series(training.TRAINING_REPORT_TIMESTAMP)), *_RUN)
_old_enough = sum_by(series(training.TRAINING_ELAPSED), *_HOLDER) > 7200
_goodput = both(recorded(recording.JOB_GOODPUT) < 0.8, _old_enough, *_HOLDER)
_wanted = sum_by(series(workload.GPUS_PENDING), "site")
_free = on(recorded(recording.SITE_GPUS_OK), "-", recorded(recording.SITE_GPUS_ALLOCATED), "site")


def _run(metric: Metric, values: float | str, **labels: str) -> Given:
    return given(metric, values, **_JOB, **labels)


def _holds() -> Given:
    return given(
        workload.GPU_ALLOCATION_INFO, 1, scheduler="slurm", namespace="", pod="", container="", job_id="42",
        user="ada", partition="", stage="training", mig_uuid="",
    )  # fmt: skip


def _gpus(count: int) -> tuple[Given, ...]:
    return tuple(given(gpu.GPU_STATE, 1, gpu=str(n), state="ok") for n in range(count))


def _waits(gpus: float) -> Given:
    return given(
        workload.GPUS_PENDING, gpus, scheduler="slurm", namespace="", partition="train", stage="training"
    )


ALERTS = (
    Alert(
        name="TrainingRestarts",
        expr=at_node(_restarts > 2.5),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Training job {job_id} restarts again and again",
        description="{value:.0f} restarts of {model} within an hour.",
        cause="A GPU, link or node that fails at each start, a checkpoint that cannot be read, or memory "
        "that runs out.",
        consequence="The job costs {cost_of_job} per hour and gets nowhere.",
        action=Action.DRAIN,
        first_step="Read the first error of each attempt: the same node in all means its hardware.",
        board="gw-training",
        hold="0s",
        keep="10m",
        symptom_of=_STALLED,
        cases=(
            Case(
                "three times",
                (_run(training.TRAINING_RESTARTS, "0+0x40 1 2 3+0x200"), _holds()),
                ("42",),
                at="30m",
            ),
            Case("once", (_run(training.TRAINING_RESTARTS, "0+0x40 1+0x200"), _holds()), at="30m"),
        ),
    ),
    Alert(
        name="TrainingRestarted",
        expr=at_node(_restarts > 0),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Training job {job_id} has restarted",
        description="{value:.0f} restarts of {model} within an hour.",
        cause="A GPU, link or node that failed, a process that was ended, or somebody who restarted it.",
        consequence="Work since the last checkpoint is done again; the job costs {cost_of_job} per hour.",
        action=Action.NONE,
        first_step="See on the board what the restart cost, and read the first error of the attempt before.",
        board="gw-training",
        hold="0s",
        keep="10m",
        symptom_of=_STALLED,
        rehearse=("training-restart",),
        cases=(
            Case("once", (_run(training.TRAINING_RESTARTS, "0+0x40 1+0x200"), _holds()), ("42",), at="30m"),
            Case("long ago", (_run(training.TRAINING_RESTARTS, "0+0x4 1+0x200"), _holds()), at="80m"),
            Case("never", (_run(training.TRAINING_RESTARTS, 0), _holds()), at="30m"),
        ),
    ),
    Alert(
        name="TrainingGoodputLow",
        expr=_goodput,
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{job_id}",
        summary="Only {value:percent} of the time of job {job_id} goes into training",
        description="Over the last hour {value:percent} of the job's time was spent in steps that count.",
        cause="Restarts and steps done again, slow checkpoints, evaluation, or waiting for data.",
        consequence="The job costs {cost_of_job} per hour; the rest of the time is lost.",
        action=Action.NONE,
        first_step="See on the board where the time went: downtime, rework, checkpoints or pauses.",
        board="gw-training",
        hold="15m",
        symptom_of=("storage",),
        cases=(
            Case(
                "half of it",
                (
                    _run(training.TRAINING_ELAPSED, rising(60, 10000)),
                    _run(training.TRAINING_STEP_SECONDS, rising(30)),
                    _run(training.TRAINING_LOST, 0, reason="rework"),
                    _run(training.TRAINING_STEPS, rising(10)),
                ),
                ("42",),
                at="2h",
                step="1m",
            ),
            Case(
                "nearly all",
                (
                    _run(training.TRAINING_ELAPSED, rising(60, 10000)),
                    _run(training.TRAINING_STEP_SECONDS, rising(57)),
                    _run(training.TRAINING_LOST, 0, reason="rework"),
                    _run(training.TRAINING_STEPS, rising(10)),
                ),
                at="2h",
                step="1m",
            ),
        ),
    ),
    Alert(
        name="CheckpointsCostly",
        expr=recorded(recording.JOB_CHECKPOINT_SHARE) > 0.1,
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        place="{job_id}",
        summary="Job {job_id} spends {value:percent} of its time on checkpoints",
        description="Checkpoints kept the job from its steps for {value:percent} of the last hour.",
        cause="Storage that has become slow, or checkpoints that are written too often for its speed.",
        consequence="All GPUs of the job wait meanwhile; it costs {cost_of_job} per hour.",
        action=Action.NONE,
        first_step="Compare the duration of checkpoints with last week; then look at shared storage.",
        board="gw-training",
        hold="15m",
        symptom_of=("storage",),
        cases=(
            Case(
                "a fifth",
                (
                    _run(training.TRAINING_ELAPSED, rising(60, 10000)),
                    _run(training.TRAINING_CHECKPOINT_SECONDS, rising(12)),
                ),
                ("42",),
                at="2h",
                step="1m",
            ),
            Case(
                "little",
                (
                    _run(training.TRAINING_ELAPSED, rising(60, 10000)),
                    _run(training.TRAINING_CHECKPOINT_SECONDS, rising(2)),
                ),
                at="2h",
                step="1m",
            ),
        ),
    ),
    Alert(
        name="TrainingSilent",
        expr=at_node(both(_silence > 900, _held, *_HOLDER)),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Training job {job_id} has told nothing for {value:duration}",
        description="It still holds its GPUs, and its last word came {value:duration} ago.",
        cause="The job hangs or has died while its allocation lives on; or it reports no more (full disk).",
        consequence="Its GPUs may be held for nothing, at {cost_of_job} per hour.",
        action=Action.RESTART_APP,
        first_step="Look whether its processes live and what its log says last.",
        board="gw-training",
        hold="2m",
        symptom_of=(*_STALLED, "storage"),
        cases=(
            Case(
                "silent",
                (_run(training.TRAINING_REPORT_TIMESTAMP, 60, source="reporter"), _holds()),
                ("42",),
                at="40m",
            ),
            Case(
                "talks",
                (_run(training.TRAINING_REPORT_TIMESTAMP, rising(30), source="reporter"), _holds()),
                at="40m",
            ),
            Case(
                "holds nothing", (_run(training.TRAINING_REPORT_TIMESTAMP, 60, source="reporter"),), at="40m"
            ),
        ),
    ),
    Alert(
        name="JobsWaitBesideFreeGpus",
        expr=both(_wanted > 0, on(_free, ">=", _wanted, "site"), "site"),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.SITE,
        summary="Jobs wait for {value:.0f} GPUs, and as many are free",
        description="For half an hour {value:.0f} GPUs were asked for while as many belonged to nobody.",
        cause="Nodes that are drained or tainted, quotas, or free GPUs scattered over too many nodes.",
        consequence="Each of these GPUs costs {cost_of_gpu} per hour and does nothing.",
        action=Action.NONE,
        first_step="Ask the scheduler why the oldest job waits (squeue's reason, or the pod's events).",
        board="gw-tokens",
        hold="30m",
        cases=(
            Case("free and wanted", (*_gpus(4), _holds(), _waits(2)), ("s1",), at="40m"),
            Case("too few are free", (*_gpus(4), _holds(), _waits(8)), at="40m"),
            Case("nobody waits", (*_gpus(4), _holds(), _waits(0)), at="40m"),
        ),
    ),
)
