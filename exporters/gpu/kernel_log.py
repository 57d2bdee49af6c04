"""The kernel log as a source: XIDs even where the driver is dead or mute, NVSwitch errors, hung tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exporters.gpu.log_reader import LogReader
from exporters.gpu.xid_ledger import HUNG, LOST, SXID, XidLedger
from exporters.runtime.source import SourceError
from gigawatch.catalogue import gpu_links, host, own
from gigawatch.readings import Reading

KMSG = Path("/dev/kmsg")
_DETECTED = "proc/sys/kernel/hung_task_detect_count"
"""The kernel's own count, which newer ones have; the log falls silent after ten hung tasks."""


class KernelLogSource:
    """Reports what the log has told since boot, and all XIDs of the ledger that it feeds.

    The log is read from its oldest record, or from where the last agent of this boot left off. Nothing is
    reported before that has been read: a counter must not seem to rise because an agent was started.
    """

    name = "kernel_log"

    def __init__(
        self,
        interval: float,
        ledger: XidLedger,
        deadline: float = 5.0,
        path: Path = KMSG,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._path, self._ledger, self._monotonic = path, ledger, monotonic
        self._detected = root / _DETECTED
        self._reader: LogReader | None = None

    def read(self) -> Iterator[Reading]:
        """Raises SourceError while the log cannot be read; what NVML told is reported all the same."""
        if self._reader is None:
            self._reader = LogReader(self._path, self._ledger, self._monotonic)
            self._reader.start()
        reader, patience = self._reader, 0.4 * self.deadline
        if not reader.begun.wait(patience) or not self._ledger.flush(patience):
            raise SourceError(
                "timeout", f"{self._path}, or the directory of the saved counts, does not answer"
            )
        yield from self._ledger.readings()
        tallies = self._ledger.tallies()
        for key, count in tallies.items():
            if key[0] == SXID and len(key) == len(gpu_links.NVSWITCH_SXID_ERRORS.labels) + 1:
                yield Reading(gpu_links.NVSWITCH_SXID_ERRORS, key[1:], float(count))
        if reader.was_read:
            yield Reading(host.HOST_HUNG_TASKS, (), float(max(tallies.get(HUNG, 0), self._hung())))
            yield Reading(own.KERNEL_LOG_LOST, (), float(tallies.get(LOST, 0)))
        trouble = reader.trouble or self._ledger.trouble()
        if trouble is not None:
            raise SourceError(trouble.kind, str(trouble))  # raised again and again, one object would grow

    def stop(self) -> None:
        """End the reading thread."""
        if self._reader is not None:
            self._reader.stop()

    def _hung(self) -> int:
        try:
            return int(self._detected.read_text())
        except (OSError, ValueError):
            return 0
