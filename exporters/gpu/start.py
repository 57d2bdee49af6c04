"""What the serving process needs to start a GPU collector, without loading the driver's library itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporters.runtime.child import Producer


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """Seconds between reads in the fast and in the slow lane; what to read; indexes that must not be
    touched; what lies before the host's /proc and /sys."""

    interval: float
    slow_interval: float
    profiling: bool = True
    processes: bool = False
    left_out: frozenset[int] = frozenset()
    root: Path = Path("/")


def gpu_collector(options: GpuOptions) -> Producer:
    """Made in the collector process."""
    from exporters.gpu.collector import GpuCollector

    return GpuCollector(options)
