"""What analytics and the simulated plant say about themselves."""

from __future__ import annotations

from alerts.cases import Case, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import settled
from gigawatch.catalogue import findings, own
from gigawatch.promql import (
    age,
    increase,
    max_by,
    min_by,
    series,
)

_last_run = min_by(age(series(findings.ANALYTICS_LAST_SUCCESS)), "site")

ALERTS = (
    Alert(
        name="AnalyticsStale",
        expr=settled(_last_run > 180, 60),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="analytics",
        summary="Analytics has not finished a run for {value:duration}",
        description="The last complete run is {value:duration} old.",
        cause="Prometheus does not answer its queries, or the process hangs or is too slow.",
        consequence="Predictions stand still; alerts on limits are not affected.",
        action=Action.RESTART_APP,
        first_step="Look at the errors and durations of its phases on the board.",
        board="gw-pipeline",
        hold="1m",
        symptom_of=("process-analytics",),
        cases=(
            Case(
                "stale",
                (given(findings.ANALYTICS_LAST_SUCCESS, 60, job="gigawatch-analytics"),),
                ("analytics",),
            ),
            Case("fresh", (given(findings.ANALYTICS_LAST_SUCCESS, "0+30x200", job="gigawatch-analytics"),)),
        ),
    ),
    Alert(
        name="AnalyticsErrors",
        expr=max_by(increase(series(findings.ANALYTICS_ERRORS), "10m"), "site", "reason") > 5,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="analytics",
        summary="Analytics counts errors: {reason}",
        description="About {value:.0f} failures of kind {reason} in ten minutes.",
        cause="Prometheus is slow or down, or state on disk cannot be written.",
        consequence="Some findings are missing or late.",
        action=Action.NONE,
        first_step="Its log has one line per failure.",
        board="gw-pipeline",
        hold="2m",
        symptom_of=("process-analytics",),
        cases=(
            Case("many", (given(findings.ANALYTICS_ERRORS, rising(1), reason="query"),), ("analytics",)),
            Case("one", (given(findings.ANALYTICS_ERRORS, turning(0, 5, 1), reason="query"),)),
        ),
    ),
    Alert(
        name="PlantLagging",
        expr=max_by(series(own.PLANT_LAG), "site") > 5,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="plant",
        summary="The simulated plant is {value:.0f} s behind",
        description="It cannot compute its physics in real time.",
        cause="A machine that is too small or overloaded for this blueprint.",
        consequence="Drills act late; figures are old.",
        action=Action.NONE,
        first_step="Close what else runs, or take a smaller blueprint.",
        board="gw-pipeline",
        hold="1m",
        cases=(
            Case("behind", (given(own.PLANT_LAG, 12),), ("plant",)),
            Case("in time", (given(own.PLANT_LAG, 0.2),)),
        ),
    ),
)
