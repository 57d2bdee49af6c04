"""gw-training: how fast training jobs get on, what their time goes into, and what holds them up."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import DATASOURCE, RATE, SITE, SITE_VARIABLE, label_values, or_zero
from dashboards.boards.training_lost import checkpoints, lost
from dashboards.boards.training_ranks import ranks
from dashboards.model import Board, Section, Variable
from dashboards.panels import Column, Line, alarm, per_minute, stat, table, timeseries
from dashboards.places import TRAINING as UID
from gigawatch.catalogue import training
from gigawatch.promql import (
    Expr,
    Match,
    Recorded,
    age,
    avg_by,
    increase,
    matches,
    max_by,
    min_by,
    on,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

_VARIABLE = Variable(
    "job_id",
    "Job",
    label_values(series(training.TRAINING_REPORT_TIMESTAMP, **SITE), "job_id"),
    include_all=True,
    multi=True,
)
_JOB: dict[str, str | Match] = {**SITE, "job_id": matches("$job_id")}
_KEYS = ("site", "job_id")


def board() -> Board:
    """Training jobs."""
    return Board(
        UID,
        "Training",
        "How fast do the training jobs get on, what of their time counts, and which rank holds them up?",
        ("gigawatch", "training"),
        (DATASOURCE, SITE_VARIABLE, _VARIABLE),
        (_now(), _speed(), lost(), ranks(), checkpoints(), _yield()),
    )


def of_job(rule: Recorded) -> Expr:
    """A figure of each chosen job that trains: jobs of other kinds have some of them as well."""
    trains = max_by(series(training.TRAINING_REPORT_TIMESTAMP, **_JOB), *_KEYS)
    return on(max_by(recorded(rule, **_JOB), *_KEYS), "and", trains, *_KEYS)


def _now() -> Section:
    restarts = sum_by(increase(series(training.TRAINING_RESTARTS, **_JOB), "1h"), *_KEYS)
    silent = min_by(age(series(training.TRAINING_REPORT_TIMESTAMP, **_JOB)), *_KEYS)
    saved = min_by(age(series(training.TRAINING_CHECKPOINT_TIMESTAMP, **_JOB)), *_KEYS)
    return Section(
        "Now",
        (
            stat(
                "Longest silence",
                "How long ago did the quietest job tell anything? A job that hangs falls silent first.",
                max_by(silent),
                steps=limits.SILENT,
                decimals=0,
            ),
            stat(
                "Restarts in 1 h",
                "How often did jobs begin again within the hour?",
                or_zero(sum_by(restarts)),
                steps=alarm("orange", 0.5),
                decimals=0,
            ),
            stat(
                "Least goodput",
                "What share of the last hour went into steps that count, in the worst job?",
                min_by(recorded(rec.JOB_GOODPUT, **_JOB)),
                steps=limits.GOODPUT,
                decimals=1,
            ),
            stat(
                "Longest step",
                "How long do the longest steps take that a job makes (its mean of 5 minutes)?",
                max_by(recorded(rec.JOB_STEP_TIME, **_JOB)),
                decimals=2,
            ),
            stat(
                "Oldest checkpoint",
                "How much work would be lost if a job died now?",
                max_by(saved),
                steps=limits.CHECKPOINT_AGE,
                decimals=0,
            ),
            stat(
                "Training tokens",
                "How many tokens per second do the chosen jobs work through?",
                or_zero(sum_by(recorded(rec.JOB_TOKENS_5M, **_JOB))),
                decimals=0,
            ),
            stat(
                "Mean MFU",
                "What share of the GPUs' peak goes into the model's own work? 35 to 50 % is good for dense "
                "models.",
                avg_by(recorded(rec.JOB_MFU, **_JOB)),
                steps=limits.MFU,
                decimals=1,
            ),
            stat(
                "GPUs in training",
                "How many GPUs do the chosen jobs hold?",
                or_zero(sum_by(of_job(rec.JOB_GPUS))),
                decimals=0,
            ),
            table(
                "Training jobs",
                "Which job is slow, loses time or gets little out of its GPUs? Its name leads to what it "
                "holds.",
                _KEYS,
                Column("GPUs", of_job(rec.JOB_GPUS), decimals=0),
                Column("Tokens", recorded(rec.JOB_TOKENS_5M, **_JOB), decimals=0),
                Column("Step time", recorded(rec.JOB_STEP_TIME, **_JOB), decimals=2),
                Column("Goodput", recorded(rec.JOB_GOODPUT, **_JOB), decimals=1, steps=limits.GOODPUT),
                Column("MFU", recorded(rec.JOB_MFU, **_JOB), decimals=1, steps=limits.MFU),
                Column("Loss", max_by(series(training.TRAINING_LOSS, **_JOB), *_KEYS), decimals=3),
                Column("Restarts, 1 h", restarts, decimals=0, steps=alarm("orange", 0.5)),
                Column("Checkpoint age", saved, decimals=0, steps=limits.CHECKPOINT_AGE),
                Column("Silent for", silent, decimals=0, steps=limits.SILENT),
                height=6,
            ),
        ),
    )


def _speed() -> Section:
    steps = sum_by(rate(series(training.TRAINING_STEPS, **_JOB), RATE), *_KEYS)
    return Section(
        "Speed",
        (
            timeseries(
                "Tokens per second by job",
                "Does a job lose speed?",
                Line(of_job(rec.JOB_TOKENS), "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Time per step",
                "Do the steps take longer than a while ago? A step that hangs grows until it ends.",
                Line(max_by(series(training.TRAINING_STEP_DURATION, **_JOB), *_KEYS), "{{job_id}}, last"),
                Line(of_job(rec.JOB_STEP_TIME), "{{job_id}}, mean of 5 minutes", dashed=True),
                low=0,
            ),
            timeseries(
                "Steps per minute by job",
                "Does every job still take steps at all?",
                Line(per_minute(steps), "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Loss",
                "Does the model still learn? A jump or a number that is none means that the last hours may "
                "be lost.",
                Line(max_by(series(training.TRAINING_LOSS, **_JOB), *_KEYS), "{{job_id}}"),
            ),
            timeseries(
                "Model FLOPS against peak (MFU)",
                "What share of the GPUs' peak goes into the model's own work? 35 to 50 % is good for dense "
                "models.",
                Line(of_job(rec.JOB_MFU), "{{job_id}}"),
                low=0,
            ),
            timeseries(
                "Tensor cores against peak (OFU)",
                "What share of their peak do the tensor cores work at all, as the hardware counts? An upper "
                "bound of MFU: where it is far above, work is done twice.",
                Line(of_job(rec.JOB_OFU), "{{job_id}}"),
                low=0,
            ),
        ),
    )


def _yield() -> Section:
    return Section(
        "Energy and cost",
        (
            timeseries(
                "Training tokens per joule",
                "How many tokens come out of a joule: of the GPUs alone, with their nodes, with cooling and "
                "losses?",
                Line(of_job(rec.JOB_TRAINING_TPJ.gpu), "{{job_id}}, GPUs"),
                Line(of_job(rec.JOB_TRAINING_TPJ.node), "{{job_id}}, nodes"),
                Line(of_job(rec.JOB_TRAINING_TPJ.facility), "{{job_id}}, facility"),
                low=0,
                width=12,
            ),
            timeseries(
                "Cost per million training tokens",
                "What does a million tokens cost, over the last hour? An estimate: capital by GPUs, energy "
                "by power.",
                Line(of_job(rec.JOB_USD_PER_MTRAINING_1H), "{{job_id}}"),
                low=0,
                decimals=3,
                width=12,
            ),
        ),
    )
