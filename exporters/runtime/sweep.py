"""Runs many lanes of one pace in turn, in one thread, for as long as none of them blocks.

Eight GPUs read one after the other cost far less than eight threads that wake up for one read each. Where a
lane takes long, it keeps the thread to itself, for ever if need be, and the others go on in a new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from exporters.runtime.lane import Lane

_PATIENCE = 0.1
"""Seconds after which a lane counts as slow enough for a thread of its own."""
_LITTLE_PATIENCE = 0.02
"""The same, once one lane has taken long in this tick: likely not the only one."""


class Sweep:
    """`run` is called once per tick; a lane that is still at work from an earlier tick is passed over."""

    def __init__(
        self, name: str, patience: float = _PATIENCE, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._patience, self._monotonic = name, patience, monotonic
        self._change = threading.Condition()
        self._lanes: list[Lane] = []
        self._todo: list[Lane] = []
        self._worker: threading.Thread | None = None
        self._current: tuple[Lane, float] | None = None

    def add(self, lane: Lane) -> None:
        """From the next tick on."""
        with self._change:
            self._lanes.append(lane)

    def run(self, limit: float) -> None:
        """Have every lane read once; returns when all have, or are known to take long, or after `limit`
        seconds."""
        end, patience = self._monotonic() + limit, self._patience
        with self._change:
            self._todo = [lane for lane in self._lanes if not lane.busy]
            self._change.notify_all()
            while self._todo or self._current is not None:
                now = self._monotonic()
                if now >= end:
                    return
                if self._worker is None:
                    self._hire()
                current = self._current
                left = min(end - now, patience)
                if current is not None:
                    waited = now - current[1]
                    if waited >= patience:
                        self._worker = self._current = None  # it stays with its lane, and ends with it
                        patience = min(patience, _LITTLE_PATIENCE)
                        continue
                    left = min(left, patience - waited)
                self._change.wait(left)

    def _hire(self) -> None:
        self._worker = threading.Thread(target=self._work, name=f"sweep-{self._name}", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._change:
                while self._worker is me and not self._todo:
                    self._change.wait()
                if self._worker is not me:
                    return
                lane = self._todo.pop(0)
                self._current = lane, self._monotonic()
            lane.run_once()
            with self._change:
                if self._worker is not me:
                    return
                self._current = None
                if not self._todo:
                    self._change.notify_all()
