"""Job: what it holds, draws and gets done, and whether it waits for its data."""

from __future__ import annotations

from gigawatch.catalogue import Unit, gpu, host, training
from gigawatch.promql.expr import (
    above,
    avg_over_time,
    below,
    many_to_one,
    max_by,
    rate,
    series,
    sum_by,
)
from gigawatch.promql.recording.common import NODE, WINDOW
from gigawatch.promql.recording.held import GPU_SHARE
from gigawatch.promql.recording.holder import JOB
from gigawatch.promql.recording.owner import REPLICA_JOB
from gigawatch.promql.rule import Recorded, recorded

STALL_LOAD = 0.2
"""Mean utilisation below which a GPU waits rather than works."""
STALL_PRESSURE = 0.2
"""Share of time in which some task of the node waited for I/O. Not the share in which all did: the processes
of a job that waits for data keep a core busy asking for it."""
_SPAN = "5m"
_DEVICE = ("site", "uuid")

JOB_POWER = JOB.power()
JOB_UTILIZATION = JOB.utilization()
JOB_GPUS = JOB.gpus()
JOB_TOKENS = Recorded(
    "job:aif_training_tokens:rate1m",
    sum_by(rate(series(training.TRAINING_TOKENS), WINDOW), *JOB.by),
    "Tokens per second that a training job works through.",
    Unit.TOKENS_PER_SECOND,
)
JOB_ENERGY_RATE = JOB.energy_rate()
JOB_GPUS_IDLE = JOB.gpus_idle()

JOB_INFERENCE_TOKENS = JOB.generated(REPLICA_JOB)

_waits = below(max_by(avg_over_time(series(gpu.GPU_UTILIZATION, engine="gpu"), _SPAN), *_DEVICE), STALL_LOAD)
_pressed = above(
    max_by(rate(series(host.HOST_PRESSURE, resource="io", share="some"), _SPAN), "site", "node"),
    STALL_PRESSURE,
)
DATA_STALL = Recorded(
    "job:aif_gpus:data_stalled",
    many_to_one(
        sum_by(many_to_one(recorded(GPU_SHARE), "*", _waits, _DEVICE), *NODE, "job_id"),
        "*",
        _pressed,
        ("site", "node"),
    ).in_unit(Unit.COUNT),
    "GPUs of a job on a node that stand still (below 20 %) while tasks of the node wait for I/O (more than "
    "20 % of the time), over 5 minutes; 0 where none does.",
    Unit.COUNT,
)
