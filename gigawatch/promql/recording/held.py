"""GPU by holder: what share of a GPU each job holds, and which shares lie idle.

A GPU is shared by time slicing, or cut up by MIG, and its power and load are known for the whole only. So a
GPU that n holders share counts 1/n to each of them, and sums over jobs, users or namespaces never exceed the
device. Where Slurm runs inside Kubernetes, the pod that holds the GPU is Slurm's own: its job counts alone.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, workload
from gigawatch.promql.expr import (
    Expr,
    Match,
    before,
    below,
    count_by,
    differs,
    many_to_one,
    matches,
    max_by,
    max_over_time,
    on,
    series,
)
from gigawatch.promql.recording.common import NODE
from gigawatch.promql.rule import Recorded, recorded

IDLE = 0.01
"""Utilisation below which a GPU does nothing."""
IDLE_SPAN = "15m"
_DEVICE = ("site", "uuid")
_HOLDER = (*NODE, "gpu", "uuid", "namespace", "job_id", "user")


def _rows(scheduler: str | Match) -> Expr:
    """One series for each part of a GPU that a job holds: containers of one pod are one holder."""
    rows = series(workload.GPU_ALLOCATION_INFO, scheduler=scheduler, job_id=matches(".+"))
    return max_by(rows, *_HOLDER, "mig_uuid")


_by_slurm = max_by(series(workload.GPU_ALLOCATION_INFO, scheduler="slurm", job_id=matches(".+")), *_DEVICE)
_parts = _rows("slurm").or_(on(_rows(differs("slurm")), "unless", _by_slurm, *_DEVICE))
GPU_SHARE = Recorded(
    "gpu:aif_gpu_share:holder",
    many_to_one(count_by(_parts, *_HOLDER), "/", count_by(_parts, *_DEVICE), _DEVICE).in_unit(Unit.RATIO),
    "Share of a GPU that a job holds; the shares of one GPU add up to 1.",
    Unit.RATIO,
)
GPU_BUSIEST = Recorded(
    "gpu:aif_gpu_utilization_ratio:max15m",
    max_by(max_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), IDLE_SPAN), *_DEVICE),
    "Highest utilisation of a GPU in the last 15 minutes.",
    Unit.RATIO,
)
GPU_SHARE_IDLE = Recorded(
    "gpu:aif_gpu_share:idle15m",
    many_to_one(
        on(recorded(GPU_SHARE), "and", before(recorded(GPU_SHARE), IDLE_SPAN), *_HOLDER),
        "*",
        below(recorded(GPU_BUSIEST), IDLE),
        _DEVICE,
    ).or_(recorded(GPU_SHARE) * 0),
    "Share of a GPU that a job has held for 15 minutes in which the GPU did nothing (below 1 %); else 0.",
    Unit.RATIO,
)
