"""What this process itself uses, under the names that every Prometheus client library gives it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest


class ProcessMetrics:
    """`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and their kin."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """In the text format."""
        return generate_latest(self._registry)
