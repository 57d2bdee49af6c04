"""Saving beside scoring: the state is copied at once and written in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from analytics.engine import Engine
from analytics.serving.state import StateError, StateStore


class Saver:
    """Writes to one store, one state at a time."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._thread: threading.Thread | None = None
        self.durations: dict[str, float] = {}
        """Seconds of the last copy, which runs wait for, and of the last writing, which they do not."""

    @property
    def busy(self) -> bool:
        """Whether a state is being written."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """How long the last save took in all."""
        return sum(self.durations.values())

    def save(self, engine: Engine, done: Callable[[StateError | None], None]) -> None:
        """Copy the state of an engine and write it; `done` is told the error or None, in the thread."""
        began = time.perf_counter()
        engine.forget_absent()
        header, arrays = engine.dump()
        copied = time.perf_counter()
        self.wait()

        def write() -> None:
            problem: StateError | None = None
            try:
                self._store.save(header, arrays)
            except StateError as error:
                problem = error
            self.durations = {"snapshot": copied - began, "save": time.perf_counter() - copied}
            done(problem)

        self._thread = threading.Thread(target=write, name="save")
        self._thread.start()

    def wait(self) -> None:
        """Return once nothing is being written."""
        if self._thread is not None:
            self._thread.join()
