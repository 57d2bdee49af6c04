"""How often heat slowed the processors down (/sys/devices/system/cpu/cpu*/thermal_throttle)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_CPU = re.compile(r"^cpu\d+$")
_FILES = {"core": "core_throttle_count", "package": "package_throttle_count"}


class _Counter(NamedTuple):
    """A file of one logical processor, and the core or package that it counts for."""

    scope: str
    of: tuple[str, str]
    path: str


class ThrottleSource:
    """Sums over cores and over packages (Intel).

    Every logical processor of a core or package counts the same events; the highest of them is taken. A
    processor that is switched off keeps its place in the sum, which otherwise would fall.
    """

    name = "throttles"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._directory = root / "sys/devices/system/cpu"
        self._counters = sysfs.Remembered(self._find, monotonic=monotonic)
        self._highest: dict[tuple[str, tuple[str, str]], float] = {}

    @property
    def present(self) -> bool:
        """Whether the processors count it."""
        return bool(self._find())

    def read(self) -> Iterator[Reading]:
        highest = self._highest
        for counter in self._counters():
            count = sysfs.number(counter.path)
            if count is not None:
                key = (counter.scope, counter.of)
                highest[key] = max(count, highest.get(key, 0.0))
        for scope in _FILES:
            counts = [count for (of, _), count in highest.items() if of == scope]
            if counts:
                yield Reading(host.HOST_CPU_THROTTLES, (scope,), sum(counts))

    def _find(self) -> list[_Counter]:
        found = []
        for name in sysfs.names(self._directory):
            if not _CPU.match(name):
                continue
            cpu = self._directory / name
            counted = set(sysfs.names(cpu / "thermal_throttle"))
            package = sysfs.text(cpu / "topology/physical_package_id") or "0"
            core = sysfs.text(cpu / "topology/core_id") or name
            for scope, file in _FILES.items():
                if file in counted:
                    of = (package, core if scope == "core" else "")
                    found.append(_Counter(scope, of, str(cpu / "thermal_throttle" / file)))
        return found
