"""Disks of the host (/proc/diskstats)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import host
from gigawatch.readings import Reading

NO_DISK = re.compile(r"^(loop|ram|zram|fd|sr)\d")
PARTITION = re.compile(r"^((sd|vd|xvd|hd)[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+)p\d+)$")
_SECTOR = 512
"""Bytes, whatever the disk's own sectors are."""
_MILLISECONDS = 1e3


class Disk(NamedTuple):
    """Counters of one disk: requests, sectors and milliseconds, by direction; milliseconds at work."""

    name: str
    reads: float
    sectors_read: float
    read_time: float
    writes: float
    sectors_written: float
    write_time: float
    busy: float


class DiskSource:
    """Volume, requests, their time and busy time of every disk; partitions and memory disks are left out."""

    name = "disks"

    def __init__(self, interval: float, deadline: float = 5.0, root: Path = Path("/")) -> None:
        self.interval, self.deadline = interval, deadline
        self._file = root / "proc/diskstats"

    @property
    def present(self) -> bool:
        """Whether the kernel shows disks at all."""
        return self._file.exists()

    def read(self) -> Iterator[Reading]:
        for disk in parse(sysfs.whole(self._file)):
            labels = (disk.name,)
            yield Reading(host.HOST_DISK_READ, labels, disk.sectors_read * _SECTOR)
            yield Reading(host.HOST_DISK_WRITTEN, labels, disk.sectors_written * _SECTOR)
            yield Reading(host.HOST_DISK_BUSY, labels, disk.busy / _MILLISECONDS)
            for operation, count, time in (
                ("read", disk.reads, disk.read_time),
                ("write", disk.writes, disk.write_time),
            ):
                yield Reading(host.HOST_DISK_OPERATIONS, (disk.name, operation), count)
                yield Reading(host.HOST_DISK_OPERATION_SECONDS, (disk.name, operation), time / _MILLISECONDS)


def parse(text: str) -> Iterator[Disk]:
    """MAJOR MINOR NAME and, by direction, requests, merged ones, sectors, milliseconds; under way; busy."""
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 13 or NO_DISK.match(words[2]) or PARTITION.match(words[2]):
            continue
        numbers = [value for value in map(sysfs.digits, words[3:13]) if value is not None]
        if len(numbers) == 10:
            reads, _, read, read_time, writes, _, written, write_time, _, busy = numbers
            yield Disk(words[2], reads, read, read_time, writes, written, write_time, busy)
