"""XID errors as the driver reports them: a thread waits for events, a source tells the counts."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator

import pynvml

from exporters.gpu.device import Gpu
from exporters.gpu.nvml import Missing, Nvml
from exporters.runtime import SourceError
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_WAIT_MS = 500


class XidEvents:
    """Counts XID events per GPU since this process started; the serious codes exist at 0 from the start."""

    name = "gpu_events"

    def __init__(self, nvml: Nvml, interval: float, deadline: float) -> None:
        self.interval, self.deadline = interval, deadline
        self._nvml = nvml
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, int]] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._refused: dict[str, Missing] = {}
        self._by_address: dict[int, str] = {}
        self._set: object = None
        self._trouble: SourceError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, device: Gpu) -> None:
        """Have the driver tell us of this GPU's XIDs. One watched already only gets its present index."""
        with self._lock:
            known = device.uuid in self._places
            self._places[device.uuid] = device.labels
            self._by_address[_address(device.handle)] = device.uuid
        if known:
            return
        with self._lock:
            self._counts[device.uuid] = dict.fromkeys(gpu.XID_SERIOUS, 0)
        refusal = self._register(device)
        if refusal is not None:
            with self._lock:
                self._refused[device.uuid] = refusal

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)

    def read(self) -> Iterator[Reading]:
        """The counters, and for a GPU without events the reason."""
        with self._lock:
            counts = {uuid: dict(found) for uuid, found in self._counts.items()}
            places, refused, trouble = dict(self._places), dict(self._refused), self._trouble
            self._trouble = None
        for uuid, found in counts.items():
            if uuid in refused:
                labels = (*places[uuid], gpu.GPU_XID_ERRORS.key, "nvmlEventSetWait_v2", refused[uuid].value)
                yield Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0)
                continue
            for xid, count in found.items():
                yield Reading(gpu.GPU_XID_ERRORS, (*places[uuid], str(xid), "nvml"), float(count))
        if trouble is not None:
            raise trouble

    def _register(self, device: Gpu) -> Missing | None:
        if self._set is None:
            made = self._nvml.call("nvmlEventSetCreate")
            if made is None or isinstance(made, Missing):
                return made or Missing.UNSUPPORTED
            self._set = made
            self._thread = threading.Thread(target=self._wait, name="xid-events", daemon=True)
            self._thread.start()
        offered = self._nvml.call("nvmlDeviceGetSupportedEventTypes", device.handle)
        if isinstance(offered, Missing):
            return offered
        wanted = pynvml.nvmlEventTypeXidCriticalError
        if offered is not None and not offered & wanted:
            return Missing.UNSUPPORTED
        answer = self._nvml.call("nvmlDeviceRegisterEvents", device.handle, wanted, self._set)
        return answer if isinstance(answer, Missing) else None

    def _wait(self) -> None:
        while not self._stop.is_set():
            try:
                event = self._nvml.call("nvmlEventSetWait_v2", self._set, _WAIT_MS)
            except SourceError as error:
                with self._lock:
                    self._trouble = error
                self._stop.wait(1)
                continue
            if isinstance(event, Missing):
                with self._lock:
                    self._refused = dict.fromkeys(self._places, event)
                return
            if event is not None and event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                self._count(event)

    def _count(self, event: pynvml.c_nvmlEventData_t) -> None:
        uuid = self._by_address.get(_address(event.device))
        if uuid is None:
            try:
                answer = self._nvml.call("nvmlDeviceGetUUID", event.device)
            except SourceError:
                answer = None
            if not isinstance(answer, str) or isinstance(answer, Missing):
                log.warning("XID %d on a GPU that was not enumerated", event.eventData)
                return
            uuid = answer
        with self._lock:
            found = self._counts.setdefault(uuid, {})
            self._places.setdefault(uuid, ("", uuid))
            found[event.eventData] = found.get(event.eventData, 0) + 1


def _address(handle: object) -> int:
    """Handles are opaque pointers: equal for the same GPU while the library stays open."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0  # type: ignore[arg-type] # pynvml is untyped
