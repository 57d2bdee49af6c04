"""A lane: one source, one thread, its own deadline, its own health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from exporters.runtime.gate import Gate
from exporters.runtime.health import Health
from exporters.runtime.part import Part, Parts
from exporters.runtime.source import TICKS_TO_LIVE, Source, kind_of
from gigawatch.readings import Reading
from gigawatch.serving.exposition import Blocks, Renderer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Layer:
    """What one run said, as far as no later run has said it anew."""

    rows: list[Reading]
    part: Part


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
        self._lives = TICKS_TO_LIVE * source.interval
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._gate = Gate()
        self._renderer = Renderer()
        self._layers: list[_Layer] = []
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
        rows: list[Reading] = []
        error: Exception | None = None
        try:
            rows.extend(self.source.read())
        except Exception as caught:  # noqa: BLE001 - whatever a source does must stay in its lane
            error = caught
        try:
            rows = self._gate.sift(rows)
            # A value is as old as the question it answers, not as the end of a slow answer.
            layers = [_Layer(rows, Part(started, self._lives, self._text(rows)))] if rows else []
        except Exception as caught:  # noqa: BLE001 - a source that yields what is no reading is a failed source
            layers, error = [], error or caught
        if error is not None:
            layers = self._left_over(layers, started) + layers
        with self._lock:
            # A complete answer replaces everything: what the device no longer says is gone at once.
            self._layers = layers
            self._running_since = None
            self._judge(error, self._monotonic() - started)
        self.first_run_over.set()

    def _text(self, rows: list[Reading]) -> Blocks:
        """The rows as text; what has not changed since the last run is not written anew."""
        last = self._layers[0] if len(self._layers) == 1 else None
        if last is not None and last.rows == rows:
            return last.part.blocks
        return self._renderer.blocks(rows)

    def _left_over(self, fresh: list[_Layer], now: float) -> list[_Layer]:
        """What earlier runs said and this one, which broke off, did not."""
        said = {(row.metric, row.labels) for layer in fresh for row in layer.rows}
        kept = []
        for layer in self._layers:
            if layer.part.fresh(now):
                rows = [row for row in layer.rows if (row.metric, row.labels) not in said]
                if len(rows) == len(layer.rows):
                    kept.append(layer)
                elif rows:
                    kept.append(_Layer(rows, Part(layer.part.at, self._lives, self._renderer.blocks(rows))))
        return kept

    def _judge(self, error: Exception | None, took: float) -> None:
        health = self._health
        if error is None:
            health.last_success = self._wall()
        else:
            kind = kind_of(error)
            health.errors[kind] = health.errors.get(kind, 0) + 1
            if health.up or not self.first_run_over.is_set():
                log.warning("%s: %s", self.source.name, str(error) or kind)
        health.up = error is None
        health.duration = took
        health.rejected = self._gate.rejected.copy()

    def parts(self) -> Parts:
        """What the source said and has not grown stale, as text."""
        now = self._monotonic()
        with self._lock:
            layers = self._layers
        name = self.source.name
        return {
            f"{name}/{number}" if number else name: layer.part
            for number, layer in enumerate(reversed(layers))
            if layer.part.fresh(now)
        }

    def readings(self) -> list[Reading]:
        """What the source said and has not grown stale."""
        now = self._monotonic()
        with self._lock:
            layers = self._layers
        return [row for layer in layers if layer.part.fresh(now) for row in layer.rows]

    def health(self) -> Health:
        """A copy of how the lane is doing now."""
        now = self._monotonic()
        with self._lock:
            h = self._health
            since = self._running_since
            over = 0.0 if since is None else max(0.0, now - since - self.source.deadline)
            return Health(h.name, h.up, h.duration, h.last_success, over, h.errors.copy(), h.rejected)

    @property
    def busy(self) -> bool:
        """Whether a read is under way."""
        return self._running_since is not None

    @property
    def stuck(self) -> float:
        """Seconds that the present run has been over its deadline."""
        since = self._running_since
        return 0.0 if since is None else max(0.0, self._monotonic() - since - self.source.deadline)

    def _loop(self) -> None:
        due = self._monotonic()
        while not self._stop.is_set():
            self.run_once()
            due += self.source.interval
            now = self._monotonic()
            if due < now:
                due = now  # after a long read: no burst to catch up
            self._stop.wait(due - now)
