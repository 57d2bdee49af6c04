"""Who speaks for a job that tells of itself in several ways: rules sum over jobs, none may count twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, get_args

Way = Literal["reporter", "otlp", "log"]
WAYS: tuple[Way, ...] = get_args(Way)
"""The better one first."""

_STUCK = 15.0
"""Seconds after which a way that no longer reads is passed over: what it said last is gone by then."""
_MOST = 4096


class Voices:
    """One way at a time speaks for a job; safe for several threads.

    A better way takes over once the other has fallen silent: it asks, the other is refused at its next read,
    and speaks no more from then on; so at no time do both. The other way round nothing is handed over until
    the better way has said nothing for `memory` seconds: counters of two ways differ, and to go from one to
    the other in the middle of a job would look like work.
    """

    def __init__(self, memory: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._memory, self._monotonic = memory, monotonic
        self._lock = threading.Lock()
        self._speaking: dict[str, tuple[int, float]] = {}
        """By job: the place of the way among WAYS, and when it spoke last."""
        self._wanted: dict[str, tuple[int, float]] = {}

    def may(self, way: Way, job: str) -> bool:
        """Whether this way speaks for the job now; if so, it must."""
        place, now = WAYS.index(way), self._monotonic()
        with self._lock:
            if len(self._speaking) > _MOST:
                self._forget(now)
            wanted, asked = self._wanted.get(job, (place, now))
            if wanted < place and now - asked <= _STUCK:
                if self._speaking.get(job, (wanted, 0.0))[0] == place:
                    del self._speaking[job]
                return False
            speaker, spoke = self._speaking.get(job, (place, now))
            if (speaker < place and now - spoke <= self._memory) or (
                speaker > place and now - spoke <= _STUCK
            ):
                if speaker > place:
                    self._wanted[job] = place, now
                return False
            self._speaking[job] = place, now
            self._wanted.pop(job, None)
            return True

    def _forget(self, now: float) -> None:
        for book in (self._speaking, self._wanted):
            for job in [job for job, (_, at) in book.items() if now - at > self._memory]:
                del book[job]
