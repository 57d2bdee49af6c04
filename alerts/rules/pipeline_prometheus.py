"""Prometheus: its rules, its configuration, and its way to Alertmanager."""

from __future__ import annotations

from alerts.cases import Case, other, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from gigawatch.promql import (
    foreign,
)

_NOTIFY = ("site", "job", "instance")

ALERTS = (
    Alert(
        name="RuleEvaluationFailing",
        expr=foreign(
            "increase(prometheus_rule_evaluation_failures_total[5m])",
            ("site", "job", "instance", "rule_group"),
        )
        > 2,
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Prometheus cannot evaluate rules",
        description="About {value:.0f} failures in {rule_group} within five minutes.",
        cause="Two series where a rule expects one (a node that is described twice), or a limit that was "
        "hit.",
        consequence="Those alerts and figures are blind.",
        action=Action.NONE,
        first_step="Prometheus' page of rules shows the error next to the rule.",
        board="gw-pipeline",
        hold="1m",
        cases=(
            Case(
                "fails",
                (
                    other(
                        "prometheus_rule_evaluation_failures_total",
                        rising(1),
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                ),
                ("prometheus",),
            ),
            Case(
                "failed once",
                (
                    other(
                        "prometheus_rule_evaluation_failures_total",
                        turning(0, 15, 1),
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                ),
            ),
            Case(
                "works",
                (
                    other(
                        "prometheus_rule_evaluation_failures_total",
                        0,
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="RuleEvaluationSlow",
        expr=foreign(
            "prometheus_rule_group_last_duration_seconds > prometheus_rule_group_interval_seconds",
            ("site", "job", "instance", "rule_group"),
        ),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Rules take {value:.1f} s, longer than their interval",
        description="Group {rule_group} does not finish before its next turn.",
        cause="Too many series for this Prometheus, or a machine that is overloaded.",
        consequence="Alerts come late.",
        action=Action.NONE,
        first_step="Look at its processor time and number of series; split the site if both are high.",
        board="gw-pipeline",
        hold="5m",
        cases=(
            Case(
                "too slow",
                (
                    other(
                        "prometheus_rule_group_last_duration_seconds",
                        20,
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                    other(
                        "prometheus_rule_group_interval_seconds",
                        15,
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                ),
                ("prometheus",),
            ),
            Case(
                "in time",
                (
                    other(
                        "prometheus_rule_group_last_duration_seconds",
                        2,
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                    other(
                        "prometheus_rule_group_interval_seconds",
                        15,
                        job="prometheus",
                        instance="i1",
                        rule_group="g",
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="ConfigurationRefused",
        expr=foreign(
            "prometheus_config_last_reload_successful or alertmanager_config_last_reload_successful", _NOTIFY
        ).equals(0),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="{instance} refused its new configuration",
        description="The last reload failed; the old configuration stays in force.",
        cause="A mistake in the new file.",
        consequence="Changes have no effect, and the next start will fail.",
        action=Action.NONE,
        first_step="Run promtool check config or amtool check-config on the file.",
        board="gw-pipeline",
        hold="1m",
        cases=(
            Case(
                "refused",
                (other("prometheus_config_last_reload_successful", 0, job="prometheus", instance="i1"),),
                ("prometheus",),
            ),
            Case(
                "accepted",
                (
                    other("prometheus_config_last_reload_successful", 1, job="prometheus", instance="i1"),
                    other("alertmanager_config_last_reload_successful", 1, job="alertmanager", instance="i2"),
                ),
            ),
        ),
    ),
    Alert(
        name="AlertsNotDelivered",
        expr=foreign("increase(prometheus_notifications_errors_total[5m])", _NOTIFY) > 2,
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Prometheus cannot hand its alerts to Alertmanager",
        description="About {value:.0f} failed deliveries in five minutes.",
        cause="Alertmanager is down or cannot be reached.",
        consequence="Nobody is paged. This page itself comes late, or only by the dead man's switch.",
        action=Action.RESTART_APP,
        first_step="Does Alertmanager's /-/ready answer?",
        board="gw-pipeline",
        hold="1m",
        note="The dead man's switch alone is sent once a minute: three failures are minutes of silence.",
        cases=(
            Case(
                "fails",
                (other("prometheus_notifications_errors_total", rising(1), job="prometheus", instance="i1"),),
                ("prometheus",),
            ),
            Case(
                "Alertmanager was a moment late",
                (
                    other(
                        "prometheus_notifications_errors_total",
                        turning(0, 15, 1),
                        job="prometheus",
                        instance="i1",
                    ),
                ),
            ),
            Case(
                "works", (other("prometheus_notifications_errors_total", 0, job="prometheus", instance="i1"),)
            ),
        ),
    ),
)
