"""Tables of gw-predict: findings with what is known of each, and what marks have taught."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE
from dashboards.model import Panel
from dashboards.panels import Column, rising, table
from gigawatch.catalogue import Metric, Unit, findings
from gigawatch.promql import Expr, age, many_to_one, max_by, on, series, sum_by

_INCIDENT = ("site", "incident", "cause", "scope", "place")
_HOUR = 3600


def _of(metric: Metric, **labels: str) -> Expr:
    """A figure of every open incident."""
    info = max_by(series(findings.INCIDENT_INFO, **SITE), *_INCIDENT)
    figure = max_by(series(metric, **SITE, **labels), "site", "incident")
    return many_to_one(info, "*", figure, ("site", "incident")).in_unit(metric.unit)


def findings_table() -> Panel:
    """Every open incident, with the figures that its page tells."""
    info = max_by(series(findings.INCIDENT_INFO, **SITE), *_INCIDENT)
    known = max_by(series(findings.INCIDENT_KNOWN_INFO, **SITE), "site", "incident")
    began = max_by(age(series(findings.INCIDENT_ONSET, **SITE)), "site", "incident")
    return table(
        "Findings by cause",
        "What is wrong where, since when, how sure is that, and when does it cost? What nobody is called for "
        "(maintenance, marked as known or wrong) is marked so. The viewer's page of findings says why.",
        _INCIDENT,
        Column("GPUs affected", _of(findings.INCIDENT_AFFECTED_GPUS), decimals=0, steps=rising(1, 8)),
        Column(
            "Began",
            many_to_one(info, "*", began, ("site", "incident")).in_unit(Unit.SECONDS),
            decimals=0,
        ),
        Column("From its past", _of(findings.INCIDENT_DEVIATION), decimals=1),
        Column("Sure", _of(findings.INCIDENT_CONFIDENCE), decimals=0),
        Column(
            "Expected in",
            _of(findings.INCIDENT_ETA, bound="expected"),
            decimals=1,
            steps=(("red", None), ("orange", 24 * _HOUR), ("green", 7 * 24 * _HOUR)),
        ),
        Column("At the earliest in", _of(findings.INCIDENT_ETA, bound="early"), decimals=1),
        Column("Explains", _of(findings.INCIDENT_CHILDREN), decimals=0),
        Column("Known", many_to_one(info, "*", known, ("site", "incident")), decimals=0),
        nothing="No incident is open",
        width=24,
        height=8,
        sort="GPUs affected",
        descending=True,
    )


def learned_table() -> Panel:
    """What feedback has come to, by cause."""
    return table(
        "What marks have taught",
        "How often were the findings of a cause right, and how much surer must they be now? A bar of 100 % "
        "is what it was before any mark.",
        ("cause",),
        Column("Expected right", max_by(series(findings.FEEDBACK_PRECISION, **SITE), "cause"), decimals=0),
        Column(
            "Bar",
            max_by(series(findings.FEEDBACK_THRESHOLD, **SITE), "cause"),
            decimals=0,
        ),
        *(
            Column(
                f"Marked {verdict}",
                max_by(series(findings.FEEDBACK_MARKS, verdict=verdict, **SITE), "cause"),
                decimals=0,
            )
            for verdict in findings.VERDICTS
        ),
        nothing="Nothing has been marked yet",
        width=12,
        height=9,
    )


def covered_table() -> Panel:
    """How much can be judged, by detector and signal."""
    by = ("site", "detector", "signal")
    watched = sum_by(series(findings.ANALYTICS_WATCHED, **SITE), *by)
    judged = sum_by(series(findings.ANALYTICS_JUDGED, **SITE), *by)
    return table(
        "What can be judged",
        "Is quiet the same as well? What is new is learned first: a minute for temperatures, a day for "
        "habits. Where the share stays low, peers or a limit are missing.",
        by,
        Column("Judged", judged, decimals=0),
        Column("Reporting", watched, decimals=0),
        Column("Share", on(judged, "/", watched, *by), decimals=0, steps=limits.JUDGED),
        nothing="Analytics has judged nothing yet",
        width=24,
        height=9,
        sort="Share",
    )
