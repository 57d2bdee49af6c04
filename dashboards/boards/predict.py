"""gw-predict: what is going to break, how sure the analysis is, and how it is doing itself."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    DATASOURCE,
    RATE,
    SITE,
    SITE_VARIABLE,
    incidents_open,
    or_zero,
)
from dashboards.boards.predict_findings import covered_table, findings_table, learned_table
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, rising, stat, table, timeseries
from dashboards.places import PREDICT as UID
from gigawatch.catalogue import findings
from gigawatch.promql import (
    Expr,
    age,
    count_by,
    increase,
    max_by,
    min_by,
    on,
    quantile_by,
    rate,
    series,
    sum_by,
    topk,
)

_GPU = ("site", "rack", "node", "gpu", "uuid")
_CHANGE = series(findings.THERMAL_RESISTANCE_CHANGE, **SITE)
_HOUR = 3600


def board() -> Board:
    """Findings of the analysis."""
    return Board(
        UID,
        "Prediction",
        "Which GPUs, nodes and loops are getting worse, how long do they last, and can the analysis "
        "be trusted now?",
        ("gigawatch", "prediction"),
        (DATASOURCE, SITE_VARIABLE),
        (_now(), _worst(), _trends(), _health()),
    )


def _now() -> Section:
    soonest = series(findings.TIME_TO_THROTTLE, **SITE)
    risk = series(findings.FAILURE_RISK, horizon="24h", **SITE)
    scores = series(findings.ANOMALY_SCORE, **SITE)
    return Section(
        "Now",
        (
            stat(
                "Open incidents",
                "How many physical causes does the analysis see at work?",
                incidents_open(),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
                width=4,
            ),
            stat(
                "GPUs touched",
                "How many GPUs do the open incidents touch?",
                or_zero(sum_by(series(findings.INCIDENT_AFFECTED_GPUS, **SITE))),
                steps=alarm("orange"),
                decimals=0,
                width=4,
            ),
            stat(
                "GPUs with a trend",
                "How many GPUs will slow down if their trend goes on?",
                or_zero(count_by(soonest)),
                steps=alarm("orange"),
                decimals=0,
                width=4,
            ),
            stat(
                "Highest risk in 24 hours",
                "How likely is the most endangered GPU to throttle or fail within a day?",
                or_zero(max_by(risk)),
                steps=limits.RISK,
                decimals=0,
                width=4,
            ),
            stat(
                "Abnormal signals",
                "How many signals score above 0.8?",
                or_zero(count_by(scores > 0.8)),
                steps=alarm("orange"),
                decimals=0,
                width=4,
            ),
            stat(
                "Last run",
                "How old is the newest judgement? Above two minutes nothing on this board is current.",
                max_by(age(series(findings.ANALYTICS_LAST_SUCCESS, **SITE))),
                steps=limits.ANALYTICS_AGE,
                decimals=0,
                width=4,
            ),
        ),
    )


def _beside(expr: Expr, top: Expr) -> Expr:
    """Another figure for the GPUs of a top list."""
    return on(max_by(expr, *_GPU), "and", top, "site", "uuid")


def _worst() -> Section:
    worst = topk(15, max_by(_CHANGE, *_GPU))
    riskiest = topk(15, max_by(series(findings.FAILURE_RISK, horizon="24h", **SITE), *_GPU))
    scored = ("detector", "signal", "site", "rack", "node", "gpu", "device", "loop")
    return Section(
        "What is getting worse",
        (
            findings_table(),
            table(
                "Time to throttle",
                "Which GPUs slow down next if nothing is done? The soonest stands first.",
                _GPU,
                Column(
                    "Throttles in",
                    series(findings.TIME_TO_THROTTLE, **SITE),
                    decimals=1,
                    steps=(("red", None), ("orange", 24 * _HOUR), ("green", 7 * 24 * _HOUR)),
                ),
                nothing="No GPU is on its way to slowdown",
                width=12,
                height=9,
                sort="Throttles in",
                hide=("uuid",),
            ),
            table(
                "Thermal resistance against baseline",
                "Which GPUs need more kelvin per watt than they used to, beyond what their peers "
                "share? Repaste or clean first.",
                _GPU,
                Column("Change", worst, decimals=1, steps=limits.RESISTANCE_CHANGE),
                Column("Resistance", _beside(series(findings.THERMAL_RESISTANCE, **SITE), worst), decimals=4),
                width=12,
                height=9,
                nothing="Still being learned: see what can be judged, below",
                sort="Change",
                descending=True,
                hide=("uuid",),
            ),
            table(
                "Failure risk",
                "Which GPUs are likely to throttle or fail? Drain those before the next long job.",
                _GPU,
                Column(
                    "1 hour",
                    _beside(series(findings.FAILURE_RISK, horizon="1h", **SITE), riskiest),
                    decimals=0,
                    steps=limits.RISK,
                ),
                Column("24 hours", riskiest, decimals=0, steps=limits.RISK),
                Column(
                    "7 days",
                    _beside(series(findings.FAILURE_RISK, horizon="7d", **SITE), riskiest),
                    decimals=0,
                    steps=limits.RISK,
                ),
                nothing="No GPU shows a trend",
                width=12,
                height=9,
                sort="24 hours",
                descending=True,
                hide=("uuid",),
            ),
            learned_table(),
            table(
                "Highest anomaly scores",
                "Which signals behave unlike themselves or their peers now? 0 is ordinary, 1 is certain.",
                scored,
                Column(
                    "Score",
                    topk(20, max_by(series(findings.ANOMALY_SCORE, **SITE), *scored)),
                    decimals=2,
                    steps=limits.ANOMALY,
                ),
                nothing="Still being learned: see what can be judged, below",
                width=24,
                height=9,
                sort="Score",
                descending=True,
            ),
        ),
    )


def _trends() -> Section:
    resistance = series(findings.THERMAL_RESISTANCE, **SITE)
    return Section(
        "Trends",
        (
            timeseries(
                "Thermal resistance",
                "Do all GPUs need more kelvin per watt (then look at the loop) or only the worst one?",
                Line(max_by(resistance, "site"), "{{site}} worst"),
                Line(quantile_by(0.9, resistance, "site"), "{{site}} 90 %"),
                Line(quantile_by(0.5, resistance, "site"), "{{site}} median"),
                decimals=4,
            ),
            timeseries(
                "Change against baseline",
                "How far has the worst GPU moved from its own baseline, and how far the median?",
                Line(max_by(_CHANGE, "site"), "{{site}} worst"),
                Line(quantile_by(0.5, _CHANGE, "site"), "{{site}} median"),
                steps=limits.RESISTANCE_CHANGE,
            ),
            timeseries(
                "Highest anomaly score by detector",
                "Since when is something abnormal, and who noticed?",
                Line(max_by(series(findings.ANOMALY_SCORE, **SITE), "detector"), "{{detector}}"),
                low=0,
                high=1,
                decimals=2,
            ),
            timeseries(
                "Highest anomaly score by signal",
                "Which kind of signal is abnormal?",
                Line(max_by(series(findings.ANOMALY_SCORE, **SITE), "signal"), "{{signal}}"),
                low=0,
                high=1,
                decimals=2,
            ),
            timeseries(
                "Highest failure risk",
                "Does the risk rise, and on which horizon?",
                *(
                    Line(
                        or_zero(max_by(series(findings.FAILURE_RISK, horizon=horizon, **SITE))),
                        f"within {horizon}",
                    )
                    for horizon in findings.HORIZONS
                ),
                low=0,
                high=1,
            ),
            timeseries(
                "Incidents",
                "Since when is something wrong?",
                Line(incidents_open(), "open"),
                low=0,
                decimals=0,
            ),
        ),
    )


def _health() -> Section:
    saved = age(series(findings.ANALYTICS_STATE_SAVED, **SITE))
    errors = series(findings.ANALYTICS_ERRORS, **SITE)
    return Section(
        "Analytics itself",
        (
            timeseries(
                "Age of the last run",
                "Does the analysis keep pace?",
                Line(
                    max_by(age(series(findings.ANALYTICS_LAST_SUCCESS, **SITE)), "instance"), "{{instance}}"
                ),
                width=6,
                low=0,
                steps=limits.ANALYTICS_AGE,
            ),
            timeseries(
                "Duration of a run",
                "Which phase takes the time?",
                Line(max_by(series(findings.ANALYTICS_RUN_DURATION, **SITE), "phase"), "{{phase}}"),
                width=6,
                low=0,
            ),
            timeseries(
                "Series watched",
                "Does the analysis see all series it should?",
                Line(sum_by(series(findings.ANALYTICS_SERIES, **SITE), "signal"), "{{signal}}"),
                width=6,
                low=0,
                decimals=0,
            ),
            timeseries(
                "Errors",
                "Do runs or queries fail, and why?",
                Line(sum_by(rate(errors, RATE), "reason"), "{{reason}}"),
                width=6,
                low=0,
            ),
            covered_table(),
            stat(
                "Errors in the last hour",
                "How many runs or queries failed?",
                or_zero(sum_by(increase(errors, "1h"))),
                steps=alarm("orange", 0.5),
                decimals=0,
                width=12,
            ),
            stat(
                "State saved",
                "How much learning would a restart lose?",
                min_by(saved),
                steps=rising(900, 3600),
                decimals=0,
                width=12,
            ),
        ),
    )
