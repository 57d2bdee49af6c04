"""Finds the GPUs one by one, each in a thread of its own: one that hangs at the door keeps no other out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from exporters.gpu.device import Gpu
from exporters.gpu.note import GpuSeen
from exporters.gpu.nvml import GpuGone, Handle, Missing, Nvml
from exporters.runtime import SourceError
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_LOOK_AGAIN = 30.0
"""Seconds after which a GPU that works is looked for anew: it may have another index, or have gone."""


class _Finder(threading.Thread):
    """Asks for the GPU of one index."""

    def __init__(self, nvml: Nvml, index: int) -> None:
        super().__init__(name=f"find-gpu{index}", daemon=True)
        self._nvml, self.index = nvml, index
        self.handle: Handle = None
        self.uuid = ""
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            handle = self._nvml.call("nvmlDeviceGetHandleByIndex", self.index)
            if handle is None or isinstance(handle, Missing):
                raise SourceError("identity", f"GPU {self.index} cannot be reached")
            uuid = self._nvml.call("nvmlDeviceGetUUID", handle)
            if isinstance(uuid, Missing) or not isinstance(uuid, str):
                raise SourceError("identity", f"GPU {self.index} does not tell its UUID")
            self.handle, self.uuid = handle, uuid
        except Exception as error:  # noqa: BLE001 - the thread that waits for us judges it
            self.error = error


class Enumeration:
    """A source: opens the driver, then finds GPUs. `opened` is called once, `found` for each GPU when it is
    new.

    `left_out` are indexes that must not be touched.
    """

    name = "gpu"

    def __init__(
        self,
        nvml: Nvml,
        interval: float,
        deadline: float,
        left_out: frozenset[int],
        opened: Callable[[], None],
        found: Callable[[Gpu], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = interval
        # The finders' patience must end within ours.
        self.deadline, self._patience = deadline, 0.8 * deadline
        self._nvml, self._left_out = nvml, left_out
        self._opened, self._found, self._monotonic = opened, found, monotonic
        self._lock = threading.Lock()
        self.open = self.complete = False
        self._devices: dict[str, Gpu] = {}
        self._looked: dict[int, float] = {}
        self._finders: dict[int, _Finder] = {}
        self._nameless: dict[int, str] = {}
        self.stuck: Callable[[], frozenset[int]] = frozenset
        """Indexes of GPUs that hang: asking them once more would only cost another thread."""

    @property
    def devices(self) -> list[Gpu]:
        """Every GPU ever found, in the order of their indexes."""
        with self._lock:
            return sorted(self._devices.values(), key=lambda device: device.index)

    def nameless(self) -> list[GpuSeen]:
        """Indexes that have never told a UUID, and the state they are in."""
        with self._lock:
            return [GpuSeen(i, "", condition=c) for i, c in sorted(self._nameless.items())]

    def read(self) -> Iterator[Reading]:
        """Looks around; yields nothing itself. Raises SourceError while the driver is not there."""
        if not self.open:
            self._nvml.open()
            self.open = True
            self._opened()
        count = self._nvml.call("nvmlDeviceGetCount")
        if not isinstance(count, int):
            raise SourceError("count", "the driver does not say how many GPUs there are")
        self._look(count)
        self._missing(count)
        self.complete = True
        yield from ()

    def _look(self, count: int) -> None:
        now, stuck = self._monotonic(), self.stuck()
        ill = {device.index for device in self.devices if device.condition != "ok"}
        for index in range(count):
            if index in self._left_out or index in stuck or index in self._finders:
                continue
            if now - self._looked.get(index, -1e9) < _LOOK_AGAIN and index not in ill | self._nameless.keys():
                continue
            finder = self._finders[index] = _Finder(self._nvml, index)
            finder.start()
        until = now + self._patience
        for index, finder in list(self._finders.items()):
            finder.join(max(0.0, until - self._monotonic()))
            if finder.is_alive():
                self._blame(index, "hung")
                continue
            del self._finders[index]
            self._looked[index] = now
            self._judge(index, finder)

    def _judge(self, index: int, finder: _Finder) -> None:
        error = finder.error
        if error is None:
            self._take(finder)
        elif isinstance(error, GpuGone):
            self._blame(index, error.kind)
        elif type(error) is SourceError:
            # After a GPU fell off the bus the driver often says no more than "unknown error".
            self._blame(index, "lost")
        else:
            raise error

    def _take(self, finder: _Finder) -> None:
        with self._lock:
            self._nameless.pop(finder.index, None)
            device = self._devices.get(finder.uuid)
            if device is not None:
                device.index, device.handle = finder.index, finder.handle
                if device.condition in ("missing", "hung"):
                    device.condition = "ok"
                return
            device = self._devices[finder.uuid] = Gpu(self._nvml, finder.index, finder.uuid, finder.handle)
        self._found(device)

    def _missing(self, count: int) -> None:
        with self._lock:
            for device in self._devices.values():
                if device.index >= count:
                    device.condition = "missing"
            for index in [index for index in self._nameless if index >= count]:
                del self._nameless[index]

    def _blame(self, index: int, condition: str) -> None:
        with self._lock:
            known = [device for device in self._devices.values() if device.index == index]
            for device in known:
                if condition != "hung":  # its lanes know better whether it hangs
                    device.condition = condition
            if not known:
                self._nameless[index] = condition
