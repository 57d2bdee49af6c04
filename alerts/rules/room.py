"""The room: smoke, doors, and who tries to pass them."""

from __future__ import annotations

from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, device_event
from gigawatch.catalogue import room
from gigawatch.promql import max_by, min_over_time, series

_SECURITY = "security and facility on-call"
_DOOR = (*DEVICE, "door")

ALERTS = (
    Alert(
        name="SmokeDetected",
        expr=max_by(series(room.SMOKE), *DEVICE, "zone").equals(1),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{hall}",
        summary="Smoke in {hall}, zone {zone}",
        description="The smoke detector of zone {zone} at {device} has tripped.",
        cause="Fire, an overheated power supply or cable, or dust from work in the hall.",
        consequence="Extinguishing may be released and power cut by hall: {jobs_in_hall}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Follow the site's fire plan. Nobody enters alone; gas extinguishing kills.",
        board="gw-facility",
        hold="0s",
        keep="2m",
        owner=_SECURITY,
        steps=(
            "Look for what has just failed: a power supply, a breaker, a battery.",
            "If it is confirmed: stop the jobs after a checkpoint, then power off by rack.",
        ),
        note="The fire panel decides, not this page. Detectors that sample the air trip long before others.",
        cases=(
            Case("tripped", (given(room.SMOKE, turning(0, 10, 1), device="panel", zone="z1"),), ("h1",)),
            Case("clear", (given(room.SMOKE, 0, device="panel", zone="z1"),)),
        ),
    ),
    Alert(
        name="DoorOpenLong",
        expr=max_by(min_over_time(series(room.DOOR_OPEN), "5m"), *_DOOR).equals(1),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{device}",
        summary="Door {door} of {device} stands open",
        description="It has been open for a quarter of an hour.",
        cause="Work in the hall, or a door that was not closed or does not latch.",
        consequence="Hot and cold air mix, and anybody can enter.",
        action=Action.NONE,
        first_step="Is work planned there? If not, send somebody to close it.",
        board="gw-facility",
        hold="10m",
        owner=_SECURITY,
        cases=(
            Case("open", (given(room.DOOR_OPEN, 1, device="door-1", door="rear"),), ("door-1",), at="20m"),
            Case(
                "opened and closed",
                (
                    given(
                        room.DOOR_OPEN, "1 1 1 1 0 0 1 1 1 1 0 0 1 1 1 0+0x60", device="door-1", door="rear"
                    ),
                ),
                at="20m",
            ),
        ),
    ),
    Alert(
        name="AccessForced",
        expr=max_by(device_event(series(room.ACCESS_EVENTS, result="forced"), "10m"), *_DOOR),
        severity=Severity.CRITICAL,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{device}",
        summary="Door {door} of {device} was forced",
        description="The access control reports that it was opened without leave.",
        cause="A break-in, somebody in haste, or a door contact that fails.",
        consequence="Somebody may stand at the racks who should not.",
        action=Action.NONE,
        first_step="Call security; look at the cameras of that door before anybody goes there.",
        board="gw-facility",
        hold="0s",
        owner=_SECURITY,
        note="Who it was stays with the access control; here is only where and when.",
        cases=(
            Case(
                "forced",
                (
                    given(
                        room.ACCESS_EVENTS, turning(0, 15, 1), device="door-1", door="rear", result="forced"
                    ),
                ),
                ("door-1",),
            ),
            Case(
                "opened with leave",
                (
                    given(
                        room.ACCESS_EVENTS, turning(0, 15, 1), device="door-1", door="rear", result="granted"
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="AccessDenied",
        expr=max_by(device_event(series(room.ACCESS_EVENTS, result="denied"), "10m"), *_DOOR) > 4.5,
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.SITE,
        place="{device}",
        summary="Somebody tries again and again to pass door {door} of {device}",
        description="About {value:.0f} refused attempts in ten minutes.",
        cause="A card that has expired, or somebody who should not be there.",
        consequence="A technician who is called cannot get in, or an intruder tries.",
        action=Action.NONE,
        first_step="Ask security who stands there.",
        board="gw-facility",
        hold="0s",
        owner=_SECURITY,
        cases=(
            Case(
                "many",
                (
                    given(
                        room.ACCESS_EVENTS, turning(0, 15, 8), device="door-1", door="rear", result="denied"
                    ),
                ),
                ("door-1",),
            ),
            Case(
                "once",
                (
                    given(
                        room.ACCESS_EVENTS, turning(0, 15, 1), device="door-1", door="rear", result="denied"
                    ),
                ),
            ),
        ),
    ),
)
