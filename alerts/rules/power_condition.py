"""The state of UPS and PDUs: batteries that will not last, a bypass, currents that go astray."""

from __future__ import annotations

from alerts.cases import Case, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, at_device, both
from gigawatch.catalogue import electrical, facility
from gigawatch.promql import matches, max_by, min_by, on, series

_online = max_by(series(facility.UPS_STATUS, state="online"), *DEVICE).equals(1)
_bad = max_by(series(electrical.UPS_BATTERY_STATUS, state=matches("low|depleted")), *DEVICE).equals(1)
_short = on(
    min_by(series(facility.UPS_RUNTIME), *DEVICE) < 300,
    "and",
    max_by(series(facility.UPS_CHARGE), *DEVICE) > 0.95,
    "site",
    "device",
)

ALERTS = (
    Alert(
        name="UpsBatteryWeak",
        expr=at_device(both(max_by(_bad.or_(_short * 0 + 1), *DEVICE), _online, "site", "device")),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="The battery of {device} would not last",
        description="On mains the UPS calls its battery low, or its full battery lasts less than five "
        "minutes.",
        cause="Batteries at the end of their life, a string that is out, or more load than planned.",
        consequence="When its feed fails there is no time to stop work in order: {racks_on_feed}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Plan a battery test and the exchange; lower the load until then.",
        board="gw-facility",
        hold="10m",
        cases=(
            Case(
                "calls itself low",
                (
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                    given(electrical.UPS_BATTERY_STATUS, 1, device="ups-a", state="low"),
                ),
                ("utility-a",),
                at="15m",
            ),
            Case(
                "full and short",
                (
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                    given(facility.UPS_CHARGE, 1, device="ups-a"),
                    given(facility.UPS_RUNTIME, 200, device="ups-a"),
                ),
                ("utility-a",),
                at="15m",
            ),
            Case(
                "still charging",
                (
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                    given(facility.UPS_CHARGE, 0.3, device="ups-a"),
                    given(facility.UPS_RUNTIME, 200, device="ups-a"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="UpsOnBypass",
        expr=at_device(max_by(series(facility.UPS_STATUS, state="bypass"), *DEVICE).equals(1)),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="{device} runs on bypass",
        description="The mains feed its load directly; its battery does not stand behind it.",
        cause="Overload, a fault of its inverter, or work on it.",
        consequence="The next dip of the mains reaches the racks: {racks_on_feed}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Ask facility whether work is going on; if not, read the alarms of the UPS.",
        board="gw-facility",
        hold="2m",
        symptom_of=("feed",),
        cases=(
            Case("bypass", (given(facility.UPS_STATUS, 1, device="ups-a", state="bypass"),), ("utility-a",)),
            Case("online", (given(facility.UPS_STATUS, 1, device="ups-a", state="online"),)),
        ),
    ),
    Alert(
        name="UpsAlarms",
        expr=at_device(
            both(max_by(series(electrical.UPS_ALARMS), *DEVICE) > 0, _online, "site", "device"), role="ups"
        ),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="{device} has {value:.0f} alarms of its own",
        description="The UPS runs on mains and reports {value:.0f} alarm conditions.",
        cause="Batteries, fans, temperature or a communication card: it says which on its own page.",
        consequence="It may not be there when its feed fails: {racks_on_feed}.",
        action=Action.NONE,
        first_step="Read its list of alarms.",
        board="gw-facility",
        hold="5m",
        symptom_of=("feed",),
        cases=(
            Case(
                "two",
                (
                    given(electrical.UPS_ALARMS, 2, device="ups-a"),
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                ),
                ("utility-a",),
            ),
            Case(
                "none",
                (
                    given(electrical.UPS_ALARMS, 0, device="ups-a"),
                    given(facility.UPS_STATUS, 1, device="ups-a", state="online"),
                ),
            ),
        ),
    ),
    Alert(
        name="ResidualCurrentHigh",
        expr=at_device(max_by(series(electrical.RESIDUAL_CURRENT), *DEVICE) > 0.1),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        place="{device}",
        summary="{value:.2f} A leave {device} by another way than they should",
        description="Residual current {value:.2f} A; many power supplies together leak some milliamperes "
        "each.",
        cause="A power supply or cable with failing insulation, moisture, or a wrong neutral.",
        consequence="It grows to a short circuit or a fire; where the PDU has a residual current breaker, it "
        "trips.",
        action=Action.SERVICE_REQUIRED,
        first_step="Find the outlet whose load makes it fall. Electricians only.",
        board="gw-facility",
        hold="2m",
        note="A third of the 300 mA that protect against fire; lower it where the PDUs feed few devices.",
        cases=(
            Case(
                "high",
                (given(electrical.RESIDUAL_CURRENT, 0.15, device="pdu-a", rack="r1", side="A"),),
                ("pdu-a",),
            ),
            Case("usual", (given(electrical.RESIDUAL_CURRENT, 0.01, device="pdu-a", rack="r1", side="A"),)),
        ),
    ),
)
