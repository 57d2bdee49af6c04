"""What is known of one endpoint: what it said last, and how asking it went."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from exporters.facility.driver import Polled, Reason
from exporters.facility.job import Job
from exporters.runtime.gate import Gate
from exporters.runtime.source import TICKS_TO_LIVE
from gigawatch.catalogue import Kind, Metric, polling
from gigawatch.readings import Reading, histogram

EDGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OPEN_AFTER = 3
"""Failures in a row after which an endpoint is asked only now and then."""
Series = dict[tuple[Metric, tuple[str, ...]], Reading]


class Tally:
    """Written by the event loop's thread, read by those who render pages."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.revision = 0
        """Rises with every change."""
        self.tried = self.up = False
        self.failures = 0
        """In a row."""
        self.problem: Reason | None = None
        self.message = "has not been asked to the end"
        """What went wrong last."""
        self.took = 0.0
        self._lock = threading.Lock()
        self._polled: Series = {}
        self._pushed: Series = {}
        self._polled_at = self._pushed_at = float("-inf")
        self._identity = Polled().identity
        self._counts = [0] * (len(EDGES) + 1)
        self._total = self._lag = 0.0
        self._last_success: float | None = None
        self._errors: dict[Reason, int] = {}
        self._dropped: dict[str, int] = {}

    @property
    def open(self) -> bool:
        """Whether it has failed so often that it is asked only now and then."""
        return self.failures >= OPEN_AFTER

    @property
    def failure(self) -> str:
        """Why it is not up, on one line."""
        reason = f" ({self.problem.value})" if self.problem else ""
        return (
            f"{self.job.device.name}: {self.job.label} at {self.job.endpoint.address}: {self.message}{reason}"
        )

    def planned(self, job: Job) -> None:
        """The same thing, to be asked in another way."""
        with self._lock:
            self.job = job
            self.revision += 1

    def succeeded(self, series: Series, polled: Polled, began: float, took: float, wall: float) -> None:
        """A whole answer: it replaces everything that was said before."""
        with self._lock:
            self._observe(took)
            self._polled, self._polled_at = series, began
            self._pushed = {}
            self._identity = polled.identity
            self._count(polled.dropped)
            self._last_success = wall
            self.tried = self.up = True
            self.failures, self.problem = 0, None

    def failed(self, reason: Reason, took: float, message: str = "") -> None:
        with self._lock:
            self._observe(took)
            self._errors[reason] = self._errors.get(reason, 0) + 1
            self.tried, self.up = True, False
            self.failures += 1
            self.problem, self.message = reason, message

    def told(self, series: Series, polled: Polled, now: float) -> None:
        """What it said without being asked stands before what it answered last."""
        with self._lock:
            self._pushed = {**self._pushed, **series}
            self._pushed_at = now
            self._count(polled.dropped)
            self.revision += 1

    def late(self, seconds: float) -> None:
        """How much later than planned the poll begins."""
        self._lag = seconds

    def fresh(self, now: float) -> tuple[bool, bool]:
        """Whether what it answered, and what it said unasked, may still be shown."""
        lives = TICKS_TO_LIVE * self.job.interval
        return now - self._polled_at <= lives, now - self._pushed_at <= lives

    def series(self, now: float) -> Series:
        """What it says now."""
        with self._lock:
            polled, pushed = self.fresh(now)
            if pushed and self._pushed:
                return {**(self._polled if polled else {}), **self._pushed}
            return self._polled if polled else {}

    def own(self, now: float) -> Iterator[Reading]:
        """How asking it went."""
        with self._lock:
            return iter(list(self._own(now)))

    def _own(self, now: float) -> Iterator[Reading]:
        label = (self.job.label,)
        yield Reading(polling.POLL_INTERVAL, label, self.job.interval)
        yield Reading(polling.POLL_CIRCUIT_OPEN, label, float(self.open))
        if not self.tried:
            return
        yield Reading(polling.POLL_ENDPOINT_UP, label, float(self.up))
        yield Reading(polling.POLL_LAG, label, self._lag)
        count, buckets = 0, []
        for edge, more in zip((*map(str, EDGES), "+Inf"), self._counts, strict=True):
            count += more
            buckets.append((edge, float(count)))
        yield from histogram(polling.POLL_DURATION, label, buckets, self._total)
        if self._last_success is not None:
            yield Reading(polling.POLL_LAST_SUCCESS, label, self._last_success)
        for reason, number in sorted(self._errors.items()):
            yield Reading(polling.POLL_ERRORS, (*label, reason.value), float(number))
        for why, number in sorted(self._dropped.items()):
            yield Reading(polling.READINGS_DROPPED, (*label, why), float(number))
        if any(self._identity) and self.fresh(now)[0]:
            yield Reading(polling.HARDWARE_INFO, (*label, *self._identity), 1.0)

    def _observe(self, took: float) -> None:
        self._counts[bisect_left(EDGES, took)] += 1
        self._total += took
        self.took = took
        self.revision += 1

    def _count(self, dropped: dict[str, int]) -> None:
        for why, number in dropped.items():
            self._dropped[why] = self._dropped.get(why, 0) + number


def accepted(polled: Polled, gate: Gate) -> Series:
    """What a poll brought, without what cannot be true, which is counted in it. The first of two that say the
    same wins. Raises ValueError or TypeError where a driver made what is no reading."""
    for reading in polled.readings:
        _check(reading.metric, reading.labels)
    passed = gate.sift(polled.readings)
    if len(passed) != len(polled.readings):
        again = Gate()
        again.sift(polled.readings)
        for (_, reason), number in again.rejected.items():
            polled.drop(reason, number)
    found: Series = {}
    for reading in passed:
        found.setdefault((reading.metric, reading.labels), reading)
    "".join(polled.identity).encode()
    return found


def _check(metric: Metric, labels: tuple[str, ...]) -> None:
    if len(labels) != len(metric.labels) + (metric.kind is Kind.HISTOGRAM):
        raise ValueError(f"{metric.name} has labels {metric.labels}, got {len(labels)} values")
    "".join(labels).encode()  # what cannot be written would spoil the whole page


def merged(tallies: Iterable[Tally], now: float) -> Iterable[Reading]:
    """What all endpoints of a device say; where two say the same, the first wins."""
    parts = [series for series in (tally.series(now) for tally in tallies) if series]
    if not parts:
        return ()
    whole = dict(parts[-1]) if len(parts) > 1 else parts[0]
    for part in reversed(parts[:-1]):
        whole = {**whole, **part}
    return whole.values()
