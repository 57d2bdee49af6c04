"""gw-pipeline: whether the monitoring itself can be believed."""

from __future__ import annotations

from dashboards import foreign as f
from dashboards import limits
from dashboards.boards.common import ALERT_SITE, DATASOURCE, RATE, SITE, SITE_VARIABLE, alerts_table, or_zero
from dashboards.boards.pipeline_polling import polling_section
from dashboards.model import Board, Section
from dashboards.panels import Column, Line, alarm, stat, table, timeseries
from dashboards.places import PIPELINE as UID
from gigawatch.catalogue import Unit, findings, own, site
from gigawatch.promql import (
    age,
    avg_by,
    count_by,
    increase,
    max_by,
    min_by,
    rate,
    series,
    sum_by,
    topk,
)

_UP_DOWN = {0: ("down", "red"), 1: ("up", "green")}


def board() -> Board:
    """Self-observation of the monitoring."""
    return Board(
        UID,
        "Pipeline",
        "Can the other boards be believed: is everything scraped, evaluated, delivered, and on time?",
        ("gigawatch", "pipeline"),
        (DATASOURCE, SITE_VARIABLE),
        (_now(), _scraping(), _collectors(), polling_section(), _rules(), _processes(), _alerts()),
    )


def _now() -> Section:
    up = f.pick(f.UP, **ALERT_SITE)
    failed = or_zero(sum_by(f.growth(f.NOTIFICATIONS_FAILED, "1h"))) + or_zero(
        sum_by(f.growth(f.NOTIFICATIONS_DROPPED, "1h"))
    )
    return Section(
        "Now",
        (
            stat(
                "Targets down",
                "How many scrape targets do not answer?",
                or_zero(count_by(up.equals(0))),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat("Targets up", "How many scrape targets answer?", or_zero(sum_by(up)), decimals=0),
            stat(
                "Collectors failing",
                "How many collectors failed in their last run?",
                or_zero(count_by(series(own.COLLECTOR_UP, **ALERT_SITE).equals(0))),
                steps=alarm("orange"),
                decimals=0,
                filled=True,
            ),
            stat(
                "Rule failures",
                "How many rule evaluations failed in the last hour?",
                or_zero(sum_by(f.growth(f.RULE_FAILURES, "1h"))),
                steps=alarm("red", 0.5),
                decimals=0,
                filled=True,
            ),
            stat(
                "Notifications lost",
                "How many notifications were dropped or refused in the last hour?",
                failed,
                steps=alarm("red", 0.5),
                decimals=0,
                filled=True,
            ),
            stat(
                "Analysis age",
                "How old is the last run of the analysis?",
                max_by(age(series(findings.ANALYTICS_LAST_SUCCESS, **SITE))),
                steps=limits.ANALYTICS_AGE,
                decimals=0,
            ),
            stat(
                "Series", "How many series does Prometheus hold?", sum_by(f.pick(f.HEAD_SERIES)), decimals=1
            ),
            stat(
                "Processes down",
                "How many parts of the local stack do not run?",
                or_zero(count_by(series(own.PROCESS_UP).equals(0))),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
        ),
    )


def _scraping() -> Section:
    down = max_by(f.pick(f.UP, **ALERT_SITE), "job", "instance", "site", "rack", "node", "device").equals(0)
    return Section(
        "Scraping",
        (
            timeseries(
                "Targets up by job",
                "Which share of the targets of a job answers?",
                Line(avg_by(f.pick(f.UP, **ALERT_SITE), "job").in_unit(Unit.RATIO), "{{job}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "Slowest scrape by job",
                "Does a scrape come close to its timeout?",
                Line(max_by(f.pick(f.SCRAPE_DURATION, **ALERT_SITE), "job"), "{{job}}"),
                low=0,
            ),
            timeseries(
                "Samples taken in",
                "Does the flow of samples drop or jump?",
                Line(sum_by(f.rise(f.SAMPLES_APPENDED, RATE)), "samples per second"),
                low=0,
                decimals=0,
            ),
            table(
                "Targets that do not answer",
                "Which targets are silent? Node and rack lead to their boards.",
                ("job", "instance", "site", "rack", "node", "device"),
                Column("Up", down, states=_UP_DOWN),
                nothing="All targets answer",
                width=16,
                height=7,
            ),
            timeseries(
                "Samples per scrape by job",
                "Did a target lose or gain many series?",
                Line(max_by(f.pick(f.SCRAPE_SAMPLES, **ALERT_SITE), "job"), "{{job}} largest"),
                height=7,
                low=0,
                decimals=0,
            ),
        ),
    )


def _collectors() -> Section:
    errors = sum_by(rate(series(own.COLLECTOR_ERRORS, **ALERT_SITE), RATE), "collector", "error")
    keys = ("site", "node", "collector")
    return Section(
        "Collectors and discovery",
        (
            timeseries(
                "Slowest run by collector",
                "Which collector takes long?",
                Line(max_by(series(own.COLLECTOR_DURATION, **ALERT_SITE), "collector"), "{{collector}}"),
                low=0,
            ),
            timeseries(
                "Collectors over their deadline",
                "Does a driver or device hang? Anything above 0 is a run that should have ended.",
                Line(max_by(series(own.COLLECTOR_STUCK, **ALERT_SITE), "collector"), "{{collector}}"),
                low=0,
            ),
            timeseries(
                "Read errors and rejected values",
                "Do reads fail, or do devices give impossible values?",
                Line(or_zero(sum_by(errors)), "read errors per second"),
                Line(
                    or_zero(sum_by(rate(series(own.REJECTED_SAMPLES, **ALERT_SITE), RATE))),
                    "rejected values per second",
                ),
                low=0,
            ),
            table(
                "Collectors that fail",
                "Which collector fails where?",
                keys,
                Column(
                    "State", min_by(series(own.COLLECTOR_UP, **ALERT_SITE), *keys).equals(0), states=_UP_DOWN
                ),
                nothing="All collectors work",
                width=8,
                height=7,
            ),
            table(
                "Read errors of the last hour",
                "Which collectors had errors, and of which kind?",
                ("site", "node", "collector", "error"),
                Column(
                    "Errors",
                    topk(
                        20,
                        sum_by(
                            increase(series(own.COLLECTOR_ERRORS, **ALERT_SITE), "1h"),
                            "site",
                            "node",
                            "collector",
                            "error",
                        )
                        > 0,
                    ),
                    decimals=0,
                ),
                nothing="No errors",
                width=8,
                height=7,
                sort="Errors",
                descending=True,
            ),
            timeseries(
                "Inventory",
                "When was the inventory loaded last, and was one refused?",
                Line(max_by(series(site.TOPOLOGY_GENERATION, **SITE), "site"), "{{site}} generation"),
                Line(
                    max_by(increase(series(site.TOPOLOGY_LOAD_ERRORS, **SITE), "1h"), "site"),
                    "{{site}} refused in an hour",
                ),
                height=7,
                low=0,
                decimals=0,
            ),
        ),
    )


def _rules() -> Section:
    share = max_by(f.pick(f.RULE_GROUP_DURATION), "rule_group") / max_by(
        f.pick(f.RULE_GROUP_INTERVAL), "rule_group"
    )
    return Section(
        "Rules and notifications",
        (
            timeseries(
                "Rule evaluation against its interval",
                "Does a rule group need more time than it has?",
                Line(topk(8, share), "{{rule_group}}"),
                low=0,
            ),
            timeseries(
                "Rule failures over time",
                "Do rules fail? Then alerts and figures are missing.",
                Line(sum_by(f.growth(f.RULE_FAILURES, "10m")), "failures in ten minutes"),
                low=0,
                decimals=0,
            ),
            timeseries(
                "Notifications waiting",
                "Does Prometheus get rid of its alerts?",
                Line(sum_by(f.pick(f.NOTIFICATION_QUEUE)), "queue"),
                Line(sum_by(f.growth(f.NOTIFICATIONS_DROPPED, "10m")), "dropped in ten minutes"),
                low=0,
                decimals=0,
            ),
            timeseries(
                "Notifications sent",
                "Does Alertmanager reach the pager?",
                Line(sum_by(f.growth(f.NOTIFICATIONS, "10m")), "sent in ten minutes"),
                Line(sum_by(f.growth(f.NOTIFICATIONS_FAILED, "10m")), "failed in ten minutes"),
                width=12,
                low=0,
                decimals=0,
            ),
            timeseries(
                "Duration of an analysis run",
                "Does the analysis keep pace?",
                Line(max_by(series(findings.ANALYTICS_RUN_DURATION, **SITE), "phase"), "{{phase}}"),
                width=12,
                low=0,
            ),
        ),
    )


def _processes() -> Section:
    return Section(
        "Processes",
        (
            table(
                "Processes of the local stack",
                "Which part is down, restarts or grows?",
                ("process",),
                Column("State", series(own.PROCESS_UP), states=_UP_DOWN),
                Column("Restarts", series(own.PROCESS_RESTARTS), decimals=0, steps=alarm("orange")),
                Column("Memory", series(own.PROCESS_MEMORY), decimals=1),
                Column("Processor", rate(series(own.PROCESS_CPU), RATE), decimals=1),
                width=12,
                height=9,
            ),
            table(
                "Versions",
                "Which version of which program exports?",
                ("program", "version", "python"),
                Column(
                    "Instances",
                    count_by(series(own.EXPORTER_BUILD_INFO), "program", "version", "python"),
                    decimals=0,
                ),
                width=12,
                height=9,
            ),
            timeseries(
                "Memory",
                "Does a part of the stack grow?",
                Line(max_by(series(own.PROCESS_MEMORY), "process"), "{{process}}"),
                low=0,
            ),
            timeseries(
                "Processor time",
                "What does the monitoring itself cost?",
                Line(max_by(rate(series(own.PROCESS_CPU), RATE), "process"), "{{process}}"),
                low=0,
            ),
            timeseries(
                "Lag of the simulated plant",
                "Is the simulated plant behind real time? On a real site this panel is empty.",
                Line(max_by(series(own.PLANT_LAG)), "lag"),
                low=0,
            ),
            table(
                "Drills",
                "Which faults act on the simulated plant on purpose?",
                ("drill", "fault", "fault_target"),
                Column("Active", series(own.PLANT_FAULT_ACTIVE).equals(1), states={1: ("yes", "orange")}),
                nothing="No drill runs",
                width=24,
                height=5,
            ),
        ),
    )


def _alerts() -> Section:
    return Section("Alerts of the monitoring", (alerts_table(24, 6, domain="pipeline"),))
