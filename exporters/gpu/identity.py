"""Who a GPU is: the labels of its aif_gpu_info."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pynvml

from exporters.gpu.address import pci_address, shown
from exporters.gpu.binding import Snapshot
from exporters.gpu.nvml import Missing

_ARCHITECTURES = {
    value: name.removeprefix("NVML_DEVICE_ARCH_").lower()
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_DEVICE_ARCH_")
}


class Identity(NamedTuple):
    """In the order of the metric's labels; empty where the driver does not say."""

    model: str = ""
    serial: str = ""
    bus: str = ""
    vbios: str = ""
    driver: str = ""
    architecture: str = ""
    board_part: str = ""
    minor: str = ""
    numa: str = ""


def identity_of(snapshot: Snapshot, root: Path) -> Identity:
    """As the driver tells it; `root` lies before the host's /sys."""

    def text(function: str) -> str:
        answer = snapshot.call(function)
        return answer if isinstance(answer, str) and not isinstance(answer, Missing) else ""

    def number(function: str) -> str:
        answer = snapshot.call(function)
        return str(answer) if isinstance(answer, int) and answer >= 0 else ""

    pci = snapshot.call("nvmlDeviceGetPciInfo")
    told = "" if pci is None or isinstance(pci, Missing) else _text(pci.busId) or _text(pci.busIdLegacy)
    address = pci_address(told)
    # As sysfs spells it, so that it joins with what PCI tells of the same device.
    bus = f"{shown(address)}.0" if address is not None else told
    architecture = snapshot.call("nvmlDeviceGetArchitecture")
    version = snapshot.ask("nvmlSystemGetDriverVersion")
    return Identity(
        text("nvmlDeviceGetName"),
        text("nvmlDeviceGetSerial"),
        bus,
        text("nvmlDeviceGetVbiosVersion"),
        version if isinstance(version, str) and not isinstance(version, Missing) else "",
        _ARCHITECTURES.get(architecture, "") if isinstance(architecture, int) else "",
        text("nvmlDeviceGetBoardPartNumber"),
        number("nvmlDeviceGetMinorNumber"),
        number("nvmlDeviceGetNumaNodeId") or _nearest(bus, root),
    )


def _nearest(bus: str, root: Path) -> str:
    """The NUMA node that the GPU's slot belongs to, where the GPU is none itself."""
    address = pci_address(bus)
    if address is None:
        return ""
    try:
        node = (root / "sys/bus/pci/devices" / f"{shown(address)}.0" / "numa_node").read_text().strip()
    except (OSError, ValueError):
        return ""
    return node if node.isdecimal() else ""


def _text(raw: object) -> str:
    return raw.decode("ascii", "replace") if isinstance(raw, bytes) else str(raw)
