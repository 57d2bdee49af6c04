"""GPUs: memory errors, row remaps, XIDs and what the driver asks for."""

from __future__ import annotations

from alerts import xids
from alerts.cases import Case, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_node, gpu_max
from gigawatch.catalogue import gpu
from gigawatch.promql import Expr, differs, increase, matches, max_by, series

_MUTED = ("node-down", "gpu-lost")


def _rise(codes: str) -> Expr:
    """XIDs seen in the last ten minutes, one series per GPU and code, whoever saw it."""
    counters = series(gpu.GPU_XID_ERRORS, xid=matches(codes))
    return at_node(max_by(increase(counters, "10m"), "site", "rack", "node", "gpu", "uuid", "xid") > 0)


MEMORY = (
    Alert(
        name="GpuEccUncorrected",
        expr=at_node(
            gpu_max(increase(series(gpu.GPU_ECC_ERRORS, severity="uncorrected", scope="volatile"), "10m")) > 0
        ),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="Memory of GPU {gpu} of {node} returned wrong data",
        description="Uncorrected memory errors in the last ten minutes.",
        cause="A memory row that fails. One event may be chance; several are wear or heat.",
        consequence="The application that read it was ended or computed with bad data: {jobs_on_node}. "
        "Checkpoints written since are suspect.",
        action=Action.RESET_GPU,
        first_step="Drain {node}, reset the GPU so that the bad row is replaced, restart the job from a "
        "checkpoint "
        "that is older than the error.",
        board="gw-node",
        hold="0s",
        keep="2m",
        steps=("Look at row remaps: if one failed, exchange the GPU.",),
        rehearse=("ecc-storm",),
        symptom_of=_MUTED,
        cases=(
            Case(
                "first error",
                (given(gpu.GPU_ECC_ERRORS, turning(0, 10, 1), severity="uncorrected", scope="volatile"),),
                ("n1/gpu0",),
                carries={"loop": "loop-1"},
            ),
            Case(
                "none",
                (
                    given(gpu.GPU_ECC_ERRORS, 0, severity="uncorrected", scope="volatile"),
                    given(gpu.GPU_ECC_ERRORS, rising(50), severity="corrected", scope="volatile"),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuEccStorm",
        expr=at_node(
            gpu_max(increase(series(gpu.GPU_ECC_ERRORS, severity="corrected", scope="volatile"), "10m")) > 100
        ),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="{value:.0f} corrected memory errors on GPU {gpu} of {node}",
        description="{value:.0f} memory errors corrected in ten minutes; a healthy GPU has a few per day.",
        cause="A memory row or stack that is failing, sooner when it is hot.",
        consequence="An uncorrected error, which ends the job, becomes likely: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Drain {node} at the end of the running job, then reset the GPU.",
        board="gw-node",
        hold="1m",
        keep="5m",
        rehearse=("ecc-storm",),
        symptom_of=_MUTED,
        cases=(
            Case(
                "storm",
                (given(gpu.GPU_ECC_ERRORS, rising(30), severity="corrected", scope="volatile"),),
                ("n1/gpu0",),
            ),
            Case("a few", (given(gpu.GPU_ECC_ERRORS, rising(0.1), severity="corrected", scope="volatile"),)),
        ),
    ),
    Alert(
        name="GpuRowRemapFailed",
        expr=at_node(gpu_max(series(gpu.GPU_ROW_REMAP_FAILED)).equals(1)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} cannot replace a bad memory row",
        description="A row remap failed: the GPU has no spare left for that bank.",
        cause="Memory is worn out.",
        consequence="Further errors there will end jobs: {jobs_on_node}.",
        action=Action.SERVICE_REQUIRED,
        first_step="Drain {node} and exchange the GPU; NVIDIA's policy counts this as a defect.",
        board="gw-node",
        hold="0s",
        symptom_of=_MUTED,
        rehearse=("ecc-storm",),
        cases=(
            Case("failed", (given(gpu.GPU_ROW_REMAP_FAILED, 1),), ("n1/gpu0",)),
            Case("not needed", (given(gpu.GPU_ROW_REMAP_FAILED, 0),)),
        ),
    ),
    Alert(
        name="GpuRowRemapPending",
        expr=at_node(gpu_max(series(gpu.GPU_ROW_REMAP_PENDING)).equals(1)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} waits for a reset to replace a memory row",
        description="A bad memory row will be replaced at the next reset; until then it stays in use.",
        cause="An uncorrected error, or many corrected ones, in one row.",
        consequence="The same row may fail again before the reset.",
        action=Action.RESET_GPU,
        first_step="Reset the GPU at the next drain of {node}.",
        board="gw-node",
        hold="5m",
        symptom_of=_MUTED,
        rehearse=("ecc-storm",),
        cases=(
            Case("pending", (given(gpu.GPU_ROW_REMAP_PENDING, 1),), ("n1/gpu0",)),
            Case("nothing pending", (given(gpu.GPU_ROW_REMAP_PENDING, 0),)),
        ),
    ),
    Alert(
        name="GpuRowsRemapped",
        expr=at_node(gpu_max(increase(series(gpu.GPU_REMAPPED_ROWS, cause="uncorrected"), "1h")) > 0),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} replaced memory rows",
        description="Rows were replaced because of uncorrected errors within the last hour.",
        cause="Memory that ages. The GPU repairs itself as long as it has spares.",
        consequence="None yet; a GPU that does this repeatedly will fail.",
        action=Action.NONE,
        first_step="Look up how many rows this GPU has replaced so far; from three in 30 days on, plan its "
        "exchange.",
        board="gw-node",
        hold="0s",
        symptom_of=_MUTED,
        rehearse=("ecc-storm",),
        cases=(
            Case(
                "one more",
                (given(gpu.GPU_REMAPPED_ROWS, turning(2, 10, 3), cause="uncorrected"),),
                ("n1/gpu0",),
            ),
            Case("old ones", (given(gpu.GPU_REMAPPED_ROWS, 2, cause="uncorrected"),)),
        ),
    ),
)


def _xid_cases(code: str, other: str) -> tuple[Case, ...]:
    return (
        Case(
            "one event",
            (given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid=code, source="nvml"),),
            ("n1/gpu0",),
            carries={"xid": code, "loop": "loop-1"},
        ),
        Case(
            "an event of another kind",
            (given(gpu.GPU_XID_ERRORS, turning(0, 10, 1), xid=other, source="nvml"),),
        ),
    )


XIDS = (
    Alert(
        name="GpuXidReset",
        expr=_rise(xids.pattern(xids.RESET)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: it needs a reset",
        description="The driver reported XID {xid} within ten minutes.",
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
        expr=_rise(xids.pattern(xids.SERVICE)),
        severity=Severity.CRITICAL,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: hardware is suspected",
        description="The driver reported XID {xid} within ten minutes.",
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
        expr=_rise(xids.pattern(xids.CONTAINED)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: contained",
        description="The driver reported XID {xid} within ten minutes; the hardware dealt with it.",
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
        expr=_rise(xids.pattern(xids.APPLICATION)),
        severity=Severity.INFO,
        domain=Domain.TOKENS,
        scope=Scope.GPU,
        summary="XID {xid} on GPU {gpu} of {node}: likely the application",
        description="The driver reported XID {xid} within ten minutes.",
        cause=f"By code: {xids.listed(xids.APPLICATION)}.",
        consequence="That application failed; the GPU is sound.",
        action=Action.NONE,
        first_step="Tell the owner of the job: {jobs_on_node}.",
        board="gw-job",
        hold="0s",
        symptom_of=_MUTED,
        note="The counter of these codes begins with the first event, so the first one of a GPU raises no "
        "alert.",
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

ALERTS = (*MEMORY, *XIDS)
