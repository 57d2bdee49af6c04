"""Processor, memory and tasks of the host, read through psutil; the rest from /proc/stat and /proc/vmstat."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from exporters.runtime import SourceError
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_MODES = frozenset({"user", "system", "iowait", "idle"})
_INCLUDED_ELSEWHERE = frozenset({"guest", "guest_nice"})
"""The kernel counts these in user and nice already."""
_ODD = (OSError, psutil.Error, RuntimeError, ValueError, LookupError, TypeError)
"""What psutil raises where /proc is not as it knows it."""
_JITTER = 3.0
"""Seconds by which the kernel's idle times are known to run backwards now and then."""


class HostSource:
    """Processor time, load, memory, blocked tasks, killed processes, start of the host."""

    name = "host"

    def __init__(self, interval: float, deadline: float = 5.0, root: Path = Path("/")) -> None:
        self.interval, self.deadline = interval, deadline
        self._proc = root / "proc"
        self._seconds: dict[str, float] = {}

    @property
    def present(self) -> bool:
        """Whether there is a /proc as on Linux."""
        return (self._proc / "stat").exists()

    def read(self) -> Iterator[Reading]:
        """One part after the other; a part that fails is counted and does not keep the others from us."""
        failed: list[str] = []
        parts: tuple[Callable[[], Iterator[Reading]], ...] = (
            self._processor, self._memory, self._tasks, self._kills,
        )  # fmt: skip
        for part in parts:
            found: list[Reading] = []
            # In a container the host's /proc lies elsewhere. psutil keeps the place for the whole process:
            # what else uses it here shall find its own.
            before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(self._proc)
            try:
                found.extend(part())
            except _ODD as error:
                failed.append(f"{part.__name__.strip('_')}: {error}")
            finally:
                psutil.PROCFS_PATH = before
            yield from found
        if failed:
            raise SourceError("partial", "; ".join(failed))

    def _processor(self) -> Iterator[Reading]:
        modes = dict.fromkeys(host.HOST_CPU_SECONDS.values["mode"], 0.0)
        for mode, seconds in psutil.cpu_times()._asdict().items():
            if mode not in _INCLUDED_ELSEWHERE:
                modes[mode if mode in _MODES else "other"] += seconds
        for mode, seconds in modes.items():
            yield Reading(host.HOST_CPU_SECONDS, (mode,), self._steady(mode, seconds))
        yield Reading(host.HOST_BOOT_TIMESTAMP, (), float(psutil.boot_time()))
        yield Reading(host.HOST_LOAD, (), float(psutil.getloadavg()[0]))

    def _steady(self, mode: str, seconds: float) -> float:
        """A counter that steps back a little looks like one that started again: a huge rate from nothing."""
        before = self._seconds.get(mode, 0.0)
        if before - _JITTER < seconds < before:
            return before
        self._seconds[mode] = seconds
        return seconds

    def _memory(self) -> Iterator[Reading]:
        memory = psutil.virtual_memory()
        yield Reading(host.HOST_MEMORY_SIZE, (), float(memory.total))
        yield Reading(host.HOST_MEMORY_AVAILABLE, (), float(memory.available))
        yield Reading(host.HOST_SWAP_USED, (), float(max(0, psutil.swap_memory().used)))

    def _tasks(self) -> Iterator[Reading]:
        content = (self._proc / "stat").read_bytes()
        # Not os.cpu_count(): an agent in a container may have fewer than the host.
        cpus = len(re.findall(rb"\ncpu\d", content))
        if cpus:
            yield Reading(host.HOST_CPUS, (), float(cpus))
        found = re.search(rb"\nprocs_blocked (\d{1,20})\n", content)
        if found:
            yield Reading(host.HOST_TASKS_BLOCKED, (), float(found[1]))

    def _kills(self) -> Iterator[Reading]:
        found = re.search(rb"\noom_kill (\d{1,20})\n", (self._proc / "vmstat").read_bytes())
        if found:
            yield Reading(host.HOST_OOM_KILLS, (), float(found[1]))
