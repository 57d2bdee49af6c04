"""How long tasks waited for processor, memory and I/O (pressure stall information, /proc/pressure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_LINE = re.compile(r"^(some|full) .*\btotal=(\d{1,20})$", re.ASCII)
_MICROSECONDS = 1e6


class PressureSource:
    """The kernel's totals. Absent on kernels built or started without them (psi=0)."""

    name = "pressure"

    def __init__(self, interval: float, deadline: float = 5.0, root: Path = Path("/")) -> None:
        self.interval, self.deadline = interval, deadline
        self._directory = root / "proc/pressure"

    @property
    def present(self) -> bool:
        """Whether the kernel keeps the totals."""
        return any(sysfs.text(self._directory / name) for name in host.HOST_PRESSURE.values["resource"])

    def read(self) -> Iterator[Reading]:
        for resource in host.HOST_PRESSURE.values["resource"]:
            for share, seconds in parse(sysfs.text(self._directory / resource)):
                yield Reading(host.HOST_PRESSURE, (resource, share), seconds)


def parse(text: str) -> Iterator[tuple[str, float]]:
    """Share ("some", "full") and seconds in total."""
    for line in text.split("\n"):
        found = _LINE.match(line)
        if found:
            yield found[1], float(found[2]) / _MICROSECONDS
