"""GPU performance monitoring (GPM): the driver's side of it, one caller at a time.

It is not safe for several threads at once, so every call in this process waits its turn.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import pynvml

from exporters.gpu.nvml import Handle, Missing, Nvml
from exporters.runtime import SourceError

_STUCK = 1.0
"""Seconds after which nobody waits any longer for one who is at it."""


class Turn:
    """Whose turn it is. Nobody waits for one who has been at it for so long that he will not come back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    @property
    def taken(self) -> bool:
        """Somebody is at it."""
        return self._lock.locked()

    @contextmanager
    def take(self, wait: float) -> Iterator[bool]:
        """True if it is the caller's turn, within `wait` seconds."""
        since = self._since
        hopeless = since is not None and time.monotonic() - since > _STUCK
        mine = self._lock.acquire(timeout=0.0 if hopeless else wait)
        if not mine:
            yield False
            return
        self._since = time.monotonic()
        try:
            yield True
        finally:
            self._since = None
            self._lock.release()


TURN = Turn()
"""One for the process."""


class Samples:
    """Two samples of a GPU, or of one of its instances, taken turn about. Only for whose turn it is."""

    def __init__(self, nvml: Nvml, instance: int | None = None) -> None:
        self._nvml, self._instance = nvml, instance
        self._samples: list[ctypes.c_void_p] = []
        self._taken = 0

    def take(self, handle: Handle) -> Missing | bool:
        """Sample once more. True once there are two to compare."""
        while len(self._samples) < 2:
            made = self._nvml.call("nvmlGpmSampleAlloc")
            if made is None or isinstance(made, Missing):
                return made or False
            self._samples.append(made)
        older = self._samples[self._taken % 2]
        if self._instance is None:
            taken = self._nvml.call("nvmlGpmSampleGet", handle, older)
        else:
            taken = self._nvml.call("nvmlGpmMigSampleGet", handle, self._instance, older)
        if taken is None or isinstance(taken, Missing):
            return taken or False
        self._taken += 1
        return self._taken > 1

    @property
    def pair(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        """The older and the newer."""
        return self._samples[self._taken % 2], self._samples[(self._taken - 1) % 2]

    def free(self) -> None:
        """Give them back to the driver; begin anew with the next."""
        while self._samples:
            self._nvml.call("nvmlGpmSampleFree", self._samples.pop())
        self._taken = 0


def free_all(several: Iterable[Samples], wait: float) -> None:
    """Give samples back, except while somebody is stuck in there: better a few lost than a crash."""
    with TURN.take(wait) as mine:
        if mine:
            for samples in several:
                try:
                    samples.free()
                except SourceError:
                    return  # the driver is gone, and they with it


class Request:
    """Which metrics are wanted of two samples, kept as the driver takes it."""

    _HEADER = 24
    _LAYOUT = struct.Struct("<4xId24x")
    """Behind its id: return code and value of a metric; then three texts about it."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = tuple(ids)
        # As many slots as the library knows of, though it is told to fill in only the first.
        self._asked = pynvml.c_nvmlGpmMetricsGet_t(version=pynvml.NVML_GPM_METRICS_GET_VERSION)
        self._asked.numMetrics = len(self.ids)
        for slot, number in enumerate(self.ids):
            self._asked.metrics[slot].metricId = number
        end = self._HEADER + self._LAYOUT.size * len(self.ids)
        self._answer = memoryview(self._asked).cast("B")[self._HEADER : end]

    def ask(self, nvml: Nvml, samples: Samples) -> Missing | bool:
        """Fill in the answers; False if there are none now."""
        self._asked.sample1, self._asked.sample2 = samples.pair
        told = nvml.call("nvmlGpmMetricsGet", self._asked)
        return told if isinstance(told, Missing) else told is not None

    def answers(self) -> Iterable[tuple[int, float]]:
        """Return code and value of each, in the order of the ids."""
        return self._LAYOUT.iter_unpack(self._answer)

    def unit(self, number: int) -> str:
        """What the driver calls the unit of a metric."""
        return bytes(self._asked.metrics[self.ids.index(number)].metricInfo.unit or b"").decode(
            "ascii", "replace"
        )
