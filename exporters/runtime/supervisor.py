"""Keeps a collector process running: silence or death leads to a new one, with growing pauses."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from exporters.runtime.child import COMMAND, ChildOptions, Frame
from exporters.runtime.health import Health
from exporters.runtime.source import TICKS_TO_LIVE

log = logging.getLogger(__name__)

_FIRST_FRAME = 20.0
"""Seconds that a new process may take to start its interpreter and open its driver."""
_LONGEST_FRAME = 60.0
"""Seconds without a frame after which a process that otherwise lives counts as hung."""
_MOST_ABANDONED = 3
"""Processes stuck in the kernel that even SIGKILL has not ended yet, before we stop starting more."""


class Supervisor:
    """Owns one collector process. `latest` is what it said, as long as that is fresh."""

    def __init__(
        self, name: str, options: ChildOptions, first_pause: float = 1.0, longest_pause: float = 60.0
    ) -> None:
        self.name = name
        self._options = options
        self._pauses = first_pause, longest_pause
        self._health = Health(name)
        self._change = threading.Condition()
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._abandoned: list[subprocess.Popen[bytes]] = []
        self._frame: Frame | None = None
        self._frame_at = -1e9
        self._heard_at = -1e9
        self._started_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"supervise-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process id of the collector process that runs now."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def last(self) -> Frame | None:
        """The newest frame, however old."""
        return self._frame

    @property
    def latest(self) -> Frame | None:
        """The newest frame, or None once it is older than three ticks."""
        with self._change:
            age = time.monotonic() - self._frame_at
            return self._frame if age <= TICKS_TO_LIVE * self._options.interval else None

    def health(self) -> Health:
        """Of the process as a whole: up while its frames come in time."""
        with self._change:
            h, now = self._health, time.monotonic()
            limit = TICKS_TO_LIVE * self._options.interval
            since = max(self._frame_at, self._started_at)
            overdue = max(0.0, now - since - limit) if self._started_at else 0.0
            fresh = now - self._frame_at <= limit
            return Health(
                h.name, fresh, h.duration, h.last_success, 0.0 if fresh else overdue, dict(h.errors)
            )

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the process; returns when it has gone, or has been left to the kernel."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        pause = self._pauses[0]
        while not self._stopping:
            began = time.monotonic()
            reason = self._one_life()
            with self._change:
                if self._stopping:
                    return
                self._health.errors[reason] = self._health.errors.get(reason, 0) + 1
                if time.monotonic() - began > 10 * self._pauses[1]:
                    pause = self._pauses[0]  # a long life earns a quick return
                log.warning("collector process '%s': %s; next one in %.0f s", self.name, reason, pause)
                self._change.wait_for(lambda: self._stopping, pause)
            pause = min(2 * pause, self._pauses[1])

    def _one_life(self) -> str:
        """Start a process and stay with it to its end; return why it ended."""
        self._abandoned = [process for process in self._abandoned if process.poll() is None]
        if len(self._abandoned) >= _MOST_ABANDONED:
            return "unkillable"
        ours, theirs = Pipe()
        try:
            # From this thread, which lives as long as we do: the child dies with the thread that began it.
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except OSError as error:
            log.warning("collector process '%s' cannot be started: %s", self.name, error)
            ours.close()
            return "spawn"
        finally:
            theirs.close()
        self._process = process
        ours.send(self._options)
        reader = threading.Thread(target=self._read, args=(ours, process), daemon=True)
        reader.start()
        reason = self._await_end(process, reader)
        self._end(process, ours)
        reader.join(2)
        if not reader.is_alive():
            ours.close()  # not before: the reader must never meet a stranger's descriptor
        return reason

    def _await_end(self, process: subprocess.Popen[bytes], reader: threading.Thread) -> str:
        limit = TICKS_TO_LIVE * self._options.interval
        born = time.monotonic()
        with self._change:
            while True:
                if self._stopping:
                    return "stopped"
                if not reader.is_alive() or process.poll() is not None:
                    return "exited"
                spoken = self._heard_at > born
                deadline = self._heard_at + limit if spoken else born + max(limit, _FIRST_FRAME)
                deadline = min(deadline, max(self._frame_at, born) + max(limit, _LONGEST_FRAME))
                now = time.monotonic()
                if now >= deadline:
                    return "silent"
                self._change.wait(min(deadline - now, 0.5))

    def _read(self, connection: Connection, process: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                frame = connection.recv()
                now = time.monotonic()
                with self._change:
                    if process is not self._process:
                        return
                    self._heard_at = now
                    if frame is None:
                        continue  # a sign of life
                    self._frame, self._frame_at = frame, now
                    self._health.last_success = time.time()
                    self._change.notify_all()
        except (EOFError, OSError):
            with self._change:
                self._change.notify_all()

    def _end(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        if self._stopping:
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):
                connection.send(None)  # anything said to it means: leave
                process.wait(1)
        process.kill()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            self._abandoned.append(process)
