"""Where the readings come from: devices, collectors, discovery."""

from __future__ import annotations

from alerts.cases import Case, Given, given, other, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    at_device,
)
from gigawatch.catalogue import facility, own, site
from gigawatch.promql import (
    foreign,
    increase,
    max_by,
    min_by,
    rate,
    series,
    sum_by,
)

_collector = ("site", "job", "instance", "collector")
_device_up = foreign('max by (site, hall, rack, device) (up{job="gigawatch-facility"})', DEVICE)
_poll = min_by(series(facility.FACILITY_POLL_UP), *DEVICE)


def _collects(metric_values: float | str) -> Given:
    return given(own.COLLECTOR_UP, metric_values, collector="nvml")


def _queue(values: float) -> Given:
    place = {"node": "", "rack": "", "job": "gigawatch-workload"}
    return given(own.COLLECTOR_UP, values, collector="kubernetes_queue", **place)


ALERTS = (
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
        consequence="What it measures is unobserved, leaks and feeds included; figures that need it (PUE, "
        "the redundancy of its rack) are missing as well.",
        action=Action.NONE,
        first_step="Ping it; try its own web page; look at the poller's log for the reason.",
        board="gw-facility",
        hold="3m",
        rehearse=("sensor-dead",),
        symptom_of=("facility-gone", "feed", "rack-power", "devices-lost"),
        steps=(
            "Its metrics tell which of its ways fails (poll_endpoint_up) and why (poll_errors_total).",
            "While its circuit is open it is asked only now and then: wait a minute after a repair.",
        ),
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
        cause="A driver, a tool or a permission that is missing, or a device or server that does not answer.",
        consequence="Those figures are missing, and alerts on them stay silent.",
        action=Action.RESTART_APP,
        first_step="The log of {job} there names the error; the counter of collector errors names its kind.",
        board="gw-pipeline",
        hold="5m",
        symptom_of=("agents-gone", "facility-gone", "plant-gone"),
        cases=(
            Case("fails", (_collects(0),), ("n1",)),
            Case("the API of a cluster refuses its pods", (_queue(0),), ("i1",)),
            Case("works", (_collects(1), _queue(1))),
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
        cause="`gigawatch sd` or `gigawatch workload` is down or cannot be reached.",
        consequence="Prometheus goes on with the last list: new nodes are not observed.",
        action=Action.RESTART_APP,
        first_step="Open /sd/agents of the service discovery, and /targets of workload.",
        board="gw-pipeline",
        hold="2m",
        symptom_of=("sd-gone", "workload-gone"),
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
