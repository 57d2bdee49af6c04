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
from gigawatch.errors import UserError
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
COMMAND = "from exporters.runtime.child import main; main()"


class PageBytes(NamedTuple):
    """One exposition, gzipped in both formats; empty for a page that nobody would answer."""

    text: bytes
    openmetrics: bytes


@dataclass(slots=True)
class Frame:
    """What a collector process says in one tick."""

    readings: list[Reading] = field(default_factory=list)
    pages: dict[str, PageBytes] = field(default_factory=dict)
    """Expositions that were rendered there, by page name."""
    health: list[Health] = field(default_factory=list)
    settled: bool = True
    """False while some source has not finished its first run."""


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
    memory_limit: int = 1 << 30
    """Resident bytes beyond which the process is replaced."""


def main() -> None:
    """Entry of the collector process; the descriptor of its pipe is the first argument."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends us
    connection: Connection = Connection(int(sys.argv[1]))
    _die_with_parent()
    options: ChildOptions = connection.recv()
    sending = threading.Lock()
    for work in (partial(_watch, connection), partial(_beat, connection, options.interval, sending)):
        threading.Thread(target=work, daemon=True).start()
    try:
        _produce(connection, options, sending)
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


def _beat(connection: Connection, interval: float, sending: threading.Lock) -> None:
    """Say that the process lives, also while a frame takes long on a crowded machine."""
    while True:
        time.sleep(interval)
        try:
            with sending:
                connection.send(None)
        except OSError:
            os._exit(0)  # the parent has gone


def _produce(connection: Connection, options: ChildOptions, sending: threading.Lock) -> None:
    producer = options.make()
    due = time.monotonic()
    while True:
        frame = producer.frame()
        with sending:
            connection.send(frame)
        if resident_bytes() > options.memory_limit:
            raise RestartWanted(f"more than {options.memory_limit >> 20} MiB resident")
        due = max(due + options.interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _watch(connection: Connection) -> None:
    """End when the parent says so, or has ended, however it ended: its side of the pipe is closed then."""
    try:
        connection.recv()
    finally:
        os._exit(0)


def _die_with_parent() -> None:
    # Second line of defence for the case that the watching thread cannot run.
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
