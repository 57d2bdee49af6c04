"""GPUs as the PCI bus shows them, whether or not a driver is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

DEVICES = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
_DISPLAY = ("0x0300", "0x0302")
"""PCI classes of graphics cards and of accelerators without a screen."""


class PciSource:
    """Counts NVIDIA GPUs in sysfs: what is fewer in NVML has no driver, or fell off."""

    name = "pci"

    def __init__(self, interval: float, deadline: float = 5.0, devices: Path = DEVICES) -> None:
        self.interval, self.deadline = interval, deadline
        self._devices = devices

    def read(self) -> Iterator[Reading]:
        yield Reading(gpu.GPUS_VISIBLE, ("pci",), float(count_gpus(self._devices)))


def count_gpus(devices: Path = DEVICES) -> int:
    """GPUs of the vendor on the bus; 0 where there is no such bus."""
    try:
        found = list(devices.iterdir())
    except OSError:
        return 0
    return sum(_is_gpu(device) for device in found)


def _is_gpu(device: Path) -> bool:
    try:
        if (device / "vendor").read_text().strip() != _NVIDIA:
            return False
        if not (device / "class").read_text().startswith(_DISPLAY):
            return False
    except OSError:
        return False
    return "physfn" not in {entry.name for entry in device.iterdir()}  # virtual functions are no further GPU
