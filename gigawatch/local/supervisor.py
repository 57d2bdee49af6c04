"""The supervisor: keeps the parts of a stack running and says how they are.

Parts outlive it: each runs in a session of its own and is written down, so that the next supervisor finds
them. A keeper process does nothing but start the supervisor again should it end; the two hold each other up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gigawatch import package_version
from gigawatch.catalogue import own
from gigawatch.local import procfs
from gigawatch.local.plan import Layout, Part, Plan, load_plan, read_json, write_json
from gigawatch.readings import Reading
from gigawatch.serving import CONTENT_TYPE, App, Response, render, serve

log = logging.getLogger(__name__)
CHECK_EVERY = 2.0
HEALTH_DEADLINE = 3.0
FROZEN_FOR = 120.0
"""A part that has been silent for so long is ended and started again; shorter pauses heal by themselves."""
_STEADY = 60.0
_LONGEST_BACKOFF = 30.0


@dataclass(slots=True)
class Watched:
    """A part and what the supervisor knows of it."""

    part: Part
    pid: int = 0
    started: int = 0
    restarts: int = 0
    healthy: bool = False
    ever_healthy: bool = False
    silent_since: float = 0.0
    born: float = 0.0
    next_start: float = 0.0
    backoff: float = 1.0

    @property
    def alive(self) -> bool:
        return self.pid > 0 and procfs.alive(self.pid, self.started)


class Supervisor:
    """Starts what does not run, adopts what does, restarts what ended or fell silent."""

    def __init__(self, plan: Plan, layout: Layout, clock: Callable[[], float] = time.monotonic) -> None:
        self.layout, self.clock = layout, clock
        self.watched = {part.name: Watched(part) for part in (*plan.parts, _keeper(layout))}
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._checks = ThreadPoolExecutor(len(self.watched), thread_name_prefix="health")
        self._lock = threading.Lock()
        for watched in self.watched.values():
            self._adopt(watched)

    def _adopt(self, watched: Watched) -> None:
        record = read_json(self.layout.record(watched.part.name))
        if not isinstance(record, dict):
            return
        watched.restarts = int(record.get("restarts", 0))
        pid, started = int(record.get("pid", 0)), int(record.get("started", 0))
        if pid and procfs.alive(pid, started):
            watched.pid, watched.started, watched.born = pid, started, self.clock()
            log.info("%s runs already (pid %d)", watched.part.name, pid)
        elif pid:
            # It ended while nobody watched: that is a restart like any other.
            watched.restarts += 1

    def tick(self) -> None:
        """One round: reap, start what is missing, check health."""
        self._reap()
        now = self.clock()
        for watched in self.watched.values():
            if not watched.alive:
                self._restart(watched, now)
        list(self._checks.map(self._check, self.watched.values()))
        for watched in self.watched.values():
            self._end_if_frozen(watched, self.clock())

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[pid]

    def _restart(self, watched: Watched, now: float) -> None:
        name = watched.part.name
        if watched.pid:
            lived = now - watched.born
            watched.backoff = 1.0 if lived > _STEADY else min(watched.backoff * 2, _LONGEST_BACKOFF)
            log.warning("%s (pid %d) ended after %.0f s; starting it again", name, watched.pid, lived)
            procfs.end_sessions([watched.pid], patience=2)
            watched.pid, watched.healthy = 0, False
            watched.restarts += 1
            watched.next_start = now + (0.0 if watched.backoff <= 1 else watched.backoff)
        if now < watched.next_start:
            return
        with self.layout.log(name).open("ab") as output:
            child = subprocess.Popen(
                watched.part.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **watched.part.environment},
            )
        self._children[child.pid] = child
        found = procfs.stat(child.pid)
        watched.pid, watched.started, watched.born = child.pid, found.started if found else 0, now
        watched.ever_healthy, watched.silent_since = False, now
        write_json(
            self.layout.record(name),
            {"pid": watched.pid, "started": watched.started, "restarts": watched.restarts},
        )

    def _check(self, watched: Watched) -> None:
        healthy = watched.alive and (not watched.part.health or answers(watched.part.health))
        if healthy:
            watched.ever_healthy, watched.silent_since = True, self.clock()
        watched.healthy = healthy

    def _end_if_frozen(self, watched: Watched, now: float) -> None:
        if watched.alive and not watched.healthy and now - watched.silent_since > FROZEN_FOR:
            log.warning("%s has been silent for %.0f s; ending it", watched.part.name, FROZEN_FOR)
            procfs.end_sessions([watched.pid], patience=5)

    def stop(self) -> None:
        """End every part, the keeper first so that it starts nothing any more."""
        keeper = self.watched["keeper"]
        if keeper.alive:
            procfs.end_sessions([keeper.pid], patience=2)
        pids = [watched.pid for watched in self.watched.values() if watched.pid]
        for pid in procfs.end_sessions(pids, patience=10):
            log.warning("pid %d had to be killed", pid)
        for name in self.watched:
            self.layout.record(name).unlink(missing_ok=True)

    def readings(self) -> Iterable[Reading]:
        """Self-metrics of the stack."""
        version = package_version()
        yield Reading(own.EXPORTER_BUILD_INFO, ("supervisor", version, platform.python_version()), 1)
        living = procfs.in_sessions(watched.pid for watched in self.watched.values() if watched.pid)
        for name, watched in self.watched.items():
            yield Reading(own.PROCESS_UP, (name,), float(watched.healthy))
            yield Reading(own.PROCESS_RESTARTS, (name,), watched.restarts)
            found = [process for process in living if process.session == watched.pid]
            if found:
                yield Reading(own.PROCESS_MEMORY, (name,), sum(s.resident_bytes for s in found))
                yield Reading(own.PROCESS_CPU, (name,), round(sum(s.cpu_seconds for s in found), 2))


def _keeper(layout: Layout) -> Part:
    command = (sys.executable, "-m", "gigawatch.cli", "supervise", "--keeper", "--state", str(layout.root))
    return Part("keeper", command, "", "")


def answers(url: str) -> bool:
    """Whether the URL answers 2xx within the deadline, or its broker lets us in."""
    if url.startswith("mqtt://"):
        return _lets_in(url)
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_DEADLINE) as answer:  # noqa: S310 - our own http URL
            return bool(200 <= answer.status < 300)
    except (OSError, urllib.error.URLError, ValueError):
        return False


_CONNECT = bytes.fromhex("100c 0004 4d515454 04 02 0005 0000")
_WELCOME, _LEAVE = bytes.fromhex("20020000"), bytes.fromhex("e000")
"""MQTT 3.1.1: a client without a name and with a clean session, what it is told, and how it leaves."""


def _lets_in(url: str) -> bool:
    try:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 1883), HEALTH_DEADLINE) as broker:
            broker.sendall(_CONNECT)
            welcome = broker.recv(len(_WELCOME))
            broker.sendall(_LEAVE)
            return welcome == _WELCOME
    except (OSError, ValueError):
        return False


def lock(path: Path, patience: float = 0.0) -> int | None:
    """Hold the lock for the life of this process; None if another process still holds it after `patience`.

    Patience is for the keeper, which holds the lock for a moment whenever it looks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)
        else:
            return descriptor


def supervise(layout: Layout) -> int:
    """Run the stack's plan until told to stop. At most one supervisor runs per state folder."""
    held = lock(layout.supervisor_lock, patience=1.0)
    if held is None:
        log.info("another supervisor watches %s", layout.root)
        return 0
    plan = load_plan(layout)
    if plan is None:
        log.error("%s holds no plan", layout.root)
        return 1
    layout.logs.mkdir(parents=True, exist_ok=True)
    me = procfs.stat(os.getpid())
    write_json(layout.record("supervisor"), {"pid": os.getpid(), "started": me.started if me else 0})
    supervisor = Supervisor(plan, layout)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    app = App()
    app.route("GET", "/metrics", lambda _: Response(render(supervisor.readings()), CONTENT_TYPE))
    server = serve(app, f"127.0.0.1:{plan.ports['supervisor']}")
    while not stopping.is_set():
        supervisor.tick()
        stopping.wait(CHECK_EVERY)
    server.close()
    supervisor.stop()
    layout.record("supervisor").unlink(missing_ok=True)
    os.close(held)
    return 0


def keep(layout: Layout, pause: float = 2.0) -> int:
    """Start the supervisor again whenever nobody holds its lock. Runs until it is ended."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    missing = 0
    while not stopping.wait(pause):
        held = lock(layout.supervisor_lock)
        if held is None:
            missing = 0
            continue
        os.close(held)
        missing += 1
        if missing < 2 or not layout.plan.exists():
            continue  # a supervisor that is just starting or stopping has its moment
        start_supervisor(layout)
        missing = 0
    return 0


def start_supervisor(layout: Layout) -> None:
    """Start a supervisor that outlives this process."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "gigawatch.cli", "supervise", "--state", str(layout.root))
    with layout.log("supervisor").open("ab") as output:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
