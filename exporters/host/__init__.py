"""The host itself: processor, memory, disks, network, power."""

from exporters.host.power import RaplSource
from exporters.host.system import HostSource

__all__ = ["HostSource", "RaplSource"]
