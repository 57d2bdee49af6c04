"""Follows the kernel log, and says when each thing in it happened."""

from __future__ import annotations

import os
import select
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from exporters.gpu.kernel_lines import Interpreter, Record, parse_record
from exporters.gpu.xid_ledger import LogBatch, XidLedger
from exporters.runtime.source import SourceError

_RECORD = 65536
"""Longer than any record: the device refuses a buffer that is too small for the next one."""
_BATCH = 1000
"""Records after which those that were read are handed over."""
_POLL = 1.0
_POLL_FILE = 0.1
_IDLE = 10.0
"""Seconds after which a silent log is reported as read until now."""
_LONGEST_PAUSE = 60.0
_CLOCK_SAMPLES = 8


class LogClock:
    """Relates the log's clock to time.monotonic(): they start together and run apart by seconds in weeks."""

    def __init__(self, offset: float) -> None:
        self._offset = offset
        self._samples: list[float] = []

    @property
    def offset(self) -> float:
        """Seconds to add to the log's time."""
        return self._offset

    def arrived(self, seconds: float, now: float) -> None:
        """A record was read right after it was written. The least delay of the last few is the truest."""
        self._samples = [*self._samples[1 - _CLOCK_SAMPLES :], now - seconds]
        self._offset = min(self._samples)

    def written(self, seconds: float, now: float) -> float:
        """When a record was written that had been there before we came."""
        return min(now, seconds + self._offset)


class LogReader:
    """Reads in a thread of its own, so that the time at which a record arrives is that of the event."""

    def __init__(
        self, path: Path, ledger: XidLedger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._ledger, self._monotonic = path, ledger, monotonic
        self._interpreter = Interpreter()
        self._clock = LogClock(0.0)
        self._sequence = -1
        self._rest = b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kernel-log", daemon=True)
        self.trouble: SourceError | None = None
        """Why the log cannot be read now."""
        self.was_read = False
        """The end of the log has been reached at least once."""
        self.begun = threading.Event()
        """Set once all that was there at the start has been handed over, or cannot be read."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        self._sequence, offset = self._ledger.resume()
        self._clock = LogClock(offset)
        pause = 1.0
        while not self._stop.is_set():
            try:
                descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    pause = 1.0
                    self._follow(descriptor)
                    continue
                finally:
                    os.close(descriptor)
            except OSError as error:
                self.trouble = _explain(self._path, error)
            self.begun.set()
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _follow(self, descriptor: int) -> None:
        """Read to the end and wait for more. Comes back when the file has become another one."""
        self._rest = b""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        live, told = False, self._monotonic()
        while not self._stop.is_set():
            batch = LogBatch(self._sequence)
            ended = self._read(descriptor, batch, live)
            now = self._monotonic()
            if ended:
                batch.read_until, self.trouble, self.was_read = now, None, True
            if batch.news or batch.lost or not live or now - told >= _IDLE:
                self._ledger.log_read(batch)
                told = now
            if not ended:
                continue
            live = True
            self.begun.set()
            if not regular:
                poller.poll(1000 * _POLL)
            elif self._replaced(descriptor):
                return
            else:
                self._stop.wait(_POLL_FILE)

    def _read(self, descriptor: int, batch: LogBatch, live: bool) -> bool:
        """Take the records that are there. True if these were all."""
        for _ in range(_BATCH):
            try:
                chunk = os.read(descriptor, _RECORD)
            except BlockingIOError:
                return True
            except BrokenPipeError:
                continue  # records were overwritten: the gap in the numbers says how many
            if not chunk:
                return True
            lines = (self._rest + chunk).split(b"\n")
            self._rest = lines.pop()[-_RECORD:]
            for line in lines:
                record = parse_record(line)
                if record is not None and record.sequence > self._sequence:
                    self._take(record, batch, live)
        return False

    def _take(self, record: Record, batch: LogBatch, live: bool) -> None:
        now = self._monotonic()
        if self._sequence >= 0:  # what was overwritten before this node had an agent was not ours to read
            batch.lost += record.sequence - self._sequence - 1
        self._sequence = batch.sequence = record.sequence
        if live:
            self._clock.arrived(record.seconds, now)
            batch.offset = self._clock.offset
        at = now if live else self._clock.written(record.seconds, now)
        batch.news.extend((news, at) for news in self._interpreter.news(record))

    def _replaced(self, descriptor: int) -> bool:
        """Whether a regular file was cut short, or another one stands in its place."""
        ours = os.fstat(descriptor)
        if ours.st_size < os.lseek(descriptor, 0, os.SEEK_CUR):
            return True
        there = self._path.stat()
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _explain(path: Path, error: OSError) -> SourceError:
    if isinstance(error, PermissionError):
        return SourceError(
            "permission",
            f"{path} may not be read, so XIDs are known from NVML only: give the agent the capability "
            "CAP_SYSLOG, or set kernel.dmesg_restrict to 0",
        )
    return SourceError("io", f"{path} cannot be read ({error.strerror})")
