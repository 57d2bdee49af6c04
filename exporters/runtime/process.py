"""What this process itself uses, under the names that every Prometheus client library gives it."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

_EVERY = 5.0


class ProcessMetrics:
    """`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and their kin."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._monotonic = monotonic
        self._text, self._due = b"", float("-inf")

    def render(self) -> bytes:
        """In the text format; read anew every few seconds."""
        now = self._monotonic()
        if now >= self._due:
            self._text, self._due = generate_latest(self._registry), now + _EVERY
        return self._text
