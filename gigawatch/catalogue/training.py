"""Training jobs, as they tell of themselves: tokens, steps, checkpoints, restarts, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

JOB = ("job_id", "model")
RANK = ("job_id", "rank", "gpu", "uuid")
"""`gpu` and `uuid` are empty where the rank does not tell which GPU it uses."""


def _training(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = JOB,
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values or {}, Presence.EVENT)


TRAINING_TOKENS = _training(
    "training_tokens_total",
    Kind.COUNTER,
    Unit.TOKENS,
    "Tokens a training job has worked through, counted on the node of its first rank.",
)
TRAINING_SAMPLES = _training(
    "training_samples_total", Kind.COUNTER, Unit.COUNT, "Samples a training job has worked through."
)
TRAINING_STEPS = _training(
    "training_steps_total", Kind.COUNTER, Unit.COUNT, "Optimizer steps of a training job."
)
TRAINING_FLOPS = _training(
    "training_flops_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Floating-point operations that the model itself needs for that work (no recomputation), over all GPUs.",
)
TRAINING_STEP_DURATION = _training(
    "training_step_duration_seconds", Kind.GAUGE, Unit.SECONDS, "Duration of the last training step."
)
TRAINING_STEP_SECONDS = _training(
    "training_step_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time spent in training steps; checkpoints, evaluation and start-up are not in it.",
)
TRAINING_LOSS = _training(
    "training_loss", Kind.GAUGE, Unit.COUNT, "Loss of the last step, where the job tells it."
)
TRAINING_CHECKPOINT_TIMESTAMP = _training(
    "training_checkpoint_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the last checkpoint was complete (Unix time).",
)
TRAINING_CHECKPOINT_DURATION = _training(
    "training_checkpoint_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the last checkpoint kept the job from its steps.",
)
TRAINING_CHECKPOINTS = _training(
    "training_checkpoints_total", Kind.COUNTER, Unit.COUNT, "Checkpoints written."
)
TRAINING_CHECKPOINT_SECONDS = _training(
    "training_checkpoint_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which checkpoints kept the job from its steps.",
)
TRAINING_START_TIMESTAMP = _training(
    "training_start_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the job began, its first attempt (Unix time).",
)
TRAINING_ELAPSED = _training(
    "training_elapsed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time since the job's first attempt began, downtime between attempts included; ends with the job.",
)
TRAINING_RESTARTS = _training(
    "training_restarts_total", Kind.COUNTER, Unit.COUNT, "Times the job began again after its first start."
)
TRAINING_LOST = _training(
    "training_lost_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time lost to restarts: not running (downtime), starting up, and steps done again since the last "
    "checkpoint (rework).",
    (*JOB, "reason"),
    {"reason": ("downtime", "startup", "rework")},
)
TRAINING_REPORT_TIMESTAMP = _training(
    "training_report_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the job last told anything (Unix time), and by what way.",
    (*JOB, "source"),
    {"source": ("reporter", "otlp", "log")},
)
TRAINING_RANKS = _training(
    "training_ranks", Kind.GAUGE, Unit.COUNT, "Ranks of a job that report on this node.", JOB
)
TRAINING_RANK_STEP = _training(
    "training_rank_step",
    Kind.GAUGE,
    Unit.COUNT,
    "The step a rank has finished last: when a job hangs, the rank that is behind is where to look.",
    RANK,
)
TRAINING_RANK_WAIT = _training(
    "training_rank_wait_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time a rank waited for the others in collectives; the straggler is the one that never waits.",
    RANK,
)
TRAINING_PRECISION_INFO = _training(
    "training_precision_info",
    Kind.INFO,
    Unit.COUNT,
    "The number format in which the job computes: which peak rate of the GPU it is measured against.",
    (*JOB, "precision"),
)
