"""Training jobs: whether they get on, wait for one rank, for their data, or for a checkpoint."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, stopping
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both, existed
from gigawatch.catalogue import gpu, host, training, workload
from gigawatch.promql import age, avg_by, many_to_one, max_by, rate, recorded, recording, series

_JOB = {"job_id": "42", "model": "llama"}
_STALLED = ("node-down", "gpu-lost", "node-storage", "rack-power", "loop-cooling", "node-cooling")
_RUN = (*NODE, "job_id", "model")
_steps = max_by(rate(series(training.TRAINING_STEPS), "5m"), *_RUN)
_old_steps = max_by(existed(series(training.TRAINING_STEPS), "5m"), *_RUN)
_wait = max_by(rate(series(training.TRAINING_RANK_WAIT), "2m"), *NODE, "gpu", "uuid", "job_id")
_wait_of_job = avg_by(_wait, "site", "job_id")
_checkpoint = max_by(age(series(training.TRAINING_CHECKPOINT_TIMESTAMP)), *NODE, "job_id", "model")


def _rank(gpu: str, per_step: float) -> Given:
    return given(training.TRAINING_RANK_WAIT, rising(per_step), gpu=gpu, rank=gpu, job_id="42")


def _starved(load: float, waiting_per_step: float) -> tuple[Given, ...]:
    """A GPU that job 42 holds, how busy it is, and the node's pressure for I/O per 30 s."""
    empty = dict.fromkeys(("pod", "container", "partition", "mig_uuid"), "")
    held = {"scheduler": "slurm", "namespace": "research", "job_id": "42", "user": "ada"}
    return (
        given(gpu.GPU_UTILIZATION, load, engine="gpu"),
        given(workload.GPU_ALLOCATION_INFO, 1, **held, **empty, stage="training"),
        given(host.HOST_PRESSURE, rising(waiting_per_step), resource="io", share="some"),
    )


ALERTS = (
    Alert(
        name="DataStall",
        expr=at_node(recorded(recording.DATA_STALL) > 0),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="{value:.0f} GPUs of job {job_id} on {node} wait for data",
        description="They stand still (below 20 %) while tasks of the node wait for I/O, over five minutes.",
        cause="Storage that is slow or stalled, or too few loader processes; small files read one by one.",
        consequence="These GPUs cost as much as working ones, and in lockstep training all others wait "
        "for them.",
        action=Action.NONE,
        first_step="Compare latency of shared storage with that of the node's disks on the board of {node}.",
        board="gw-node",
        hold="2m",
        steps=(
            "All nodes of the job: the storage, or the way the job reads. One node: its disk, mount or port.",
            "Storage answers quickly: ask the owner for more loader processes or larger files.",
        ),
        rehearse=("storage-stall",),
        symptom_of=("node-down", "gpu-lost", "node-storage", "storage"),
        cases=(
            Case("starves", _starved(0.03, 20), ("42",), at="15m", carries={"node": "n1"}),
            Case("idle without waiting", _starved(0.0, 0.3), at="15m"),
            Case("waits and works", _starved(0.9, 20), at="15m"),
        ),
    ),
    Alert(
        name="TrainingStalled",
        expr=at_node(both(_steps.equals(0), _old_steps, *_RUN)),
        severity=Severity.CRITICAL,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Training job {job_id} makes no progress",
        description="Not one optimizer step of {model} within five minutes.",
        cause="A lost GPU or node, storage that does not answer, or a collective operation that waits for "
        "ever.",
        consequence="All its GPUs are held and burn power for nothing.",
        action=Action.RESTART_APP,
        first_step="Look for alerts on the job's nodes, and at the ranks behind the others ({ranks_behind}); "
        "if there is nothing, take stack traces and restart it from its last checkpoint.",
        board="gw-training",
        hold="2m",
        symptom_of=(*_STALLED, "storage"),
        rehearse=("storage-stall",),
        note="Jobs whose single step takes longer than five minutes need a longer window.",
        cases=(
            Case("stands", (given(training.TRAINING_STEPS, stopping(10, 20), **_JOB),), ("42",), at="20m"),
            Case("runs", (given(training.TRAINING_STEPS, rising(10), **_JOB),), at="20m"),
            Case("has just begun", (given(training.TRAINING_STEPS, "_x24 0+0x200", **_JOB),), at="16m"),
            Case("never began", (given(training.TRAINING_STEPS, "_x24 0+0x200", **_JOB),), ("42",), at="22m"),
            Case(
                "writes a checkpoint",
                (given(training.TRAINING_STEPS, "0+10x20 200+0x4 210+10x100", **_JOB),),
                at="14m",
            ),
        ),
    ),
    Alert(
        name="TrainingStraggler",
        expr=at_node(
            both(
                many_to_one(_wait, "<", _wait_of_job * 0.3, ("site", "job_id")),
                _wait_of_job > 0.15,
                "site",
                "job_id",
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="Job {job_id} waits for GPU {gpu} of {node}",
        description="The other ranks wait a large part of their time; this one waits {value:percent} and "
        "is the one "
        "they wait for.",
        cause="A GPU that is throttled, capped or held at low clocks; a slow link; or uneven work.",
        consequence="The whole job runs at the speed of this one GPU.",
        action=Action.DRAIN,
        first_step="Compare clocks, power and temperature of GPU {gpu} with its neighbours.",
        board="gw-training",
        hold="1m",
        rehearse=("straggler",),
        symptom_of=_STALLED,
        cases=(
            Case(
                "one never waits",
                (_rank("0", 0.2), _rank("1", 12), _rank("2", 12), _rank("3", 12)),
                ("n1/gpu0",),
            ),
            Case("all wait alike", (_rank("0", 6), _rank("1", 6), _rank("2", 7))),
            Case("nobody waits long", (_rank("0", 0.1), _rank("1", 2), _rank("2", 2))),
        ),
    ),
    Alert(
        name="CheckpointOverdue",
        expr=at_node(_checkpoint > 7200),
        severity=Severity.WARNING,
        domain=Domain.TOKENS,
        scope=Scope.NODE,
        place="{job_id}",
        summary="Job {job_id} wrote its last checkpoint {value:duration} ago",
        description="The last complete checkpoint of {model} is {value:duration} old.",
        cause="Storage that is slow or full, or a job that was set up without checkpoints.",
        consequence="Any failure now throws that much work away.",
        action=Action.NONE,
        first_step="Look at storage, then ask the job's owner.",
        board="gw-training",
        hold="5m",
        symptom_of=(*_STALLED, "storage"),
        cases=(
            Case(
                "overdue",
                (given(training.TRAINING_CHECKPOINT_TIMESTAMP, 60, **_JOB),),
                ("42",),
                at="2h10m",
                step="2m",
            ),
            Case(
                "recent",
                (given(training.TRAINING_CHECKPOINT_TIMESTAMP, 3600, **_JOB),),
                at="2h10m",
                step="2m",
            ),
        ),
    ),
)
