"""Feeds and their UPS."""

from __future__ import annotations

from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    at_device,
    both,
)
from alerts.rules.power_terms import DEAD_VOLTS, FACILITY, volt, volts
from gigawatch.catalogue import facility
from gigawatch.promql import (
    max_by,
    series,
)

_dead_utility = at_device(volts < DEAD_VOLTS, role="utility")
_ups_off = at_device(max_by(series(facility.UPS_STATUS, state="off"), *DEVICE).equals(1), role="ups")
_on_battery = max_by(series(facility.UPS_STATUS, state="on_battery"), *DEVICE).equals(1)
_ups = (*DEVICE,)


ALERTS = (
    Alert(
        name="FeedLost",
        expr=max_by(_dead_utility.or_(_ups_off), "site", "hall", "feed"),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="Feed {feed} has lost its power",
        description="No phase of the intake carries voltage, or the UPS on the feed has switched off.",
        cause="The utility or an upstream breaker failed, or a UPS gave up.",
        consequence="These racks have no redundancy now, and live on their other feed, or on battery for "
        "{battery_of_feed}: {racks_on_feed}. One side alone cannot carry: {overloaded_racks_on_feed}. "
        "Cooling on this feed stops: {cooling_on_feed}. Loops that hang on it alone: {loops_on_feed}; their "
        "first GPU throttles in {throttle_on_feed}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility. Check that the other feed carries the racks below its limits, and watch "
        "the "
        "coolant loops.",
        board="gw-facility",
        hold="30s",
        keep="1m",
        steps=(
            "If the batteries will not last until power returns: stop training jobs after a checkpoint.",
            "Do not switch anything back on before facility has found the cause (arc flash).",
        ),
        rehearse=("feed-lost",),
        owner=FACILITY,
        cases=(
            Case(
                "no voltage",
                (volt("utility-a", turning(240, 10, 0)), volt("utility-b", 240)),
                ("utility-a",),
                carries={"feed": "utility-a", "hall": "h1"},
            ),
            Case(
                "the UPS is off",
                (given(facility.UPS_STATUS, 1, device="ups-a", state="off"), volt("utility-a", 240)),
                ("utility-a",),
            ),
            Case("both carry", (volt("utility-a", 240), volt("utility-b", 238))),
        ),
    ),
    Alert(
        name="UpsOnBattery",
        expr=at_device(_on_battery),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="{device} runs on battery",
        description="The UPS has fed its load from the battery for half a minute.",
        cause="The feed is gone or out of tolerance, or a self-test runs.",
        consequence="Power for its racks ends with the battery: {racks_on_feed}.",
        action=Action.NONE,
        first_step="Is the feed down? If not, ask facility whether a test is running.",
        board="gw-facility",
        hold="30s",
        rehearse=("feed-lost",),
        symptom_of=("feed",),
        cases=(
            Case(
                "on battery",
                (given(facility.UPS_STATUS, 1, device="ups-a", state="on_battery"),),
                ("utility-a",),
                carries={"device": "ups-a"},
            ),
            Case(
                "online",
                (
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                    given(facility.UPS_STATUS, 0, device="ups-a", state="on_battery"),
                ),
            ),
        ),
    ),
    Alert(
        name="UpsBatteryLow",
        expr=at_device(
            both(
                (max_by(series(facility.UPS_CHARGE), *_ups) < 0.3).or_(
                    max_by(series(facility.UPS_RUNTIME), *_ups) < 300
                ),
                _on_battery,
                "site",
                "device",
            )
        ),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="The battery of {device} is nearly empty",
        description="On battery, with less than 30 % of its charge or less than five minutes left.",
        cause="The feed has been gone for long, or the battery is old.",
        consequence="When it is empty its racks have one feed left, or none: {racks_on_feed}.",
        action=Action.DRAIN,
        first_step="Stop training on those racks after a checkpoint; shut down what has only this feed.",
        board="gw-facility",
        hold="15s",
        rehearse=("feed-lost",),
        owner=FACILITY,
        note="Deliberately not muted by FeedLost: it asks for a second decision.",
        cases=(
            Case(
                "nearly empty",
                (
                    given(facility.UPS_STATUS, 1, device="ups-a", state="on_battery"),
                    given(facility.UPS_CHARGE, 0.2, device="ups-a"),
                ),
                ("utility-a",),
            ),
            Case(
                "charging",
                (
                    given(facility.UPS_STATUS, 0, device="ups-a", state="on_battery"),
                    given(facility.UPS_CHARGE, 0.2, device="ups-a"),
                ),
            ),
        ),
    ),
    Alert(
        name="UpsOverloaded",
        expr=at_device(max_by(series(facility.UPS_LOAD), *_ups) > 0.8),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="{device} carries {value:percent} of its rating",
        description="Load {value:percent}; above 80 % there is no reserve for peaks.",
        cause="More load than planned, or the other feed is gone.",
        consequence="A peak can throw it to bypass, without battery behind it: {racks_on_feed}.",
        action=Action.NONE,
        first_step="Look at what grew; lower power limits on its racks if it goes on.",
        board="gw-facility",
        hold="5m",
        symptom_of=("other-feed",),
        cases=(
            Case("overloaded", (given(facility.UPS_LOAD, 0.9, device="ups-a"),), ("utility-a",)),
            Case("half", (given(facility.UPS_LOAD, 0.5, device="ups-a"),)),
        ),
    ),
)
