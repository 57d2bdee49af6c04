"""Cooling that has just come back: what it heated up needs minutes to cool down, and calls nobody meanwhile.

Evaluated after the alerts on cooling, so that each is there before the alert that it goes on for has ended.
What is still hot, slow or lost when the minutes are over has a fault of its own, and pages then.
"""

from __future__ import annotations

from alerts.cases import Case, Given, other
from alerts.model import Action, Alert, Domain, Scope, Severity
from gigawatch.promql import Expr, foreign

LOOP_FAULTS = ("CduFailed", "CoolantFlowLow", "CoolantSupplyHot", "LeakAtCoolantUnit")
RACK_FAULTS = ("InletAirHot",)
NODE_FAULTS = ("LeakInNode", "NodeFanFailed")
AFTERCARE = "10m"
"""Some time constants of what is slow: the water of a loop 2 to 4 minutes, heat sinks in air 1 to 3, and the
minutes in which nodes and GPUs that switched themselves off are brought back."""


def _fault(names: tuple[str, ...], label: str) -> Expr:
    return foreign(
        f'max by (site, {label}) (ALERTS{{alertstate="firing",alertname=~"{"|".join(names)}",{label}!=""}})',
        ("site", label),
    )


def _ended(name: str, minutes: float, **place: str) -> Given:
    """A fault that fired from the second minute on, and so long; two samples a minute."""
    values = f"_x4 1x{round(2 * minutes) - 1} stale"
    return other("ALERTS", values, alertname=name, alertstate="firing", severity="critical", **place)


def _cases(name: str, **place: str) -> tuple[Case, ...]:
    (where,) = place.values()
    return (
        Case("while it lasts", (_ended(name, 20, **place),), (where,), carries=place),
        Case("minutes after", (_ended(name, 4, **place),), (where,), at="14m", carries=place),
        Case("long after", (_ended(name, 4, **place),), at="18m"),
        Case("another fault", (_ended("PumpStopped", 20, **place),)),
    )


ALERTS = (
    Alert(
        name="LoopHeatExplained",
        expr=_fault(LOOP_FAULTS, "loop"),
        severity=Severity.INFO,
        domain=Domain.COOLING,
        scope=Scope.LOOP,
        summary="Pages about heat on loop {loop} wait until its cooling is back for some minutes",
        description="Its cooling fails, or did until a few minutes ago.",
        cause="A coolant unit or pump, flow, supply or a leak: it has a page of its own.",
        consequence="GPUs on the loop that are still hot, slow or lost are told one by one only after that.",
        action=Action.NONE,
        first_step="See on the board that the GPUs of loop {loop} cool down; bring back those that are off.",
        board="gw-facility",
        hold="0s",
        keep=AFTERCARE,
        cases=_cases("CduFailed", loop="loop-1"),
    ),
    Alert(
        name="RackHeatExplained",
        expr=_fault(RACK_FAULTS, "rack"),
        severity=Severity.INFO,
        domain=Domain.COOLING,
        scope=Scope.RACK,
        summary="Tickets about heat in rack {rack} wait until its air is cool for some minutes",
        description="Hot air reaches the rack, or did until a few minutes ago.",
        cause="Its air, which has a page of its own.",
        consequence="What is still warm in the rack is told only after that.",
        action=Action.NONE,
        first_step="See on the board that the nodes of rack {rack} cool down.",
        board="gw-rack",
        hold="0s",
        keep=AFTERCARE,
        cases=_cases("InletAirHot", rack="r1"),
    ),
    Alert(
        name="NodeHeatExplained",
        expr=_fault(NODE_FAULTS, "node"),
        severity=Severity.INFO,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="Pages about heat in {node} wait until its cooling is back for some minutes",
        description="Its fans or its coolant fail, or did until a few minutes ago.",
        cause="A fan or a leak that has a page of its own.",
        consequence="GPUs of the node that are still hot are told one by one only after that.",
        action=Action.NONE,
        first_step="See on the board that the GPUs of {node} cool down.",
        board="gw-node",
        hold="0s",
        keep=AFTERCARE,
        cases=_cases("NodeFanFailed", node="n1"),
    ),
)
