"""How much of what the GPUs could compute is computed.

MFU is the model's own arithmetic against the GPUs' dense peak at the job's number format. OFU is what the
hardware says: tensor pipes at work, times clock over highest clock. It is an upper bound, since a busy pipe
need not do useful work, and never stands in for MFU.
"""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, gpu_activity, inference, training
from gigawatch.promql.expr import many_to_one, matches, max_by, on, rate, series, sum_by
from gigawatch.promql.joins import otherwise, relabel, sole
from gigawatch.promql.recording.common import LONG_WINDOW, MODEL, PAIR, complete
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.recording.replica import REPLICA_GPUS, per_replica
from gigawatch.promql.rule import Recorded, recorded

USUAL_PRECISION = "bf16"
"""The number format of whoever does not tell."""
_JOB = ("site", "job_id")
_DEVICE = ("site", "uuid")

JOB_MODEL_FLOPS = Recorded(
    "job:aif_training_flops:rate5m",
    sum_by(rate(series(training.TRAINING_FLOPS), LONG_WINDOW), *_JOB),
    "Operations per second of a training job that its model itself needs.",
    Unit.COUNT,
)
_told = series(training.TRAINING_PRECISION_INFO, precision=matches(".+"))
# A job that tells two formats at once has no peak: neither is right.
_format = otherwise(
    max_by(_told, *_JOB, "precision"),
    relabel(recorded(JOB_MODEL_FLOPS) * 0 + 1, "precision", USUAL_PRECISION, pattern=".*"),
    *_JOB,
)
_formatted = many_to_one(
    sum_by(recorded(GPU_SHARE), *_DEVICE, "job_id"), "*", sole(_format, *_JOB), _JOB, ("precision",)
)
_KEY = (*_DEVICE, "precision")
_peaks = max_by(series(gpu_activity.GPU_PEAK_FLOPS), *_KEY)
JOB_PEAK_FLOPS = Recorded(
    "job:aif_gpu_peak_flops:sum",
    on(
        sum_by(many_to_one(_formatted, "*", _peaks, _KEY), *_JOB),
        "unless",
        on(_formatted, "unless", _peaks, *_KEY),
        *_JOB,
    ),
    "Dense operations per second that the GPUs of a training job could do at its number format (bf16 where "
    "it tells none); absent unless known for all of them.",
    Unit.COUNT,
)
JOB_MFU = Recorded(
    "job:aif_mfu:ratio",
    recorded(JOB_MODEL_FLOPS) / (recorded(JOB_PEAK_FLOPS) > 0),
    "Model FLOPs utilisation of a training job, over five minutes.",
    Unit.RATIO,
)

_usual_peak = max_by(series(gpu_activity.GPU_PEAK_FLOPS, precision=USUAL_PRECISION), *_DEVICE)
REPLICA_PEAK_FLOPS = Recorded(
    "replica:aif_gpu_peak_flops:bf16",
    per_replica(_usual_peak),
    "Dense bf16 operations per second that the GPUs of a replica could do; absent unless known for all.",
    Unit.COUNT,
)
REPLICA_FLOPS = Recorded(
    "replica:aif_inference_flops:rate5m",
    # The engine tells operations per GPU; a replica's GPUs do them all alike.
    max_by(rate(series(inference.INFERENCE_FLOPS), LONG_WINDOW), *PAIR) * recorded(REPLICA_GPUS),
    "Operations per second that the model of a replica needs, over all its GPUs, by its engine's estimate.",
    Unit.COUNT,
)
_done, _possible = recorded(REPLICA_FLOPS), recorded(REPLICA_PEAK_FLOPS)
REPLICA_MFU = Recorded(
    "replica:aif_mfu:bf16",
    _done / (_possible > 0),
    "Model FLOPs utilisation of a replica, where its engine tells operations, against the bf16 peak of its "
    "GPUs (at a smaller format the true share is less).",
    Unit.RATIO,
)
MODEL_MFU = Recorded(
    "model:aif_mfu:bf16",
    sum_by(on(_done, "and", _possible, *PAIR), *MODEL)
    / (sum_by(on(_possible, "and", _done, *PAIR), *MODEL) > 0),
    "Model FLOPs utilisation of the replicas that serve a model, against the bf16 peak of their GPUs.",
    Unit.RATIO,
)

_tensor = max_by(series(gpu_activity.GPU_PIPE_ACTIVE, pipe="tensor"), *_DEVICE)
_clock = max_by(series(gpu.GPU_CLOCK, domain="sm"), *_DEVICE)
_highest = max_by(series(gpu.GPU_CLOCK_MAX, domain="sm"), *_DEVICE)
GPU_OFU = Recorded(
    "gpu:aif_ofu:ratio",
    (_tensor * _clock / (_highest > 0)).in_unit(Unit.RATIO),
    "Hardware's upper bound of a GPU's FLOPs utilisation: tensor pipes at work, times clock over highest "
    "clock.",
    Unit.RATIO,
)
JOB_OFU = Recorded(
    "job:aif_ofu:ratio",
    complete(recorded(GPU_SHARE), recorded(GPU_OFU), *_JOB) / sum_by(recorded(GPU_SHARE), *_JOB),
    "Hardware's upper bound of the FLOPs utilisation of a job's GPUs; absent unless all of them tell it.",
    Unit.RATIO,
)
