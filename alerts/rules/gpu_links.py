"""NVLink and PCIe of the GPUs."""

from __future__ import annotations

from alerts.cases import Case, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    at_node,
    compare,
    gpu_max,
    gpu_min,
)
from gigawatch.catalogue import gpu_links
from gigawatch.promql import (
    increase,
    max_by,
    rate,
    series,
)

ALERTS = (
    Alert(
        name="GpuNvlinkDown",
        expr=at_node(gpu_min(series(gpu_links.GPU_NVLINK_UP)).equals(0)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="An NVLink of GPU {gpu} of {node} is down",
        description="At least one NVLink of the GPU does not train.",
        cause="A bad link, cable or switch port, or the fabric manager is not running.",
        consequence="Collective operations over this GPU slow down or fail: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Check the fabric manager, then drain {node} and reset its GPUs together.",
        board="gw-node",
        hold="1m",
        steps=("Still down after a reset: reboot. Still down: exchange (service_required).",),
        rehearse=("nvlink-errors",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "one down",
                (given(gpu_links.GPU_NVLINK_UP, 1, link="0"), given(gpu_links.GPU_NVLINK_UP, 0, link="1")),
                ("n1/gpu0",),
            ),
            Case(
                "all up",
                (given(gpu_links.GPU_NVLINK_UP, 1, link="0"), given(gpu_links.GPU_NVLINK_UP, 1, link="1")),
            ),
        ),
    ),
    Alert(
        name="GpuNvlinkErrors",
        expr=at_node(
            max_by(
                increase(series(gpu_links.GPU_NVLINK_ERRORS), "5m"),
                "site",
                "rack",
                "node",
                "gpu",
                "uuid",
                "kind",
            )
            > 10
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="NVLink errors on GPU {gpu} of {node}: {value:.0f} in 5 min",
        description="{value:.0f} errors of kind {kind} in five minutes; a healthy link shows none.",
        cause="A link that is about to fail: dirt, a bad cable or connector, a weak transceiver.",
        consequence="Every repeated packet slows the collective operations of the job: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Watch whether the count keeps rising; if it does, drain {node} and reset the GPU.",
        board="gw-node",
        hold="1m",
        keep="5m",
        rehearse=("nvlink-errors",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "rising",
                (given(gpu_links.GPU_NVLINK_ERRORS, rising(20), link="all", kind="crc"),),
                ("n1/gpu0",),
            ),
            Case("a few", (given(gpu_links.GPU_NVLINK_ERRORS, turning(0, 5, 3), link="all", kind="crc"),)),
        ),
    ),
    Alert(
        name="GpuPcieLinkDegraded",
        expr=at_node(
            compare(
                gpu_min(series(gpu_links.GPU_PCIE_LINK_WIDTH, kind="current")),
                "<",
                gpu_min(series(gpu_links.GPU_PCIE_LINK_WIDTH, kind="max")),
                ("site", "rack", "node", "gpu", "uuid"),
            )
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} runs on {value:.0f} PCIe lanes",
        description="The link came up with {value:.0f} lanes, fewer than the GPU has.",
        cause="A connector that is not fully seated, or a damaged lane.",
        consequence="Copies to and from the host are slower: loading, checkpoints.",
        action=Action.SERVICE_REQUIRED,
        first_step="Plan a drain; reseat the GPU or its riser.",
        board="gw-node",
        hold="10m",
        rehearse=("pcie-degraded",),
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case(
                "half",
                (
                    given(gpu_links.GPU_PCIE_LINK_WIDTH, 8, kind="current"),
                    given(gpu_links.GPU_PCIE_LINK_WIDTH, 16, kind="max"),
                ),
                ("n1/gpu0",),
                at="15m",
            ),
            Case(
                "full",
                (
                    given(gpu_links.GPU_PCIE_LINK_WIDTH, 16, kind="current"),
                    given(gpu_links.GPU_PCIE_LINK_WIDTH, 16, kind="max"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="GpuPcieReplays",
        expr=at_node(gpu_max(rate(series(gpu_links.GPU_PCIE_REPLAYS), "10m")) > 1),
        severity=Severity.INFO,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="PCIe repeats packets for GPU {gpu} of {node}",
        description="{value:.1f} repeated packets per second over ten minutes.",
        cause="A marginal link.",
        consequence="Little by itself; together with XIDs it points at the slot or riser.",
        action=Action.NONE,
        first_step="Note it for the next service of {node}.",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down", "gpu-lost"),
        cases=(
            Case("many", (given(gpu_links.GPU_PCIE_REPLAYS, rising(90)),), ("n1/gpu0",), at="25m"),
            Case("few", (given(gpu_links.GPU_PCIE_REPLAYS, rising(1)),), at="25m"),
        ),
    ),
)
