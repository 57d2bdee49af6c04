"""GPUs that are gone, hang, or never came up."""

from __future__ import annotations

from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import (
    at_node,
    gpu_max,
    gpu_min,
    gpu_sum,
)
from gigawatch.catalogue import gpu, site
from gigawatch.promql import (
    age,
    increase,
    many_to_one,
    matches,
    max_by,
    series,
)

_lost = gpu_max(series(gpu.GPU_STATE, state="lost")).equals(1)
_xid_79 = gpu_sum(increase(series(gpu.GPU_XID_ERRORS, xid="79"), "3m")) > 0
_just_fell = gpu_min(age(series(gpu.GPU_XID_LAST_TIMESTAMP, xid="79"))) < 180
_not_ok = gpu_max(series(gpu.GPU_STATE, state=matches("hung|reset_required"))).equals(1)
_visible = max_by(series(gpu.GPUS_VISIBLE, source="nvml"), "site", "rack", "node")
_expected = max_by(series(site.GPUS_EXPECTED), "site", "node")

ALERTS = (
    Alert(
        name="GpuFellOffBus",
        expr=at_node(_lost.or_(_xid_79).or_(_just_fell)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} fell off the bus (XID 79)",
        description="The driver lost contact with GPU {gpu} ({uuid}); it answers no more.",
        cause="Power or PCIe trouble of the GPU, overheating, or a defect of the board.",
        consequence="Whatever ran on it is lost and its job hangs or fails: {jobs_on_node}. The other GPUs "
        "of the node often follow.",
        action=Action.RESTART_OS,
        first_step="Drain {node} now, then power-cycle it (a warm reboot often does not bring the GPU back).",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=(
            "If it is back: run the field diagnosis before you return the node to service.",
            "If it is gone again, or for the second time in 30 days: exchange it (service_required).",
        ),
        rehearse=("xid-79",),
        symptom_of=("node-down", "rack-power", "loop-cooling"),
        cases=(
            Case(
                "lost",
                (given(gpu.GPU_STATE, turning(0, 10, 1), state="lost", gpu="3"),),
                ("n1/gpu3",),
                carries={"loop": "loop-1", "row": "a", "rack": "r1", "node": "n1"},
            ),
            Case(
                "seen in the kernel log",
                (given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid="79", source="kmsg"),),
                ("n1/gpu0",),
                at="6m",
            ),
            Case(
                "fell before the driver could name it",
                (given(gpu.GPU_XID_LAST_TIMESTAMP, 300, xid="79", gpu="", uuid="pci-0000:1b:00"),),
                ("n1/gpu",),
                at="6m",
            ),
            Case(
                "counter at zero from the start",
                (
                    given(gpu.GPU_XID_ERRORS, 0, xid="79", source="nvml"),
                    given(gpu.GPU_STATE, 0, state="lost"),
                ),
            ),
            Case(
                "an old event, seen at the first scrape",
                (
                    given(gpu.GPU_XID_ERRORS, 1, xid="79", source="kmsg"),
                    given(gpu.GPU_XID_LAST_TIMESTAMP, 60, xid="79"),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuHung",
        expr=at_node(_not_ok),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} hangs or asks for a reset",
        description="The driver still sees the GPU, but it takes no work.",
        cause="A fault that the driver cannot clear by itself; the XIDs of the last minutes say which.",
        consequence="Its job stands still: {jobs_on_node}.",
        action=Action.RESET_GPU,
        first_step="Drain {node}, then reset the GPU: nvidia-smi --gpu-reset -i {gpu}",
        board="gw-node",
        hold="30s",
        symptom_of=("node-down", "gpu-lost", "loop-cooling"),
        cases=(
            Case("hangs", (given(gpu.GPU_STATE, 1, state="hung"),), ("n1/gpu0",)),
            Case("works", (given(gpu.GPU_STATE, 1, state="ok"), given(gpu.GPU_STATE, 0, state="hung"))),
        ),
    ),
    Alert(
        name="GpuMissing",
        expr=at_node(many_to_one(_visible, "<", _expected, ("site", "node"))),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.NODE,
        summary="{node} shows {value:.0f} GPUs, fewer than it has",
        description="The driver sees {value:.0f} GPUs; the inventory says that the node has more.",
        cause="A GPU that did not come up after a boot, or that fell off the bus.",
        consequence="Jobs that need the whole node cannot start or have failed: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="Compare `lspci` with `nvidia-smi -L`: missing on both means hardware, on one the driver.",
        board="gw-node",
        hold="2m",
        steps=("Drain and power-cycle the node.", "Still missing: reseat, then exchange the GPU."),
        note="If the inventory is wrong, mend the inventory: this alert and capacity planning both rest on "
        "it.",
        rehearse=("xid-79",),
        symptom_of=("node-down", "gpu-lost", "gpu-hung", "rack-power", "loop-cooling"),
        cases=(
            Case(
                "one short",
                (
                    given(gpu.GPUS_VISIBLE, 7, source="nvml"),
                    given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),
                ),
                ("n1",),
            ),
            Case(
                "all there",
                (
                    given(gpu.GPUS_VISIBLE, 8, source="nvml"),
                    given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),
                ),
            ),
            Case("the node is silent", (given(site.GPUS_EXPECTED, 8, node="n1", rack="r1"),)),
        ),
    ),
)
