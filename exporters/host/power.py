"""Power of processors and memory from the kernel's RAPL counters (/sys/class/powercap/intel-rapl:*)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_PACKAGE = re.compile(r"^intel-rapl:\d+$")
_MICROJOULES = 1e6


class RaplSource:
    """Watts from two readings of the energy counters, their wrap-around included.

    Counts whole packages and, where the kernel shows it apart, memory. Without readable counters (no such
    hardware, or not root) there is simply no reading.
    """

    name = "rapl"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._root, self._monotonic = root / "sys/class/powercap", monotonic
        self._before: dict[str, tuple[float, int]] = {}

    @property
    def present(self) -> bool:
        """Whether there is a counter that we may read."""
        return any(self._read(zone) is not None for zone in self._zones())

    def read(self) -> Iterable[Reading]:
        """Watts since the last read; nothing the first time, or if any counter could not be read."""
        watts, complete = 0.0, True
        zones = self._zones()
        for zone in zones:
            now, energy = self._monotonic(), self._read(zone)
            before = self._before.pop(zone.name, None)
            if energy is None:
                complete = False
                continue
            self._before[zone.name] = (now, energy)
            if before is None or now <= before[0]:
                complete = False
                continue
            used = energy - before[1]
            if used < 0:
                used += self._span(zone)
            if used < 0:
                complete = False
                continue
            watts += used / _MICROJOULES / (now - before[0])
        if zones and complete:
            yield Reading(host.HOST_POWER, ("rapl",), watts)

    def _zones(self) -> list[Path]:
        """Package zones, and the memory zones below them (cores and graphics are part of the package)."""
        try:
            packages = [path for path in sorted(self._root.iterdir()) if _PACKAGE.match(path.name)]
        except OSError:
            return []
        zones = []
        for package in packages:
            zones.append(package)
            zones.extend(
                part
                for part in sorted(package.glob(f"{package.name}:*"))
                if sysfs.text(part / "name") == "dram"
            )
        return zones

    def _read(self, zone: Path) -> int | None:
        return sysfs.integer(zone / "energy_uj")

    def _span(self, zone: Path) -> int:
        highest = sysfs.integer(zone / "max_energy_range_uj")
        return 0 if highest is None else highest + 1
