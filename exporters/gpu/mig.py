"""Partitions of a GPU (MIG): found anew in each pass, since they come and go with the jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from exporters.gpu.binding import Snapshot
from exporters.gpu.note import MigSeen
from exporters.gpu.nvml import GpuGone, Handle, Missing, Nvml
from exporters.gpu.profiler import InstanceProfiler
from gigawatch.catalogue import gpu, gpu_activity
from gigawatch.readings import Reading

_PROFILE = re.compile(r"\bMIG (\S+)")
_BY_INDEX = "nvmlDeviceGetMigDeviceHandleByIndex"


@dataclass(frozen=True, slots=True)
class _Instance:
    gi: int
    ci: int
    uuid: str
    profile: str
    used: float | None

    @property
    def place(self) -> tuple[str, str]:
        return str(self.gi), str(self.ci)


class MigReader:
    """MIG of one GPU."""

    def __init__(self, nvml: Nvml, profiling: bool, wait: float) -> None:
        self._profiler = InstanceProfiler(nvml, wait) if profiling else None
        self.enabled: bool | None = None
        """MIG mode, as last seen."""
        self.seen: tuple[MigSeen, ...] = ()
        self.absent: list[Reading] = []

    def read(self, snapshot: Snapshot, identity: tuple[str, str]) -> list[Reading]:
        """Readings of the partitions that are there now."""
        self.absent = []
        mode = snapshot.call("nvmlDeviceGetMigMode")
        if isinstance(mode, Missing):
            self.enabled = False
            self._tell(identity, "nvmlDeviceGetMigMode", mode)
        elif mode is not None:
            self.enabled = bool(mode[0])
        found = self._instances(snapshot, identity) if self.enabled else []
        self.seen = tuple(MigSeen(*one.place, one.uuid) for one in found)
        readings = []
        for one in found:
            place = (*identity, *one.place)
            readings.append(Reading(gpu_activity.GPU_MIG_INFO, (*place, one.profile, one.uuid), 1.0))
            if one.used is not None:
                readings.append(Reading(gpu_activity.GPU_MIG_MEMORY_USED, (*place, one.uuid), one.used))
        if self._profiler is not None:
            uuids: dict[int, str] = {}
            for one in found:
                uuids[one.gi] = uuids.get(one.gi, "") + one.uuid
            readings += self._profiler.read(snapshot.handle, identity, uuids)
        return readings

    def close(self) -> None:
        """Give back to the driver what it holds."""
        if self._profiler is not None:
            self._profiler.close()

    def _instances(self, snapshot: Snapshot, identity: tuple[str, str]) -> list[_Instance]:
        count = snapshot.call("nvmlDeviceGetMaxMigDeviceCount")
        if isinstance(count, Missing):
            self._tell(identity, "nvmlDeviceGetMaxMigDeviceCount", count)
        found = []
        for index in range(count if isinstance(count, int) else 0):
            handle = self._ask(snapshot, _BY_INDEX, snapshot.handle, index)
            if handle is Missing.PERMISSION or handle is Missing.OLD_DRIVER:
                self._tell(identity, _BY_INDEX, handle)
                break
            if handle is not None and not isinstance(handle, Missing):
                instance = self._instance(snapshot, handle)
                if instance is not None:
                    found.append(instance)
        return found

    def _instance(self, snapshot: Snapshot, handle: Handle) -> _Instance | None:
        """None for one that was removed while it was being asked."""
        uuid = self._ask(snapshot, "nvmlDeviceGetUUID", handle)
        gi = self._ask(snapshot, "nvmlDeviceGetGpuInstanceId", handle)
        ci = self._ask(snapshot, "nvmlDeviceGetComputeInstanceId", handle)
        if isinstance(uuid, Missing) or not (
            isinstance(uuid, str) and isinstance(gi, int) and isinstance(ci, int)
        ):
            return None
        memory = self._ask(snapshot, "nvmlDeviceGetMemoryInfo", handle)
        used = None if memory is None or isinstance(memory, Missing) else float(memory.used)
        return _Instance(gi, ci, uuid, self._profile(snapshot, handle), used)

    def _profile(self, snapshot: Snapshot, handle: Handle) -> str:
        name = self._ask(snapshot, "nvmlDeviceGetName", handle)
        if isinstance(name, str) and not isinstance(name, Missing):
            told = _PROFILE.search(name)
            if told is not None:
                return told[1]
        attributes = self._ask(snapshot, "nvmlDeviceGetAttributes_v2", handle)
        if attributes is None or isinstance(attributes, Missing):
            return ""
        return f"{attributes.gpuInstanceSliceCount}g.{round(attributes.memorySizeMB / 1024)}gb"

    @staticmethod
    def _ask(snapshot: Snapshot, function: str, *arguments: Any) -> Any:
        try:
            return snapshot.ask(function, *arguments)
        except GpuGone as gone:
            if gone.kind == "missing":
                return None  # the partition, not the GPU
            raise

    def _tell(self, identity: tuple[str, str], source: str, reason: Missing) -> None:
        labels = (*identity, gpu_activity.GPU_MIG_INFO.key, source, reason.value)
        self.absent.append(Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0))
