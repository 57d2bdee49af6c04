"""XID errors in the kernel log: seen even where the driver library is dead or never told."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exporters.runtime import SourceError, Supervisor
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

KMSG = Path("/dev/kmsg")
XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")
FALLEN = re.compile(r"NVRM:.*?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}).*fallen off the bus")
_FALLEN_OFF_THE_BUS = 79
_SAME_EVENT = 2.0
"""Seconds within which "fallen off the bus" and XID 79 tell of one event."""
_RECORD = 8192
_MOST_RECORDS = 10_000

Identity = tuple[str, str]
PciAddress = tuple[int, int, int]


class Places:
    """Which GPU sits at which PCI address, as the collector process last said."""

    def __init__(self, child: Supervisor) -> None:
        self._child = child

    def __call__(self) -> dict[PciAddress, Identity]:
        frame = self._child.last
        found: dict[PciAddress, Identity] = {}
        for metric, labels, _, _ in frame.readings if frame is not None else ():
            if metric is gpu.GPU_INFO:
                named = dict(zip(metric.labels, labels, strict=True))
                address = pci_address(named["pci_bus_id"])
                if address is not None:
                    found[address] = (named["gpu"], named["uuid"])
        return found


class KernelLogSource:
    """Counts XID lines per GPU from the moment it starts; older lines belong to an older process."""

    name = "kernel_log"

    def __init__(
        self,
        interval: float,
        places: Callable[[], dict[PciAddress, Identity]],
        deadline: float = 5.0,
        device: Path = KMSG,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._places, self._device, self._clock = places, device, clock
        self._descriptor = -1
        self._counts: dict[PciAddress, dict[int, int]] = {}
        self._known: dict[PciAddress, Identity] = {}
        self._fallen_at: dict[PciAddress, float] = {}

    def read(self) -> Iterator[Reading]:
        """Counters of every GPU that is known; a GPU that is known by its address only has gpu="" ."""
        self._open()
        for line in self._lines():
            self._take(line)
        self._known.update(self._places())
        for address in self._known.keys() | self._counts.keys():
            # Without its identity the GPU is named by where it sits, rather than passed over.
            identity = self._known.get(address, ("", _shown(address)))
            counts = dict.fromkeys(gpu.XID_SERIOUS, 0) | self._counts.get(address, {})
            for xid, count in counts.items():
                yield Reading(gpu.GPU_XID_ERRORS, (*identity, str(xid), "kmsg"), float(count))

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        try:
            self._descriptor = os.open(self._device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            kind = "permission" if isinstance(error, PermissionError) else "io"
            raise SourceError(kind, f"{self._device} cannot be read ({error.strerror})") from None
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def _lines(self) -> Iterator[str]:
        for _ in range(_MOST_RECORDS):
            try:
                record = os.read(self._descriptor, _RECORD)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # overwritten before we came: the next read stands at the oldest record left
            except OSError as error:
                os.close(self._descriptor)
                self._descriptor = -1
                raise SourceError("io", f"{self._device}: {error.strerror}") from None
            if not record:
                return
            yield from record.decode("utf-8", "replace").splitlines()

    def _take(self, line: str) -> None:
        match = XID.search(line)
        if match:
            address, xid = pci_address(match[1]), int(match[2])
        else:
            match = FALLEN.search(line)
            if not match:
                return
            address, xid = pci_address(match[1]), _FALLEN_OFF_THE_BUS
        if address is None:
            return
        if xid == _FALLEN_OFF_THE_BUS:
            now = self._clock()
            if now - self._fallen_at.get(address, -1e9) < _SAME_EVENT:
                return
            self._fallen_at[address] = now
        counts = self._counts.setdefault(address, {})
        counts[xid] = counts.get(xid, 0) + 1


def pci_address(text: str) -> PciAddress | None:
    """Domain, bus and device of "0000:1b:00", "00000000:1B:00.0" and the like; None if it is no address."""
    parts = text.partition(".")[0].split(":")
    try:
        numbers = [int(part, 16) for part in parts]
    except ValueError:
        return None
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _shown(address: PciAddress) -> str:
    return "pci-{:04x}:{:02x}:{:02x}".format(*address)
