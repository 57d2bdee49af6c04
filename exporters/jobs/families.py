"""Which processes work together: the one on the GPU and those that feed it.

The process that holds a GPU is seldom the one that clients reach: the servers of vLLM and SGLang are its
parents, the router of TGI is its sister. So the family of a process is the whole tree below its topmost
ancestor of the same service.

An ancestor is of the same service where it lives in the same cgroup (a container, a unit of systemd, a step
of Slurm) and in the same session (Jupyter's server is not its kernels), and is no mere starter of programs:
a shell or a supervisor may have started two engines. Where nothing is found in that tree, the search goes on
beyond starters, but only where the cgroup is a service of its own and no user's session.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_STARTERS = re.compile(
    r"^(systemd|init|\(sd-pam\)|containerd-shim.*|conmon|docker-init|dumb-init|tini|catatonit|runc|crun|pause"
    r"|supervisord|s6-.*|runsv|runsvdir|slurmstepd|slurmd|sshd.*|sudo|su|login|tmux.*|screen|SCREEN|cron"
    r"|(ba|da|z|k|a|fi|tc|c)?sh|busybox|nohup|timeout|jupyter.*|code-server)$"
)
_LONGEST_LINE = 4096
_DEEPEST = 64
"""Generations; a longer line of ancestors is a ring of numbers used twice."""


class Process(NamedTuple):
    """A process, by its line in the process table. `started` is in ticks since boot: with the number it tells
    a process from a later one."""

    pid: int
    parent: int
    session: int
    name: str
    started: int


class Families:
    """The process table of one moment."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._table = {one.pid: one for one in _processes(proc)}
        self._children: dict[int, list[int]] = {}
        for one in self._table.values():
            self._children.setdefault(one.parent, []).append(one.pid)
        self._cgroups: dict[int, str] = {}

    def get(self, pid: int) -> Process | None:
        """A process; None where it has ended."""
        return self._table.get(pid)

    def head(self, pid: int) -> int:
        """Topmost ancestor of the same service; the process itself where there is none."""
        for _ in range(_DEEPEST):
            above = self._above(pid)
            if above is None or above.session != self._table[pid].session or _STARTERS.match(above.name):
                break
            pid = above.pid
        return pid

    def beyond(self, pid: int) -> int:
        """Topmost ancestor in a cgroup that is a service of its own; the process itself where it is none."""
        cgroup = self._cgroup(pid)
        if cgroup == self._cgroup(1) or re.search(r"user\.slice|session-|/$", cgroup):
            return pid
        for _ in range(_DEEPEST):
            above = self._above(pid)
            if above is None:
                break
            pid = above.pid
        return pid

    def _above(self, pid: int) -> Process | None:
        """The parent, in the same cgroup."""
        above = self._table.get(self._table[pid].parent)
        return above if above is not None and self._cgroup(above.pid) == self._cgroup(pid) else None

    def below(self, head: int) -> list[Process]:
        """The tree below a process, with the process itself, as far as it stays in the same cgroup."""
        found, left = dict[int, Process](), [head]
        while left:
            pid = left.pop()
            if pid not in found and self._cgroup(pid) == self._cgroup(head):
                found[pid] = self._table[pid]
                left += self._children.get(pid, ())
        return list(found.values())

    def _cgroup(self, pid: int) -> str:
        if pid not in self._cgroups:
            try:
                text = (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            self._cgroups[pid] = text.strip()
        return self._cgroups[pid]


def _processes(proc: Path) -> Iterator[Process]:
    try:
        with os.scandir(proc) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return
    for name in names:
        if name.isascii() and name.isdecimal():
            try:
                with (proc / name / "stat").open("rb", buffering=0) as file:
                    found = process_of(file.read(_LONGEST_LINE))
            except OSError:
                continue  # it has ended
            if found is not None and found.pid == int(name):
                yield found


def process_of(line: bytes) -> Process | None:
    """A line of /proc/PID/stat; the name stands in brackets and may hold any character."""
    first, opening, rest = line.decode("utf-8", "replace").partition(" (")
    name, closing, further = rest.rpartition(") ")
    words = further.split()
    if not opening or not closing or len(words) < 20:
        return None
    try:
        return Process(int(first), int(words[1]), int(words[3]), name, int(words[19]))
    except ValueError:
        return None
