"""One job that tells of itself in its log: numbers of lines made into counters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.sections import LogSection
from exporters.training.tally import Tally

_LEAP = 100_000
"""Steps between two lines from which on it is another training, not progress."""
_GAP = 3600.0
"""Seconds between two lines over which a rate is believed."""
_ANOTHER = 60.0
"""Seconds of silence after which another file tells of the job."""


@dataclass(slots=True)
class LogJob:
    """A job. One file speaks for it at a time: the logs of other ranks tell the same once more.

    A step with a lower number than the last one is one done again after a restart.
    """

    tally: Tally
    given: LogSection
    path: str = ""
    heard: float = 0.0
    last: int | None = None
    highest: int = 0
    total: float = 0.0
    spacing: int = 1
    """Steps from one line to the next."""
    pending: int = 0
    again: int = 0
    """Steps whose duration is still to be told, and those of them that were done again."""
    tokens_seen: float | None = None
    samples_seen: float | None = None
    stamp: float | None = None

    def admits(self, path: str, now: float) -> bool:
        """Whether this file speaks for the job now."""
        if path != self.path and self.path and now - self.heard <= _ANOTHER:
            return False
        self.path, self.heard = path, now
        return True

    def take(self, found: Mapping[str, float], stamp: float | None, now: float) -> None:
        """Count what a line says: value by role, and the time that stands before it."""
        if found.get("total", self.total) < self.total:
            return  # the bar of an evaluation
        if found.get("total", self.total) > self.total:
            self.total, self.last = found["total"], None
        done = self._stepped(found, now)
        if done is None:
            return
        gone = 0.0
        if done:
            gone = stamp - self.stamp if stamp is not None and self.stamp is not None else 0.0
            gone = gone if 0 < gone <= _GAP else 0.0
        if "step" in found:
            self.stamp = stamp
        duration = self._duration(found)
        seconds = 0.0
        if duration is not None:
            seconds = duration * self.pending
            self.tally.add("step_seconds", seconds)
            self.tally.rework = (self.tally.rework or 0.0) + duration * self.again
            self.tally.step_last = duration
            self.pending = self.again = 0
        self._tokens(found, done, gone, seconds)
        self._samples(found, done, gone)
        if "loss" in found:
            self.tally.lose(found["loss"])

    def _stepped(self, found: Mapping[str, float], now: float) -> int | None:
        """Steps that were done since the line before; None where the line tells the same once more."""
        if "step" not in found:
            return 0
        number = int(found["step"] + found.get("epoch", 0.0) * found.get("per_epoch", 0.0))
        if self.last is None or abs(number - self.last) > _LEAP:
            self.last = self.highest = number
            self.tally.add("steps", 0.0)
            self.tally.told, self.tally.ended = now, False
            return 0
        if number == self.last:
            return None
        done = number - self.last
        if done > 0:
            self.spacing = done
        else:
            self.tally.restarts += 1
            done = min(self.spacing, number)
        again = max(0, min(number, self.highest) - (number - done))
        self.last, self.highest = number, max(self.highest, number)
        self.pending = min(self.pending + done, _LEAP)
        self.again = min(self.again + again, self.pending)
        self.tally.add("steps", float(done))
        self.tally.told, self.tally.ended = now, False
        return done

    def _duration(self, found: Mapping[str, float]) -> float | None:
        """Seconds of one step."""
        duration = found.get("duration", 0.0) or found.get("duration_ms", 0.0) / 1000
        if not duration and found.get("step_rate", 0.0) > 0:
            duration = 1 / found["step_rate"]
        rate = found.get("device_tokens_rate", 0.0) * self.given.gpus
        if not duration and rate > 0 and self.given.tokens_per_step:
            duration = self.given.tokens_per_step / rate
        return duration if 0 < duration <= 1e6 else None

    def _tokens(self, found: Mapping[str, float], done: int, gone: float, seconds: float) -> None:
        tokens = None
        if self.given.tokens_per_step:
            tokens = done * self.given.tokens_per_step if "step" in found else None
        elif "tokens_seen" in found:
            before, self.tokens_seen = self.tokens_seen, found["tokens_seen"]
            tokens = max(0.0, self.tokens_seen - before) if before is not None else 0.0
        elif "tokens_rate" in found:
            tokens = found["tokens_rate"] * (seconds or gone)
        elif "device_tokens_rate" in found and self.given.gpus:
            tokens = found["device_tokens_rate"] * self.given.gpus * gone
        if tokens is not None:
            self.tally.add("tokens", tokens)
        if self.given.flops_per_token:
            self.tally.add("flops", (tokens or 0.0) * self.given.flops_per_token)
        elif "device_tflops" in found and self.given.gpus:
            self.tally.add("flops", 1e12 * found["device_tflops"] * self.given.gpus * (seconds or gone))

    def _samples(self, found: Mapping[str, float], done: int, gone: float) -> None:
        if "samples_seen" in found:
            before, self.samples_seen = self.samples_seen, found["samples_seen"]
            self.tally.add("samples", max(0.0, self.samples_seen - before) if before is not None else 0.0)
        elif "batch" in found:
            self.tally.add("samples", found["batch"] * done)
        elif "samples_rate" in found:
            self.tally.add("samples", found["samples_rate"] * gone)


def number(text: str) -> float | None:
    """A number of a line, with commas or without; None for what is none."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
