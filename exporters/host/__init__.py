"""The host itself: processor, memory, disks, network, power, heat, clock."""

from __future__ import annotations

from pathlib import Path

from exporters.host.clock import ClockSource
from exporters.host.disks import DiskSource
from exporters.host.filesystems import FilesystemSource
from exporters.host.memory_errors import MemoryErrorSource
from exporters.host.network import NetworkSource
from exporters.host.power import RaplSource
from exporters.host.pressure import PressureSource
from exporters.host.sensors import SensorSource
from exporters.host.system import HostSource
from exporters.host.throttles import ThrottleSource
from exporters.runtime import Source

__all__ = [
    "ClockSource",
    "DiskSource",
    "FilesystemSource",
    "HostSource",
    "MemoryErrorSource",
    "NetworkSource",
    "PressureSource",
    "RaplSource",
    "SensorSource",
    "ThrottleSource",
    "host_sources",
]


def host_sources(interval: float, slow: float, root: Path = Path("/")) -> list[Source]:
    """The sources of what this host has, but power. What moves fast is read every `interval` seconds, what
    changes seldom or takes long to ask every `slow` seconds."""
    return [
        source
        for source in (
            HostSource(interval, root=root),
            PressureSource(interval, root=root),
            DiskSource(interval, root=root),
            NetworkSource(interval, root=root),
            FilesystemSource(slow, root=root),
            SensorSource(slow, root=root),
            ThrottleSource(slow, root=root),
            MemoryErrorSource(slow, root=root),
            ClockSource(slow),
        )
        if source.present
    ]
