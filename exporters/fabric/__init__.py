"""Fabric as this node sees it: InfiniBand and RoCE ports."""

from __future__ import annotations

from pathlib import Path

from exporters.fabric.infiniband import InfinibandSource
from exporters.runtime import Later

__all__ = ["InfinibandSource", "fabric_sources"]


def fabric_sources(interval: float, root: Path = Path("/")) -> list[Later]:
    """The sources of what this host has, or gets once its drivers are loaded."""
    return [Later(InfinibandSource(interval, root=root))]
