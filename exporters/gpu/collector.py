"""The GPU collector: what runs in the collector process. Threads per GPU: a sick one harms no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from exporters.gpu.binding import Lane as Pace
from exporters.gpu.device import Gpu, GpuSource
from exporters.gpu.events import XidEvents
from exporters.gpu.nvml import DriverGone, GpuGone, Missing, Nvml
from exporters.runtime import Frame, Lane, SourceError
from exporters.runtime.child import RestartWanted
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_LONGEST_DEADLINE = 5.0


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """Seconds between reads in the fast and in the slow lane."""

    interval: float
    slow_interval: float


@dataclass(slots=True)
class _Entry:
    device: Gpu
    lanes: tuple[Lane, ...]

    @property
    def stuck(self) -> bool:
        return any(lane.health().stuck > 0 for lane in self.lanes)


class Enumeration:
    """A source of its own: opens NVML, finds the GPUs one by one, and gives each its lanes."""

    name = "gpu"

    def __init__(self, options: GpuOptions) -> None:
        self.interval = options.interval
        self.deadline = min(options.interval, _LONGEST_DEADLINE)
        self._options = options
        self._nvml = Nvml()
        self._open = False
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._nameless: dict[int, str] = {}
        """Indexes that have never told a UUID, and the state they are in."""
        self.events = Lane(XidEvents(self._nvml, options.interval, self.deadline))

    @property
    def entries(self) -> list[_Entry]:
        with self._lock:
            return list(self._entries.values())

    def read(self) -> Iterator[Reading]:
        """GPUs that answer now. Raises SourceError while the driver is not there."""
        if not self._open:
            self._nvml.open()
            self._open = True
            self.events.start()
        count = self._nvml.call("nvmlDeviceGetCount")
        if not isinstance(count, int):
            raise SourceError("count", "the driver does not say how many GPUs there are")
        stuck = {entry.device.index: entry.device.uuid for entry in self.entries if entry.stuck}
        answering: set[str] = set()
        nameless: dict[int, str] = {}
        for index in range(count):
            if index in stuck:
                continue  # asking once more would only hang this thread too
            try:
                answering.add(self._find(index))
            except GpuGone as gone:
                self._blame(index, gone.kind, nameless)
            except DriverGone:
                raise
            except SourceError:
                # After a GPU fell off the bus the driver often says no more than "unknown error".
                self._blame(index, "lost", nameless)
        with self._lock:
            self._nameless = nameless
            for uuid, entry in self._entries.items():
                if uuid not in answering and entry.device.index >= count:
                    entry.device.condition = "missing"
        broken = sum(1 for e in self.entries if e.device.uuid in answering and e.device.condition == "lost")
        yield Reading(gpu.GPUS_VISIBLE, ("nvml",), float(len(answering) - broken))

    def states(self) -> Iterator[Reading]:
        """The condition of every GPU ever seen, one of the states at 1."""
        with self._lock:
            nameless = dict(self._nameless)
        for entry in self.entries:
            yield from _state(entry.device.labels, "hung" if entry.stuck else entry.device.condition)
        for index, condition in nameless.items():
            yield from _state((str(index), ""), condition)

    def _find(self, index: int) -> str:
        handle = self._nvml.call("nvmlDeviceGetHandleByIndex", index)
        uuid = (
            None
            if handle is None or isinstance(handle, Missing)
            else self._nvml.call("nvmlDeviceGetUUID", handle)
        )
        if isinstance(uuid, Missing) or not isinstance(uuid, str):
            raise SourceError("identity", f"GPU {index} does not tell its UUID")
        with self._lock:
            entry = self._entries.get(uuid)
        if entry is not None:
            entry.device.index, entry.device.handle = index, handle
            if entry.device.condition == "missing":
                entry.device.condition = "ok"
            return uuid
        device = Gpu(self._nvml, index, uuid, handle)
        events = self.events.source
        if isinstance(events, XidEvents):
            events.watch(device)
        options = self._options
        lanes = (
            Lane(GpuSource(device, Pace.FAST, options.interval, self.deadline)),
            Lane(GpuSource(device, Pace.SLOW, options.slow_interval, _LONGEST_DEADLINE)),
        )
        with self._lock:
            self._entries[uuid] = _Entry(device, lanes)
        for lane in lanes:
            lane.start()
        return uuid

    def _blame(self, index: int, condition: str, nameless: dict[int, str]) -> None:
        known = [entry for entry in self.entries if entry.device.index == index]
        for entry in known:
            entry.device.condition = condition
        if not known:
            nameless[index] = condition


class GpuCollector:
    """Gathers what the lanes know into one frame per tick; never waits for any of them."""

    def __init__(self, options: GpuOptions) -> None:
        self._enumeration = Enumeration(options)
        self._root = Lane(self._enumeration)
        self._root.start()

    def frame(self) -> Frame:
        """Raises RestartWanted once only a new process can reach the driver."""
        entries = self._enumeration.entries
        lanes = [self._root, self._enumeration.events, *(lane for entry in entries for lane in entry.lanes)]
        health = [lane.health() for lane in lanes if lane.source.name != "gpu_events" or entries]
        for reason in ("uninitialized", "version_mismatch", "driver_unloaded"):
            if any(reason in one.errors for one in health):
                raise RestartWanted(f"driver gone ({reason})")
        readings = [*self._root.readings(), *self._enumeration.events.readings()]
        for entry in entries:
            if entry.device.condition in ("ok", "reset_required"):
                for lane in entry.lanes:
                    readings.extend(lane.readings())
        readings.extend(self._enumeration.states())
        settled = self._root.first_run_over.is_set() and all(
            lane.first_run_over.is_set() or lane.health().stuck > 0
            for entry in entries
            for lane in entry.lanes
        )
        return Frame(readings, {}, health, settled)


def gpu_collector(options: GpuOptions) -> GpuCollector:
    """Made in the collector process."""
    return GpuCollector(options)


def hung_states(last: Frame) -> Iterator[Reading]:
    """While the collector process is silent: every GPU it knew counts as hung, and nothing else is known."""
    identities = {r.labels[:2] for r in last.readings if r.metric is gpu.GPU_STATE}
    for identity in sorted(identities):
        yield from _state((identity[0], identity[1]), "hung")


def _state(identity: tuple[str, str], condition: str) -> Iterator[Reading]:
    for state in gpu.GPU_STATE.values["state"]:
        yield Reading(gpu.GPU_STATE, (*identity, state), float(state == condition))
