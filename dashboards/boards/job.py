"""gw-job: a job, what it holds, draws and gets done, and which rank holds it up."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import DATASOURCE, JOB_VARIABLE, RATE, SITE, SITE_VARIABLE, or_zero
from dashboards.boards.job_tenants import tenants, waiting
from dashboards.boards.training_ranks import stragglers
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, per_minute, stat, table, timeseries
from dashboards.places import JOB as UID
from dashboards.places import TRAINING
from gigawatch.catalogue import Metric, Unit, gpu, training, workload
from gigawatch.promql import (
    Expr,
    Match,
    age,
    avg_by,
    many_to_one,
    matches,
    max_by,
    min_by,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

_JOB: dict[str, str | Match] = {**SITE, "job_id": matches("$job_id")}
_GPU = ("site", "rack", "node", "gpu", "uuid")


def board() -> Board:
    """Jobs."""
    return Board(
        UID,
        "Jobs",
        "Does this job get on, what does it cost in power, and which rank or GPU holds it up?",
        ("gigawatch", "job"),
        (DATASOURCE, SITE_VARIABLE, JOB_VARIABLE),
        (_now(), _gpus(), _power(), _training(), tenants()),
    )


def of_job(metric: Metric, **labels: str) -> Expr:
    """A GPU metric, for the GPUs that the chosen jobs hold, with the job's name; a GPU that several jobs hold
    stands with each of them."""
    held = max_by(series(workload.GPU_ALLOCATION_INFO, **_JOB), "site", "node", "uuid", "job_id")
    values = max_by(series(metric, **SITE, **labels), *_GPU)
    on, bring = ("site", "node", "uuid"), ("rack", "gpu")
    return many_to_one(held, "*", values, on, bring).in_unit(metric.unit)


def _training_tokens() -> Expr:
    """Training tokens per second of every chosen job; 0 for jobs that do not train."""
    tokens = max_by(recorded(rec.JOB_TOKENS, **_JOB), "site", "job_id")
    return tokens.or_(max_by(recorded(rec.JOB_GPUS, **_JOB), "site", "job_id") * 0)


def _now() -> Section:
    watts = max_by(recorded(rec.JOB_POWER, **_JOB), "site", "job_id") > 0
    tokens_per_joule = (_training_tokens() / watts).in_unit(Unit.TOKENS_PER_JOULE)
    jobs = ("site", "job_id", "stage", "user", "namespace", "scheduler")
    return Section(
        "Now",
        (
            stat(
                "GPUs held",
                "How many GPUs do the chosen jobs hold?",
                or_zero(sum_by(recorded(rec.JOB_GPUS, **_JOB))),
                decimals=0,
                width=4,
            ),
            stat(
                "Power",
                "How much do those GPUs draw?",
                sum_by(recorded(rec.JOB_POWER, **_JOB)),
                decimals=1,
                width=4,
            ),
            stat(
                "Utilisation",
                "How busy are those GPUs? A job that holds GPUs and leaves them idle keeps others out.",
                avg_by(recorded(rec.JOB_UTILIZATION, **_JOB)),
                steps=limits.UTILIZATION,
                decimals=0,
                width=4,
            ),
            stat(
                "Smallest margin",
                "How many kelvin is the job's GPU nearest to slowdown away from it?",
                min_by(of_job(gpu.GPU_TEMPERATURE_MARGIN)),
                steps=limits.MARGIN,
                decimals=1,
                width=4,
            ),
            stat(
                "Training tokens",
                "How many tokens per second do the chosen training jobs work through?",
                or_zero(sum_by(recorded(rec.JOB_TOKENS, **_JOB))),
                decimals=0,
                width=4,
            ),
            stat(
                "Oldest checkpoint",
                "How much work would be lost if a training job died now?",
                max_by(age(series(training.TRAINING_CHECKPOINT_TIMESTAMP, **_JOB))),
                steps=limits.CHECKPOINT_AGE,
                decimals=0,
                width=4,
            ),
            table(
                "Jobs",
                "Which jobs run, what do they hold and what do they get done? A name narrows the "
                "board to one job; its goodput leads to its training.",
                ("site", "job_id"),
                Column("GPUs", recorded(rec.JOB_GPUS, **_JOB), decimals=0),
                Column("Power", recorded(rec.JOB_POWER, **_JOB), decimals=1),
                Column(
                    "Utilisation", recorded(rec.JOB_UTILIZATION, **_JOB), decimals=0, steps=limits.UTILIZATION
                ),
                Column("Margin", min_by(of_job(gpu.GPU_TEMPERATURE_MARGIN), "site", "job_id"), decimals=1),
                Column("Training tokens", _training_tokens(), decimals=0),
                Column(
                    "Goodput",
                    recorded(rec.JOB_GOODPUT, **_JOB),
                    decimals=1,
                    steps=limits.GOODPUT,
                    leads=TRAINING,
                ),
                Column("Tokens per joule", tokens_per_joule, decimals=3),
                Column("Cost per hour", recorded(rec.JOB_COST, **_JOB), decimals=2),
                Column(
                    "Idle GPUs", recorded(rec.JOB_GPUS_IDLE, **_JOB), decimals=1, steps=alarm("orange", 0.01)
                ),
                height=7,
            ),
            table(
                "Who runs them",
                "Whom to call about a job?",
                jobs,
                Column(
                    "GPUs",
                    sum_by(max_by(series(workload.GPU_ALLOCATION_INFO, **_JOB), *jobs, "uuid"), *jobs),
                    decimals=0,
                ),
                width=16,
                height=7,
                hide=("site",),
            ),
            waiting(),
        ),
    )


def _gpus() -> Section:
    keys = (*_GPU, "job_id")
    return Section(
        "GPUs of the job",
        (
            table(
                "GPUs",
                "Which of the job's GPUs stands out? Node and GPU lead to their board.",
                keys,
                Column("Power", of_job(gpu.GPU_POWER, scope="gpu"), decimals=0),
                Column("Core", of_job(gpu.GPU_TEMPERATURE, sensor="core"), decimals=1),
                Column("Margin", of_job(gpu.GPU_TEMPERATURE_MARGIN), decimals=1, steps=limits.MARGIN),
                Column("SM clock", of_job(gpu.GPU_CLOCK, domain="sm"), decimals=2),
                Column("Utilisation", of_job(gpu.GPU_UTILIZATION, engine="gpu"), decimals=0),
                Column("Memory used", of_job(gpu.GPU_MEMORY_USED), decimals=1),
                height=8,
                sort="Margin",
                hide=("site", "uuid"),
            ),
        ),
    )


def _power() -> Section:
    return Section(
        "Power and use",
        (
            timeseries(
                "Power per job",
                "Does a job draw what it usually draws?",
                Line(max_by(recorded(rec.JOB_POWER, **_JOB), "site", "job_id"), "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Utilisation per job",
                "Did a job stop working without giving up its GPUs?",
                Line(max_by(recorded(rec.JOB_UTILIZATION, **_JOB), "site", "job_id"), "{{job_id}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "Slowest SM clock per job",
                "Does one slow GPU hold a whole job back?",
                Line(min_by(of_job(gpu.GPU_CLOCK, domain="sm"), "job_id"), "{{job_id}}"),
                low=0,
            ),
        ),
    )


def _training() -> Section:
    steps = max_by(series(training.TRAINING_STEP_DURATION, **_JOB), "job_id")
    waits = rate(series(training.TRAINING_RANK_WAIT, **_JOB), RATE)
    return Section(
        "Training",
        (
            timeseries(
                "Step time",
                "Do the steps take longer than a while ago?",
                Line(steps, "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Tokens per second",
                "Does the training lose speed?",
                Line(max_by(recorded(rec.JOB_TOKENS, **_JOB), "site", "job_id"), "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Steps per minute",
                "Does the job still take steps at all?",
                Line(
                    per_minute(sum_by(rate(series(training.TRAINING_STEPS, **_JOB), RATE), "job_id")),
                    "{{job_id}}",
                ),
                low=0,
            ),
            timeseries(
                "Time ranks wait for others",
                "Which rank never waits while all others do? That one is the straggler.",
                Line(max_by(waits, "job_id", "node", "gpu"), "{{job_id}} {{node}} GPU {{gpu}}"),
                low=0,
                width=12,
            ),
            stragglers(12),
        ),
    )
