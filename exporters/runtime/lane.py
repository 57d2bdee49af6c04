"""A lane: one source, one thread, its own deadline, its own health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from exporters.runtime.gate import Gate
from exporters.runtime.health import Health
from exporters.runtime.source import TICKS_TO_LIVE, Source, kind_of
from gigawatch.catalogue import Metric
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

Series = tuple[Metric, tuple[str, ...]]


class Lane:
    """Runs a source every `interval` seconds and keeps what it said, for three intervals at the most.

    A source that blocks holds up only its own thread; nothing here ever waits for it.
    """

    def __init__(
        self,
        source: Source,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.source = source
        self._monotonic, self._wall = monotonic, wall
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._gate = Gate()
        self._series: dict[Series, tuple[Reading, float]] = {}
        self._health = Health(source.name)
        self._running_since: float | None = None
        self._thread = threading.Thread(target=self._loop, name=f"lane-{source.name}", daemon=True)
        self.first_run_over = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the lane to end; a read under way is not waited for."""
        self._stop.set()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def run_once(self) -> None:
        """One read, in the calling thread."""
        started = self._monotonic()
        with self._lock:
            self._running_since = started
        fresh: dict[Series, tuple[Reading, float]] = {}
        error: Exception | None = None
        try:
            for reading in self._gate.pass_on(self.source.read()):
                fresh[(reading.metric, reading.labels)] = (reading, 0.0)
        except Exception as caught:  # noqa: BLE001 - whatever a source does must stay in its lane
            error = caught
        finished = self._monotonic()
        fresh = {key: (reading, finished) for key, (reading, _) in fresh.items()}
        with self._lock:
            self._running_since = None
            self._keep(fresh, error, finished - started)
        self.first_run_over.set()

    def _keep(self, fresh: dict[Series, tuple[Reading, float]], error: Exception | None, took: float) -> None:
        health = self._health
        if error is None:
            # A complete answer replaces everything: what the device no longer says is gone at once.
            self._series = fresh
            health.last_success = self._wall()
        else:
            self._series.update(fresh)
            kind = kind_of(error)
            health.errors[kind] = health.errors.get(kind, 0) + 1
            if health.up or not self.first_run_over.is_set():
                log.warning("%s: %s", self.source.name, str(error) or kind)
        health.up = error is None
        health.duration = took
        health.rejected = dict(self._gate.rejected)

    def readings(self) -> list[Reading]:
        """What the source said and has not grown stale."""
        oldest = self._monotonic() - TICKS_TO_LIVE * self.source.interval
        with self._lock:
            if any(at < oldest for _, at in self._series.values()):
                self._series = {k: (r, at) for k, (r, at) in self._series.items() if at >= oldest}
            return [reading for reading, _ in self._series.values()]

    def health(self) -> Health:
        """A copy of how the lane is doing now."""
        now = self._monotonic()
        with self._lock:
            h = self._health
            since = self._running_since
            over = 0.0 if since is None else max(0.0, now - since - self.source.deadline)
            return Health(h.name, h.up, h.duration, h.last_success, over, dict(h.errors), dict(h.rejected))

    def _loop(self) -> None:
        due = self._monotonic()
        while not self._stop.is_set():
            self.run_once()
            due += self.source.interval
            now = self._monotonic()
            if due < now:
                due = now  # after a long read: no burst to catch up
            self._stop.wait(due - now)
