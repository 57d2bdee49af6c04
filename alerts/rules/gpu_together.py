"""Many GPUs of one node that fail at once: one page for what they share instead of one per GPU.

Evaluated after the other alerts of its group, so that it sees them at the same moment and mutes their pages
before they leave.
"""

from __future__ import annotations

from alerts.cases import Case, Given, other
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node
from alerts.rules import gpu_heat
from gigawatch.promql import count_by, foreign

MANY = 3
_shared = "|".join(alert.name for alert in gpu_heat.ALERTS if alert.together)
_sick = foreign(
    'max by (site, rack, node, gpu) (ALERTS{alertstate="firing",severity="critical",scope="gpu",'
    f'alertname!~"{_shared}"}})',
    (*NODE, "gpu"),
)


def _pages(*gpus: int, name: str = "GpuNvlinkDown", severity: str = "critical") -> tuple[Given, ...]:
    labels = {"alertstate": "firing", "alertname": name, "severity": severity, "scope": "gpu"}
    return tuple(
        other("ALERTS", 1, **labels, rack="r1", node="n1", gpu=str(i), place=f"n1/gpu{i}") for i in gpus
    )


ALERTS = (
    Alert(
        name="GpusFailTogether",
        expr=at_node(count_by(_sick, *NODE) >= MANY),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.NODE,
        summary="{value:.0f} GPUs of {node} fail together",
        description="GPUs {gpus_paged_on_node} have pages open at the same time: {gpu_pages_on_node}.",
        cause="What they share: the NVSwitch fabric or its manager, the driver, a PCIe switch, the node's "
        "power.",
        consequence="No job on the node survives it: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="Drain {node}; read the kernel log from the first error on, then power-cycle the node.",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=(
            "Links only: look at the fabric manager and at NVSwitch errors (SXID) before the restart.",
            "Comes back after the restart: treat the base board, not the single GPUs (service_required).",
        ),
        note="The pages of the single GPUs are muted meanwhile; the board lists them. Two GPUs are still two "
        "pages: that happens by chance. Hot GPUs share a page of their own.",
        symptom_of=("node-down", "rack-power", "loop-cooling", "nvswitch"),
        cases=(
            Case("links of four GPUs", _pages(0, 1, 2, 3), ("n1",), carries={"loop": "loop-1"}),
            Case(
                "three GPUs, two kinds of alert",
                (*_pages(0, 1), *_pages(1, 5, name="GpuXidReset")),
                ("n1",),
            ),
            Case("two GPUs", (*_pages(0, 1), *_pages(1, name="GpuXidReset"))),
            Case("heat", _pages(0, 1, 2, 3, name="GpuThermalSlowdown")),
            Case("tickets", _pages(0, 1, 2, 3, name="GpuNvlinkErrors", severity="warning")),
        ),
    ),
)
