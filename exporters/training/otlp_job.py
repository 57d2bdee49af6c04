"""One job that tells of itself by OpenTelemetry: gauges and cumulative sums made into counters of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from exporters.training.otlp_points import Point
from exporters.training.tally import Tally

_AHEAD = 600.0
"""Seconds by which a sender's clock may be ahead."""
_SILENT = 300.0
"""Seconds after which another process of the job is listened to."""
_LONGEST_PENDING = 3600.0
_RECORDS = 1e6
_LONGEST_STEP = 1e6
_FASTEST_TOKENS = 1e12
_FASTEST_FLOPS = 1e18
"""Of one export, seconds, tokens per second of a job and FLOP/s of a GPU: more than there can be."""
_JUDGED = 120.0
_BUSY = 0.5


@dataclass(slots=True)
class _Series:
    """One meter of one process as it was last seen."""

    series: str
    start: float
    time: float
    value: float
    count: float


@dataclass(slots=True)
class OtlpJob:
    """A job. One process speaks for it, for what each tells is of the whole job: never is anything added over
    processes. A process that began after the last word of the one before is a new attempt."""

    tally: Tally
    writer: str = ""
    heard: float = 0.0
    """When anything came from the process that speaks."""
    last: dict[str, _Series] = field(default_factory=dict)
    tokens_rate: float | None = None
    flops_rate: float | None = None
    pending_tokens: float = 0.0
    """Seconds of steps whose tokens are still to be counted, for no rate was told yet."""
    pending_flops: float = 0.0
    counted: bool = False
    """Tokens are told as a counter: rates are not needed."""
    first: float = 0.0
    """When the first record of the histogram was seen; of records after it `busy` is the sum."""
    busy: float = 0.0
    records: float = 0.0
    every: float | None = None
    """Steps for one record; None was not told."""
    since: float = 0.0
    """What the process that speaks has summed up since then counts from its first point."""
    restart_at: float = 0.0

    def take(
        self, writer: str, points: Iterable[Point], every: float | None, gpus: float | None, now: float
    ) -> bool:
        """Count what is new in it. `every`: steps for one record, None if not told. Returns False where
        another process speaks for the job."""
        told = [one for one in points if math.isfinite(one.value) and one.time <= now + _AHEAD]
        if not told or not self._admits(writer, told, now):
            return False
        self.heard, self.every = now, every
        # Gauges first: of a histogram's seconds they say what was done in them.
        for point in told:
            if point.role == "tokens_rate" and 0 <= point.value <= _FASTEST_TOKENS:
                self.tokens_rate = point.value
            elif point.role == "flops_rate" and 0 <= point.value <= _FASTEST_FLOPS:
                self.flops_rate = point.value
            elif point.role == "loss":
                self.tally.lose(point.value)
        for point in told:
            if point.role == "tokens":
                self.counted = True
                value, _ = self._new(point)
                if value > 0:
                    self.tally.add("tokens", value)
                    self._spoke(point, now)
            elif point.role == "duration":
                seconds, count = self._new(point)
                if 0 < count <= _RECORDS and 0 <= seconds <= count * _LONGEST_STEP:
                    self._stepped(seconds, count, every or 1.0, point, now)
        self._settle(gpus)
        return True

    @property
    def doubtful(self) -> bool:
        """Steps fill so little of the time that a record most likely stands for many of them."""
        span = self.tally.told - self.first
        return self.every is None and self.records >= 2 and span >= _JUDGED and self.busy < _BUSY * span

    def _admits(self, writer: str, told: list[Point], now: float) -> bool:
        if writer == self.writer:
            return True
        if not self.writer:
            self.writer, self.since = writer, self.tally.began - 1.0
            return True
        counters = [one for one in told if one.role in ("tokens", "duration")]
        anew = bool(counters) and min(one.start for one in counters) >= self.tally.told
        if not counters or (not anew and now - self.heard <= _SILENT):
            return False
        if anew:
            self._restarted(min(one.start for one in counters))
        self.writer, self.last, self.since = writer, {}, self.tally.told if anew else now
        self.tokens_rate = self.flops_rate = None
        self.pending_tokens = self.pending_flops = 0.0
        return True

    def _restarted(self, at: float) -> None:
        """Once for all meters of a process."""
        if at > self.restart_at + 1.0:
            self.tally.restarts += 1
            self.restart_at = at

    def _new(self, point: Point) -> tuple[float, float]:
        """What the point adds to those before it: value and count. Late and repeated ones add nothing."""
        before = self.last.get(point.role)
        if before is not None and before.series != point.series:
            return 0.0, 0.0
        now = _Series(point.series, point.start, point.time, point.value, point.records)
        if before is None:
            self.last[point.role] = now
            # What a process did before this agent ran, or before it was seen, is not of now.
            if point.delta or point.start >= self.since:
                return point.value, point.records
            return 0.0, 0.0
        if point.time <= before.time:
            return 0.0, 0.0
        if point.delta:
            if point.start and point.start < before.time - 1e-3:
                return 0.0, 0.0  # reaches into what was counted
            self.last[point.role] = now
            return point.value, point.records
        if point.start < before.start:
            return 0.0, 0.0
        self.last[point.role] = now
        begun = point.start > before.start or point.value < before.value or point.records < before.count
        if begun:
            if point.start >= before.time:
                self._restarted(point.start)
            return point.value, point.records
        return point.value - before.value, point.records - before.count

    def _stepped(self, seconds: float, count: float, every: float, point: Point, now: float) -> None:
        self._spoke(point, now)
        self.tally.add("steps", count * every)
        self.tally.add("step_seconds", seconds * every)
        self.tally.step_last = seconds / count
        self.pending_tokens += seconds * every
        self.pending_flops += seconds * every
        if self.first:
            self.busy += seconds * every
            self.records += count
        else:
            self.first = self.tally.told

    def _settle(self, gpus: float | None) -> None:
        if self.tokens_rate is not None and not self.counted:
            self.tally.add("tokens", self.tokens_rate * self.pending_tokens)
            self.pending_tokens = 0.0
        if self.flops_rate is not None and gpus:
            self.tally.add("flops", self.flops_rate * gpus * self.pending_flops)
            self.pending_flops = 0.0
        self.pending_tokens = min(self.pending_tokens, _LONGEST_PENDING)
        self.pending_flops = min(self.pending_flops, _LONGEST_PENDING)

    def _spoke(self, point: Point, now: float) -> None:
        self.tally.told = max(self.tally.told, min(point.time, now) or now)
