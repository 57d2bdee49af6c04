"""One GPU: its fast and its slow source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from exporters.gpu.binding import Binding, Lane, Part, Snapshot
from exporters.gpu.bindings import BINDINGS
from exporters.gpu.choice import Known
from exporters.gpu.identity import identity_of
from exporters.gpu.mig import MigReader
from exporters.gpu.note import MigSeen
from exporters.gpu.nvml import DriverGone, GpuGone, Handle, Missing, Nvml, decode
from exporters.gpu.peaks import peak_readings
from exporters.gpu.plan import Plan
from exporters.gpu.processes import ProcessReader
from exporters.gpu.profiler import Profiler
from exporters.runtime import SourceError
from gigawatch.catalogue import Metric, gpu, gpu_links
from gigawatch.readings import Reading

_LINK_COUNT = (91, 0)
_MOST_LINKS = 36
_LIKELY_LINKS = 18
"""Links to look for where the driver does not say how many there are."""
_ROUNDS = 6
"""More than any value has origins."""
_RELEARN = 3600.0
"""Seconds after which a GPU is asked again for what it did not have."""
_PASSES_TO_KNOW = 2
"""The first pass of a GPU's profiling gives nothing, and what wraps shows in the second."""
_LONGEST_TURN = 0.25
"""Seconds to wait for another GPU's profiling to be over."""


class Gpu:
    """A GPU as enumerated: index, identity, condition. Shared by its two sources and the collector."""

    def __init__(self, nvml: Nvml, index: int, uuid: str, handle: Handle) -> None:
        self.nvml, self.index, self.uuid, self.handle = nvml, index, uuid, handle
        self.condition = "ok"
        """State to show, as the last read left it: ok, lost, reset_required or missing."""
        self.bus = self.minor = ""
        self.info: tuple[str, ...] = ()
        """The labels of its aif_gpu_info behind gpu and uuid, once read; kept when the GPU no longer
        answers."""
        self.mig: tuple[MigSeen, ...] = ()
        """Its partitions."""
        self.pids: tuple[int, ...] = ()
        """Processes that hold a context on it."""
        self.epoch = 0
        """Grows when what the GPU offers may have changed: a reset, its MIG mode, a link up or down."""
        self.offered: frozenset[Metric] | None = None
        """What the fast lane has readings of; None until that is known."""

    @property
    def labels(self) -> tuple[str, str]:
        """The two labels of every GPU series."""
        return str(self.index), self.uuid


class GpuSource:
    """One lane of one GPU. `profiling` reads activity ratios, `processes` gives each process its series.

    `root` lies before the host's /proc and /sys.
    """

    def __init__(
        self,
        device: Gpu,
        lane: Lane,
        interval: float,
        deadline: float,
        bindings: Sequence[Binding] = BINDINGS,
        *,
        profiling: bool = False,
        processes: bool = False,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"gpu{device.index}" if lane is Lane.FAST else f"gpu{device.index}_slow"
        self.interval, self.deadline = interval, deadline
        self._device, self._lane, self._root, self._monotonic = device, lane, root, monotonic
        self._bindings = [binding for binding in bindings if binding.lane is lane]
        self._missing: dict[object, Missing] = {}
        self._memo: dict[str, float] = {}
        self._parts: dict[Part, int] = {}
        self._plan: Plan | None = None
        self._made_for: tuple[int, int] | None = None
        self._identity = device.labels
        self._offered: frozenset[Metric] | None = None
        self._told: tuple[Plan, frozenset[Metric]] | None = None
        self._passes = 0
        self._up: list[float] | None = None
        self._learned = monotonic()
        turn = min(_LONGEST_TURN, deadline / 3)
        fast = lane is Lane.FAST
        self._profiler = Profiler(device.nvml, turn) if profiling and fast else None
        self._mig = None if fast else MigReader(device.nvml, profiling, turn)
        self._processes = None if fast else ProcessReader(processes, root)

    def read(self) -> Iterator[Reading]:
        """Everything the GPU answers; a value that fails for a moment is absent for that moment."""
        device = self._device
        readings: list[Reading] = []
        troubles: list[SourceError] = []
        end: SourceError | None = None
        try:
            self._gather(readings, troubles)
        except GpuGone as gone:
            device.condition, end = gone.kind, gone
            self.close()
        except DriverGone as gone:
            end = gone
        else:
            if device.condition != "ok":
                device.condition = "ok"
                device.epoch += 1
        yield from readings
        if end is not None:
            raise end
        if troubles:
            raise troubles[0]

    def close(self) -> None:
        """Give back to the driver what it holds for this source."""
        for holder in (self._profiler, self._mig):
            if holder is not None:
                holder.close()

    def _gather(self, readings: list[Reading], troubles: list[SourceError]) -> None:
        self._prepare()
        plan = self._run(readings, troubles)
        readings += plan.absent
        if self._lane is Lane.FAST:
            self._profile(plan, readings, troubles)
        else:
            self._read_rest(readings, troubles)

    def _prepare(self) -> None:
        """Forget what may no longer hold."""
        device, now = self._device, self._monotonic()
        state = (device.index, device.epoch)
        if state != self._made_for or now - self._learned > _RELEARN:
            self._made_for, self._learned, self._identity = state, now, device.labels
            self._missing.clear()
            self._parts.clear()
            self._plan = None
            if self._profiler is not None:
                self._profiler.forget()
        if self._offered != self._from_elsewhere():
            self._plan = None

    def _run(self, readings: list[Reading], troubles: list[SourceError]) -> Plan:
        """One pass with what the GPU has; the first takes as many as values have origins."""
        device = self._device
        for _ in range(_ROUNDS):
            if self._plan is None:
                self._plan = self._new_plan()
            readings.clear()
            troubles.clear()
            if self._plan.run(device.handle, readings, troubles):
                break
            plan, self._plan = self._plan, None
        return self._plan or plan

    def _new_plan(self) -> Plan:
        device = self._device
        if not self._parts:
            self._parts = self._count_parts()
        self._offered = self._from_elsewhere()
        known = Known(device.nvml, self._identity, self._parts, self._missing, self._memo, self._offered)
        return Plan(known, self._bindings)

    def _from_elsewhere(self) -> frozenset[Metric] | None:
        """Metrics that this lane need not read."""
        if self._lane is Lane.SLOW:
            return self._device.offered
        return None if self._profiler is None else self._profiler.metrics

    def _count_parts(self) -> dict[Part, int]:
        nvml, handle = self._device.nvml, self._device.handle
        links, fans = _LIKELY_LINKS, 0
        try:
            batch = nvml.fields((_LINK_COUNT,))
            if not isinstance(batch, Missing) and batch.read(handle) is True:
                ((kind, status, raw),) = batch.entries()
                links = links if status else min(int(decode(kind, raw) or 0), _MOST_LINKS)
            if self._lane is Lane.SLOW:
                told = nvml.call("nvmlDeviceGetNumFans", handle)
                # Without that function there may still be one that tells of the first fan.
                fans = told if isinstance(told, int) else int(told is Missing.OLD_DRIVER)
        except SourceError as error:
            if type(error) is not SourceError:
                raise
        return {Part.LINK: links, Part.FAN: fans}

    def _profile(self, plan: Plan, readings: list[Reading], troubles: list[SourceError]) -> None:
        device, profiler = self._device, self._profiler
        metrics: frozenset[Metric] = frozenset()
        if profiler is not None:
            try:
                readings += profiler.read(
                    device.handle, self._identity, gpu_links.GPU_PCIE_BYTES not in plan.metrics
                )
            except SourceError as error:
                if type(error) is not SourceError:
                    raise
                troubles.append(error)
            readings += profiler.absent
            metrics = profiler.metrics
        self._passes += 1
        if self._passes > _PASSES_TO_KNOW and (plan, metrics) != self._told:
            self._told = plan, metrics
            device.offered = metrics | plan.metrics

    def _read_rest(self, readings: list[Reading], troubles: list[SourceError]) -> None:
        """What is no plain reading."""
        device = self._device
        snapshot = Snapshot(device.nvml, device.handle, self._missing, self._memo)
        found = identity_of(snapshot, self._root)
        device.bus, device.minor, device.info = found.bus, found.minor, tuple(found)
        readings.append(Reading(gpu.GPU_INFO, (*self._identity, *found), 1.0))
        readings += peak_readings(self._identity, found.model)
        up = [row.value for row in readings if row.metric is gpu_links.GPU_NVLINK_UP]
        changed = self._up not in (None, up)  # a link that is down does not have its counters
        self._up = up
        if self._mig is not None:
            before = self._mig.enabled
            readings += self._mig.read(snapshot, self._identity)
            readings += self._mig.absent
            device.mig = self._mig.seen
            changed |= before not in (None, self._mig.enabled)
        if self._processes is not None:
            readings += self._processes.read(snapshot, self._identity)
            readings += self._processes.absent
            device.pids = self._processes.pids
        if changed:
            device.epoch += 1
        troubles += snapshot.troubles
