"""Errors of the host's memory (EDAC, /sys/devices/system/edac/mc)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_CONTROLLER = re.compile(r"^mc\d+$")
_MODULE = re.compile(r"^(dimm|rank)\d+$")
_SEVERITIES = {"corrected": "ce", "uncorrected": "ue"}


class _Counter(NamedTuple):
    labels: tuple[str, str, str]
    path: str


class MemoryErrorSource:
    """Corrected and uncorrected errors by controller and module.

    What the controller could not pin on a module has an empty `dimm`, so that the sum over `dimm` is right.
    The counts start again with the host.
    """

    name = "memory_errors"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._directory = root / "sys/devices/system/edac/mc"
        self._counters = sysfs.Remembered(lambda: list(self._find()), monotonic=monotonic)

    @property
    def present(self) -> bool:
        """Whether a driver watches the memory."""
        return any(True for _ in self._find())

    def read(self) -> Iterator[Reading]:
        for counter in self._counters():
            count = sysfs.number(counter.path)
            if count is not None:
                yield Reading(host.HOST_MEMORY_ERRORS, counter.labels, count)

    def _find(self) -> Iterator[_Counter]:
        for controller in sysfs.names(self._directory):
            if not _CONTROLLER.match(controller):
                continue
            place = self._directory / controller
            modules = [name for name in sysfs.names(place) if _MODULE.match(name)]
            known: set[str] = set()
            for module in modules:
                label = sysfs.text(place / module / "dimm_label")
                label = module if not label or label in known else label
                known.add(label)
                for severity, short in _SEVERITIES.items():
                    file = place / module / f"dimm_{short}_count"
                    yield _Counter((controller, label, severity), str(file))
            for severity, short in _SEVERITIES.items():
                file = place / (f"{short}_noinfo_count" if modules else f"{short}_count")
                yield _Counter((controller, "", severity), str(file))
