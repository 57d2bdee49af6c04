"""Processor, memory, disks and network of the host, read through psutil."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psutil

from exporters.fabric.mounts import REMOTE
from exporters.runtime import SourceError
from gigawatch.catalogue import host
from gigawatch.readings import Reading

PSEUDO_FILESYSTEMS = frozenset(
    (
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
        "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rootfs",
        "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs",
    )
)  # fmt: skip
"""File systems that hold no data of their own."""
NO_DISK = re.compile(r"^(loop|ram|zram|fd|sr)\d")
PARTITION = re.compile(r"^((sd|vd|xvd|hd)[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+)p\d+)$")
NO_INTERFACE = re.compile(r"^(lo$|ifb\d|veth|docker|br-|cni|flannel|cali|dummy)")

_IDLE_MODES = {"user": "user", "system": "system", "iowait": "iowait", "idle": "idle"}
_INCLUDED_ELSEWHERE = frozenset({"guest", "guest_nice"})
"""The kernel counts these in user and nice already."""


class HostSource:
    """Everything in `gigawatch.catalogue.host` but power. `api` is psutil or something with its functions."""

    name = "host"

    def __init__(self, interval: float, deadline: float = 5.0, api: Any = psutil) -> None:
        self.interval, self.deadline = interval, deadline
        self._api = api

    def read(self) -> Iterable[Reading]:
        """One part after the other; a part that fails is counted and does not keep the others from us."""
        failed: list[str] = []
        parts: tuple[Callable[[], Iterator[Reading]], ...] = (
            self._processor, self._memory, self._disks, self._filesystems, self._network,
        )  # fmt: skip
        for part in parts:
            try:
                yield from part()
            except (OSError, psutil.Error, RuntimeError) as error:
                failed.append(f"{part.__name__.strip('_')}: {error}")
        if failed:
            raise SourceError("partial", "; ".join(failed))

    def _processor(self) -> Iterator[Reading]:
        times = self._api.cpu_times()._asdict()
        modes = dict.fromkeys(("user", "system", "iowait", "idle", "other"), 0.0)
        for mode, seconds in times.items():
            if mode not in _INCLUDED_ELSEWHERE:
                modes[_IDLE_MODES.get(mode, "other")] += seconds
        for mode, seconds in modes.items():
            yield Reading(host.HOST_CPU_SECONDS, (mode,), seconds)
        yield Reading(host.HOST_CPUS, (), float(self._api.cpu_count() or os.cpu_count() or 1))
        yield Reading(host.HOST_LOAD, (), float(self._api.getloadavg()[0]))
        yield Reading(host.HOST_BOOT_TIMESTAMP, (), float(self._api.boot_time()))

    def _memory(self) -> Iterator[Reading]:
        memory = self._api.virtual_memory()
        yield Reading(host.HOST_MEMORY_SIZE, (), float(memory.total))
        yield Reading(host.HOST_MEMORY_AVAILABLE, (), float(memory.available))
        yield Reading(host.HOST_SWAP_USED, (), float(self._api.swap_memory().used))

    def _disks(self) -> Iterator[Reading]:
        for device, counters in sorted((self._api.disk_io_counters(perdisk=True) or {}).items()):
            if NO_DISK.match(device) or PARTITION.match(device):
                continue
            yield Reading(host.HOST_DISK_READ, (device,), float(counters.read_bytes))
            yield Reading(host.HOST_DISK_WRITTEN, (device,), float(counters.write_bytes))
            busy = getattr(counters, "busy_time", None)  # Linux and FreeBSD only
            if busy is not None:
                yield Reading(host.HOST_DISK_BUSY, (device,), busy / 1e3)

    def _filesystems(self) -> Iterator[Reading]:
        seen: set[str] = set()
        # The root of a container lies on no device that it could name (overlay), yet it fills up.
        root = "rootfs"
        for mount in self._api.disk_partitions(all=True):
            if mount.mountpoint == "/":
                root = mount.fstype
            if mount.fstype in PSEUDO_FILESYSTEMS or _is_remote(mount.fstype):
                continue
            if not mount.device.startswith("/dev/") and mount.fstype not in ("zfs", "btrfs"):
                continue
            if NO_DISK.match(mount.device.removeprefix("/dev/")) or mount.device in seen:
                continue
            seen.add(mount.device)  # a bind mount shows the same file system again
            try:
                usage = self._api.disk_usage(mount.mountpoint)
            except OSError:
                continue  # unmounted meanwhile, or not for our eyes
            if mount.mountpoint == "/":
                root = ""
            yield from self._usage((mount.mountpoint, mount.fstype), usage)
        if root:
            yield from self._usage(("/", root), self._api.disk_usage("/"))

    @staticmethod
    def _usage(labels: tuple[str, str], usage: Any) -> Iterator[Reading]:
        yield Reading(host.HOST_FILESYSTEM_SIZE, labels, float(usage.total))
        yield Reading(host.HOST_FILESYSTEM_AVAILABLE, labels, float(usage.free))

    def _network(self) -> Iterator[Reading]:
        for device, counters in sorted(self._api.net_io_counters(pernic=True).items()):
            if NO_INTERFACE.match(device):
                continue
            for direction, volume, errors, drops in (
                ("receive", counters.bytes_recv, counters.errin, counters.dropin),
                ("transmit", counters.bytes_sent, counters.errout, counters.dropout),
            ):
                labels = (device, direction)
                yield Reading(host.HOST_NETWORK_BYTES, labels, float(volume))
                yield Reading(host.HOST_NETWORK_ERRORS, labels, float(errors))
                yield Reading(host.HOST_NETWORK_DROPS, labels, float(drops))


def _is_remote(fstype: str) -> bool:
    # These can block for ever when their server is gone: exporters.fabric probes them, this source does not.
    return fstype in REMOTE or fstype.startswith("fuse")
