"""The way from Alertmanager to a person."""

from __future__ import annotations

from alerts.cases import Case, given, other, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import settled
from gigawatch.catalogue import own
from gigawatch.promql import (
    age,
    foreign,
    increase,
    matches,
    max_by,
    series,
    sum_by,
)

_NOTIFY = ("site", "job", "instance")

ALERTS = (
    Alert(
        name="PagerUnreachable",
        expr=foreign(
            "sum by (site, job, instance) (increase(alertmanager_notifications_failed_total[5m]))", _NOTIFY
        )
        > 1,
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Alertmanager cannot deliver notifications",
        description="About {value:.0f} failed notifications in five minutes.",
        cause="The paging service is down or cannot be reached, or its key is wrong.",
        consequence="Pages are late or lost.",
        action=Action.NONE,
        first_step="Alertmanager's log names the receiver; call on-call by telephone for anything that is "
        "open.",
        board="gw-pipeline",
        hold="1m",
        cases=(
            Case(
                "fails",
                (
                    other(
                        "alertmanager_notifications_failed_total",
                        rising(2),
                        job="alertmanager",
                        instance="i1",
                        integration="webhook",
                    ),
                ),
                ("alertmanager",),
            ),
            Case(
                "works",
                (
                    other(
                        "alertmanager_notifications_failed_total",
                        0,
                        job="alertmanager",
                        instance="i1",
                        integration="webhook",
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="HeartbeatLate",
        expr=settled(max_by(age(series(own.PAGER_HEARTBEAT)), "site") > 180, 60),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="pager",
        summary="The pager has not heard the dead man's switch for {value:duration}",
        description="It should arrive at least once a minute.",
        cause="Alertmanager does not notify, or its way to the pager is cut.",
        consequence="Pages would not arrive either.",
        action=Action.RESTART_APP,
        first_step="Look at Alertmanager's log.",
        board="gw-pipeline",
        hold="30s",
        cases=(
            Case("late", (given(own.PAGER_HEARTBEAT, 30),), ("pager",)),
            Case("in time", (given(own.PAGER_HEARTBEAT, rising(30)),)),
        ),
    ),
    Alert(
        name="PageFlood",
        expr=sum_by(increase(series(own.PAGER_PAGES, severity=matches("critical|warning")), "10m"), "site")
        > 10,
        severity=Severity.INFO,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        summary="{value:.0f} pages and tickets in ten minutes",
        description="More than one per minute: nobody can work through them.",
        cause="One event that is not yet grouped as one, or alerts that flap.",
        consequence="The one that matters is overlooked.",
        action=Action.NONE,
        first_step="Work from the widest scope down: site, feed, loop, rack. Note what should have been "
        "one page.",
        board="gw-alarms",
        hold="0s",
        note="The field's guide is one per operator in ten minutes over the long run, ten in a flood "
        "(EEMUA 191).",
        cases=(
            Case("flood", (given(own.PAGER_PAGES, rising(2), severity="critical"),), ("s1",)),
            Case("quiet", (given(own.PAGER_PAGES, turning(0, 5, 1), severity="critical"),)),
        ),
    ),
)
