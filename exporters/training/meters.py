"""What training jobs say by OpenTelemetry: names of meters and attributes, and what each means here.

Sources: Megatron-LM d98e8a64dd, `megatron/core/telemetry/training_metrics.py` (gauges and the histogram, the
same names in nemo-lens `semconv`), and `docs/user-guide/observability/metrics.md` of later versions, which
have dropped those and kept one counter, `nv.dl.training.tokens.processed`. Attributes of the resource:
`configuration.md` beside it, and OpenTelemetry's conventions for k8s and service.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["tokens", "tokens_rate", "flops_rate", "loss", "duration"]


class Meter(NamedTuple):
    """`tokens`: counter of tokens of the whole job. `tokens_rate`: tokens per second of the whole job.
    `flops_rate`: FLOP/s of one GPU. `duration`: histogram of the seconds of steps. Values times `scale`."""

    role: Role
    scale: float = 1.0


METERS = {
    "nv.dl.training.tokens.processed": Meter("tokens"),
    "megatron.training.tokens_per_sec": Meter("tokens_rate"),
    "megatron.training.throughput_tflops": Meter("flops_rate", 1e12),
    "megatron.training.loss": Meter("loss"),
    "megatron.training.step_duration_ms": Meter("duration", 1e-3),
}
"""Not taken: skipped_iters (its steps are in the histogram already), grad_norm, learning_rate,
memory_allocated_gb: nothing here says the same."""

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
"""Seconds of a duration's unit, where the meter names one."""

_SUFFIXES = ("", "_milliseconds", "_tokens")
"""What a collector may append on the way to or from Prometheus for the unit; `_total` comes after that."""

STEPS_PER_RECORD = "gigawatch.log_interval"
"""Attribute: how many steps one record of the histogram stands for, Megatron's --log-interval."""

JOB = (
    ("gigawatch.job_id",),
    ("slurm.job.id.raw",),
    ("slurm.job.id",),
    ("k8s.namespace.name", "k8s.pod.name"),
    ("nv.dl.run.uuid",),
    ("nemo.run.id",),
    ("service.instance.id",),
    ("service.name",),
)
"""Attributes that name the job, the first found; two are joined by a slash, as pods are spelled everywhere.
Of a Slurm array `raw` is the number under which an element holds its GPUs."""

MODEL = ("gigawatch.model", "rl.model", "model.name", "service.name")
PRECISION = ("gigawatch.precision", "nemo.precision")
WORLD = ("gigawatch.gpus", "nv.dl.world_size")
"""Number of GPUs of the job."""


def _plain(name: str) -> str:
    return name.lower().replace(".", "_")


_KNOWN = {_plain(name): meter for name, meter in METERS.items()}


def meter(name: str) -> Meter | None:
    """The meter of that name, in OpenTelemetry's spelling or in Prometheus', with a suffix or without."""
    plain = _plain(name).removesuffix("_total")
    found = (_KNOWN.get(plain.removesuffix(suffix)) for suffix in _SUFFIXES)
    return next(filter(None, found), None)
