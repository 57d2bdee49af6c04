"""Asks one GPU whether it answers, in a process of its own: it may hang there without harm.

Its argument is the GPU's index, its answer the exit status.
"""

from __future__ import annotations

import os
import sys

from exporters.gpu.nvml import GpuGone, Missing, Nvml
from exporters.gpu.probe_codes import ANSWERS, FAILED, GONE
from exporters.runtime.child import die_with_parent
from exporters.runtime.source import SourceError

_QUESTIONS = ("nvmlDeviceGetUUID", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetPerformanceState")


def main() -> None:
    """Entry of the probing process."""
    die_with_parent()
    os._exit(_ask(int(sys.argv[1])))


def _ask(index: int) -> int:
    nvml = Nvml()
    try:
        nvml.open()
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        if handle is None or isinstance(handle, Missing):
            return FAILED
        for question in _QUESTIONS:
            nvml.call(question, handle)
    except GpuGone:
        return GONE
    except SourceError:
        return FAILED
    return ANSWERS
