"""Processes that hold a context on a GPU: how many always, and each of them where the settings ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporters.gpu.binding import Snapshot
from exporters.gpu.nvml import Missing
from gigawatch.catalogue import gpu, gpu_activity
from gigawatch.readings import Reading

_LISTS = (
    ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
    ("nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v2"),
)
_UTILIZATION = "nvmlDeviceGetProcessUtilization"
_PERCENT = 1e-2
_MOST = 256
"""Processes of one GPU that get series of their own."""


class ProcessReader:
    """Processes of one GPU. Ids are the host's; `root` lies before the host's /proc."""

    def __init__(self, each: bool, root: Path) -> None:
        self._each, self._proc = each, root / "proc"
        self._since = 0
        self.pids: tuple[int, ...] = ()
        self.absent: list[Reading] = []

    def read(self, snapshot: Snapshot, identity: tuple[str, str]) -> list[Reading]:
        """The count, and if asked for memory and load of each process."""
        self.absent = []
        held = self._held(snapshot, identity)
        if held is None:
            return []
        self.pids = tuple(sorted(held))
        readings = [Reading(gpu_activity.GPU_PROCESSES, identity, float(len(held)))]
        if not self._each:
            return readings
        load = self._load(snapshot, identity)
        for pid in self.pids[:_MOST]:
            labels = (*identity, str(pid), self._name(pid))
            used = held[pid]
            if used is not None:
                readings.append(Reading(gpu_activity.GPU_PROCESS_MEMORY_USED, labels, used))
            if pid in load:
                readings.append(Reading(gpu_activity.GPU_PROCESS_UTILIZATION, labels, load[pid]))
        return readings

    def _held(self, snapshot: Snapshot, identity: tuple[str, str]) -> dict[int, float | None] | None:
        """Bytes by process, None where the driver does not tell; None as a whole if it tells nothing now."""
        # In two lists a process has the same memory twice; in two partitions, a part of it in each.
        parts: dict[tuple[int, int, int], float | None] = {}
        for number, functions in enumerate(_LISTS):
            listed = None
            for function in functions:
                listed = snapshot.call(function)
                if not isinstance(listed, Missing):
                    break
            if isinstance(listed, Missing) or listed is None:
                if number:
                    continue
                if isinstance(listed, Missing):
                    self._tell(identity, gpu_activity.GPU_PROCESSES.key, functions[0], listed)
                return None
            for one in listed:
                key = (one.pid, one.gpuInstanceId, one.computeInstanceId)
                used = None if one.usedGpuMemory is None else float(one.usedGpuMemory)
                before = parts.get(key)
                parts[key] = before if used is None else max(used, before or 0.0)
        held: dict[int, float | None] = {}
        for (pid, _, _), used in parts.items():
            held[pid] = held.get(pid) if used is None else used + (held.get(pid) or 0.0)
        return held

    def _load(self, snapshot: Snapshot, identity: tuple[str, str]) -> dict[int, float]:
        """The latest sample of each process since the last pass."""
        known = snapshot.missing.get(_UTILIZATION)
        samples: Any = known
        if known is None:
            samples = snapshot.ask(_UTILIZATION, snapshot.handle, self._since)
        if isinstance(samples, Missing):
            snapshot.missing[_UTILIZATION] = samples
            self._tell(identity, gpu_activity.GPU_PROCESS_UTILIZATION.key, _UTILIZATION, samples)
            return {}
        latest: list[Any] = sorted(samples or (), key=lambda sample: sample.timeStamp)
        if latest:
            self._since = max(self._since, latest[-1].timeStamp)
        return {sample.pid: sample.smUtil * _PERCENT for sample in latest}

    def _name(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "comm").read_bytes().decode("utf-8", "replace").rstrip("\n")
        except OSError:
            return ""  # it has ended

    def _tell(self, identity: tuple[str, str], feature: str, source: str, reason: Missing) -> None:
        labels = (*identity, feature, source, reason.value)
        self.absent.append(Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0))
