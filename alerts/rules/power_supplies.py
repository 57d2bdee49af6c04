"""Power supplies of the servers."""

from __future__ import annotations

from alerts.cases import Case, Given, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    HARDWARE,
    at_bmc,
    at_device,
    without,
)
from alerts.rules.power_terms import DEAD_VOLTS, volt, volts
from gigawatch.catalogue import facility
from gigawatch.promql import (
    matches,
    max_by,
    series,
)

_bad_psu = max_by(
    series(facility.COMPONENT_HEALTH, component=matches("psu.*"), status=matches("warning|critical")),
    *HARDWARE,
).equals(1)
_dead_pdu = max_by(at_device(volts < DEAD_VOLTS, role="rack_pdu"), "site", "rack")


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


ALERTS = (
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
            Case("bad", (_psu("psu2"), volt("pdu-a", 240, "r1"), volt("pdu-b", 240, "r1")), ("n1",)),
            Case("its feed is dead", (_psu("psu2"), volt("pdu-a", 0, "r1"), volt("pdu-b", 240, "r1"))),
            Case("a fan is bad", (_psu("fan2"), volt("pdu-a", 240, "r1"))),
        ),
    ),
)
