"""The collector process: it holds what may hang or crash, and sends what it saw over a pipe once per tick.

Started by the Supervisor as a fresh interpreter, never forked: nothing of the HTTP process is in it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Protocol

from exporters.runtime.health import Health
from exporters.runtime.part import Part, Parts, thin
from gigawatch.errors import UserError

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_FIRST_STEP = 0.2
COMMAND = "from exporters.runtime.child import main; main()"


class PageBytes(NamedTuple):
    """One exposition, gzipped in both formats; empty for a page that nobody would answer."""

    text: bytes
    openmetrics: bytes


@dataclass(slots=True)
class Frame:
    """What a collector process says in one tick."""

    parts: Parts = field(default_factory=dict)
    pages: dict[str, PageBytes] = field(default_factory=dict)
    """Expositions that were rendered there, by page name."""
    health: list[Health] = field(default_factory=list)
    settled: bool = True
    """False while some source has not finished its first run."""
    note: object = None
    """Whatever else the producer has to tell those who know it."""
    ends: str = ""
    """Why the process ends with this frame; the word under which that is counted."""
    pause: float = 0.0
    """Seconds to wait before the next process, where it ends."""


class Sent(NamedTuple):
    """A frame on its way: parts that the reader has already are None."""

    parts: dict[str, Part | None]
    rest: Frame


class Producer(Protocol):
    """The work of a collector process."""

    def frame(self) -> Frame:
        """What is known now; must not block for longer than a tick. May raise RestartWanted."""


class RestartWanted(Exception):  # noqa: N818 - a request, not an error
    """Only a new process can go on (the driver was replaced underneath); the message says why."""


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """How to start a collector process. `make` must be picklable: a partial over a module's function."""

    make: Callable[[], Producer]
    interval: float
    memory_limit: int = 192 << 20
    """Resident bytes beyond which the process is replaced."""


def main() -> None:
    """Entry of the collector process; the descriptor of its pipe is the first argument."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    connection: Connection = Connection(int(sys.argv[1]))
    die_with_parent()
    options: ChildOptions = connection.recv()
    voice = _Voice(connection)
    for work in (partial(_watch, connection), partial(_beat, voice, options.interval)):
        threading.Thread(target=work, daemon=True).start()
    try:
        _produce(voice, options)
    except RestartWanted as reason:
        log.warning("collector process ends: %s", reason)
    except UserError as error:
        log.warning("collector process ends: %s", error)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent has gone
    except Exception:
        log.exception("collector process ends")
    # Threads may sit in a driver call for ever; a normal interpreter exit could wait for them.
    os._exit(1)


class _Voice:
    """The pipe to the parent, for several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()
        self.last = time.monotonic()

    def say(self, what: Sent | None) -> None:
        with self._lock:
            self._connection.send(what)
            self.last = time.monotonic()


def _beat(voice: _Voice, interval: float) -> None:
    """Say that the process lives, where a frame takes long on a crowded machine."""
    while True:
        time.sleep(interval)
        if time.monotonic() - voice.last < 1.5 * interval:
            continue
        try:
            voice.say(None)
        except OSError:
            os._exit(0)  # the parent has gone


def _produce(voice: _Voice, options: ChildOptions) -> None:
    producer = options.make()
    due = time.monotonic()
    known: Parts = {}
    while True:
        frame = producer.frame()
        parts, frame.parts = frame.parts, {}
        voice.say(Sent(thin(parts, known), frame))
        if frame.ends:
            raise RestartWanted(frame.ends)
        known = parts
        if resident_bytes() > options.memory_limit:
            raise RestartWanted(f"more than {options.memory_limit >> 20} MiB resident")
        # Until everything has been read once a tick is short: a process that replaces another leaves no gap.
        step = options.interval if frame.settled else min(_FIRST_STEP, options.interval)
        due = max(due + step, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _watch(connection: Connection) -> None:
    """End when the parent says so, or has ended, however it ended: its side of the pipe is closed then."""
    try:
        connection.recv()
    finally:
        os._exit(0)


def die_with_parent() -> None:
    """Have the kernel end this process with the thread that started it: it may be unable to do so itself."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return  # not Linux
    if os.getppid() != parent:
        os._exit(0)


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Memory this process holds; 0 where /proc does not say."""
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
