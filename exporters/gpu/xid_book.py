"""Counts XIDs that several tellers report, each event once. Pure bookkeeping: no clock, no file, no thread.

Two tellers tell of one event when both name the same GPU and code within a window of time, and neither has
told of it before. Each teller reports in order of time; then taking the oldest event that fits pairs as many
as any other choice could, so none is counted twice.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

from exporters.gpu.address import PciAddress, nameless
from exporters.gpu.kernel_lines import FALLEN_OFF_THE_BUS

MOST_OPEN = 1000
"""Events per GPU and code that wait for their counterpart; beyond that the oldest stops waiting."""


class Teller(IntFlag):
    """Who told of an event. FALLEN is the kernel log as well, in words instead of a code."""

    KMSG = 1
    NVML = 2
    FALLEN = 4

    @property
    def source(self) -> str:
        """Value of the label `source`."""
        return "nvml" if self is Teller.NVML else "kmsg"


@dataclass(slots=True, order=True)
class Event:
    """An event that somebody else may still tell of, at a time on the monotonic clock."""

    at: float
    told: Teller = field(compare=False)


@dataclass(slots=True)
class Device:
    """A GPU: what is known of its identity, and what happened to it."""

    gpu: str = ""
    uuid: str = ""
    address: PciAddress | None = None
    counts: dict[tuple[int, str], int] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    """Unix time of the last event by code."""
    open: dict[int, list[Event]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, str]:
        """Identity; by its address where it has never told its UUID."""
        return self.gpu, self.uuid or (nameless(self.address) if self.address is not None else "")

    def tell(self, code: int, teller: Teller, at: float, window: float) -> bool:
        """Take one report. True if it is an event that was not known."""
        waiting = self.open.setdefault(code, [])
        found = _match(waiting, teller, at, window)
        if found is not None:
            found.told |= teller
            if found.told & Teller.NVML and found.told & Teller.KMSG and code != FALLEN_OFF_THE_BUS:
                waiting.remove(found)
            return False
        insort(waiting, Event(at, teller))
        del waiting[:-MOST_OPEN]
        key = (code, teller.source)
        self.counts[key] = self.counts.get(key, 0) + 1
        return True

    def absorb(self, other: Device, window: float) -> None:
        """Take over what was counted by address alone before this GPU's identity was known."""
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        for code, at in other.last.items():
            self.last[code] = max(self.last.get(code, 0.0), at)
        for code, events in other.open.items():
            waiting = self.open.setdefault(code, [])
            for event in sorted(events):
                found = _match(waiting, event.told, event.at, window)
                if found is None:
                    insort(waiting, event)
                    continue
                # Both had been counted; the address's series ends here, so it is that one which gives way.
                found.told |= event.told
                source = "kmsg" if event.told & (Teller.KMSG | Teller.FALLEN) else "nvml"
                self.counts[(code, source)] -= 1


def _match(waiting: list[Event], teller: Teller, at: float, window: float) -> Event | None:
    """The oldest event that the teller can mean. A GPU falls only once, in however many words it is told."""
    for event in waiting:
        if event.at - at > window:
            break
        if at - event.at <= window and (teller == Teller.FALLEN or not event.told & teller):
            return event
    return None


@dataclass(slots=True)
class Book:
    """All GPUs of a node."""

    window: float
    devices: list[Device] = field(default_factory=list)

    def by_uuid(self, uuid: str) -> Device | None:
        return next((one for one in self.devices if one.uuid == uuid), None)

    def at_address(self, address: PciAddress) -> Device:
        """The GPU that sits there now; a nameless one if nobody has said who that is."""
        for one in self.devices:
            if one.address == address:
                return one
        self.devices.append(Device(address=address))
        return self.devices[-1]

    def with_uuid(self, uuid: str, gpu: str, address: PciAddress | None) -> Device:
        """The GPU of that identity."""
        if address is not None:
            self.identify({address: (gpu, uuid)})
        found = self.by_uuid(uuid)
        if found is None:
            found = Device(gpu, uuid)
            self.devices.append(found)
        found.gpu = gpu or found.gpu
        return found

    def identify(self, places: Mapping[PciAddress, tuple[str, str]]) -> bool:
        """Learn which GPU sits where. True if that was news."""
        news = False
        for address, (gpu, uuid) in places.items():
            if not uuid:
                continue
            there = next((one for one in self.devices if one.address == address), None)
            if there is not None and there.uuid == uuid and (there.gpu == gpu or not gpu):
                continue
            news = True
            known = self.by_uuid(uuid)
            if known is None and there is not None and not there.uuid:
                there.gpu, there.uuid = gpu, uuid
                continue
            if known is None:
                known = Device(gpu, uuid)
                self.devices.append(known)
            if there is not None and there is not known:
                there.address = None
                if not there.uuid:
                    self.devices.remove(there)
                    known.absorb(there, self.window)
            known.gpu, known.address = gpu or known.gpu, address
        return news

    def forget(self, now: float, log_read_until: float, keep: float) -> None:
        """Let go of events that nobody can still tell of: the kernel log has been read `keep` seconds beyond
        them, or NVML has had as long. A GPU that fell is told of in the log more than once."""
        log_done, nvml_done = min(log_read_until, now) - keep, now - keep
        for device in self.devices:
            for code, waiting in device.open.items():
                if code == FALLEN_OFF_THE_BUS:
                    kept = [event for event in waiting if event.at >= min(log_done, nvml_done)]
                else:
                    kept = [e for e in waiting if e.at >= (log_done if e.told & Teller.NVML else nvml_done)]
                device.open[code] = kept
