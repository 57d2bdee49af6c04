"""The processes themselves: down, restarted, or unknown to Prometheus."""

from __future__ import annotations

from alerts.cases import Case, Given, given, other, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import both, settled
from gigawatch.catalogue import own
from gigawatch.promql import (
    foreign,
    increase,
    max_by,
    max_over_time,
    series,
)

_SERVICES = "gigawatch-(sd|analytics|workload|supervisor|pager|plant)|prometheus|alertmanager"
_STATUS = "gigawatch status"


def _process(values: float | str, name: str = "agent") -> Given:
    return given(own.PROCESS_UP, values, process=name, job="gigawatch-supervisor")


_process_up = max_by(series(own.PROCESS_UP), "site", "process")
_was_up = max_by(max_over_time(series(own.PROCESS_UP), "1h"), "site", "process").equals(1)
_restarts = max_by(increase(series(own.PROCESS_RESTARTS), "10m"), "site", "process")
# A page that speaks for a node is no service of its own: whose page it is, is among these too.
_service_up = foreign(
    f'label_replace(max by (site, job, instance) (up{{job=~"{_SERVICES}",node=""}}), '
    '"process", "$1", "job", "(?:gigawatch-)?(.+)")',
    ("site", "job", "instance", "process"),
)

PROCESSES = (
    Alert(
        name="Watchdog",
        expr=foreign("vector(1)", ()),
        severity=Severity.NONE,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="monitoring",
        summary="The way from Prometheus to the pager works",
        description="This alert always fires. Who receives it calls when it stops.",
        cause="None: it is meant to fire.",
        consequence="When it stops, nothing else would be paged either.",
        action=Action.NONE,
        first_step="Nothing to do while it arrives.",
        board="gw-pipeline",
        hold="0s",
        cases=(Case("always", (), ("monitoring",)),),
    ),
    Alert(
        name="ProcessDown",
        expr=settled(both(_process_up.equals(0), _was_up, "site", "process"), 30),
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{process}",
        summary="{process} of the local stack is down or frozen",
        description="{process} has stopped answering its health check. Down now: {processes_down}.",
        cause="It crashed, was killed, or hangs.",
        consequence="What it provides is missing: readings, rules, pages or boards.",
        action=Action.RESTART_APP,
        first_step=f"Run `{_STATUS}`: it names the log. The supervisor restarts what has ended.",
        board="gw-pipeline",
        hold="10s",
        cases=(
            Case("stopped", (_process(turning(1, 10, 0)),), ("agent",)),
            Case(
                "the stack starts again",
                (
                    _process("1+0x9 _x2 0+0x10"),
                    other("process_start_time_seconds", 345, job="prometheus", instance="i1"),
                ),
                at="6m",
            ),
            Case(
                "it is still down when the stack has started",
                (
                    _process("1+0x9 _x2 0+0x10"),
                    other("process_start_time_seconds", 345, job="prometheus", instance="i1"),
                ),
                ("agent",),
                at="9m",
            ),
            Case("starts for the first time", (_process("0+0x3 1+0x60"),), at="1m"),
            Case("runs", (_process(1),)),
        ),
    ),
    Alert(
        name="ProcessNotStarting",
        expr=_process_up.equals(0),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{process}",
        summary="{process} of the local stack does not come up",
        description="{process} has not answered its health check for minutes.",
        cause="A wrong setting, a port that is taken, or a state that cannot be read.",
        consequence="What it provides is missing.",
        action=Action.RESTART_APP,
        first_step=f"Run `{_STATUS}` and read the end of the log that it names.",
        board="gw-pipeline",
        hold="5m",
        symptom_of=("process",),
        cases=(
            Case("never came", (_process(0),), ("agent",)),
            Case("runs", (_process(1),)),
        ),
    ),
    Alert(
        name="ProcessRestarted",
        expr=_restarts > 0.5,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{process}",
        summary="{process} of the local stack was restarted",
        description="About {value:.0f} restarts in ten minutes.",
        cause="It crashed or was killed, and the supervisor started it again.",
        consequence="A short gap in what it provides.",
        action=Action.NONE,
        first_step="Read the end of its log before the restart.",
        board="gw-pipeline",
        hold="0s",
        symptom_of=("process-loop",),
        cases=(
            Case("once", (given(own.PROCESS_RESTARTS, turning(0, 10, 1), process="sd"),), ("sd",)),
            Case("never", (given(own.PROCESS_RESTARTS, 0, process="sd"),)),
        ),
    ),
    Alert(
        name="ProcessRestarting",
        expr=_restarts > 3,
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{process}",
        summary="{process} of the local stack restarts again and again",
        description="About {value:.0f} restarts in ten minutes.",
        cause="It fails at the same place each time: a setting, a damaged state, or memory.",
        consequence="It is never long enough up to be of use.",
        action=Action.SERVICE_REQUIRED,
        first_step="Read its log; set damaged state aside and start it again.",
        board="gw-pipeline",
        hold="30s",
        cases=(
            Case("again and again", (given(own.PROCESS_RESTARTS, rising(1), process="sd"),), ("sd",)),
            Case("once", (given(own.PROCESS_RESTARTS, turning(0, 10, 1), process="sd"),)),
        ),
    ),
    Alert(
        name="ServiceDown",
        expr=_service_up.equals(0),
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="{process} does not answer Prometheus",
        description="{instance} of job {job} has not answered scrapes for two minutes.",
        cause="It is down, frozen, or cut off from Prometheus.",
        consequence="Its figures are missing, and what rests on them.",
        action=Action.RESTART_APP,
        first_step="Is the process there? Does its /-/healthy answer on that machine?",
        board="gw-pipeline",
        hold="2m",
        symptom_of=("process",),
        cases=(
            Case("silent", (target("gigawatch-sd", 0),), ("gigawatch-sd",), carries={"process": "sd"}),
            Case("answers", (target("gigawatch-sd", 1), target("prometheus", 1))),
            Case("a node is no service", (target("gigawatch-agent", 0, node="n1"),)),
            Case(
                "who scrapes engines is silent, its pages of nodes with it",
                (target("gigawatch-workload", 0), target("gigawatch-workload", 0, node="n1", instance="n1")),
                ("gigawatch-workload",),
                carries={"process": "workload"},
            ),
        ),
    ),
)


def _absent(name: str, job: str, what: str, without: str) -> Alert:
    return Alert(
        name=name,
        expr=foreign(f'absent(up{{job="{job}"}})', ("job",)),
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary=f"Prometheus knows of no {what}",
        description="There is not one target of job {job}.",
        cause="Service discovery gives no targets, or the job is missing from Prometheus' configuration.",
        consequence=f"{without} No other alert would tell, because there is nothing to compare.",
        action=Action.RESTART_APP,
        first_step="Look at Prometheus' page of targets and of service discovery.",
        board="gw-pipeline",
        hold="5m",
        cases=(
            Case("no target", (target("other", 1),), (job,)),
            Case("a target", (target(job, 1, node="n1"),)),
        ),
    )


_workload = 'up{job="gigawatch-workload",node=""}'
_WORKLOAD_ABSENT = Alert(
    name="WorkloadAbsent",
    # Not every site has one: it is missed where it was within the last day.
    expr=foreign(
        f"max by (site, job) (max_over_time({_workload}[1d])) unless max by (site, job) ({_workload})",
        ("site", "job"),
    ),
    severity=Severity.WARNING,
    domain=Domain.PIPELINE,
    scope=Scope.PROCESS,
    summary="Prometheus no longer knows who scrapes the inference engines",
    description="There was a target of job {job} within the last day, and now there is none.",
    cause="Its list of targets (/targets) cannot be had since Prometheus started, or the job was taken out.",
    consequence="Engines and queues are not observed, and alerts on them stay silent.",
    action=Action.RESTART_APP,
    first_step="Does `gigawatch workload` run, and its /targets answer? Silence this where it was removed.",
    board="gw-pipeline",
    hold="5m",
    cases=(
        Case("was there", (target("gigawatch-workload", "1+0x9 _x200"),), ("gigawatch-workload",), at="20m"),
        Case("is there", (target("gigawatch-workload", 1),)),
        Case(
            "is down, which another alert tells", (target("gigawatch-workload", turning(1, 4, 0)),), at="5m"
        ),
        Case("was never there", (target("gigawatch-sd", 1),)),
    ),
)


ABSENT = (
    _absent("AgentsAbsent", "gigawatch-agent", "node agents", "No GPU and no node is observed."),
    _absent(
        "FacilityAbsent", "gigawatch-facility", "facility devices", "Power and cooling are not observed."
    ),
    _absent("DiscoveryAbsent", "gigawatch-sd", "service discovery", "Places, budgets and costs are missing."),
    _absent("AnalyticsAbsent", "gigawatch-analytics", "analytics", "Nothing is predicted."),
    _WORKLOAD_ABSENT,
)


ALERTS = (*PROCESSES, *ABSENT)
