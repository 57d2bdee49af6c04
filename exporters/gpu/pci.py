"""The PCI bus as the kernel shows it: GPUs, NVSwitches, network adapters and NVMe disks, driver or not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.gpu.address import PciAddress, pci_address
from gigawatch.catalogue import gpu
from gigawatch.catalogue.gpu_links import PCI_AER_ERRORS, PCI_DEVICE_INFO, PCI_LINK_SPEED, PCI_LINK_WIDTH
from gigawatch.readings import Reading

DEVICES = Path("/sys/bus/pci/devices")
_LIST_EVERY = 60.0
"""Seconds after which the bus is searched for new devices."""
_NVIDIA, _MELLANOX = "10de", "15b3"
_VENDORS = {
    _NVIDIA: "nvidia", _MELLANOX: "mellanox", "14e4": "broadcom", "8086": "intel", "1002": "amd",
    "144d": "samsung", "1344": "micron", "1c5c": "skhynix", "1e0f": "kioxia", "1d0f": "amazon",
}  # fmt: skip
_DISPLAY, _BRIDGE, _NETWORK, _NVME = ("0300", "0302"), "0680", ("0200", "0207"), "0108"
_INFINIBAND = "0207"
_WIDE = 8
"""Lanes from which on a network adapter is of interest whoever made it; slower ones serve management."""
_WIDTHS = frozenset({1, 2, 4, 8, 12, 16, 32})
_SPEEDS = frozenset({2.5, 5.0, 8.0, 16.0, 32.0, 64.0, 128.0})
_HANDED_ON = ("vfio-pci", "pci-stub", "xen-pciback")
"""Drivers that hold a GPU for a virtual machine: NVML on this host is not meant to see it."""
_AER = (
    ("correctable", "aer_dev_correctable", "TOTAL_ERR_COR"),
    ("nonfatal", "aer_dev_nonfatal", "TOTAL_ERR_NONFATAL"),
    ("fatal", "aer_dev_fatal", "TOTAL_ERR_FATAL"),
)
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class _Found:
    """A device of interest, and what does not change about it."""

    path: str
    name: str
    kind: str
    address: PciAddress
    vendor: str
    product: str
    numa: str


class PciSource:
    """What is fewer in NVML than here has no driver, or fell off.

    A GPU is visible while it answers to the bus: one that fell off stays listed, but all it says is ones.
    """

    name = "pci"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._devices = root / DEVICES.relative_to("/")
        self._monotonic = monotonic
        self._found: tuple[_Found, ...] = ()
        self._listed = float("-inf")
        self._expected: tuple[PciAddress, ...] = ()

    def read(self) -> Iterator[Reading]:
        """Raises nothing: a bus that is not there has no devices."""
        now = self._monotonic()
        if now - self._listed >= _LIST_EVERY or any(not _is_there(one) for one in self._found):
            self._found, self._listed = tuple(_list(self._devices)), now
        drivers = {one.name: _driver(one) for one in self._found}
        gpus = [one for one in self._found if one.kind == "gpu"]
        self._expected = tuple(one.address for one in gpus if drivers[one.name] not in _HANDED_ON)
        yield Reading(gpu.GPUS_VISIBLE, ("pci",), float(sum(_answers(one) for one in gpus)))
        for one in self._found:
            labels = (one.name, one.kind, drivers[one.name], one.vendor, one.product, one.numa)
            yield Reading(PCI_DEVICE_INFO, labels, 1.0)
            yield from _link(one)
            yield from _errors(one)

    def missing_from_nvml(self, nvml_addresses: Collection[PciAddress]) -> list[PciAddress]:
        """GPUs that this host should drive and that NVML does not show, as of the last read."""
        return [address for address in self._expected if address not in nvml_addresses]


def count_gpus(devices: Path = DEVICES) -> int:
    """GPUs of the vendor on the bus; 0 where there is no such bus."""
    return sum(one.kind == "gpu" for one in _list(devices))


def _list(devices: Path) -> Iterator[_Found]:
    try:
        names = sorted(entry.name for entry in devices.iterdir())
    except OSError:
        return
    for name in names:
        path = f"{devices}/{name}"
        kind, vendor = _kind(path)
        address = pci_address(name)
        if kind and address is not None:
            product, numa = _hex(path, "device"), _text(path, "numa_node")
            known = _VENDORS.get(vendor, vendor)
            yield _Found(path, name, kind, address, known, product, "" if numa.startswith("-") else numa)


def _kind(path: str) -> tuple[str, str]:
    """What kind of device it is, empty for one of no interest, and its vendor's number."""
    group, vendor = _hex(path, "class")[:4], _hex(path, "vendor")
    if group in _DISPLAY:
        kind = "gpu" if vendor == _NVIDIA else ""
    elif group == _BRIDGE:
        kind = "nvswitch" if vendor == _NVIDIA else ""
    elif group == _NVME:
        kind = "nvme"
    elif group in _NETWORK:
        fast = (
            group == _INFINIBAND or vendor in (_NVIDIA, _MELLANOX) or _width(path, "max_link_width") >= _WIDE
        )
        kind = "network" if fast else ""
    else:
        kind = ""
    if kind and os.path.lexists(f"{path}/physfn"):  # a virtual function is no further device
        kind = ""
    return kind, vendor


def _is_there(one: _Found) -> bool:
    return os.path.lexists(one.path)


def _driver(one: _Found) -> str:
    try:
        return os.path.basename(os.readlink(f"{one.path}/driver"))  # noqa: PTH115, PTH119 - read for every device at every tick
    except OSError:
        return ""


def _answers(one: _Found) -> bool:
    """False if its configuration reads as all ones. A device that sleeps is not woken for that."""
    if _text(one.path, "power/runtime_status") == "suspended":
        return True
    try:
        descriptor = os.open(f"{one.path}/config", os.O_RDONLY)
    except OSError:
        return _is_there(one)
    try:
        return os.read(descriptor, 2) != b"\xff\xff"
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _link(one: _Found) -> Iterator[Reading]:
    for kind in ("current", "max"):
        speed = _text(one.path, f"{kind}_link_speed").split(" ", 1)[0]
        try:
            transfers = float(speed)
        except ValueError:
            transfers = 0.0
        if transfers in _SPEEDS:
            yield Reading(PCI_LINK_SPEED, (one.name, kind), transfers * 1e9)
        width = _width(one.path, f"{kind}_link_width")
        if width:
            yield Reading(PCI_LINK_WIDTH, (one.name, kind), float(width))


def _width(path: str, file: str) -> int:
    text = _text(path, file)
    return int(text) if text.isdecimal() and len(text) < 3 and int(text) in _WIDTHS else 0


def _errors(one: _Found) -> Iterator[Reading]:
    for severity, file, total in _AER:
        count = _total(_text(one.path, file), total)
        if count is not None:
            yield Reading(PCI_AER_ERRORS, (one.name, severity), float(count))


def _total(text: str, total: str) -> int | None:
    """The line that says the total, or the sum over the kinds of error; None if there is no count at all."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        name, _, number = line.rpartition(" ")
        if name and number.isascii() and number.isdecimal() and int(number[:20]) < _LARGEST:
            counts[name] = int(number[:20])
    return counts.get(total, sum(counts.values())) if counts else None


def _hex(path: str, file: str) -> str:
    return _text(path, file).removeprefix("0x").lower()


def _text(path: str, file: str) -> str:
    """The content of a file of the device; empty where it cannot be read."""
    try:
        descriptor = os.open(f"{path}/{file}", os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 4096).decode("ascii", "replace").strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)
