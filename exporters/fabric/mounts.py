"""Shared file systems: does each still answer, how fast, and how much was read from it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gigawatch.catalogue import storage
from gigawatch.readings import Reading

REMOTE = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "wekafs")
_SERVER_READ = 5
"""Word, counted from 0, with the bytes read from the server in the `bytes:` line of /proc/self/mountstats."""

Mount = tuple[str, str]
"""Mount point and file system type."""


class MountSource:
    """Probes each shared mount in a thread of its own: one whose server is gone holds up neither the others
    nor this source, and costs one waiting thread, however long it lasts."""

    name = "mounts"

    def __init__(
        self,
        interval: float,
        deadline: float = 5.0,
        patience: float = 2.0,
        proc: Path = Path("/proc/self"),
        probe: Callable[[str], object] = os.statvfs,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._patience, self._proc, self._probe, self._monotonic = patience, proc, probe, monotonic
        self._probes: dict[Mount, _Probe] = {}

    def read(self) -> Iterator[Reading]:
        mounts = self._mounts()
        for gone in self._probes.keys() - set(mounts):
            del self._probes[gone]
        for mount in mounts:
            running = self._probes.get(mount)
            if running is None or running.over.is_set():
                self._probes[mount] = _Probe(mount[0], self._probe, self._monotonic)
        last = self._monotonic() + self._patience
        for mount in mounts:
            probe = self._probes[mount]
            probe.over.wait(max(0.0, last - self._monotonic()))
            answered = probe.over.is_set() and not probe.failed
            yield Reading(storage.MOUNT_RESPONSIVE, mount, float(answered))
            yield Reading(storage.MOUNT_PROBE_DURATION, mount, probe.seconds())
        yield from self._read_bytes(set(mounts))

    def _mounts(self) -> list[Mount]:
        """Shared mounts, each once."""
        found: dict[Mount, None] = {}
        for line in (self._proc / "mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            parts = line.split(" ")
            if len(parts) > 2 and parts[2] in REMOTE:
                found[(_unescaped(parts[1]), parts[2])] = None
        return list(found)

    def _read_bytes(self, mounts: set[Mount]) -> Iterator[Reading]:
        """For NFS, whose client counts; other file systems have their own, unlike one another."""
        try:
            text = (self._proc / "mountstats").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        mount: Mount = ("", "")
        for line in text.splitlines():
            words = line.split()
            if line.startswith("device ") and "on" in words and "fstype" in words:
                mount = _unescaped(words[words.index("on") + 1]), words[words.index("fstype") + 1]
            elif mount in mounts and words[:1] == ["bytes:"] and len(words) > _SERVER_READ:
                count = words[_SERVER_READ]
                if count.isdigit():
                    yield Reading(storage.STORAGE_READ, mount, float(count))


class _Probe:
    """One question to one mount."""

    def __init__(self, path: str, ask: Callable[[str], object], monotonic: Callable[[], float]) -> None:
        self.over = threading.Event()
        self.failed = False
        self._monotonic = monotonic
        self._began = monotonic()
        self._took = 0.0
        threading.Thread(target=self._run, args=(path, ask), name=f"probe-{path}", daemon=True).start()

    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return self._took if self.over.is_set() else self._monotonic() - self._began

    def _run(self, path: str, ask: Callable[[str], object]) -> None:
        try:
            ask(path)
        except OSError:
            self.failed = True
        self._took = self._monotonic() - self._began
        self.over.set()


def _unescaped(text: str) -> str:
    """The kernel writes blanks in mount points as octal escapes."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
