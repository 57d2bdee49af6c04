"""GPU memory that wears out: what its own counters foretell before it costs a job."""

from __future__ import annotations

from alerts.cases import Case, given
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import at_node, gpu_max
from gigawatch.catalogue import gpu
from gigawatch.promql import series

_MUTED = ("node-down", "gpu-lost")

ALERTS = (
    Alert(
        name="GpuSramWornOut",
        expr=at_node(gpu_max(series(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED)).equals(1)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="On-chip memory of GPU {gpu} of {node} is worn out",
        description="It has had more errors than its maker accepts; the driver says so itself.",
        cause="Caches and registers of the GPU that fail. Unlike rows of its memory they have no spares.",
        consequence="Errors there end jobs: {jobs_on_node}, and a reset does not mend them.",
        action=Action.SERVICE_REQUIRED,
        first_step="Drain {node} when its job ends and have the GPU exchanged; the maker counts this as a "
        "defect.",
        board="gw-node",
        hold="0s",
        symptom_of=_MUTED,
        cases=(
            Case("exceeded", (given(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED, 1),), ("n1/gpu0",)),
            Case("not exceeded", (given(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED, 0),)),
        ),
    ),
    Alert(
        name="GpuMemorySparesUsedUp",
        expr=at_node(gpu_max(series(gpu.GPU_ROW_REMAP_BANKS, spare="none")) > 0),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} has memory without spare rows",
        description="{value:.0f} banks of its memory have used up their spare rows.",
        cause="Rows that failed one after the other in the same bank.",
        consequence="The next bad row there cannot be replaced: from then on it ends jobs.",
        action=Action.SERVICE_REQUIRED,
        first_step="Order the exchange of GPU {gpu} ({uuid}) now; drain {node} when the part is there.",
        board="gw-node",
        hold="0s",
        symptom_of=_MUTED,
        cases=(
            Case(
                "one bank",
                (
                    given(gpu.GPU_ROW_REMAP_BANKS, 1, spare="none"),
                    given(gpu.GPU_ROW_REMAP_BANKS, 2559, spare="max"),
                ),
                ("n1/gpu0",),
            ),
            Case(
                "few spares left, but some",
                (
                    given(gpu.GPU_ROW_REMAP_BANKS, 0, spare="none"),
                    given(gpu.GPU_ROW_REMAP_BANKS, 3, spare="low"),
                ),
            ),
        ),
    ),
    Alert(
        name="GpuEccOff",
        expr=at_node(gpu_max(series(gpu.GPU_ECC_ENABLED, when="current")).equals(0)),
        severity=Severity.WARNING,
        domain=Domain.GPU,
        scope=Scope.GPU,
        summary="GPU {gpu} of {node} does not correct memory errors",
        description="ECC is switched off.",
        cause="Somebody switched it off for a little more memory, or a new GPU came so.",
        consequence="Bad memory gives wrong results in silence, and none of its errors is counted.",
        action=Action.RESET_GPU,
        first_step="At the next drain of {node}: nvidia-smi -i {gpu} -e 1, then reset the GPU.",
        board="gw-node",
        hold="15m",
        symptom_of=_MUTED,
        cases=(
            Case("off", (given(gpu.GPU_ECC_ENABLED, 0, when="current"),), ("n1/gpu0",), at="20m"),
            Case(
                "on, but not from the next restart on",
                (
                    given(gpu.GPU_ECC_ENABLED, 1, when="current"),
                    given(gpu.GPU_ECC_ENABLED, 0, when="pending"),
                ),
                at="20m",
            ),
        ),
    ),
)
