"""What the GPU collector tells the serving process besides its readings. No driver library is needed to read
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MigSeen(NamedTuple):
    """A partition of a GPU: GPU instance, compute instance and UUID."""

    gi: str
    ci: str
    uuid: str


class GpuSeen(NamedTuple):
    """A GPU as the driver shows it. What is not known is empty."""

    gpu: int
    """The driver's index."""
    uuid: str
    bus: str = ""
    """PCI address as the driver writes it."""
    minor: str = ""
    condition: str = "ok"
    """A value of aif_gpu_state."""
    stuck: float = 0.0
    """Seconds that a read has been over its deadline."""
    info: tuple[str, ...] = ()
    """The labels of its aif_gpu_info, once known."""
    mig: tuple[MigSeen, ...] = ()
    pids: tuple[int, ...] = ()
    """Processes that hold a context on it."""

    @property
    def labels(self) -> tuple[str, str]:
        """The two labels of every GPU series."""
        return str(self.gpu), self.uuid


class XidSeen(NamedTuple):
    """An XID as the driver reported it, at a time of CLOCK_MONOTONIC."""

    gpu: int
    uuid: str
    xid: int
    at: float


@dataclass(frozen=True, slots=True)
class GpuNote:
    """One tick's news. `blocked` is how long the search for GPUs has been over its deadline."""

    driver: bool = False
    """The driver is open."""
    enumerated: bool = False
    """Every GPU has been looked for at least once."""
    blocked: float = 0.0
    gpus: tuple[GpuSeen, ...] = ()
    xids: tuple[XidSeen, ...] = ()
