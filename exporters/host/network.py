"""Network interfaces of the host (/proc/net/dev, /sys/class/net)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

NO_INTERFACE = re.compile(
    r"^(lo$|ifb\d|veth|docker|podman|br-|cni|flannel|cali|cilium|lxc|eni[0-9a-f]{11}$|kube-|nodelocaldns"
    r"|virbr|vnet|tap|tunl|dummy|ovs-)"
)
"""Interfaces of containers and virtual machines: they come and go, and their traffic is on the host's too."""
_BYTES_PER_MEGABIT = 1e6 / 8
_AGAIN_AFTER = 60.0
"""Seconds after which the speed is asked for again: that question takes a lock and goes to the driver."""


class Traffic(NamedTuple):
    """One direction of one interface."""

    device: str
    direction: str
    volume: float
    errors: float
    drops: float


class NetworkSource:
    """Traffic, errors, link, speed and lost links of every interface of the host itself."""

    name = "network"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        # The network of the host's first process; a container's own shows one end of a cable to nowhere.
        self._files = (root / "proc/1/net/dev", root / "proc/net/dev")
        self._interfaces = root / "sys/class/net"
        self._monotonic = monotonic
        self._speeds: dict[str, tuple[float | None, float]] = {}

    @property
    def present(self) -> bool:
        """Whether the kernel shows interfaces at all."""
        return any(file.exists() for file in self._files)

    def read(self) -> Iterator[Reading]:
        devices = set()
        for traffic in parse(self._text()):
            labels = (traffic.device, traffic.direction)
            devices.add(traffic.device)
            yield Reading(host.HOST_NETWORK_BYTES, labels, traffic.volume)
            yield Reading(host.HOST_NETWORK_ERRORS, labels, traffic.errors)
            yield Reading(host.HOST_NETWORK_DROPS, labels, traffic.drops)
        for device in sorted(devices):
            yield from self._link(device)
        self._speeds = {device: known for device, known in self._speeds.items() if device in devices}

    def _text(self) -> str:
        try:
            return sysfs.whole(self._files[0])
        except OSError:  # /proc with hidepid
            return sysfs.whole(self._files[1])

    def _link(self, device: str) -> Iterator[Reading]:
        place = f"{self._interfaces}/{device}"
        state = sysfs.text(f"{place}/operstate")
        if not state:
            return
        # Some drivers do not say it this way: then the carrier decides.
        up = state == "up" or (state == "unknown" and sysfs.text(f"{place}/carrier") == "1")
        yield Reading(host.HOST_NETWORK_UP, (device,), float(up))
        flaps = sysfs.number(f"{place}/carrier_down_count")
        if flaps is not None:
            yield Reading(host.HOST_NETWORK_FLAPS, (device,), flaps)
        if not up:
            self._speeds.pop(device, None)  # it may come back with another
            return
        speed = self._speed(device, place)
        if speed is not None:
            yield Reading(host.HOST_NETWORK_SPEED, (device,), speed)

    def _speed(self, device: str, place: str) -> float | None:
        now = self._monotonic()
        known = self._speeds.get(device)
        if known is None or now - known[1] >= _AGAIN_AFTER:
            megabits = sysfs.number(f"{place}/speed")  # -1 where there is no such thing
            known = self._speeds[device] = (megabits * _BYTES_PER_MEGABIT if megabits else None, now)
        return known[0]


def parse(text: str) -> Iterator[Traffic]:
    """NAME: and, by direction, bytes packets errors drops and four more."""
    for line in text.split("\n"):
        name, colon, rest = line.rpartition(":")
        device = name.strip()
        numbers = [value for value in map(sysfs.digits, rest.split()) if value is not None]
        if not colon or not device or "/" in device or len(numbers) < 16 or NO_INTERFACE.match(device):
            continue
        for direction, first in (("receive", 0), ("transmit", 8)):
            yield Traffic(device, direction, numbers[first], numbers[first + 2], numbers[first + 3])
