"""XID errors as the driver reports them: a thread waits for events and keeps them until they are fetched."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

import pynvml

from exporters.gpu.device import Gpu
from exporters.gpu.note import XidSeen
from exporters.gpu.nvml import Missing, Nvml
from exporters.runtime import SourceError
from gigawatch.catalogue import gpu
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_WAIT_MS = 5000
_MOST_KEPT = 100_000


class XidEvents:
    """Collects XID events since this process started; counting them is the ledger's work, in the other
    process.

    As a source it tells only which GPUs do not report events, and why.
    """

    name = "gpu_events"

    def __init__(self, nvml: Nvml, interval: float, deadline: float) -> None:
        self.interval, self.deadline = interval, deadline
        self._nvml = nvml
        self._lock = threading.Lock()
        self._seen: deque[XidSeen] = deque(maxlen=_MOST_KEPT)
        self._devices: dict[str, Gpu] = {}
        self._refused: dict[str, Missing] = {}
        self._by_address: dict[int, str] = {}
        self._set: object = None
        self._trouble: SourceError | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, device: Gpu) -> None:
        """Have the driver tell us of this GPU's XIDs; one that is watched already is only noted again."""
        with self._lock:
            known = device.uuid in self._devices
            self._devices[device.uuid] = device
            self._by_address[_address(device.handle)] = device.uuid
        if known:
            return
        refusal = self._register(device)
        if refusal is not None:
            with self._lock:
                self._refused[device.uuid] = refusal

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)

    def fetch(self) -> tuple[XidSeen, ...]:
        """Events since the last call; each is given once."""
        found = []
        while self._seen:
            found.append(self._seen.popleft())
        return tuple(found)

    def read(self) -> Iterator[Reading]:
        """For a GPU without events the reason."""
        with self._lock:
            devices, refused, trouble = dict(self._devices), dict(self._refused), self._trouble
            self._trouble = None
        for uuid, reason in refused.items():
            if uuid in devices:
                labels = (*devices[uuid].labels, gpu.GPU_XID_ERRORS.key, "nvmlEventSetWait_v2", reason.value)
                yield Reading(gpu.GPU_CAPABILITY_INFO, labels, 1.0)
        if trouble is not None:
            raise trouble

    def _register(self, device: Gpu) -> Missing | None:
        with self._lock:
            if self._set is None:
                made = self._nvml.call("nvmlEventSetCreate")
                if made is None or isinstance(made, Missing):
                    return made or Missing.UNSUPPORTED
                self._set = made
                self._thread = threading.Thread(target=self._wait, name="xid-events", daemon=True)
                self._thread.start()
        # Events that a GPU does not offer must not be asked for: the driver would refuse all of them.
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
                    self._refused = dict.fromkeys(self._devices, event)
                return
            if event is not None and event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                self._keep(event)

    def _keep(self, event: pynvml.c_nvmlEventData_t) -> None:
        now = time.monotonic()
        device = self._devices.get(self._by_address.get(_address(event.device), ""))
        if device is None:
            # By a question to the driver: handles are not promised to be the same pointer each time.
            try:
                answer = self._nvml.call("nvmlDeviceGetUUID", event.device)
            except SourceError:
                answer = None
            device = self._devices.get(answer) if isinstance(answer, str) else None
        if device is None:
            log.warning("XID %d on a GPU that was not enumerated", event.eventData)
            return
        self._seen.append(XidSeen(device.index, device.uuid, int(event.eventData), now))


def _address(handle: object) -> int:
    """Handles are opaque pointers: equal for the same GPU while the library stays open."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0  # type: ignore[arg-type] # pynvml is untyped
