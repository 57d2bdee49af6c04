"""Of all GPUs: which are allocated, which are busy, which get something done. Three figures, never one.

- allocated: a job holds it, or an engine is known to run on it;
- busy: the share of time in which it worked at all, useful or not, over five minutes;
- productive: the share of time in which what holds it made progress: a training job its goodput of the last
  hour, an engine 1 if tokens came in five minutes, else 0. Never more than what is allocated;
- telling: allocated GPUs whose job or engine reports progress at all. Where this is less than allocated, some
  GPUs may be productive without anybody knowing.
"""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.catalogue import Unit, gpu, gpu_activity, inference, site
from gigawatch.promql.expr import (
    Expr,
    above,
    avg_over_time,
    clamp_max,
    count_by,
    many_to_one,
    max_by,
    on,
    rate,
    series,
    sum_by,
)
from gigawatch.promql.joins import otherwise
from gigawatch.promql.recording.common import LONG_WINDOW, RACK, SITE
from gigawatch.promql.recording.gpu import GPU_PLACE
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.recording.replica import GPU_REPLICA_SHARE, HEAD, headed
from gigawatch.promql.recording.training import JOB_GOODPUT
from gigawatch.promql.rule import Recorded, recorded

_DEVICE = ("site", "uuid")
_JOB = ("site", "job_id")


@dataclass(frozen=True, slots=True)
class Split:
    """Shares of all GPUs of a place; what each means stands at the head of this file."""

    allocated: Recorded
    busy: Recorded
    productive: Recorded
    telling: Recorded


_load = series(gpu.GPU_UTILIZATION, engine="gpu")
GPU_BUSY = Recorded(
    "gpu:aif_gpu_utilization_ratio:avg5m",
    otherwise(
        max_by(avg_over_time(_load, LONG_WINDOW), *_DEVICE),
        max_by(avg_over_time(series(gpu_activity.GPU_GRAPHICS_ACTIVE), LONG_WINDOW), *_DEVICE),
        *_DEVICE,
    ),
    "Share of five minutes in which a GPU worked at all.",
    Unit.RATIO,
)
_trained = sum_by(
    many_to_one(
        sum_by(recorded(GPU_SHARE), *_DEVICE, "job_id"), "*", clamp_max(recorded(JOB_GOODPUT), 1), _JOB
    ),
    *_DEVICE,
)
# Engines that only read prompts (disaggregated serving, embeddings) get something done as well.
_at_work = above(max_by(headed(rate(series(inference.INFERENCE_TOKENS), LONG_WINDOW)), *HEAD), 0)
_serving = recorded(GPU_REPLICA_SHARE)
_generated = sum_by(_serving, *_DEVICE) * max_by(many_to_one(_serving * 0 + 1, "*", _at_work, HEAD), *_DEVICE)
GPU_PRODUCTIVE = Recorded(
    "gpu:aif_gpu:productive",
    clamp_max((_trained + _generated).or_(_trained).or_(_generated), 1).in_unit(Unit.RATIO),
    "Share of time in which what holds a GPU made progress: the goodput of training jobs (last hour), the "
    "share that engines have in it if tokens came in five minutes. Absent where neither reports.",
    Unit.RATIO,
)
_held = max_by(recorded(GPU_SHARE), *_DEVICE).or_(max_by(recorded(GPU_REPLICA_SHARE), *_DEVICE)) * 0 + 1


def _split(level: str, by: tuple[str, ...], gpus: Expr) -> Split:
    seen = count_by(recorded(GPU_PLACE), *by)
    total = otherwise(gpus, seen, *by)

    def share(kind: str, values: Expr, text: str) -> Recorded:
        placed = values
        if "rack" in by:
            placed = many_to_one(values, "*", recorded(GPU_PLACE), _DEVICE, ("rack",))
        found = sum_by(placed, *by)
        return Recorded(
            f"{level}:aif_gpus:{kind}_ratio",
            (found.or_(total * 0) / (total > 0)).in_unit(Unit.RATIO),
            f"{text}, of all GPUs of the {level}.",
            Unit.RATIO,
        )

    productive = recorded(GPU_PRODUCTIVE)
    return Split(
        share("allocated", _held, "GPUs that a job holds or an engine runs on"),
        share("busy", recorded(GPU_BUSY), "GPU time with any work in it, over five minutes"),
        share("productive", productive, "GPU time in which jobs and engines made progress"),
        share("telling", productive * 0 + 1, "GPUs whose job or engine reports progress"),
    )


SITE_SPLIT = _split("site", SITE, max_by(series(site.GPUS_OWNED), *SITE))
RACK_SPLIT = _split("rack", RACK, sum_by(max_by(series(site.GPUS_EXPECTED), *RACK, "node"), *RACK))


def _of_job(kind: str, values: Expr, text: str) -> Recorded:
    weighed = sum_by(many_to_one(recorded(GPU_SHARE), "*", values, _DEVICE), *_JOB)
    known = sum_by(on(recorded(GPU_SHARE), "and", values, *_DEVICE), *_JOB)
    return Recorded(f"job:aif_gpus:{kind}_ratio", (weighed / known).in_unit(Unit.RATIO), text, Unit.RATIO)


JOB_BUSY = _of_job(
    "busy",
    recorded(GPU_BUSY),
    "Share of five minutes in which a job's GPUs worked at all, of those that tell.",
)
JOB_PRODUCTIVE = _of_job(
    "productive",
    recorded(GPU_PRODUCTIVE),
    "Share of time in which a job's GPUs got something done; of a GPU that jobs share, the same for each. "
    "Absent where the job does not report.",
)
