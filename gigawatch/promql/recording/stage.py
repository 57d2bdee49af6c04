"""Stages of a pipeline: what each holds, draws and costs, and how long its jobs wait for GPUs.

A job's stage is what its allocation says (pod label, job comment), else what the schedulers' queues say. Jobs
whose stage nobody tells, or which tell two, stand under `unknown`, so that stages add up to the whole.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, workload
from gigawatch.promql.expr import Expr, avg_by, many_to_one, matches, max_by, on, series, sum_by
from gigawatch.promql.joins import otherwise, relabel, sole
from gigawatch.promql.recording.charge import JOB_COST
from gigawatch.promql.recording.job import JOB_GPUS, JOB_POWER, JOB_UTILIZATION
from gigawatch.promql.rule import Recorded, recorded

UNKNOWN = "unknown"
_JOB = ("site", "job_id")
_STAGE = ("site", "stage")
_ASKED = ("site", "scheduler", "namespace", "partition", "stage")


def _named(expr: Expr) -> Expr:
    """An empty stage gets a name."""
    return relabel(expr, "stage", UNKNOWN, pattern="")


_some = {"stage": matches(".+"), "job_id": matches(".+")}
_told = otherwise(
    max_by(series(workload.GPU_ALLOCATION_INFO, **_some), *_JOB, "stage"),
    max_by(series(workload.JOB_STAGE_INFO, **_some), *_JOB, "stage"),
    *_JOB,
)
_untold = relabel(recorded(JOB_GPUS) * 0 + 1, "stage", UNKNOWN, pattern="")
JOB_STAGE = Recorded(
    "job:aif_stage:info",
    otherwise(sole(_told, *_JOB), _untold, *_JOB),
    "The pipeline stage in which a job works; unknown where nobody says. Always 1.",
    Unit.COUNT,
)


def _of_jobs(values: Expr) -> Expr:
    return sum_by(many_to_one(values, "*", recorded(JOB_STAGE), _JOB, ("stage",)), *_STAGE).in_unit(
        values.unit
    )


STAGE_GPUS = Recorded(
    "stage:aif_gpus:count", _of_jobs(recorded(JOB_GPUS)), "GPUs that jobs of a stage hold.", Unit.COUNT
)
STAGE_POWER = Recorded(
    "stage:aif_gpu_power_watts:sum",
    _of_jobs(recorded(JOB_POWER)),
    "Power of the GPUs that jobs of a stage hold.",
    Unit.WATTS,
)
STAGE_UTILIZATION = Recorded(
    "stage:aif_gpu_utilization_ratio:avg",
    _of_jobs((recorded(JOB_UTILIZATION) * recorded(JOB_GPUS)).in_unit(Unit.RATIO))
    / _of_jobs(on(recorded(JOB_GPUS), "and", recorded(JOB_UTILIZATION), *_JOB)),
    "Mean utilisation of the GPUs that jobs of a stage hold.",
    Unit.RATIO,
)
STAGE_COST = Recorded(
    "stage:aif_cost_usd_per_hour:sum",
    _of_jobs(recorded(JOB_COST)),
    "What the jobs of a stage cost per hour.",
    Unit.USD_PER_HOUR,
)

_queued = _named(max_by(series(workload.JOB_QUEUE_TIME), "site", "scheduler", "job_id", "stage"))
STAGE_QUEUE_MEAN = Recorded(
    "stage:aif_job_queue_seconds:avg",
    avg_by(_queued, *_STAGE),
    "How long the jobs that hold GPUs had waited from submission to start, on average.",
    Unit.SECONDS,
)
STAGE_QUEUE_MAX = Recorded(
    "stage:aif_job_queue_seconds:max",
    max_by(_queued, *_STAGE),
    "How long the job had waited that had waited longest, of those that hold GPUs.",
    Unit.SECONDS,
)
STAGE_JOBS_PENDING = Recorded(
    "stage:aif_jobs_pending:sum",
    sum_by(_named(max_by(series(workload.JOBS_PENDING), *_ASKED)), *_STAGE),
    "Jobs that asked for GPUs and have not started.",
    Unit.COUNT,
)
STAGE_GPUS_PENDING = Recorded(
    "stage:aif_gpus_pending:sum",
    sum_by(_named(max_by(series(workload.GPUS_PENDING), *_ASKED)), *_STAGE),
    "GPUs that waiting jobs ask for.",
    Unit.COUNT,
)
STAGE_OLDEST_PENDING = Recorded(
    "stage:aif_jobs_pending_oldest_seconds:max",
    max_by(_named(max_by(series(workload.OLDEST_PENDING), *_ASKED)), *_STAGE),
    "How long the job has waited that has waited longest.",
    Unit.SECONDS,
)
