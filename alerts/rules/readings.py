"""Readings that cannot be right: contradictions, meters that are missing, sensors that are dead."""

from __future__ import annotations

from alerts.cases import Case, Given, given, other, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_device
from gigawatch.catalogue import Metric, facility, site
from gigawatch.promql import many_to_one, max_by, on, recorded, recording, series

_FACILITY = "facility on-call"
_claims = max_by(
    recorded(recording.CONTRADICTION), "site", "hall", "rack", "device", "kind", "liar", "reading", "error"
)
_metered = max_by(series(facility.ENERGY, scope="inlet"), "site", "device")
_unread = on(max_by(series(site.METER_INFO), "site", "device"), "unless", _metered, "site", "device")
_stands = max_by(series(site.DEVICE_INFO), "site", "device", "hall", "rack")
_missing = many_to_one(_unread, "*", _stands, ("site", "device"), ("hall", "rack"))


def _phase(current: float | str, watts: float = 5600) -> tuple[Given, ...]:
    at = {"device": "pdu-a", "rack": "r1", "side": "A", "scope": "phase", "id": "L1"}
    return (
        given(facility.VOLTAGE, 240, **at),
        given(facility.CURRENT, current, **at),
        given(facility.POWER_ACTIVE, watts, **at),
        given(facility.BREAKER_RATING, 63, device="pdu-a", rack="r1", side="A", id="main"),
    )


def _still() -> Given:
    """As the recording rule gives it after a day; its own test plays the day."""
    place = {"hall": "h1", "rack": "r1", "device": "pdu-a"}
    return other(recording.READING_STILL.name, 1, **place, reading="power", id="")


def _inlet(values: str, metric: Metric = facility.POWER_ACTIVE) -> Given:
    return given(metric, values, device="pdu-a", rack="r1", side="A", scope="inlet", id="")


ALERTS = (
    Alert(
        name="ReadingsContradict",
        expr=_claims,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="{liar} most likely tells its {reading} wrongly: {error}",
        description="Readings of {device} contradict each other ({kind}): {liar} tells {value:.3g} times "
        "what it should; {error}.",
        cause="A wrong scale or unit in the profile or in new firmware, a current transformer on the wrong "
        "conductor, or a sensor that drifts.",
        consequence="Limits, bills and PUE that rest on it are wrong; alerts on it may be false or missing.",
        action=Action.NONE,
        first_step="Read it on the device itself or with a clamp meter; then correct the profile or the "
        "sensor.",
        board="gw-facility",
        hold="5m",
        rehearse=("pdu-lies",),
        symptom_of=("facility-gone", "other-feed", "device-down"),
        steps=(
            "An exact factor (10 times, 1/3,600, °F) is a unit or a decimal place: see profile and firmware.",
            "No exact factor: compare with the neighbours on the same feed or loop.",
            "Until then, do not trust limits that rest on this reading.",
        ),
        note="Kinds: volts_amperes (volts times amperes against power), phases and outlets (parts against "
        "the inlet), energy_power (a meter against power), rack_servers and feed_racks (PDUs against servers "
        "and UPS), server_gpus (a controller against its GPUs), heat_flow and heat_power (heat against flow, "
        "or against power), coolant_order (supply and return swapped), fahrenheit. The liar is the source "
        "that disagrees with two that agree; where there are but two, the one more often wrong. A false "
        "current raises no page of BreakerNearLimit.",
        cases=(
            Case(
                "ten times the current",
                _phase(turning(24, 10, 240)),
                ("pdu-a",),
                at="12m",
                carries={"liar": "pdu-a", "reading": "current", "error": "10 times"},
            ),
            Case("as it should be", _phase(24), at="12m"),
        ),
    ),
    Alert(
        name="MeterMissing",
        expr=at_device(_missing),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="Meter {device} tells no energy: there is no PUE of {site}",
        description="The PUE and the cost of energy rest on this meter, and its counter is missing.",
        cause="It is not polled (no endpoint in the inventory), it does not answer, or it has no energy "
        "counter.",
        consequence="PUE and what rests on it are absent rather than wrong.",
        action=Action.NONE,
        first_step="Give it an endpoint in the inventory, or repair the way to it.",
        board="gw-facility",
        hold="15m",
        symptom_of=("facility-gone", "feed", "rack-power", "devices-lost", "device-down"),
        cases=(
            Case(
                "silent",
                (given(site.METER_INFO, 1, device="pdu-a", role="it", job="gigawatch-sd"),),
                ("pdu-a",),
                at="20m",
            ),
            Case(
                "read",
                (
                    given(site.METER_INFO, 1, device="pdu-a", role="it", job="gigawatch-sd"),
                    _inlet("0+60000x200", facility.ENERGY),
                ),
                at="20m",
            ),
        ),
    ),
    Alert(
        name="SensorDead",
        expr=recorded(recording.READING_STILL),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="A sensor of {device} has not moved for a day: {reading} {id}",
        description="Under load this reading must move, and for a day it has had one value.",
        cause="A dead sensor, or a controller that repeats its last value.",
        consequence="What it should warn of goes unseen, and nothing else would tell.",
        action=Action.SERVICE_REQUIRED,
        first_step="Compare with a neighbour or a hand meter; restart the controller, then exchange the "
        "sensor.",
        board="gw-facility",
        hold="5m",
        symptom_of=("facility-gone", "device-down"),
        note="Watched: power and current under load, exhaust and outdoor air, returning coolant. What a "
        "control holds steady is left out.",
        cases=(
            Case("frozen", (_still(),), ("pdu-a",), carries={"reading": "power"}),
            Case("moves", (_inlet("5000+1x60"),)),
        ),
    ),
)
