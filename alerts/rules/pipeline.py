"""The pipeline itself: what watches the site must be watched as well."""

from __future__ import annotations

from alerts.cases import Case, Given, given, other, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, at_device, both
from gigawatch.catalogue import facility, findings, own, site
from gigawatch.promql import (
    age,
    foreign,
    increase,
    matches,
    max_by,
    max_over_time,
    min_by,
    rate,
    series,
    sum_by,
)

_SERVICES = "gigawatch-(sd|analytics|supervisor|pager|plant)|prometheus|alertmanager"
_STATUS = "gigawatch status"


def _process(values: float | str, name: str = "agent") -> Given:
    return given(own.PROCESS_UP, values, process=name, job="gigawatch-supervisor")


_process_up = max_by(series(own.PROCESS_UP), "site", "process")
_was_up = max_by(max_over_time(series(own.PROCESS_UP), "1h"), "site", "process").equals(1)
_restarts = max_by(increase(series(own.PROCESS_RESTARTS), "10m"), "site", "process")
_service_up = foreign(
    f'label_replace(max by (site, job, instance) (up{{job=~"{_SERVICES}"}}), '
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
        expr=both(_process_up.equals(0), _was_up, "site", "process"),
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


ABSENT = (
    _absent("AgentsAbsent", "gigawatch-agent", "node agents", "No GPU and no node is observed."),
    _absent(
        "FacilityAbsent", "gigawatch-facility", "facility devices", "Power and cooling are not observed."
    ),
    _absent("DiscoveryAbsent", "gigawatch-sd", "service discovery", "Places, budgets and costs are missing."),
    _absent("AnalyticsAbsent", "gigawatch-analytics", "analytics", "Nothing is predicted."),
)

_collector = ("site", "job", "instance", "collector")
_device_up = foreign('max by (site, hall, rack, device) (up{job="gigawatch-facility"})', DEVICE)
_poll = min_by(series(facility.FACILITY_POLL_UP), *DEVICE)


def _collects(metric_values: float | str) -> Given:
    return given(own.COLLECTOR_UP, metric_values, collector="nvml")


SOURCES = (
    Alert(
        name="FacilityDeviceDown",
        expr=at_device(_poll.equals(0).or_(_device_up.equals(0))),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="{device}",
        summary="Facility device {device} does not answer",
        description="It has not answered its polls for three minutes.",
        cause="The device, its management network, or the credentials for it.",
        consequence="What it measures is unobserved, leaks and feeds included.",
        action=Action.NONE,
        first_step="Ping it; try its own web page; look at the poller's log for the reason.",
        board="gw-facility",
        hold="3m",
        symptom_of=("facility-gone", "feed", "rack-power"),
        cases=(
            Case(
                "no answer",
                (given(facility.FACILITY_POLL_UP, 0, device="cdu-1"),),
                ("cdu-1",),
                carries={"loop": "loop-1", "feed": "utility-a"},
            ),
            Case(
                "answers",
                (
                    given(facility.FACILITY_POLL_UP, 1, device="cdu-1"),
                    target("gigawatch-facility", 1, device="cdu-1"),
                ),
            ),
        ),
    ),
    Alert(
        name="CollectorDown",
        expr=max_by(series(own.COLLECTOR_UP), *_collector).equals(0),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{instance}",
        summary="Collector {collector} of {instance} fails",
        description="Its runs have failed for five minutes; its readings were dropped.",
        cause="A driver, a tool or a permission that is missing, or a device that does not answer.",
        consequence="Those figures are missing, and alerts on them stay silent.",
        action=Action.RESTART_APP,
        first_step="The agent's log names the error; the counter of collector errors names its kind.",
        board="gw-pipeline",
        hold="5m",
        symptom_of=("agents-gone", "facility-gone", "plant-gone"),
        cases=(
            Case("fails", (_collects(0),), ("n1",)),
            Case("works", (_collects(1),)),
        ),
    ),
    Alert(
        name="CollectorStuck",
        expr=max_by(series(own.COLLECTOR_STUCK), *_collector) > 30,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{instance}",
        summary="Collector {collector} of {instance} hangs",
        description="Its present run is {value:duration} over its deadline.",
        cause="A driver call that does not return: often a GPU that is about to be lost.",
        consequence="Its figures are missing; the others go on.",
        action=Action.DRAIN,
        first_step="Look for XIDs on the node; restart the agent if there are none.",
        board="gw-pipeline",
        hold="30s",
        cases=(
            Case("hangs", (given(own.COLLECTOR_STUCK, 90, collector="nvml"),), ("n1",)),
            Case("on time", (given(own.COLLECTOR_STUCK, 0, collector="nvml"),)),
        ),
    ),
    Alert(
        name="ReadingsRejected",
        expr=sum_by(rate(series(own.REJECTED_SAMPLES), "10m"), "site", "job", "instance", "metric") > 0.1,
        severity=Severity.INFO,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="{instance}",
        summary="{instance} reads impossible values of {metric}",
        description="{value:.1f} readings per second are thrown away.",
        cause="A device that answers nonsense, or a profile with a wrong scale.",
        consequence="That figure is missing.",
        action=Action.NONE,
        first_step="Read the device by hand and compare.",
        board="gw-pipeline",
        hold="10m",
        cases=(
            Case(
                "many",
                (given(own.REJECTED_SAMPLES, rising(30), metric="gpu_power_watts", reason="range"),),
                ("n1",),
                at="25m",
            ),
            Case(
                "one",
                (given(own.REJECTED_SAMPLES, turning(0, 5, 1), metric="gpu_power_watts", reason="range"),),
                at="25m",
            ),
        ),
    ),
    Alert(
        name="InventoryRefused",
        expr=max_by(increase(series(site.TOPOLOGY_LOAD_ERRORS), "10m"), "site") > 0,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        summary="The inventory of {site} was refused",
        description="Service discovery could not load the new inventory; the last good one stays in force.",
        cause="A mistake in the file, or an answer of NetBox that breaks a rule.",
        consequence="New nodes are not observed, and those that moved carry their old place.",
        action=Action.NONE,
        first_step="Run: gigawatch inventory check FILE",
        board="gw-pipeline",
        hold="0s",
        cases=(
            Case(
                "refused", (given(site.TOPOLOGY_LOAD_ERRORS, turning(0, 10, 1), job="gigawatch-sd"),), ("s1",)
            ),
            Case("accepted", (given(site.TOPOLOGY_LOAD_ERRORS, 0, job="gigawatch-sd"),)),
        ),
    ),
    Alert(
        name="DiscoveryFailing",
        expr=foreign("increase(prometheus_sd_http_failures_total[5m])", ("site", "job", "instance")) > 1,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Prometheus cannot refresh its list of targets",
        description="About {value:.0f} failed queries of service discovery in five minutes.",
        cause="`gigawatch sd` is down or cannot be reached.",
        consequence="Prometheus goes on with the last list: new nodes are not observed.",
        action=Action.RESTART_APP,
        first_step="Open /sd/agents of the service discovery.",
        board="gw-pipeline",
        hold="2m",
        symptom_of=("sd-gone",),
        cases=(
            Case(
                "fails",
                (other("prometheus_sd_http_failures_total", rising(1), job="prometheus", instance="i1"),),
                ("prometheus",),
            ),
            Case(
                "failed once",
                (
                    other(
                        "prometheus_sd_http_failures_total", turning(0, 5, 1), job="prometheus", instance="i1"
                    ),
                ),
            ),
        ),
    ),
)

_last_run = min_by(age(series(findings.ANALYTICS_LAST_SUCCESS)), "site")
_NOTIFY = ("site", "job", "instance")

ANSWERS = (
    Alert(
        name="AnalyticsStale",
        expr=_last_run > 180,
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
        name="RuleEvaluationFailing",
        expr=foreign(
            "increase(prometheus_rule_evaluation_failures_total[5m])",
            ("site", "job", "instance", "rule_group"),
        )
        > 0,
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        summary="Prometheus cannot evaluate rules",
        description="Failures in {rule_group} within five minutes.",
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
        expr=foreign("increase(prometheus_notifications_errors_total[5m])", _NOTIFY) > 0,
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
        hold="2m",
        cases=(
            Case(
                "fails",
                (other("prometheus_notifications_errors_total", rising(1), job="prometheus", instance="i1"),),
                ("prometheus",),
            ),
            Case(
                "works", (other("prometheus_notifications_errors_total", 0, job="prometheus", instance="i1"),)
            ),
        ),
    ),
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
        expr=max_by(age(series(own.PAGER_HEARTBEAT)), "site") > 180,
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

ALERTS = (*PROCESSES, *ABSENT, *SOURCES, *ANSWERS)
