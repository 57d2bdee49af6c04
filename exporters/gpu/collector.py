"""The GPU collector: what runs in the collector process. Threads per GPU: a sick one harms no other."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from exporters.gpu.binding import Lane as Pace
from exporters.gpu.device import Gpu, GpuSource
from exporters.gpu.driver_events import DriverWatch
from exporters.gpu.enumeration import Enumeration
from exporters.gpu.events import XidEvents
from exporters.gpu.note import GpuNote, GpuSeen
from exporters.gpu.nvml import Nvml
from exporters.gpu.start import GpuOptions
from exporters.runtime import Frame, Health, Lane, Part, Parts
from exporters.runtime.source import TICKS_TO_LIVE
from exporters.runtime.sweep import Sweep
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading
from gigawatch.serving.exposition import Renderer

log = logging.getLogger(__name__)

_SLOW_DEADLINE = 5.0
_AFTER_UNBIND = 15.0
"""Seconds in which a driver that somebody unloads must not be opened again."""
_DRIVER_GONE = ("uninitialized", "version_mismatch", "driver_unloaded")
_SHOWN = ("ok", "reset_required")
"""Conditions in which what a GPU says is to be believed."""


def fast_deadline(interval: float) -> float:
    """Seconds after which a read of the fast lane counts as hanging: seen within three ticks, yet not
    hasty."""
    return min(max(0.5, 0.5 * interval), 5.0)


@dataclass(slots=True)
class _Entry:
    device: Gpu
    lanes: tuple[Lane, ...]

    @property
    def stuck(self) -> float:
        return max(lane.stuck for lane in self.lanes)


class GpuCollector:
    """Gathers what the lanes know into one frame per tick; never waits for any of them."""

    def __init__(self, options: GpuOptions) -> None:
        self._options = options
        self._nvml = Nvml()
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._renderer = Renderer()
        self._unbound = False
        deadline = fast_deadline(options.interval)
        self._events = XidEvents(self._nvml, options.slow_interval, _SLOW_DEADLINE)
        self._event_lane = Lane(self._events)
        self._enumeration = Enumeration(
            self._nvml, options.interval, deadline, options.left_out, self._opened, self._found
        )
        self._enumeration.stuck = self._stuck
        self._root = Lane(self._enumeration)
        self._sweep = Sweep("gpus")
        self._sweep.add(self._root)

    def frame(self) -> Frame:
        """Ends with this frame once only a new process can reach the driver."""
        self._sweep.run(0.4 * self._options.interval)
        now = time.monotonic()
        entries = self._all()
        lanes = [self._root, *(lane for entry in entries for lane in entry.lanes)]
        if self._enumeration.open:
            lanes.append(self._event_lane)
        health = [lane.health() for lane in lanes]
        parts: Parts = {} if not self._enumeration.open else dict(self._event_lane.parts())
        seen = []
        for entry in entries:
            stuck = entry.stuck
            if not stuck and entry.device.condition in _SHOWN:
                for lane in entry.lanes:
                    parts.update(lane.parts())
            seen.append(self._seen(entry, stuck))
        seen += self._enumeration.nameless()
        if self._enumeration.complete:
            answering = sum(1 for one in seen if not one.stuck and one.condition in _SHOWN)
            visible = Reading(gpu.GPUS_VISIBLE, ("nvml",), float(answering))
            lives = TICKS_TO_LIVE * self._options.interval
            parts["gpus_visible"] = Part(now, lives, self._renderer.blocks([visible]))
        settled = self._root.first_run_over.is_set() and all(
            lane.first_run_over.is_set() or lane.stuck > 0 for entry in entries for lane in entry.lanes
        )
        note = GpuNote(
            self._enumeration.open,
            self._enumeration.complete,
            self._root.stuck,
            tuple(seen),
            self._events.fetch(),
        )
        ends, pause = self._end(health)
        return Frame(parts, {}, health, settled, note, ends, pause)

    def _end(self, health: list[Health]) -> tuple[str, float]:
        if self._unbound:
            threading.Thread(target=self._nvml.close, name="close", daemon=True).start()
            time.sleep(0.2)  # the process ends whether or not the driver lets go of us in time
            return "driver_unbind", _AFTER_UNBIND
        for reason in _DRIVER_GONE:
            if any(reason in one.errors for one in health):
                return reason, 0.0
        return "", 0.0

    def _all(self) -> list[_Entry]:
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.device.index)

    def _stuck(self) -> frozenset[int]:
        return frozenset(entry.device.index for entry in self._all() if entry.stuck)

    def _opened(self) -> None:
        self._event_lane.start()
        DriverWatch(self._nvml, self._unbind).start()

    def _unbind(self) -> None:
        self._unbound = True

    def _found(self, device: Gpu) -> None:
        options = self._options
        deadline = fast_deadline(options.interval)
        root, profiling = options.root, options.profiling
        fast = GpuSource(device, Pace.FAST, options.interval, deadline, profiling=profiling, root=root)
        slow = GpuSource(
            device, Pace.SLOW, options.slow_interval, _SLOW_DEADLINE,
            profiling=profiling, processes=options.processes, root=root,
        )  # fmt: skip
        lanes = (Lane(fast), Lane(slow))
        with self._lock:
            self._entries[device.uuid] = _Entry(device, lanes)
        self._sweep.add(lanes[0])
        lanes[1].start()
        # In a thread of its own: registering asks the GPU, and the search for the others must go on.
        threading.Thread(target=self._events.watch, args=(device,), name="watch-events", daemon=True).start()

    @staticmethod
    def _seen(entry: _Entry, stuck: float) -> GpuSeen:
        device = entry.device
        condition = "hung" if stuck else device.condition
        return GpuSeen(
            device.index, device.uuid, device.bus, device.minor, condition, stuck, device.info,
            tuple(device.mig), tuple(device.pids),
        )  # fmt: skip
