"""Readings of the plant's nodes about the host itself, its disks, its mounts and its ports."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import fabric, host, storage
from gigawatch.simulator.host import OPERATION_BYTES, idle_clock
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Table, Values, floored, rounded

SHARED, SHARED_SOURCE = ("/shared", "lustre"), "10.10.0.1@o2ib:/data"
SCRATCH, SCRATCH_SOURCE = ("/scratch", "xfs"), "/dev/md0"
_SHARED_BYTES, _SCRATCH_BYTES = 2.4e15, 30.72e12
_SYNCHRONIZED_WITHIN = 0.016
"""Bound on the error beyond which the kernel calls its clock unsynchronised, as time daemons set it."""
_WEEK = 604800.0
_CHIP = "coretemp"


def _fixed(*labels: str) -> Labels:
    return lambda _: labels


def fill(layout: Layout, table: Table, disk: str, network: str) -> None:
    """Add everything about the hosts."""
    _kernel(table)
    _clock(layout, table)
    _disk(table, disk)
    _mounts(table)
    add = table.add
    add(host.HOST_NETWORK_UP, _fixed(network), 1.0)
    add(host.HOST_NETWORK_SPEED, _fixed(network), 3.125e9)
    add(host.HOST_NETWORK_FLAPS, _fixed(network), 0.0)


def _kernel(table: Table) -> None:
    add = table.add
    pressed = {("cpu", "some"): 0, ("io", "some"): 1, ("io", "full"): 2}
    for resource in host.HOST_PRESSURE.values["resource"]:
        for share in host.HOST_PRESSURE.values["share"]:
            row = pressed.get((resource, share))
            seconds: Values | float = 0.0 if row is None else rounded("pressure", 3, row)
            add(host.HOST_PRESSURE, _fixed(resource, share), seconds)
    for package in range(2):
        sensor = f"Package id {package}"
        warmer = 1.5 * package
        add(host.HOST_TEMPERATURE, _fixed(_CHIP, sensor), _warm(warmer))
        add(host.HOST_TEMPERATURE_CRITICAL, _fixed(_CHIP, sensor), 100.0)
    for scope in host.HOST_CPU_THROTTLES.values["scope"]:
        add(host.HOST_CPU_THROTTLES, _fixed(scope), 0.0)
    for controller in ("mc0", "mc1"):
        for severity in host.HOST_MEMORY_ERRORS.values["severity"]:
            add(host.HOST_MEMORY_ERRORS, _fixed(controller, "", severity), 0.0)
    add(host.HOST_HUNG_TASKS, _fixed(), floored("hung_tasks"))
    add(host.HOST_TASKS_BLOCKED, _fixed(), lambda s: np.where(s.stalled_for > 0, 48.0, 0.0))
    add(host.HOST_OOM_KILLS, _fixed(), 0.0)


def _warm(offset: float) -> Values:
    return lambda s: np.round(s.cpu_core + offset)


def _clock(layout: Layout, table: Table) -> None:
    add = table.add
    offset: Values = lambda s: np.round(s.clock_offset + idle_clock(layout, s), 7)  # noqa: E731 - beside its use
    add(host.HOST_CLOCK_OFFSET, _fixed(), offset)
    add(host.HOST_CLOCK_SYNCHRONIZED, _fixed(), lambda s: s.clock_error <= _SYNCHRONIZED_WITHIN)
    add(host.HOST_CLOCK_MAX_ERROR, _fixed(), rounded("clock_error", 6))


def _disk(table: Table, disk: str) -> None:
    add = table.add
    for row, operation in enumerate(("read", "write")):
        add(host.HOST_DISK_OPERATIONS, _fixed(disk, operation), _requests("disk", row, OPERATION_BYTES))
        add(host.HOST_DISK_OPERATION_SECONDS, _fixed(disk, operation), rounded("disk_seconds", 4, row))
    add(host.HOST_FILESYSTEM_SIZE, _fixed(*SCRATCH), _SCRATCH_BYTES)
    add(host.HOST_FILESYSTEM_AVAILABLE, _fixed(*SCRATCH), _falling(_SCRATCH_BYTES, 0.62, 0.3))
    for mount in (("/", "ext4"), SCRATCH):
        add(host.HOST_FILESYSTEM_FILES_FREE, _fixed(*mount), 0.94)
    add(storage.NVME_WEAR, _fixed(disk), rounded("disk_wear", 2))
    add(storage.NVME_SPARE, _fixed(disk), rounded("disk_spare", 2))
    add(storage.NVME_MEDIA_ERRORS, _fixed(disk), floored("media_errors"))
    for reason in storage.NVME_CRITICAL_WARNING.values["reason"]:
        low: Values | float = (lambda s: s.disk_spare < 0.1) if reason == "spare_low" else 0.0
        add(storage.NVME_CRITICAL_WARNING, _fixed(disk, reason), low)
    add(storage.NVME_TEMPERATURE, _fixed(disk), lambda s: np.round(s.inlet + 11.0 + 60.0 * s.cpu_busy))


def _requests(name: str, row: int | None, size: float) -> Values:
    def values(state: State) -> Array:
        found: Array = getattr(state, name)
        return np.floor((found if row is None else found[row]) / size)

    return values


def _falling(size: float, most: float, by: float) -> Values:
    """Free bytes: what jobs write fills it, and a clean-up each week frees it."""
    return lambda s: np.floor(size * (most - by * ((s.time - s.boot) % _WEEK) / _WEEK))


def _mounts(table: Table) -> None:
    add = table.add
    add(storage.MOUNT_INFO, _fixed(*SHARED, SHARED_SOURCE, "warm"), 1.0)
    add(storage.MOUNT_INFO, _fixed(*SCRATCH, SCRATCH_SOURCE, "hot"), 1.0)
    for mount in (SHARED, SCRATCH):
        add(storage.MOUNT_READ_ONLY, _fixed(*mount), 0.0)
    add(storage.MOUNT_SIZE, _fixed(*SHARED), _SHARED_BYTES)
    # One file system: every node sees the same figure.
    free: Values = lambda s: np.full(  # noqa: E731 - beside its use
        s.inlet.shape, np.floor(_SHARED_BYTES * (0.46 - 0.12 * (s.time % _WEEK) / _WEEK))
    )
    add(storage.MOUNT_AVAILABLE, _fixed(*SHARED), free)
    add(storage.STORAGE_WRITTEN, _fixed(*SHARED), floored("storage_written"))
    for row, (operation, name) in enumerate((("read", "storage_read"), ("write", "storage_written"))):
        add(storage.STORAGE_OPERATIONS, _fixed(*SHARED, operation), _requests(name, None, 2**20))
        add(storage.STORAGE_OPERATION_SECONDS, _fixed(*SHARED, operation), rounded("storage_seconds", 3, row))
    add(storage.STORAGE_RETRANSMISSIONS, _fixed(*SHARED), 0.0)


def add_port(table: Table, device: str, port: int, here: Array) -> None:
    """What an InfiniBand port is and how much it had to wait."""
    address = f"0000:{0x18 + 0x14 * port:02x}:00.0"
    labels = _fixed(device, "1", "InfiniBand", "", "28.43.2566", address)
    table.add(fabric.IB_PORT_INFO, labels, 1.0, here)
    table.add(fabric.IB_PORT_SPEED, _fixed(device, "1"), 50e9, here)
    # Ports wait for credits during collectives: a hundredth of the words sent.
    table.add(fabric.IB_PORT_WAIT, _fixed(device, "1"), lambda s: np.floor(s.fabric[1] / 400), here)
