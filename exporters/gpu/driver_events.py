"""Tells when somebody wants to take the driver away, so that we let go of it in time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pynvml

from exporters.gpu.nvml import Missing, Nvml
from exporters.runtime import SourceError

_WAIT_MS = 5000
_MOST_EVENTS = 8


class DriverWatch:
    """Waits for the driver's unbind event in a thread of its own; drivers without such events are left
    alone."""

    def __init__(self, nvml: Nvml, unbind: Callable[[], None]) -> None:
        self._nvml, self._unbind = nvml, unbind

    def start(self) -> None:
        threading.Thread(target=self._wait, name="driver-events", daemon=True).start()

    def _wait(self) -> None:
        call = self._nvml.call
        try:
            made = call("nvmlSystemEventSetCreate", pynvml.nvmlSystemEventSetCreateRequest_v1)
            if made is None or isinstance(made, Missing):
                return
            answer = call(
                "nvmlSystemRegisterEvents",
                pynvml.nvmlSystemRegisterEventRequest_v1,
                pynvml.nvmlSystemEventTypeGpuDriverUnbind,
                made,
            )
            buffer = (pynvml.c_nvmlSystemEventData_v1_t * _MOST_EVENTS)()
            version = pynvml.nvmlSystemEventSetWaitRequest_v1
            while not isinstance(answer, Missing):
                answer = call("nvmlSystemEventSetWait", version, made, _WAIT_MS, buffer, _MOST_EVENTS)
                if isinstance(answer, list) and any(
                    event["eventType"] & pynvml.nvmlSystemEventTypeGpuDriverUnbind for event in answer
                ):
                    self._unbind()
                    return
        except SourceError:
            return  # the collector finds out by itself what has become of the driver
        except AttributeError:
            return  # this nvidia-ml-py does not know such events
