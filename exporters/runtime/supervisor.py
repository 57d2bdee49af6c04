"""Keeps a collector process running: silence or death leads to a new one, with growing pauses."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from exporters.runtime.child import COMMAND, ChildOptions, Frame, Sent, resident_bytes
from exporters.runtime.health import Health
from exporters.runtime.part import Parts, fill
from exporters.runtime.source import TICKS_TO_LIVE
from gigawatch.catalogue import own
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_FIRST_FRAME = 20.0
"""Seconds that a new process may take to start its interpreter and open its driver."""
_LONGEST_FRAME = 60.0
"""Seconds without a frame after which a process that otherwise lives counts as hung."""
_LOOK_EVERY = 5.0
"""Seconds between looks at what the process uses."""
_MOST_ABANDONED = 3
"""Processes stuck in the kernel that even SIGKILL has not ended yet, before we stop starting more."""


class Supervisor:
    """Owns one collector process. `latest` is what it said, as long as that is fresh.

    `options` is asked for anew before each start. `hear` is called with every frame, once, in the order in
    which they came, from a thread of this object.
    """

    def __init__(
        self,
        name: str,
        options: ChildOptions | Callable[[], ChildOptions],
        first_pause: float = 1.0,
        longest_pause: float = 15.0,
        hear: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._make_options = options if callable(options) else lambda: options
        self._options = self._make_options()
        self._hear = hear
        self._wanted_end = ""
        self._starts = 0
        self._used: list[Reading] = []
        self._used_at, self._used_by = -1e9, -1
        self._pauses = first_pause, longest_pause
        self._health = Health(name)
        lock = threading.RLock()
        self._change = threading.Condition(lock)
        self._over = threading.Condition(lock)
        """Wakes only who waits for the end of a process, and not with every frame."""
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._read_out: subprocess.Popen[bytes] | None = None
        """The process of which everything has been read that it will ever say."""
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

    def readings(self) -> Iterator[Reading]:
        """What the process itself uses, and how many there have been."""
        label = (self.name,)
        yield Reading(own.COLLECTOR_PROCESS_STARTS, label, float(self._starts))
        now = time.monotonic()
        if now - self._used_at >= _LOOK_EVERY or self._used_by != self._starts:
            self._used, self._used_at, self._used_by = list(self._use(label)), now, self._starts
        if self.pid is not None:
            yield from self._used

    def _use(self, label: tuple[str]) -> Iterator[Reading]:
        pid = self.pid
        if pid is None:
            return
        memory = resident_bytes(Path(f"/proc/{pid}/statm"))
        if memory:
            yield Reading(own.COLLECTOR_PROCESS_MEMORY, label, float(memory))
        with contextlib.suppress(OSError):
            threads = sum(1 for _ in os.scandir(f"/proc/{pid}/task"))
            yield Reading(own.COLLECTOR_PROCESS_THREADS, label, float(threads))

    def await_frame(self, after: Frame | None, seconds: float) -> Frame | None:
        """The newest frame, as soon as it is another one than `after`, or when the time is over."""
        with self._change:
            self._change.wait_for(lambda: self._frame is not after or self._stopping, seconds)
            return self._frame

    def restart(self, reason: str) -> None:
        """Replace the process at once; `reason` is the word under which this is counted."""
        with self._change:
            self._wanted_end = reason
            self._over.notify_all()

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the process; returns when it has gone, or has been left to the kernel."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
            self._over.notify_all()
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
                if reason == self._wanted_end:
                    self._wanted_end = ""
                    log.warning("collector process '%s' is replaced: %s", self.name, reason)
                    continue
                if time.monotonic() - began > 2 * self._pauses[1]:
                    pause = self._pauses[0]  # a long life earns a quick return
                last = self._frame
                wait = last.pause if last is not None and last.ends == reason and last.pause else pause
                log.warning("collector process '%s': %s; next one in %.0f s", self.name, reason, wait)
                self._over.wait_for(lambda: self._stopping, wait)
            pause = min(2 * pause, self._pauses[1])

    def _one_life(self) -> str:
        """Start a process and stay with it to its end; return why it ended."""
        self._abandoned = [process for process in self._abandoned if process.poll() is None]
        if len(self._abandoned) >= _MOST_ABANDONED:
            return "unkillable"
        self._options = self._make_options()
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
        self._starts += 1
        ours.send(self._options)
        reader = threading.Thread(target=self._read, args=(ours, process), daemon=True)
        reader.start()
        reason = self._await_end()
        self._end(process, ours)
        reader.join(2)
        if not reader.is_alive():
            ours.close()  # not before: the reader must never meet a stranger's descriptor
        return reason

    def _await_end(self) -> str:
        limit = TICKS_TO_LIVE * self._options.interval
        born = time.monotonic()
        with self._change:
            while True:
                if self._stopping:
                    return "stopped"
                if self._wanted_end:
                    return self._wanted_end
                last = self._frame
                if last is not None and last.ends and self._frame_at > born:
                    return last.ends
                if self._read_out is self._process:
                    return "exited"  # it ends at the end of the pipe, after everything that was said
                spoken = self._heard_at > born
                deadline = self._heard_at + limit if spoken else born + max(limit, _FIRST_FRAME)
                deadline = min(deadline, max(self._frame_at, born) + max(limit, _LONGEST_FRAME))
                now = time.monotonic()
                if now >= deadline:
                    return "silent"
                self._over.wait(deadline - now)

    def _read(self, connection: Connection, process: subprocess.Popen[bytes]) -> None:
        try:
            known: Parts = {}
            spoken = False
            while True:
                sent: Sent | None = connection.recv()
                now = time.monotonic()
                frame = None
                if sent is not None:
                    frame = sent.rest
                    frame.parts = known = fill(sent.parts, known)
                    self._hear(frame)
                with self._change:
                    if process is not self._process:
                        return
                    self._heard_at = now
                    if not spoken:
                        spoken = True
                        self._over.notify_all()  # from now on silence is judged by ticks
                    if frame is None:
                        continue  # a sign of life
                    self._frame, self._frame_at = frame, now
                    self._health.last_success = time.time()
                    self._change.notify_all()
                    if frame.ends:
                        self._over.notify_all()
        except (EOFError, OSError):
            pass
        with self._change:
            self._read_out = process
            self._over.notify_all()

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
