"""Storage as this node sees it: shared file systems, the traffic to them, and NVMe disks."""

from __future__ import annotations

from pathlib import Path

from exporters.runtime import Later
from exporters.sections import StorageSection
from exporters.storage.lustre import LustreSource
from exporters.storage.mounts import MountSource
from exporters.storage.nfs import NfsSource
from exporters.storage.nvme import NvmeSource

__all__ = ["LustreSource", "MountSource", "NfsSource", "NvmeSource", "storage_sources"]


def storage_sources(
    slow: float, section: StorageSection | None = None, root: Path = Path("/")
) -> list[Later]:
    """The sources of what this host has, or gets later, all read every `slow` seconds."""
    return [
        Later(MountSource(slow, section, root=root)),
        Later(NfsSource(slow, root=root)),
        Later(LustreSource(slow, root=root)),
        Later(NvmeSource(slow, root=root)),
    ]
