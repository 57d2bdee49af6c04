"""Rack PDUs, breakers and budgets. A breaker carries 80 % continuously (NEC 210.20)."""

from __future__ import annotations

from alerts.cases import Case, Given, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    DEVICE,
    at_device,
    without,
)
from alerts.rules.power_terms import DEAD_VOLTS, FACILITY, volt, volts
from gigawatch.catalogue import facility, site
from gigawatch.promql import (
    matches,
    max_by,
    min_by,
    one_minus,
    recorded,
    recording,
    series,
)

_pdu_volts = at_device(volts, role="rack_pdu")
_rack_dead = max_by(_pdu_volts, "site", "hall", "rack") < DEAD_VOLTS

# A current that other readings of the same device contradict is no reason to wake somebody.
_load = without(
    recorded(recording.BREAKER_LOAD),
    recorded(recording.CONTRADICTION, kind="volts_amperes", reading=matches("current|voltage")),
    "site",
    "device",
)
_open = max_by(series(facility.BREAKER_STATE, state=matches("tripped|off")), *DEVICE).equals(1)
_high_phase = max_by(series(facility.CURRENT, scope="phase"), *DEVICE)
_low_phase = min_by(series(facility.CURRENT, scope="phase"), *DEVICE)
_spread = one_minus(_low_phase / (_high_phase > 5))


def _pdu_load(amperes: float) -> tuple[Given, ...]:
    return (
        given(facility.CURRENT, amperes, device="pdu-a", rack="r1", side="A", scope="phase", id="L1"),
        given(facility.CURRENT, 20, device="pdu-a", rack="r1", side="A", scope="phase", id="L2"),
        given(facility.BREAKER_RATING, 63, device="pdu-a", rack="r1", side="A", id="main"),
    )


def _beside(watts: float) -> tuple[Given, ...]:
    """The other side of the rack, and what the two may carry."""
    return (
        given(facility.POWER_ACTIVE, watts, device="pdu-b", rack="r1", side="B", scope="inlet", id=""),
        given(facility.POWER_CAPACITY, 17000, device="pdu-a", rack="r1", side="A"),
        given(facility.POWER_CAPACITY, 30000, device="pdu-b", rack="r1", side="B"),
    )


def _lying_pdu() -> tuple[Given, ...]:
    """Ten times the current: 240 A at 240 V, and 5.6 kW."""
    phase = {"device": "pdu-a", "rack": "r1", "side": "A", "scope": "phase", "id": "L1"}
    return (
        given(facility.CURRENT, 240, **phase),
        given(facility.VOLTAGE, 240, **phase),
        given(facility.POWER_ACTIVE, 5600, **phase),
        given(facility.BREAKER_RATING, 63, device="pdu-a", rack="r1", side="A", id="main"),
    )


ALERTS = (
    Alert(
        name="BreakerNearLimit",
        expr=at_device(_load > 0.9),
        severity=Severity.CRITICAL,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="Breaker {id} of {device} in {rack} is at {value:percent} of its rating",
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
        owner=FACILITY,
        note="Steps of our own: ticket from 80 %, page from 90 %.",
        cases=(
            Case("at the limit", _pdu_load(61), ("r1",), carries={"device": "pdu-a", "feed": "utility-a"}),
            Case("ordinary", _pdu_load(24)),
            Case("a current that its own power contradicts", _lying_pdu()),
        ),
    ),
    Alert(
        name="BreakerLoadHigh",
        expr=at_device(_load > 0.8),
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="Breaker {id} of {device} in {rack} is at {value:percent} of its rating",
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
        owner=FACILITY,
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
        owner=FACILITY,
        cases=(
            Case("both dead", (volt("pdu-a", 0, "r1"), volt("pdu-b", 0, "r1")), ("r1",)),
            Case("one dead", (volt("pdu-a", 0, "r1"), volt("pdu-b", 240, "r1"))),
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
        expr=recorded(recording.RACK_FAILOVER) > 1,
        severity=Severity.WARNING,
        domain=Domain.POWER,
        scope=Scope.RACK,
        summary="One feed alone could not carry rack {rack}",
        description="Over both feeds the rack draws {value:percent} of what its smaller side may carry.",
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
                    *_beside(1000),
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
                    *_beside(1000),
                ),
                at="15m",
            ),
            Case(
                "one side is silent",
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
                    *_beside(1000)[1:],
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
