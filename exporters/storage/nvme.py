"""Health of NVMe disks: wear, spare blocks, media errors, warnings, temperature."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from exporters import sysfs
from exporters.runtime import SourceError
from exporters.runtime.source import kind_of
from exporters.storage.prober import Prober
from exporters.storage.smart import WARNINGS, Health, parse, read_page
from gigawatch.catalogue import storage
from gigawatch.readings import Reading

_CONTROLLER = re.compile(r"^nvme\d+$")
_NAMESPACE = re.compile(r"^(nvme\d+)(?:c\d+)?(n\d+)$")
"""nvme0n1, or nvme0c1n1: the path through controller 1 to nvme0n1."""
_PATIENCE = 5.0


class NvmeSource:
    """Asks every local controller for its health page, each in a thread of its own, so that a dead disk hides
    no other.

    `device` is the controller's first namespace, as in the host's disk metrics; a controller without one goes
    by its own name. A disk that refuses the page is absent. Raises SourceError, after all that could be read:
    "permission" without the right to ask (CAP_SYS_ADMIN), "timeout" for a disk that does not answer.
    """

    name = "nvme"

    def __init__(
        self,
        interval: float,
        deadline: float = 15.0,
        root: Path = Path("/"),
        page: Callable[[Path], bytes] = read_page,
        patience: float = _PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._root, self._page, self._patience = root, page, patience
        self._prober: Prober[Health] = Prober(monotonic)
        self._disks = sysfs.Remembered(self._find, monotonic=monotonic)

    @property
    def present(self) -> bool:
        """Whether there is a local NVMe controller."""
        return bool(self._find())

    def read(self) -> Iterator[Reading]:
        disks = self._disks()
        probes = self._prober.ask(
            {name: partial(self._health, self._root / "dev" / name) for name in disks}, self._patience
        )
        problems: dict[str, list[str]] = {}
        for name, disk in disks.items():
            probe = probes.get(name)
            if probe is None or not probe.over:
                problems.setdefault("timeout", []).append(name)
            elif probe.answer is not None and probe.error is None:
                yield from _readings(disk, probe.answer)
            elif probe.error is not None and kind_of(probe.error) != "refused":
                problems.setdefault(kind_of(probe.error), []).append(f"{name}: {probe.error}")
        for kind, found in sorted(problems.items()):
            raise SourceError(kind, f"no health page of {'; '.join(found)}")

    def _health(self, device: Path) -> Health:
        return parse(self._page(device))

    def _find(self) -> dict[str, str]:
        """Local controllers and the name of each one's disk."""
        places = self._root / "sys/class/nvme"
        found = {}
        for name in sysfs.names(places):
            # Disks behind a network are the storage servers' to watch.
            if _CONTROLLER.match(name) and sysfs.text(places / name / "transport") in ("pcie", ""):
                parts = [_NAMESPACE.match(entry) for entry in sysfs.names(places / name)]
                spaces = sorted((part[1] + part[2] for part in parts if part), key=lambda n: (len(n), n))
                found[name] = spaces[0] if spaces else name
        return found


def _readings(disk: str, health: Health) -> Iterator[Reading]:
    yield Reading(storage.NVME_WEAR, (disk,), health.wear)
    yield Reading(storage.NVME_SPARE, (disk,), health.spare)
    yield Reading(storage.NVME_MEDIA_ERRORS, (disk,), health.media_errors)
    for reason in WARNINGS:
        yield Reading(storage.NVME_CRITICAL_WARNING, (disk, reason), float(reason in health.warnings))
    if health.temperature is not None:
        yield Reading(storage.NVME_TEMPERATURE, (disk,), health.temperature)
