"""Which GPU a scheduler means: every way in which one is named, brought back to its UUID."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

_REPLICA = re.compile(r"::\d+$")
_VIRTUAL = re.compile(r"/vgpu\d+$")
_NODE_FILE = re.compile(r"^(?:/dev/)?nvidia(\d{1,6})(?:/gi(\d{1,6}))?$")
_CLAIMED = re.compile(r"^gpu-(\d{1,6})(-mig-.+)?$")
_OLD_MIG = re.compile(r"^mig-(gpu-[0-9a-f-]+)/(\d{1,6})/(\d{1,6})$")
_INDEX = re.compile(r"^(\d{1,6})(?::(\d{1,6}))?$")
_PCI = re.compile(r"^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$")


class MigIdentity(NamedTuple):
    """A part of a GPU: GPU instance, compute instance, UUID."""

    gi: str
    ci: str
    uuid: str


class GpuIdentity(NamedTuple):
    """A GPU as the driver names it. `gpu` is NVML's index (order on the PCI bus), `minor` the number of
    /dev/nvidiaN (they may differ), `mig` its parts in NVML's order; empty text where unknown."""

    gpu: str
    uuid: str
    minor: str = ""
    pci_bus_id: str = ""
    mig: tuple[MigIdentity, ...] = ()


Gpus = Callable[[], Sequence[GpuIdentity]]
"""What the GPU collector knows now; empty while it knows nothing. A lost GPU stays in it."""


class Place(NamedTuple):
    """A GPU, or a part of it where `mig_uuid` is not empty."""

    gpu: GpuIdentity
    mig_uuid: str = ""


class Devices:
    """Finds GPUs by any of their names."""

    def __init__(self, gpus: Iterable[GpuIdentity]) -> None:
        self.gpus = tuple(gpus)
        self._by_uuid = {gpu.uuid.lower(): gpu for gpu in self.gpus if gpu.uuid}
        self._by_index = {gpu.gpu: gpu for gpu in self.gpus if gpu.gpu}
        self._by_minor = {gpu.minor: gpu for gpu in self.gpus if gpu.minor}
        self._by_bus = {_bus(gpu.pci_bus_id): gpu for gpu in self.gpus if gpu.pci_bus_id}
        self._by_mig = {part.uuid.lower(): Place(gpu, part.uuid) for gpu in self.gpus for part in gpu.mig}

    def __bool__(self) -> bool:
        return bool(self.gpus)

    @property
    def cut_up(self) -> bool:
        """Whether any GPU is divided by MIG."""
        return bool(self._by_mig)

    def by_minor(self, minor: int) -> GpuIdentity | None:
        """The GPU behind /dev/nvidiaN; by index where the driver tells no minor numbers."""
        return (self._by_minor or self._by_index).get(str(minor))

    def find(self, name: str) -> Place | None:
        """What a device plugin, a resource driver or a prolog calls a GPU.

        UUID of a GPU or of a part of it, with or without the `::N` of a time-sliced copy; the part's old form
        `MIG-GPU-.../gi/ci`; `nvidiaN` and `nvidiaN/giM` by minor number, with or without `/vgpuK` (GKE);
        `gpu-N` and `gpu-N-mig-...` by minor number (dynamic resource allocation); index `N` or `N:part`;
        PCI address.
        """
        text = _VIRTUAL.sub("", _REPLICA.sub("", name.strip())).lower()
        if text in self._by_mig:
            return self._by_mig[text]
        if text in self._by_uuid:
            return Place(self._by_uuid[text])
        if old := _OLD_MIG.match(text):
            return _part(self._by_uuid.get(old[1]), gi=old[2], ci=old[3])
        if file := _NODE_FILE.match(text):
            gpu = self.by_minor(int(file[1]))
            return _part(gpu, gi=file[2]) if file[2] else _whole(gpu)
        if claimed := _CLAIMED.match(text):
            return _claimed(self.by_minor(int(claimed[1])), in_part=bool(claimed[2]))
        if index := _INDEX.match(text):
            gpu = self._by_index.get(str(int(index[1])))
            return _nth(gpu, int(index[2])) if index[2] else _whole(gpu)
        return _whole(self._by_bus.get(_bus(text)))


def _whole(gpu: GpuIdentity | None) -> Place | None:
    return None if gpu is None else Place(gpu)


def _part(gpu: GpuIdentity | None, gi: str, ci: str = "") -> Place | None:
    for part in gpu.mig if gpu else ():
        if part.gi == gi and ci in ("", part.ci):
            return Place(gpu, part.uuid) if gpu else None
    return None


def _nth(gpu: GpuIdentity | None, number: int) -> Place | None:
    if gpu is None or number >= len(gpu.mig):
        return None
    return Place(gpu, gpu.mig[number].uuid)


def _claimed(gpu: GpuIdentity | None, in_part: bool) -> Place | None:
    """A claimed part goes by profile and slices, not by its UUID: certain only where there is just one."""
    if gpu is None or not in_part:
        return _whole(gpu)
    return Place(gpu, gpu.mig[0].uuid if len(gpu.mig) == 1 else "")


def _bus(address: str) -> str:
    """One spelling of a PCI address: NVML writes the domain with eight digits, the kernel with four."""
    found = _PCI.match(address.lower())
    return f"{int(found[1] or '0', 16):x}:{found[2]}:{found[3]}.{found[4]}" if found else ""
