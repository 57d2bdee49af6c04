"""Power: feeds, UPS, rack PDUs, power supplies, budgets. A breaker carries 80 % continuously (NEC 210.20)."""

from __future__ import annotations

from alerts.cases import Case, Given, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import DEVICE, HARDWARE, at_bmc, at_device, both, without
from gigawatch.catalogue import facility, site
from gigawatch.promql import (
    Expr,
    many_to_one,
    matches,
    max_by,
    min_by,
    one_minus,
    recorded,
    recording,
    series,
    sum_by,
)

_FACILITY = "facility and IT on-call"
_DEAD_VOLTS = 100
"""Below this a phase counts as dead at every line-to-neutral voltage in use (120 to 277 V)."""

_volts = max_by(series(facility.VOLTAGE), *DEVICE)
_dead_utility = at_device(_volts < _DEAD_VOLTS, role="utility")
_ups_off = at_device(max_by(series(facility.UPS_STATUS, state="off"), *DEVICE).equals(1), role="ups")
_pdu_volts = at_device(_volts, role="rack_pdu")
_rack_dead = max_by(_pdu_volts, "site", "hall", "rack") < _DEAD_VOLTS
_on_battery = max_by(series(facility.UPS_STATUS, state="on_battery"), *DEVICE).equals(1)
_ups = (*DEVICE,)


def _volt(device: str, value: float | str, rack: str = "") -> Given:
    return given(
        facility.VOLTAGE, value, device=device, rack=rack, side=device[-1].upper(), scope="phase", id="L1"
    )


FEEDS = (
    Alert(
        name="FeedLost",
        expr=max_by(_dead_utility.or_(_ups_off), "site", "hall", "feed"),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.FEED,
        summary="Feed {feed} has lost its power",
        description="No phase of the intake carries voltage, or the UPS on the feed has switched off.",
        cause="The utility or an upstream breaker failed, or a UPS gave up.",
        consequence="Racks on it live on their other feed, or on battery for minutes: {racks_on_feed}. "
        "Coolant units "
        "and chillers on this feed stop.",
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
        owner=_FACILITY,
        cases=(
            Case(
                "no voltage",
                (_volt("utility-a", turning(240, 10, 0)), _volt("utility-b", 240)),
                ("utility-a",),
                carries={"feed": "utility-a", "hall": "h1"},
            ),
            Case(
                "the UPS is off",
                (given(facility.UPS_STATUS, 1, device="ups-a", state="off"), _volt("utility-a", 240)),
                ("utility-a",),
            ),
            Case("both carry", (_volt("utility-a", 240), _volt("utility-b", 238))),
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
        owner=_FACILITY,
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

_current = max_by(series(facility.CURRENT, scope="phase"), *DEVICE)
_rating = min_by(series(facility.BREAKER_RATING), "site", "device")
_load = many_to_one(_current, "/", _rating, ("site", "device"))
_open = max_by(series(facility.BREAKER_STATE, state=matches("tripped|off")), *DEVICE).equals(1)
_low_phase = min_by(series(facility.CURRENT, scope="phase"), *DEVICE)
_spread = one_minus(_low_phase / (_current > 5))
_side_capacity = sum_by(
    at_device(max_by(series(facility.POWER_CAPACITY), *DEVICE, "side"), role="rack_pdu"),
    "site",
    "rack",
    "side",
)


def _pdu_load(amperes: float) -> tuple[Given, ...]:
    return (
        given(facility.CURRENT, amperes, device="pdu-a", rack="r1", side="A", scope="phase", id="L1"),
        given(facility.CURRENT, 20, device="pdu-a", rack="r1", side="A", scope="phase", id="L2"),
        given(facility.BREAKER_RATING, 63, device="pdu-a", rack="r1", side="A", id="main"),
    )


RACKS = (
    Alert(
        name="BreakerNearLimit",
        expr=at_device(_load > 0.9),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="{device} in {rack} is at {value:percent} of its breaker",
        description="The highest phase carries {value:percent} of the breaker's rating; 80 % is its "
        "continuous limit.",
        cause="Foreign load on the PDU, phases out of balance, or the other feed is gone.",
        consequence="The breaker trips within minutes, at 100 % and above sooner. Then the rack hangs on "
        "one feed: "
        "{gpus_in_rack} GPUs, jobs {jobs_in_rack}.",
        action=Action.NONE,
        first_step="Lower the power limit of the rack's GPUs now: nvidia-smi -pl on each node; then find "
        "the load.",
        board="gw-rack",
        hold="1m",
        steps=("Unplug what does not belong there.", "Move single-phase load to the phase with the least."),
        rehearse=("breaker-limit",),
        owner=_FACILITY,
        note="Steps of our own: ticket from 80 %, page from 90 %.",
        cases=(
            Case("at the limit", _pdu_load(61), ("r1",), carries={"device": "pdu-a", "feed": "utility-a"}),
            Case("ordinary", _pdu_load(24)),
        ),
    ),
    Alert(
        name="BreakerLoadHigh",
        expr=at_device(_load > 0.8),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="{device} in {rack} is at {value:percent} of its breaker",
        description="The highest phase carries {value:percent} of the breaker's rating for minutes.",
        cause="More load than planned on this phase.",
        consequence="No reserve: if the other feed fails, this breaker trips as well. GPUs in the rack: "
        "{gpus_in_rack}.",
        action=Action.NONE,
        first_step="Compare the phases; move load, or lower power limits.",
        board="gw-rack",
        hold="5m",
        rehearse=("breaker-limit",),
        symptom_of=("other-feed",),
        cases=(
            Case("high", _pdu_load(53), ("r1",)),
            Case("ordinary", _pdu_load(40)),
        ),
    ),
    Alert(
        name="BreakerTripped",
        expr=at_device(_open),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="A breaker of {device} in {rack} is open",
        description="The PDU reports a breaker as tripped or off.",
        cause="Overload, a short circuit in a power supply, or somebody switched it off.",
        consequence="The rack hangs on its other feed alone: {gpus_in_rack} GPUs, jobs {jobs_in_rack}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Do not close it before the cause is found. Check the load of the other PDU.",
        board="gw-rack",
        hold="10s",
        owner=_FACILITY,
        symptom_of=("feed", "rack-power"),
        cases=(
            Case(
                "tripped",
                (
                    given(
                        facility.BREAKER_STATE,
                        1,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        id="main",
                        state="tripped",
                    ),
                ),
                ("r1",),
                carries={"feed": "utility-a"},
            ),
            Case(
                "closed",
                (
                    given(
                        facility.BREAKER_STATE,
                        1,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        id="main",
                        state="normal",
                    ),
                ),
            ),
        ),
    ),
    Alert(
        name="RackPowerLost",
        expr=_rack_dead,
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="Rack {rack} has no power",
        description="None of its PDUs carries voltage.",
        cause="Both feeds are gone, or both breakers have tripped.",
        consequence="Everything in it is off: its nodes, their GPUs and their jobs.",
        action=Action.SERVICE_REQUIRED,
        first_step="Call facility; do not switch on before they agree.",
        board="gw-rack",
        hold="10s",
        owner=_FACILITY,
        cases=(
            Case("both dead", (_volt("pdu-a", 0, "r1"), _volt("pdu-b", 0, "r1")), ("r1",)),
            Case("one dead", (_volt("pdu-a", 0, "r1"), _volt("pdu-b", 240, "r1"))),
        ),
    ),
    Alert(
        name="RackOverBudget",
        expr=recorded(recording.RACK_BUDGET_USED) > 1,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="Rack {rack} draws {value:percent} of its budget",
        description="Power into the rack is {value:percent} of what was planned for it.",
        cause="More or hungrier load than planned.",
        consequence="Feeds and cooling of the row were sized for the plan: {gpus_in_rack} GPUs share the "
        "risk.",
        action=Action.NONE,
        first_step="Lower power limits, or correct the plan if feeds and cooling allow it.",
        board="gw-rack",
        hold="5m",
        cases=(
            Case(
                "over",
                (
                    given(
                        facility.POWER_ACTIVE,
                        34000,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.POWER_BUDGET, 30000, rack="r1", hall="h1"),
                ),
                ("r1",),
            ),
            Case(
                "within",
                (
                    given(
                        facility.POWER_ACTIVE,
                        20000,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.POWER_BUDGET, 30000, rack="r1", hall="h1"),
                ),
            ),
        ),
    ),
    Alert(
        name="RackWithoutRedundancy",
        expr=many_to_one(
            recorded(recording.RACK_POWER), ">", min_by(_side_capacity, "site", "rack"), ("site", "rack")
        ),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="One feed alone could not carry rack {rack}",
        description="The rack draws {value:si}W over both feeds, more than the smaller side may carry.",
        cause="The rack was filled up beyond what 2N allows.",
        consequence="If a feed fails, the other one trips and the rack goes dark: {gpus_in_rack} GPUs.",
        action=Action.NONE,
        first_step="Lower power limits or move load until one side suffices.",
        board="gw-rack",
        hold="10m",
        cases=(
            Case(
                "too much",
                (
                    given(
                        facility.POWER_ACTIVE,
                        20000,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(facility.POWER_CAPACITY, 17000, device="pdu-a", rack="r1", side="A"),
                    given(facility.POWER_CAPACITY, 30000, device="pdu-b", rack="r1", side="B"),
                ),
                ("r1",),
                at="15m",
            ),
            Case(
                "enough",
                (
                    given(
                        facility.POWER_ACTIVE,
                        10000,
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(facility.POWER_CAPACITY, 17000, device="pdu-a", rack="r1", side="A"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="PhaseImbalance",
        expr=at_device(_spread > 0.3),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="Phases of {device} in {rack} differ by {value:percent}",
        description="The lowest phase carries {value:percent} less than the highest one.",
        cause="Single-phase load on one phase, or a power supply that is gone.",
        consequence="The highest phase reaches its breaker while the PDU's total looks harmless.",
        action=Action.NONE,
        first_step="Move single-phase load to the phase with the least.",
        board="gw-rack",
        hold="15m",
        symptom_of=("feed",),
        rehearse=("breaker-limit",),
        note="20 % is the usual line; 30 % leaves room for servers with few power supplies.",
        cases=(
            Case("out of balance", _pdu_load(40), ("r1",), at="20m"),
            Case("balanced", _pdu_load(21), at="20m"),
        ),
    ),
)

_bad_psu = max_by(
    series(facility.COMPONENT_HEALTH, component=matches("psu.*"), status=matches("warning|critical")),
    *HARDWARE,
).equals(1)
_dead_pdu = max_by(at_device(_volts < _DEAD_VOLTS, role="rack_pdu"), "site", "rack")


def _psu(component: str) -> Given:
    return given(
        facility.COMPONENT_HEALTH,
        1,
        device="bmc-n1",
        rack="r1",
        node="n1",
        component=component,
        status="critical",
    )


SUPPLY = (
    Alert(
        name="PsuLost",
        expr=at_bmc(without(_bad_psu, _dead_pdu, "site", "rack")),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.NODE,
        summary="A power supply of {node} is gone",
        description="The management controller reports a power supply as bad while the rack's PDUs have "
        "voltage.",
        cause="The power supply died, or its cable or outlet is dead.",
        consequence="The node has lost its redundancy; one more and it goes dark: {jobs_on_node}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Check cable and outlet, then exchange the power supply (it can be done while the node "
        "runs).",
        board="gw-node",
        hold="15s",
        rehearse=("psu-lost",),
        symptom_of=("rack-power",),
        cases=(
            Case("bad", (_psu("psu2"), _volt("pdu-a", 240, "r1"), _volt("pdu-b", 240, "r1")), ("n1",)),
            Case("its feed is dead", (_psu("psu2"), _volt("pdu-a", 0, "r1"), _volt("pdu-b", 240, "r1"))),
            Case("a fan is bad", (_psu("fan2"), _volt("pdu-a", 240, "r1"))),
        ),
    ),
    Alert(
        name="PueImplausible",
        expr=Expr(
            f"{recorded(recording.SITE_PUE).text} < 0.98 or {recorded(recording.SITE_PUE).text} > 3",
            frozenset({"site"}),
            atom=False,
        ),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.SITE,
        summary="The PUE of {site} is {value:.2f}: a meter is wrong",
        description="Bought energy divided by energy to the racks gives {value:.2f}; below 1 it cannot be, "
        "above 3 it "
        "is not credible.",
        cause="A meter that is not read, counted twice, or scaled wrongly.",
        consequence="Every cost and efficiency figure that rests on it is wrong.",
        action=Action.NONE,
        first_step="Compare each meter of the facility board with its neighbours.",
        board="gw-facility",
        hold="15m",
        cases=(
            Case(
                "below one",
                (
                    given(facility.ENERGY, "0+30000x200", device="utility-a", side="A", scope="inlet", id=""),
                    given(
                        facility.ENERGY,
                        "0+60000x200",
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.METER_INFO, 1, device="utility-a", role="facility"),
                    given(site.METER_INFO, 1, device="pdu-a", role="it"),
                ),
                ("s1",),
                at="25m",
            ),
            Case(
                "plausible",
                (
                    given(facility.ENERGY, "0+75000x200", device="utility-a", side="A", scope="inlet", id=""),
                    given(
                        facility.ENERGY,
                        "0+60000x200",
                        device="pdu-a",
                        rack="r1",
                        side="A",
                        scope="inlet",
                        id="",
                    ),
                    given(site.METER_INFO, 1, device="utility-a", role="facility"),
                    given(site.METER_INFO, 1, device="pdu-a", role="it"),
                ),
                at="25m",
            ),
        ),
    ),
)

ALERTS = (*FEEDS, *RACKS, *SUPPLY)
