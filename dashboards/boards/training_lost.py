"""The sections of gw-training about time: what counts, what is lost, what saving costs."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import RATE, SITE
from dashboards.model import Section
from dashboards.panels import Column, Line, per_minute, table, timeseries
from gigawatch.catalogue import Unit, training
from gigawatch.promql import (
    Expr,
    Match,
    age,
    clamp_min,
    increase,
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
_KEYS = ("site", "job_id")


def shares() -> tuple[Line, ...]:
    """What the chosen jobs do with their time, in parts that add up to 1."""
    elapsed = sum_by(rate(series(training.TRAINING_ELAPSED, **_JOB), RATE)) > 0
    stepping = sum_by(rate(series(training.TRAINING_STEP_SECONDS, **_JOB), RATE))
    saving = sum_by(rate(series(training.TRAINING_CHECKPOINT_SECONDS, **_JOB), RATE))

    def lost_to(reason: str) -> Expr:
        # Jobs that have never been restarted may tell of no loss at all.
        return sum_by(rate(series(training.TRAINING_LOST, reason=reason, **_JOB), RATE)).or_(stepping * 0)

    def share(part: Expr) -> Expr:
        return (part / elapsed).in_unit(Unit.RATIO)

    return (
        Line(share(clamp_min(stepping - lost_to("rework"), 0)), "steps that count"),
        Line(share(lost_to("rework")), "steps done again"),
        Line(share(saving), "checkpoints"),
        Line(share(lost_to("startup")), "starting up"),
        Line(share(lost_to("downtime")), "not running"),
    )


def lost() -> Section:
    """Goodput, and where the rest went."""
    restarts = sum_by(increase(series(training.TRAINING_RESTARTS, **_JOB), "1h"), *_KEYS)
    return Section(
        "Time that counts, and time lost",
        (
            timeseries(
                "What the time goes into",
                "Of all the time of the chosen jobs: what share went into steps that count, and what into "
                "all else?",
                *shares(),
                stacked=True,
                low=0,
                high=1,
                width=12,
            ),
            timeseries(
                "Goodput over an hour",
                "What share of the last hour counts? Restarts and slow checkpoints show here, slow steps do "
                "not.",
                Line(max_by(recorded(rec.JOB_GOODPUT, **_JOB), *_KEYS), "{{job_id}}"),
                low=0,
                high=1,
                width=12,
                steps=limits.GOODPUT,
            ),
            timeseries(
                "Restarts within an hour",
                "Does a job crash again and again?",
                Line(restarts, "{{job_id}}"),
                low=0,
                width=12,
            ),
            table(
                "Lost within an hour",
                "How much time did restarts cost, and in which way: not running, starting up, or doing "
                "steps again since the last checkpoint?",
                (*_KEYS, "reason"),
                Column("Lost", max_by(recorded(rec.JOB_LOST, **_JOB), *_KEYS, "reason") > 0, decimals=0),
                width=12,
                sort="Lost",
                descending=True,
                hide=("site",),
                nothing="No time was lost to restarts",
            ),
        ),
    )


def checkpoints() -> Section:
    """How far back the last save lies, and what saving costs."""
    saved = min_by(age(series(training.TRAINING_CHECKPOINT_TIMESTAMP, **_JOB)), *_KEYS)
    took = max_by(series(training.TRAINING_CHECKPOINT_DURATION, **_JOB), *_KEYS)
    written = sum_by(rate(series(training.TRAINING_CHECKPOINTS, **_JOB), RATE), *_KEYS)
    return Section(
        "Checkpoints",
        (
            timeseries(
                "Age of the last checkpoint",
                "How much work would a crash undo? The saw-tooth should keep its height.",
                Line(saved, "{{job_id}}"),
                low=0,
                width=6,
            ),
            timeseries(
                "Duration of checkpoints",
                "Does saving take longer than before? Then storage is slow, or shared.",
                Line(took, "{{job_id}}"),
                low=0,
                width=6,
            ),
            timeseries(
                "Time spent on checkpoints",
                "What share of the last hour did saving cost? Fewer saves cost less, and more in a crash.",
                Line(max_by(recorded(rec.JOB_CHECKPOINT_SHARE, **_JOB), *_KEYS), "{{job_id}}"),
                low=0,
                width=6,
            ),
            timeseries(
                "Checkpoints per minute",
                "Does a job still save at all?",
                Line(per_minute(written), "{{job_id}}"),
                low=0,
                width=6,
            ),
        ),
    )
