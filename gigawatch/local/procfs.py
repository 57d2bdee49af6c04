"""Which processes live, read from /proc: who is a child of whom does not matter there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc says of one process."""

    pid: int
    state: str
    session: int
    started: int
    """Clock ticks after boot: with the pid, the identity of a process."""
    cpu_seconds: float
    resident_bytes: int

    @property
    def alive(self) -> bool:
        """A zombie has ended; only its parent has not yet asked."""
        return self.state not in ("Z", "X")


def stat(pid: int) -> Stat | None:
    """The process, or None if there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold anything, brackets and blanks included.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        pid,
        fields[0],
        int(fields[3]),
        int(fields[19]),
        (int(fields[11]) + int(fields[12])) / _TICKS,
        int(fields[21]) * _PAGE,
    )


def alive(pid: int, started: int) -> bool:
    """Whether that very process still lives (a pid alone is used again)."""
    found = stat(pid)
    return found is not None and found.alive and found.started == started


def in_sessions(sessions: Iterable[int]) -> list[Stat]:
    """Living processes of the given sessions: a part and everything it has started."""
    wanted = set(sessions)
    found = (stat(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [s for s in found if s is not None and s.session in wanted and s.alive]


def end_sessions(sessions: Iterable[int], patience: float) -> list[int]:
    """Ask every process of the sessions to end, then make it; return the pids that had to be killed."""
    wanted = set(sessions)
    for found in in_sessions(wanted):
        # A stopped process hears nothing until it is continued.
        _signal(found.pid, signal.SIGTERM)
        _signal(found.pid, signal.SIGCONT)
    deadline = time.monotonic() + patience
    while in_sessions(wanted) and time.monotonic() < deadline:
        time.sleep(0.05)
    stubborn = in_sessions(wanted)
    for found in stubborn:
        _signal(found.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while in_sessions(wanted) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [found.pid for found in stubborn]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
