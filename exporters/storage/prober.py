"""Questions that may never be answered, each asked in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from exporters.runtime import SourceError

Answer = TypeVar("Answer")
MOST_ABANDONED = 8
"""Threads that may still wait for something that is gone, before nothing new is asked."""


class Probe(Generic[Answer]):
    """One question: `answer` or `error` once it is over."""

    def __init__(self, ask: Callable[[], Answer], monotonic: Callable[[], float]) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self._over = threading.Event()
        self._monotonic = monotonic
        self._began = monotonic()
        self._took = 0.0
        threading.Thread(target=self._run, args=(ask,), name="probe", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the answer, or an error, has come."""
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Wait for the answer, but no longer."""
        self._over.wait(max(0.0, seconds))

    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return self._took if self.over else self._monotonic() - self._began

    def _run(self, ask: Callable[[], Answer]) -> None:
        try:
            self.answer = ask()
        except (OSError, ValueError, SourceError) as error:
            self.error = error
        self._took = self._monotonic() - self._began
        self._over.set()


class Prober(Generic[Answer]):
    """Asks several things at once and waits for all of them together.

    A question that hangs is not asked again before it is over: it costs one waiting thread, however long.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._probes: dict[Hashable, Probe[Answer]] = {}
        self._abandoned: list[Probe[Answer]] = []

    def ask(
        self, questions: Mapping[Hashable, Callable[[], Answer]], patience: float
    ) -> dict[Hashable, Probe[Answer]]:
        """The state of every question after `patience` seconds at the most.

        What stood in the last questions and no longer does is forgotten. Once too many of those hang, new
        questions are left out of the answer.
        """
        for gone in self._probes.keys() - questions.keys():
            self._abandoned.append(self._probes.pop(gone))
        self._abandoned = [probe for probe in self._abandoned if not probe.over]
        for key, question in questions.items():
            running = self._probes.get(key)
            if running is None and len(self._abandoned) >= MOST_ABANDONED:
                continue
            if running is None or running.over:
                self._probes[key] = Probe(question, self._monotonic)
        last = self._monotonic() + patience
        for probe in self._probes.values():
            probe.wait(last - self._monotonic())
        return dict(self._probes)
