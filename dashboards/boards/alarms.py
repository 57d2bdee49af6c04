"""gw-alarms: whether the alarms themselves are any good: how many, how often, how long, how steady."""

from __future__ import annotations

from dashboards import foreign, limits
from dashboards.boards.common import (
    ALERT_SITE,
    DATASOURCE,
    REAL,
    SITE_VARIABLE,
    alerts_table,
    firing,
    firing_for,
    or_zero,
)
from dashboards.foreign import ALERTS, ALERTS_SINCE
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, rising, stat, table, timeseries
from dashboards.places import ALARMS as UID
from gigawatch.catalogue import own
from gigawatch.promql import Expr, age, count_by, increase, max_by, series, sum_by, topk

SEVERITIES = ("critical", "warning", "info")
DOMAINS = ("gpu", "node", "power", "cooling", "tokens", "pipeline")


def board() -> Board:
    """Alarm quality."""
    return Board(
        UID,
        "Alarms",
        "Do the alarms help? Few at a time, each one meant, none standing for days, none flapping.",
        ("gigawatch", "alarms"),
        (DATASOURCE, SITE_VARIABLE),
        (
            _now(),
            Section("Firing now", (alerts_table(24, 9),)),
            _rates(),
            _quality(),
        ),
    )


def started() -> Expr:
    """Alerts that began to fire within the last ten minutes."""
    return foreign.appeared(ALERTS, "10m", alertstate="firing", **REAL, **ALERT_SITE)


def _now() -> Section:
    colours = {"critical": "red", "warning": "orange", "info": "blue"}
    pending = foreign.pick(ALERTS, alertstate="pending", **REAL, **ALERT_SITE)
    return Section(
        "Now",
        (
            *(
                stat(
                    severity.capitalize(),
                    f"How many alerts of severity {severity} fire?",
                    or_zero(count_by(firing(**ALERT_SITE, severity=severity))),
                    steps=alarm(colours[severity]),
                    decimals=0,
                    filled=True,
                )
                for severity in SEVERITIES
            ),
            stat(
                "Pending",
                "How many alerts are true but not yet long enough to fire?",
                or_zero(count_by(pending)),
                decimals=0,
            ),
            stat(
                "New in ten minutes",
                "How many alerts began in the last ten minutes? One or two is what an operator can "
                "work off; ten is a flood (ISA-18.2).",
                or_zero(count_by(started())),
                steps=rising(3, 10),
                decimals=0,
            ),
            stat(
                "Pages in an hour",
                "How often was someone called in the last hour?",
                or_zero(sum_by(increase(series(own.PAGER_PAGES), "1h"))),
                steps=rising(3, 6),
                decimals=0,
            ),
            stat(
                "Restarted in an hour",
                "How many alerts ended and came back within the hour? Those need a longer hold or a "
                "wider band.",
                or_zero(count_by(_restarts() > 0)),
                steps=alarm("orange"),
                decimals=0,
            ),
            stat(
                "Heartbeat",
                "How long ago did on-call hear that the alerting chain lives?",
                max_by(age(series(own.PAGER_HEARTBEAT))),
                steps=limits.HEARTBEAT_AGE,
                decimals=0,
            ),
        ),
    )


def _restarts() -> Expr:
    # The value of ALERTS never changes; that of ALERTS_FOR_STATE is the moment the alert became true.
    return foreign.changed(ALERTS_SINCE, "1h", **REAL, **ALERT_SITE)


def _rates() -> Section:
    return Section(
        "Over time",
        (
            timeseries(
                "Firing by severity",
                "How much is wrong at a time?",
                *(
                    Line(or_zero(count_by(firing(**ALERT_SITE, severity=severity))), severity)
                    for severity in SEVERITIES
                ),
                stacked=True,
                low=0,
                decimals=0,
            ),
            timeseries(
                "Firing by domain",
                "Whose trouble is it?",
                *(Line(or_zero(count_by(firing(**ALERT_SITE, domain=domain))), domain) for domain in DOMAINS),
                stacked=True,
                low=0,
                decimals=0,
            ),
            timeseries(
                "New alerts in ten minutes",
                "Is this a flood? Above ten in ten minutes nobody can follow.",
                Line(or_zero(count_by(started())), "new alerts"),
                low=0,
                steps=rising(3, 10),
                decimals=0,
            ),
            timeseries(
                "Pages in ten minutes",
                "How often does someone get called?",
                Line(or_zero(sum_by(increase(series(own.PAGER_PAGES), "10m"))), "pages"),
                width=12,
                low=0,
                decimals=0,
            ),
            timeseries(
                "Pages by severity",
                "Since the pager started: which severities call?",
                *(
                    Line(
                        or_zero(sum_by(increase(series(own.PAGER_PAGES, severity=severity), "1h"))),
                        f"{severity} in an hour",
                    )
                    for severity in SEVERITIES
                ),
                width=12,
                low=0,
                decimals=0,
            ),
        ),
    )


def _quality() -> Section:
    keys = ("alertname", "severity", "place", "site")
    return Section(
        "Alarms that need work",
        (
            table(
                "Flapping",
                "Which alerts ended and came back within the hour, and how often?",
                keys,
                Column("Restarts", topk(15, max_by(_restarts(), *keys) > 0), decimals=0, steps=rising(2, 5)),
                nothing="No alert came back",
                width=8,
                height=8,
                sort="Restarts",
                descending=True,
                hide=("site",),
            ),
            table(
                "Standing longest",
                "Which alerts has nobody acted on? An alert that stands for a day is noise: fix it, "
                "silence it or delete it.",
                keys,
                Column(
                    "For",
                    topk(15, firing_for(*keys, **ALERT_SITE)),
                    decimals=0,
                    steps=rising(8 * 3600, 24 * 3600),
                ),
                nothing="No alert fires",
                width=8,
                height=8,
                sort="For",
                descending=True,
                hide=("site",),
            ),
            table(
                "Loudest rules",
                "Which rules fire at most places at once? Those want grouping or an inhibition.",
                ("alertname", "severity"),
                Column(
                    "Places", topk(15, count_by(firing(**ALERT_SITE), "alertname", "severity")), decimals=0
                ),
                nothing="No alert fires",
                width=8,
                height=8,
                sort="Places",
                descending=True,
            ),
        ),
    )
