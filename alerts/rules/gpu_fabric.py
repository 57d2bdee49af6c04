"""NVSwitch: the fabric between the GPUs of a node, as the switches and the GPUs see it."""

from __future__ import annotations

from alerts.cases import Case, given, rising, target
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, appeared, at_node, gpu_max
from gigawatch.catalogue import gpu_links
from gigawatch.promql import matches, max_by, series

_MUTED = ("node-down", "gpu-lost", "nvswitch")
_agent = target("gigawatch-agent", 1, node="n1", rack="r1")


ALERTS = (
    Alert(
        name="NvswitchFatal",
        expr=at_node(
            max_by(appeared(series(gpu_links.NVSWITCH_SXID_ERRORS, severity="fatal"), "10m"), *NODE, "sxid")
        ),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.NODE,
        summary="An NVSwitch of {node} has failed (SXID {sxid})",
        description="The kernel log holds a fatal NVSwitch error of the last ten minutes.",
        cause="A switch or one of its links; less often the fabric manager.",
        consequence="Every job that uses NVLink on the node is lost: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="Drain {node}, restart it, and look whether its GPUs register with the fabric again.",
        board="gw-node",
        hold="0s",
        keep="5m",
        steps=("It returns within 30 days: exchange the base board or the switch tray (service_required).",),
        symptom_of=("node-down",),
        cases=(
            Case(
                "first event of this code",
                (
                    _agent,
                    given(
                        gpu_links.NVSWITCH_SXID_ERRORS,
                        "_x9 1+0x60",
                        pci_bus_id="0000:05:00.0",
                        sxid="20034",
                        severity="fatal",
                    ),
                ),
                ("n1",),
                at="15m",
                step="1m",
                carries={"sxid": "20034", "loop": "loop-1"},
            ),
            Case(
                "an old event of a node that is new here",
                (
                    target("gigawatch-agent", "_x9 1+0x60", node="n1", rack="r1"),
                    given(
                        gpu_links.NVSWITCH_SXID_ERRORS,
                        "_x9 1+0x60",
                        pci_bus_id="0000:05:00.0",
                        sxid="20034",
                        severity="fatal",
                    ),
                ),
                at="15m",
                step="1m",
            ),
            Case(
                "not fatal",
                (
                    _agent,
                    given(
                        gpu_links.NVSWITCH_SXID_ERRORS,
                        rising(1),
                        pci_bus_id="0000:05:00.0",
                        sxid="12028",
                        severity="non_fatal",
                    ),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="GpuFabricUnregistered",
        expr=at_node(
            gpu_max(series(gpu_links.GPU_FABRIC_STATE, state=matches("not_started|in_progress"))).equals(1)
        ),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} is not part of the NVSwitch fabric",
        description="Its registration with the fabric has not been completed for five minutes.",
        cause="The fabric manager does not run, has another version than the driver, or lost a link.",
        consequence="CUDA cannot start on this node: every job that is put there fails.",
        action=Action.DRAIN,
        first_step="On {node}: systemctl status nvidia-fabricmanager; compare its version with the driver's.",
        board="gw-node",
        hold="5m",
        steps=(
            "It does not run: start it, then look whether all GPUs reach `completed`.",
            "It runs and one GPU stays out: drain, reset all GPUs of the node together.",
        ),
        symptom_of=_MUTED,
        cases=(
            Case("waits", (given(gpu_links.GPU_FABRIC_STATE, 1, state="in_progress"),), ("n1/gpu0",)),
            Case(
                "completed",
                (
                    given(gpu_links.GPU_FABRIC_STATE, 1, state="completed"),
                    given(gpu_links.GPU_FABRIC_STATE, 0, state="not_started"),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuFabricUnhealthy",
        expr=at_node(gpu_max(series(gpu_links.GPU_FABRIC_UNHEALTHY), "check").equals(1)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node}: NVSwitch fabric reports {check}",
        description="A check of the fabric has failed for this GPU for two minutes.",
        cause="A link or switch that works with less than it has, or recovers.",
        consequence="Collective operations are slower over this GPU: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Look at NVLink errors of the node's GPUs; drain {node} and reset its GPUs together.",
        board="gw-node",
        hold="2m",
        rehearse=("nvlink-errors",),
        symptom_of=_MUTED,
        cases=(
            Case(
                "less bandwidth",
                (given(gpu_links.GPU_FABRIC_UNHEALTHY, 1, check="degraded_bandwidth"),),
                ("n1/gpu0",),
                carries={"check": "degraded_bandwidth"},
            ),
            Case("healthy", (given(gpu_links.GPU_FABRIC_UNHEALTHY, 0, check="route_unhealthy"),)),
        ),
    ),
    Alert(
        name="GpuNvlinkBitErrors",
        expr=at_node(gpu_max(series(gpu_links.GPU_NVLINK_BIT_ERROR, kind="effective"), "link") > 1e-12),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="NVLink {link} of GPU {gpu} of {node} lets wrong bits through",
        description="{value:.1e} of the bits are wrong after error correction; on a healthy link next to "
        "none "
        "are.",
        cause="A marginal cable, connector or transceiver: error correction is at its end.",
        consequence="Packets are sent again and collectives slow down; the link is likely to fail.",
        action=Action.DRAIN,
        first_step="At the next drain of {node}: reseat the cable or module of link {link}, reset the GPUs.",
        board="gw-node",
        hold="10m",
        symptom_of=_MUTED,
        cases=(
            Case(
                "rising",
                (given(gpu_links.GPU_NVLINK_BIT_ERROR, 1e-9, link="4", kind="effective"),),
                ("n1/gpu0",),
                at="15m",
            ),
            Case(
                "corrected",
                (
                    given(gpu_links.GPU_NVLINK_BIT_ERROR, 1e-7, link="4", kind="symbol"),
                    given(gpu_links.GPU_NVLINK_BIT_ERROR, 1e-15, link="4", kind="effective"),
                ),
                at="15m",
            ),
        ),
    ),
)
