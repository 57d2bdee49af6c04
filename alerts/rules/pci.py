"""The PCI bus: links that came up narrow or slow, and errors that its own reporting counts."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both, compare, gpu_min
from gigawatch.catalogue import Metric, gpu, gpu_links
from gigawatch.promql import avg_over_time, increase, join, many_to_one, matches, max_by, series

_MUTED = ("node-down", "gpu-lost")
_GPU = (*NODE, "gpu", "uuid")
_DEVICE = (*NODE, "pci_bus_id")
_width, _speed = (
    many_to_one(
        max_by(series(metric, kind="current"), *_DEVICE),
        "<",
        max_by(series(metric, kind="max"), *_DEVICE),
        _DEVICE,
    )
    for metric in (gpu_links.PCI_LINK_WIDTH, gpu_links.PCI_LINK_SPEED)
)
_ADDRESS = "0000:1b:00.0"


def _about(kind: str) -> Given:
    more = {"driver": "x", "vendor": "", "product": "", "numa": "0"}
    return given(gpu_links.PCI_DEVICE_INFO, 1, pci_bus_id=_ADDRESS, type=kind, **more)


def _link(metric: Metric, current: float, most: float) -> tuple[Given, Given]:
    return (
        given(metric, current, pci_bus_id=_ADDRESS, kind="current"),
        given(metric, most, pci_bus_id=_ADDRESS, kind="max"),
    )


ALERTS = (
    Alert(
        name="GpuPcieLinkSlow",
        expr=at_node(
            both(
                compare(
                    gpu_min(series(gpu_links.GPU_PCIE_LINK_GENERATION, kind="current")),
                    "<",
                    gpu_min(series(gpu_links.GPU_PCIE_LINK_GENERATION, kind="max")),
                    _GPU,
                ),
                gpu_min(avg_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), "10m")) > 0.5,
                *_GPU,
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} runs its PCIe link at generation {value:.0f}",
        description="The GPU is at work, and its link is below its best generation all the same.",
        cause="A link that could not train at full speed: the riser, a retimer, dirt.",
        consequence="Copies to and from the host take twice as long or more: loading, checkpoints.",
        action=Action.DRAIN,
        first_step="Drain {node}, power-cycle it, look at `lspci -vv` (LnkSta) of the GPU.",
        board="gw-node",
        hold="10m",
        steps=("Still slow: reseat the GPU or its riser (service_required).",),
        note="An idle GPU lowers the speed of its link to save power; this alert looks at busy ones only.",
        symptom_of=_MUTED,
        cases=(
            Case(
                "busy and slow",
                (
                    given(gpu_links.GPU_PCIE_LINK_GENERATION, 3, kind="current"),
                    given(gpu_links.GPU_PCIE_LINK_GENERATION, 5, kind="max"),
                    given(gpu.GPU_UTILIZATION, 0.9, engine="gpu"),
                ),
                ("n1/gpu0",),
                at="25m",
            ),
            Case(
                "idle",
                (
                    given(gpu_links.GPU_PCIE_LINK_GENERATION, 1, kind="current"),
                    given(gpu_links.GPU_PCIE_LINK_GENERATION, 5, kind="max"),
                    given(gpu.GPU_UTILIZATION, 0, engine="gpu"),
                ),
                at="25m",
            ),
        ),
    ),
    Alert(
        name="PciLinkDegraded",
        expr=at_node(
            join(
                max_by(_width.or_(_speed), *_DEVICE),
                gpu_links.PCI_DEVICE_INFO,
                _DEVICE,
                ("type",),
                type=matches("network|nvme|nvswitch"),
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="A {type} device of {node} runs on a lesser PCIe link than it could",
        description="{pci_bus_id} has fewer lanes or a lower speed than device and slot allow.",
        cause="A card that is not fully seated, a damaged lane, or a slot narrower than the card.",
        consequence="An adapter that cannot carry its port slows every job that spans nodes: {jobs_on_node}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Look at `lspci -vv -s {pci_bus_id}` (LnkCap, LnkSta); plan a drain and reseat the card.",
        board="gw-node",
        hold="15m",
        note="GPUs have alerts of their own (GpuPcieLinkDegraded, GpuPcieLinkSlow), since they slow down "
        "when "
        "idle. A card that sits in a narrower slot on purpose is silenced once, by its address.",
        symptom_of=("node-down",),
        cases=(
            Case(
                "an adapter on half its lanes",
                (*_link(gpu_links.PCI_LINK_WIDTH, 8, 16), _about("network")),
                ("n1",),
                at="20m",
                carries={"type": "network"},
            ),
            Case(
                "a slow disk",
                (*_link(gpu_links.PCI_LINK_SPEED, 8e9, 16e9), _about("nvme")),
                ("n1",),
                at="20m",
            ),
            Case("an idle GPU", (*_link(gpu_links.PCI_LINK_SPEED, 2.5e9, 32e9), _about("gpu")), at="20m"),
            Case("at its best", (*_link(gpu_links.PCI_LINK_WIDTH, 16, 16), _about("network")), at="20m"),
        ),
    ),
    Alert(
        name="PciErrors",
        expr=at_node(
            join(
                max_by(
                    increase(series(gpu_links.PCI_AER_ERRORS, severity=matches("nonfatal|fatal")), "10m"),
                    *_DEVICE,
                    "severity",
                )
                > 0,
                gpu_links.PCI_DEVICE_INFO,
                _DEVICE,
                ("type",),
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="PCIe counts {severity} errors at a {type} device of {node}",
        description="{pci_bus_id}: errors that the link could not correct, in the last ten minutes.",
        cause="A slot, riser, cable or card that fails; after a surprise removal also the driver.",
        consequence="Transfers are lost; a fatal error takes the device off the bus, and its job with it: "
        "{jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Drain {node} at the end of its job; read the kernel log around AER for {pci_bus_id}.",
        board="gw-node",
        hold="0s",
        keep="10m",
        steps=("Again after a power cycle: reseat, then exchange card or riser (service_required).",),
        symptom_of=_MUTED,
        cases=(
            Case(
                "not corrected",
                (
                    given(
                        gpu_links.PCI_AER_ERRORS,
                        turning(0, 10, 2),
                        pci_bus_id=_ADDRESS,
                        severity="nonfatal",
                    ),
                    _about("gpu"),
                ),
                ("n1",),
                carries={"type": "gpu"},
            ),
            Case(
                "corrected",
                (
                    given(gpu_links.PCI_AER_ERRORS, rising(10), pci_bus_id=_ADDRESS, severity="correctable"),
                    given(gpu_links.PCI_AER_ERRORS, 0, pci_bus_id=_ADDRESS, severity="fatal"),
                    _about("gpu"),
                ),
            ),
        ),
    ),
)
