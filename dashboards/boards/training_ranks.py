"""Ranks of training jobs: which one the others wait for. On gw-training and gw-job."""

from __future__ import annotations

from dashboards.boards.common import RATE, SITE
from dashboards.model import Panel, Section
from dashboards.panels import Column, Line, alarm, table, timeseries
from gigawatch.catalogue import Unit, training
from gigawatch.promql import (
    Expr,
    Match,
    avg_by,
    many_to_one,
    matches,
    max_by,
    on,
    rate,
    recorded,
    series,
    topk,
)
from gigawatch.promql import recording as rec

_JOB: dict[str, str | Match] = {**SITE, "job_id": matches("$job_id")}
_KEYS = ("site", "job_id")
_RANK = ("site", "rack", "node", "gpu", "job_id")
SHOWN = 20
"""Ranks that a table or picture shows at most."""


def ranks() -> Section:
    """Ranks that hold a job up."""
    return Section(
        "Ranks",
        (
            timeseries(
                "Time that ranks wait",
                "How much of their time do ranks wait for others, on average and the least of all? Far "
                "apart: one rank holds the others up. Both high: the network does, or the data.",
                Line(max_by(recorded(rec.JOB_WAIT, **_JOB), *_KEYS), "{{job_id}}, mean"),
                Line(max_by(recorded(rec.JOB_WAIT_LEAST, **_JOB), *_KEYS), "{{job_id}}, least"),
                low=0,
            ),
            stragglers(8),
            behind(8),
        ),
    )


def stragglers(width: int) -> Panel:
    """Ranks that wait less than the others."""
    waits = rate(series(training.TRAINING_RANK_WAIT, **_JOB), RATE)
    mean = avg_by(waits, *_KEYS)
    lead = many_to_one(max_by(waits, *_RANK), "-", mean, _KEYS).in_unit(Unit.RATIO)
    return table(
        "Stragglers",
        "Which ranks wait less than the job's mean? The lowest stands first: the others wait for it.",
        _RANK,
        Column(
            "Wait against mean",
            lead,
            decimals=1,
            steps=(("red", None), ("orange", -0.1), ("green", -0.03)),
        ),
        Column("Waits", max_by(waits, *_RANK), decimals=1),
        width=width,
        height=8,
        sort="Wait against mean",
        hide=("site", "rack"),
    )


def steps_behind() -> Expr:
    """Steps by which ranks lie behind the furthest of their job, in jobs that stand still.

    In a job that runs, nodes are asked at different moments, and their steps differ by as much.
    """
    step = max_by(series(training.TRAINING_RANK_STEP, **_JOB), *_RANK, "rank")
    # The furthest step less the rank's own, turned round: the many stand on the left.
    lag = (many_to_one(step, "-", max_by(step, *_KEYS), _KEYS) * -1).in_unit(Unit.COUNT)
    still = max_by(rate(series(training.TRAINING_STEPS, **_JOB), RATE), *_KEYS).equals(0)
    return topk(SHOWN, on(lag > 0, "and", still, *_KEYS))


def behind(width: int) -> Panel:
    """Ranks that have not finished what others have."""
    return table(
        "Ranks behind",
        "A job takes no steps: which ranks have finished fewer than the others? They are where to look.",
        (*_RANK, "rank"),
        Column("Steps behind", steps_behind(), decimals=0, steps=alarm("orange")),
        width=width,
        height=8,
        sort="Steps behind",
        descending=True,
        hide=("site", "rack"),
        nothing="No job stands still with ranks behind",
    )
