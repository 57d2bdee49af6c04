"""The poller of facility devices: many that are silent at once, those on which safety hangs, late polls."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, target
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, at_device, both, without
from gigawatch.catalogue import facility, polling
from gigawatch.promql import (
    count_by,
    counts,
    differs,
    foreign,
    matches,
    max_by,
    min_by,
    on,
    rate,
    series,
    sum_by,
)

_up = foreign('max by (site, hall, rack, device) (up{job="gigawatch-facility"})', DEVICE)
_poll = min_by(series(facility.FACILITY_POLL_UP), *DEVICE)
_silent = _poll.equals(0).or_(_up.equals(0))
_SAFETY = "cdu|leak_detector|manifold"
# Management controllers follow their servers, and there are many of them.
_lost = count_by(at_device(_silent, role=differs("bmc")), "site")
_all = count_by(at_device(_up, role=differs("bmc")), "site")
_endpoint = (*DEVICE, "endpoint")
_late = on(
    max_by(series(polling.POLL_LAG), *_endpoint),
    ">",
    max_by(series(polling.POLL_INTERVAL), *_endpoint),
    *_endpoint,
)
_asked = count_by(max_by(series(polling.POLL_INTERVAL), *_endpoint), "site")
_failures = sum_by(rate(series(polling.POLL_ERRORS), "10m"), *DEVICE)
_polls = sum_by(rate(counts(polling.POLL_DURATION), "10m"), *DEVICE) > 0


def _device(name: str, up: float) -> tuple[Given, ...]:
    return (
        given(facility.FACILITY_POLL_UP, up, device=name),
        target("gigawatch-facility", 1, device=name, hall="h1", instance=name),
    )


def _polled(errors: float) -> tuple[Given, ...]:
    return (
        given(polling.POLL_ERRORS, rising(errors), device="cdu-1", endpoint="modbus", reason="timeout"),
        given(polling.POLL_DURATION, rising(3), device="cdu-1", endpoint="modbus", part="count"),
        given(facility.FACILITY_POLL_UP, 1, device="cdu-1"),
    )


def _lag(seconds: float) -> tuple[Given, ...]:
    return (
        given(polling.POLL_LAG, seconds, device="cdu-1", endpoint="modbus"),
        given(polling.POLL_INTERVAL, 10, device="cdu-1", endpoint="modbus"),
    )


ALERTS = (
    Alert(
        name="CoolingUnobserved",
        expr=at_device(_silent, role=matches(_SAFETY)),
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="{device}",
        summary="{device} has been silent for a quarter of an hour: a leak there would go unseen",
        description="A device that watches for leaks or moves coolant does not answer; its role is {role}.",
        cause="Its management network or its controller; a coolant unit may have lost its power.",
        consequence="Leaks, flow and level there are unobserved; only the margin of the GPUs would still "
        "tell: {gpus_on_loop} GPUs on loop {loop}, least margin {margin_on_loop} K.",
        action=Action.SERVICE_REQUIRED,
        first_step="Send somebody to look at it and at the floor; then repair the way to it.",
        board="gw-facility",
        hold="15m",
        rehearse=("sensor-dead",),
        symptom_of=("facility-gone", "feed", "site-feed", "rack-power", "devices-lost"),
        note="All other devices that are silent make a ticket: FacilityDeviceDown.",
        cases=(
            Case("a coolant unit", _device("cdu-1", 0), ("cdu-1",), at="20m", carries={"loop": "loop-1"}),
            Case("a sensor of air", _device("sensor-1", 0), at="20m"),
            Case("answers", _device("cdu-1", 1), at="20m"),
        ),
    ),
    Alert(
        name="FacilityDevicesLost",
        expr=both(on(_lost, "/", _all, "site") > 0.3, _lost >= 3, "site"),
        severity=Severity.CRITICAL,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        summary="{value:percent} of the facility devices of {site} do not answer",
        description="Power and cooling devices, servers' controllers not counted.",
        cause="The management network, credentials that have changed, or a hall without power.",
        consequence="Power, cooling and leaks are unobserved there.",
        action=Action.SERVICE_REQUIRED,
        first_step="Is the hall without power? If not: switch, firewall or password of the management "
        "network.",
        board="gw-facility",
        hold="3m",
        symptom_of=("facility-gone", "site-feed"),
        cases=(
            Case(
                "most",
                (*_device("ups-a", 0), *_device("pdu-a", 0), *_device("cdu-1", 0), *_device("utility-a", 1)),
                ("s1",),
            ),
            Case(
                "two of four",
                (*_device("ups-a", 0), *_device("pdu-a", 0), *_device("cdu-1", 1), *_device("utility-a", 1)),
            ),
            Case("controllers only", (*_device("bmc-n1", 0), *_device("cdu-1", 1))),
        ),
    ),
    Alert(
        name="PollerBehind",
        expr=count_by(_late, "site") / _asked > 0.1,
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.PROCESS,
        place="facility",
        summary="The poller of {site} is late at {value:percent} of its devices",
        description="They are asked more than one interval later than planned.",
        cause="More devices than one process can ask, many that answer slowly, or a machine that is "
        "overloaded.",
        consequence="Power and cooling are seen late, and so are their alerts.",
        action=Action.NONE,
        first_step="Look at the durations of polls; lengthen intervals or run a second poller.",
        board="gw-pipeline",
        hold="5m",
        symptom_of=("facility-gone",),
        cases=(
            Case("late", _lag(15), ("facility",)),
            Case("in time", _lag(0.2)),
        ),
    ),
    Alert(
        name="DevicePollsFail",
        expr=at_device(
            both(without(_failures / _polls > 0.2, _silent, "site", "device"), _poll, "site", "device")
        ),
        severity=Severity.WARNING,
        domain=Domain.PIPELINE,
        scope=Scope.SITE,
        place="{device}",
        summary="{value:percent} of the polls of {device} fail",
        description="It answers now and again.",
        cause="A bad cable or a lossy network, a controller that is overloaded, or somebody else who polls "
        "it.",
        consequence="Gaps in its readings; short events are missed.",
        action=Action.NONE,
        first_step="poll_errors_total names the reasons; poll it less often, or restart its controller.",
        board="gw-pipeline",
        hold="10m",
        symptom_of=("facility-gone", "feed", "devices-lost", "device-down"),
        cases=(
            Case("every third", _polled(1), ("cdu-1",), at="25m"),
            Case("one in thirty", _polled(0.1), at="25m"),
        ),
    ),
)
