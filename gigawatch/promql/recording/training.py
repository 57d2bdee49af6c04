"""Training jobs: how fast they step, and what of their time goes into steps that count."""

from __future__ import annotations

from gigawatch.catalogue import Unit, training
from gigawatch.promql.expr import Expr, avg_by, clamp_min, increase, max_by, min_by, rate, series, sum_by
from gigawatch.promql.recording.common import LONG_WINDOW
from gigawatch.promql.rule import Recorded

_HOUR = "1h"
_JOB = ("site", "job_id")


def _hour(expr: Expr) -> Expr:
    return sum_by(expr, *_JOB)


JOB_STEP_TIME = Recorded(
    "job:aif_training_step_duration_seconds:mean5m",
    (
        sum_by(rate(series(training.TRAINING_STEP_SECONDS), LONG_WINDOW), *_JOB)
        / (sum_by(rate(series(training.TRAINING_STEPS), LONG_WINDOW), *_JOB) > 0)
    ).in_unit(Unit.SECONDS),
    "Mean duration of a training job's steps, over five minutes; absent while it makes none.",
    Unit.SECONDS,
)
_elapsed = _hour(increase(series(training.TRAINING_ELAPSED), _HOUR)) > 0
_stepping = _hour(increase(series(training.TRAINING_STEP_SECONDS), _HOUR))
_again = _hour(increase(series(training.TRAINING_LOST, reason="rework"), _HOUR))
JOB_GOODPUT = Recorded(
    "job:aif_training_goodput:ratio1h",
    (clamp_min(_stepping - _again.or_(_stepping * 0), 0) / _elapsed).in_unit(Unit.RATIO),
    "Share of the last hour that a training job spent in steps which count: without checkpoints, start-up, "
    "downtime and steps done again.",
    Unit.RATIO,
)
JOB_CHECKPOINT_SHARE = Recorded(
    "job:aif_training_checkpoint:ratio1h",
    (_hour(increase(series(training.TRAINING_CHECKPOINT_SECONDS), _HOUR)) / _elapsed).in_unit(Unit.RATIO),
    "Share of the last hour in which checkpoints kept a training job from its steps.",
    Unit.RATIO,
)
JOB_LOST = Recorded(
    "job:aif_training_lost_seconds:increase1h",
    sum_by(increase(series(training.TRAINING_LOST), _HOUR), *_JOB, "reason"),
    "Seconds of the last hour that a training job lost to restarts, by reason.",
    Unit.SECONDS,
)
_waiting = max_by(rate(series(training.TRAINING_RANK_WAIT), LONG_WINDOW), *_JOB, "rank")
JOB_WAIT = Recorded(
    "job:aif_training_rank_wait:avg5m",
    avg_by(_waiting, *_JOB),
    "Share of time that the ranks of a job wait for each other, on average.",
    Unit.RATIO,
)
JOB_WAIT_LEAST = Recorded(
    "job:aif_training_rank_wait:min5m",
    min_by(_waiting, *_JOB),
    "Share of time that the rank of a job waits which waits least: the straggler, where it is far below the "
    "average.",
    Unit.RATIO,
)
