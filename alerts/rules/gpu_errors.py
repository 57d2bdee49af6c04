"""GPUs: memory errors, row remaps, XIDs and what the driver asks for."""

from __future__ import annotations

from alerts.cases import Case, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_node, gpu_max
from alerts.rules import gpu_xids
from gigawatch.catalogue import gpu
from gigawatch.promql import increase, series

_MUTED = ("node-down", "gpu-lost")

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

ALERTS = (*MEMORY, *gpu_xids.ALERTS)
