"""Fabric and shared storage as this node sees them."""

from exporters.fabric.infiniband import InfinibandSource
from exporters.fabric.mounts import MountSource

__all__ = ["InfinibandSource", "MountSource"]
