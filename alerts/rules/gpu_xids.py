"""GPUs: XIDs, and what the driver asks for."""

from __future__ import annotations

from alerts import xids
from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import GPU, at_node
from gigawatch.catalogue import gpu
from gigawatch.promql import Expr, age, differs, increase, matches, max_by, min_by, series, sum_by

_MUTED = ("node-down", "gpu-lost")
_CODE = (*GPU, "xid")


def _seen(codes: str) -> Expr:
    """XIDs of the last ten minutes, one series per GPU and code. Each event is counted once, under who told
    first. The time of the last one says what no rise can: a counter that begins with its first event."""
    counters = series(gpu.GPU_XID_ERRORS, xid=matches(codes))
    last = series(gpu.GPU_XID_LAST_TIMESTAMP, xid=matches(codes))
    rose = sum_by(increase(counters, "10m"), *_CODE) > 0
    return at_node(rose.or_(min_by(age(last), *_CODE) < 600))


def _xid_cases(code: str, other: str) -> tuple[Case, ...]:
    return (
        Case(
            "one event",
            (given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid=code, source="nvml"),),
            ("n1/gpu0",),
            carries={"xid": code, "loop": "loop-1"},
        ),
        Case(
            "the first event of a counter, and one that the other source told of",
            (
                given(gpu.GPU_XID_ERRORS, "_x15 1+0x200", xid=code, source="kmsg"),
                given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid=code, source="nvml"),
                given(gpu.GPU_XID_LAST_TIMESTAMP, "_x15 450+0x200", xid=code),
            ),
            ("n1/gpu0",),
        ),
        Case(
            "a GPU that is known by its address alone",
            (
                given(gpu.GPU_XID_ERRORS, 1, xid=code, source="kmsg", gpu="", uuid="pci-0000:1b:00"),
                given(gpu.GPU_XID_LAST_TIMESTAMP, 60, xid=code, gpu="", uuid="pci-0000:1b:00"),
            ),
            ("n1/gpu",),
            at="9m",
        ),
        Case(
            "an old event that a new agent found in the log",
            (
                given(gpu.GPU_XID_ERRORS, 1, xid=code, source="kmsg"),
                given(gpu.GPU_XID_LAST_TIMESTAMP, 60, xid=code),
            ),
            at="15m",
        ),
        Case(
            "an event of another kind",
            (
                given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid=other, source="nvml"),
                given(gpu.GPU_XID_LAST_TIMESTAMP, 300, xid=other),
            ),
        ),
    )


ALERTS = (
    Alert(
        name="GpuXidReset",
        expr=_seen(xids.pattern(xids.RESET)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: it needs a reset",
        description="NVML or the kernel log told of XID {xid} within ten minutes.",
        cause=f"By code: {xids.listed(xids.RESET)}.",
        consequence="The GPU takes no work until it is reset; its job is lost or hangs: {jobs_on_node}.",
        action=Action.RESET_GPU,
        first_step="Drain {node}, then nvidia-smi --gpu-reset -i {gpu}; where NVLink is involved reset all "
        "its GPUs.",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=(
            "If the reset fails or the XID returns within a day: reboot (restart_os).",
            "If it returns after that: service_required.",
        ),
        symptom_of=_MUTED,
        cases=_xid_cases("119", "94"),
    ),
    Alert(
        name="GpuXidHardware",
        expr=_seen(xids.pattern(xids.SERVICE)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: hardware is suspected",
        description="NVML or the kernel log told of XID {xid} within ten minutes.",
        cause=f"By code: {xids.listed(xids.SERVICE)}.",
        consequence="The job on it has failed or will: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Drain {node}, reset the GPU and run the field diagnosis.",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=("Exchange the GPU if the diagnosis fails or the XID returns (service_required).",),
        rehearse=("ecc-storm", "nvlink-errors"),
        symptom_of=_MUTED,
        cases=_xid_cases("48", "31"),
    ),
    Alert(
        name="GpuXidContained",
        expr=_seen(xids.pattern(xids.CONTAINED)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: contained",
        description="NVML or the kernel log told of XID {xid} within ten minutes; the GPU dealt with it.",
        cause=f"By code: {xids.listed(xids.CONTAINED)}.",
        consequence="At most one application was ended. Jobs on the node: {jobs_on_node}.",
        action=Action.RESTART_APP,
        first_step="Restart the application if it ended; reset the GPU at the next drain.",
        board="gw-node",
        hold="0s",
        symptom_of=_MUTED,
        rehearse=("ecc-storm",),
        cases=_xid_cases("94", "79"),
    ),
    Alert(
        name="GpuXidApplication",
        expr=_seen(xids.pattern(xids.APPLICATION)),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: likely the application",
        description="NVML or the kernel log told of XID {xid} within ten minutes.",
        cause=f"By code: {xids.listed(xids.APPLICATION)}.",
        consequence="That application failed; the GPU is sound.",
        action=Action.NONE,
        first_step="Tell the owner of the job: {jobs_on_node}.",
        board="gw-job",
        hold="0s",
        symptom_of=_MUTED,
        cases=_xid_cases("31", "119"),
    ),
    Alert(
        name="GpuRecoveryRequested",
        expr=at_node(
            max_by(
                series(gpu.GPU_RECOVERY_ACTION, action=differs("none")),
                "site",
                "rack",
                "node",
                "gpu",
                "uuid",
                "action",
            ).equals(1)
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="The driver asks for {action} on GPU {gpu} of {node}",
        description="NVML's recovery action is {action}.",
        cause="A fault that the driver has rated itself; XIDs of the same time say which.",
        consequence="The GPU is limited, or will not survive the next job, until the action is done.",
        action=Action.DRAIN,
        first_step="Drain {node} and do what the driver asks for: {action}.",
        board="gw-node",
        hold="1m",
        symptom_of=_MUTED,
        cases=(
            Case(
                "asks for a reset",
                (given(gpu.GPU_RECOVERY_ACTION, 1, action="gpu_reset"),),
                ("n1/gpu0",),
                carries={"action": "gpu_reset"},
            ),
            Case(
                "asks for nothing",
                (
                    given(gpu.GPU_RECOVERY_ACTION, 1, action="none"),
                    given(gpu.GPU_RECOVERY_ACTION, 0, action="gpu_reset"),
                ),
            ),
        ),
    ),
)
