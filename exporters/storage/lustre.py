"""What this node asked of its Lustre servers, from the client's counters (llite/*/stats)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exporters import sysfs
from exporters.runtime import SourceError
from exporters.storage.mountinfo import each_once, host_mounts
from gigawatch.catalogue import storage
from gigawatch.readings import Reading

_PLACES = ("proc/fs/lustre/llite", "sys/kernel/debug/lustre/llite")
"""Older clients; newer ones, which show it to root alone."""
_METADATA = frozenset(
    (
        "close", "create", "fsync", "getattr", "getxattr", "link", "listxattr", "mkdir", "mknod", "open",
        "readdir", "removexattr", "rename", "rmdir", "setattr", "setxattr", "statfs", "symlink", "truncate",
        "unlink",
    )
)  # fmt: skip
"""Counters of what a server has to do; others (seek, mmap, hits of the cache) stay within the client."""


@dataclass(slots=True)
class Traffic:
    """Counters of one file system. What the client does not count is not in the dictionaries."""

    volume: dict[str, float] = field(default_factory=dict)
    operations: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: Traffic) -> None:
        """Take another client of the same file system in."""
        for mine, more in (
            (self.volume, other.volume),
            (self.operations, other.operations),
            (self.seconds, other.seconds),
        ):
            for key, value in more.items():
                mine[key] = mine.get(key, 0.0) + value


class LustreSource:
    """Bytes, requests and, with clients that time them, seconds of every Lustre mount.

    Requests are those of programs to the client; what its cache answers is among them. Raises
    SourceError("permission") where only root may read the counters.
    """

    name = "lustre"

    def __init__(self, interval: float, deadline: float = 5.0, root: Path = Path("/")) -> None:
        self.interval, self.deadline, self._root = interval, deadline, root

    @property
    def present(self) -> bool:
        """Whether a Lustre client is loaded."""
        return (self._root / "sys/fs/lustre").is_dir() or (self._root / "proc/fs/lustre").is_dir()

    def read(self) -> Iterator[Reading]:
        points: dict[str, tuple[str, str]] = {}
        for mount in each_once(host_mounts(self._root)):
            if mount.kind == "lustre":
                points.setdefault(_file_system(mount.source), mount.labels)
        if not points:
            return
        found: dict[str, Traffic] = {}
        for name, text in self._stats():
            found.setdefault(name.rpartition("-")[0], Traffic()).add(parse(text))
        for name, traffic in found.items():
            if name in points:
                yield from _readings(points[name], traffic)
        if not found and not os.access(self._root / "sys/kernel/debug", os.X_OK):
            raise SourceError("permission", f"/{_PLACES[1]}/*/stats: readable by root alone")

    def _stats(self) -> Iterator[tuple[str, str]]:
        """Directory and content of every client's counters."""
        for place in _PLACES:
            for name in sysfs.names(self._root / place):
                try:
                    text = sysfs.whole(self._root / place / name / "stats")
                except OSError:
                    continue
                yield name, text


def parse(text: str) -> Traffic:
    """NAME COUNT samples [UNIT] MIN MAX SUM ...; lines that make no sense are passed over."""
    traffic = Traffic()
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 4 or words[2] != "samples":
            continue
        count, unit = sysfs.digits(words[1]), words[3]
        total = sysfs.digits(words[6]) if len(words) > 6 else None
        name, _, is_bytes = words[0].partition("_")
        if count is None:
            continue
        if unit == "[bytes]" and is_bytes == "bytes" and name in ("read", "write"):
            traffic.operations[name] = count
            if total is not None:
                traffic.volume[name] = total
        elif words[0] in ("read", "write"):  # its count is that of the bytes' line
            if unit == "[usec]" and total is not None:
                traffic.seconds[name] = total / 1e6
        elif words[0] in _METADATA:
            traffic.operations["other"] = traffic.operations.get("other", 0.0) + count
            if unit == "[usec]" and total is not None:
                traffic.seconds["other"] = traffic.seconds.get("other", 0.0) + total / 1e6
    return traffic


def _readings(labels: tuple[str, str], traffic: Traffic) -> Iterator[Reading]:
    for metric, kind in ((storage.STORAGE_READ, "read"), (storage.STORAGE_WRITTEN, "write")):
        if kind in traffic.volume:
            yield Reading(metric, labels, traffic.volume[kind])
    for kind, count in traffic.operations.items():
        yield Reading(storage.STORAGE_OPERATIONS, (*labels, kind), count)
    for kind, seconds in traffic.seconds.items():
        yield Reading(storage.STORAGE_OPERATION_SECONDS, (*labels, kind), seconds)


def _file_system(source: str) -> str:
    """Name of the file system in MGS[:MGS]:/NAME[/SUBDIRECTORY]."""
    return source.partition(":/")[2].partition("/")[0]
