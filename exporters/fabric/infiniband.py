"""InfiniBand and RoCE ports, from the kernel's sysfs (/sys/class/infiniband)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters import sysfs
from exporters.fabric import counters
from exporters.fabric.counters import Counter
from gigawatch.catalogue import fabric
from gigawatch.readings import Reading

_STATES = {"DOWN": "down", "INIT": "init", "ARMED": "armed", "ACTIVE": "active", "ACTIVE_DEFER": "active"}
_RATE = re.compile(r"^(\d{1,6}(?:\.\d+)?) Gb/sec")
_BYTES_PER_GIGABIT = 1e9 / 8
_PCI = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")


@dataclass(frozen=True, slots=True)
class _Port:
    """A port, and what of it changes seldom or never."""

    place: tuple[str, str]
    path: str
    info: tuple[str, ...]
    counters: tuple[Counter, ...]
    volume: tuple[Counter, ...]
    is_ethernet: bool


class InfinibandSource:
    """Identity, state, speed, traffic and errors of every port. What the adapter does not count is absent.

    The counts are the adapter's own, so that a flap between two reads is in them too. They stay with the
    adapter: not a restart of the agent but only of the adapter's driver or firmware sets them back.
    """

    name = "infiniband"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._devices = root / "sys/class/infiniband"
        self._ports = sysfs.Remembered(lambda: tuple(self._find()), monotonic=monotonic)

    @property
    def present(self) -> bool:
        """Whether the kernel knows of any adapter."""
        return bool(sysfs.names(self._devices))

    def read(self) -> Iterator[Reading]:
        for port in self._ports():
            yield from _read(port)

    def _find(self) -> Iterator[_Port]:
        for device in sysfs.names(self._devices):
            adapter = self._devices / device
            firmware = sysfs.text(adapter / "fw_ver")
            pci = (adapter / "device").resolve().name
            for name in sysfs.names(adapter / "ports"):
                path = adapter / "ports" / name
                layer = sysfs.text(path / "link_layer")
                place = (device, name)
                yield _Port(
                    place,
                    str(path),
                    (*place, layer, _interface(adapter, path), firmware, pci if _PCI.match(pci) else ""),
                    tuple(counters.find(path, place)),
                    tuple(counters.find_volume(path, place)),
                    layer == "Ethernet",
                )


def _read(port: _Port) -> Iterator[Reading]:
    state = _STATES.get(sysfs.text(f"{port.path}/state").partition(":")[2].strip())
    if state is None:
        return  # gone since the ports were listed, or a state that we do not know
    yield Reading(fabric.IB_PORT_INFO, port.info, 1.0)
    for name in fabric.IB_PORT_STATE.values["state"]:
        yield Reading(fabric.IB_PORT_STATE, (*port.place, name), float(name == state))
    # A port that is down shows the lowest speed it could have, not one at which it runs.
    rate = _RATE.match(sysfs.text(f"{port.path}/rate")) if state == "active" else None
    if rate:
        yield Reading(fabric.IB_PORT_SPEED, port.place, float(rate[1]) * _BYTES_PER_GIGABIT)
    volume = list(_values(port.volume))
    # Adapters that count no RoCE traffic show files with 0 in them.
    if not port.is_ethernet or any(reading.value for reading in volume):
        yield from volume
    yield from _values(port.counters)


def _values(found: Iterable[Counter]) -> Iterator[Reading]:
    for counter in found:
        values = [sysfs.number(path) for path in counter.paths]
        known = [value for value in values if value is not None]
        if known:
            yield Reading(counter.metric, counter.labels, sum(known) * counter.factor)


def _interface(adapter: Path, port: Path) -> str:
    """Network interface behind a port: of RoCE the kernel says it, of InfiniBand it is the adapter's."""
    said = sysfs.text(port / "gid_attrs/ndevs/0")
    if said:
        return said
    here = adapter / "device/net"
    found = [
        name for name in sysfs.names(here) if str(_port_number(here / name) + 1) == port.name
    ]  # fmt: skip
    return min(found, key=lambda name: (len(name), name), default="")


def _port_number(interface: Path) -> int:
    """Port of the adapter, counted from 0. Old IPoIB drivers know it as dev_id."""
    port, old = sysfs.number(interface / "dev_port"), sysfs.text(interface / "dev_id")
    if not port and re.match(r"^0x[0-9a-f]{1,4}$", old):
        return int(old, 16)
    return int(port or 0)
