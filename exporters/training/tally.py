"""What is known of a job that tells of itself by OpenTelemetry or in its log, as counters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from exporters.training.precision import precision
from exporters.training.voices import Way
from gigawatch.catalogue import training
from gigawatch.readings import Reading

FAREWELL = 300.0
"""Seconds for which a job that ended is shown: long enough for every Prometheus to see its last figures."""
LONGEST = 256
"""Characters of a label."""

_HIGHEST = {"flops": 1e33}
_COUNT = 1e18
_LOSS = 1e30
_COUNTED = {
    "steps": training.TRAINING_STEPS,
    "tokens": training.TRAINING_TOKENS,
    "samples": training.TRAINING_SAMPLES,
    "flops": training.TRAINING_FLOPS,
    "step_seconds": training.TRAINING_STEP_SECONDS,
}


@dataclass(slots=True)
class Tally:
    """Counts since this agent sees the job. Seconds, points in time as Unix time; None was never told."""

    began: float
    """When the agent saw it first."""
    told: float
    """When it told something new last."""
    ended: bool = False
    steps: float | None = None
    tokens: float | None = None
    samples: float | None = None
    flops: float | None = None
    step_seconds: float | None = None
    step_last: float | None = None
    loss: float | None = None
    precision: str = ""
    restarts: float = 0.0
    rework: float | None = None
    """Seconds in steps that were done again; None where the way cannot tell."""

    def add(self, name: str, amount: float) -> None:
        """Count more of it. What is no amount is left out: counters never fall, and never leap for ever."""
        total = (getattr(self, name) or 0.0) + amount
        if amount >= 0 and total <= _HIGHEST.get(name, _COUNT):  # also where it is not a number
            setattr(self, name, total)

    def lose(self, loss: float) -> None:
        """The loss as told last; absent where it is no number."""
        self.loss = loss if math.isfinite(loss) and abs(loss) <= _LOSS else None

    def shown(self, now: float, max_age: float) -> bool:
        """Whether the job is still to be shown: a silent one for a while, one that ended for a short one."""
        return now - self.told <= (min(FAREWELL, max_age) if self.ended else max_age)

    def readings(
        self, job: str, model: str, way: Way, now: float, without: Collection[str] = ()
    ) -> Iterator[Reading]:
        """Everything that was told, without the counters named there."""
        labels = (job, model)
        yield Reading(training.TRAINING_REPORT_TIMESTAMP, (*labels, way), self.told)
        for name, metric in _COUNTED.items():
            value = getattr(self, name)
            if value is not None and name not in without:
                yield Reading(metric, labels, value)
        elapsed = (self.told if self.ended else max(now, self.told)) - self.began
        yield Reading(training.TRAINING_ELAPSED, labels, max(0.0, elapsed))
        yield Reading(training.TRAINING_RESTARTS, labels, self.restarts)
        if self.step_last is not None:
            yield Reading(training.TRAINING_STEP_DURATION, labels, self.step_last)
        if self.loss is not None:
            yield Reading(training.TRAINING_LOSS, labels, self.loss)
        if self.rework is not None:
            yield Reading(training.TRAINING_LOST, (*labels, "rework"), self.rework)
        if self.precision:
            yield Reading(training.TRAINING_PRECISION_INFO, (*labels, precision(self.precision)), 1.0)


def label(text: str) -> str:
    """Text of a job as a label; empty where it is none."""
    text = text.strip()
    return text if text.isprintable() and len(text) <= LONGEST else ""
