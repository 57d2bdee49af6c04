"""Host, fabric and storage readings of the plant's nodes, and what jobs and engines on them tell."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import fabric, gpu, host, storage
from gigawatch.simulator import emit_engine, emit_host, emit_training
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.nodes import CPUS, HOST_MEMORY
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Table, floored, rounded

PORT_SPEED_NAME = "mlx5_"
MOUNT = emit_host.SHARED
ROOT = ("/", "ext4")
DISK = "nvme0n1"
NETWORK = "eth0"
_ROOT_BYTES = 1.92e12


def _fixed(*labels: str) -> Labels:
    return lambda _: labels


def node_table(layout: Layout) -> Table:
    """Readings of every node about itself."""
    table = Table(range(layout.sizes["N"]))
    _host(table)
    emit_host.fill(layout, table, DISK, NETWORK)
    _ports(layout, table)
    add = table.add
    add(storage.MOUNT_RESPONSIVE, _fixed(*MOUNT), lambda s: s.mount_ok)
    add(storage.MOUNT_PROBE_DURATION, _fixed(*MOUNT), rounded("mount_seconds", 4))
    add(storage.STORAGE_READ, _fixed(*MOUNT), floored("storage_read"))

    has_gpus = layout.node_gpus > 0

    def visible(state: State) -> Array:
        return np.bincount(layout.gpu_node, state.lost == 0, minlength=layout.sizes["N"])

    emit_training.fill_nodes(layout, table)
    for source in gpu.GPUS_VISIBLE.values["source"]:
        add(gpu.GPUS_VISIBLE, _fixed(source), visible, has_gpus)
    return table


def _host(table: Table) -> None:
    add = table.add
    for row, mode in enumerate(host.HOST_CPU_SECONDS.values["mode"]):
        add(host.HOST_CPU_SECONDS, _fixed(mode), rounded("cpu_seconds", 2, row))
    add(host.HOST_CPUS, _fixed(), CPUS)
    add(host.HOST_LOAD, _fixed(), rounded("load", 2))
    add(host.HOST_MEMORY_SIZE, _fixed(), HOST_MEMORY)
    add(host.HOST_MEMORY_AVAILABLE, _fixed(), floored("memory_available"))
    add(host.HOST_SWAP_USED, _fixed(), 0.0)
    add(host.HOST_DISK_READ, _fixed(DISK), floored("disk", 0))
    add(host.HOST_DISK_WRITTEN, _fixed(DISK), floored("disk", 1))
    add(host.HOST_DISK_BUSY, _fixed(DISK), rounded("disk", 3, 2))
    add(host.HOST_FILESYSTEM_SIZE, _fixed(*ROOT), _ROOT_BYTES)
    # Logs fill the disk and are rotated away: a week's saw-tooth of a tenth of the disk.
    add(
        host.HOST_FILESYSTEM_AVAILABLE,
        _fixed(*ROOT),
        lambda s: np.floor(_ROOT_BYTES * (0.71 - 0.1 * ((s.time - s.boot) % 604800) / 604800)),
    )
    for row, direction in enumerate(host.HOST_NETWORK_BYTES.values["direction"]):
        add(host.HOST_NETWORK_BYTES, _fixed(NETWORK, direction), floored("network", row))
        add(host.HOST_NETWORK_ERRORS, _fixed(NETWORK, direction), 0.0)
        add(host.HOST_NETWORK_DROPS, _fixed(NETWORK, direction), 0.0)
    add(host.HOST_BOOT_TIMESTAMP, _fixed(), lambda s: s.boot)
    add(host.HOST_POWER, _fixed("redfish"), rounded("node_power", 0))


def _ports(layout: Layout, table: Table) -> None:
    add = table.add
    ports = np.maximum(np.minimum(layout.node_gpus, 8), 1)
    for port in range(int(ports.max(initial=0))):
        device, here = f"{PORT_SPEED_NAME}{port}", ports > port
        first = port == 0
        add(
            fabric.IB_PORT_STATE,
            _fixed(device, "1", "active"),
            (lambda s: 1 - s.port_down) if first else 1.0,
            here,
        )
        add(
            fabric.IB_PORT_STATE, _fixed(device, "1", "down"), (lambda s: s.port_down) if first else 0.0, here
        )
        for state in ("init", "armed"):
            add(fabric.IB_PORT_STATE, _fixed(device, "1", state), 0.0, here)
        for row, direction in enumerate(fabric.IB_PORT_BYTES.values["direction"]):
            add(fabric.IB_PORT_BYTES, _fixed(device, "1", direction), floored("fabric", row), here)
        for row, kind in enumerate(("symbol", "link_recovery", "receive", "discard")):
            errors = floored("port_errors", row) if first else 0.0
            add(fabric.IB_PORT_ERRORS, _fixed(device, "1", kind), errors, here)
        emit_host.add_port(table, device, port, here)
        add(fabric.IB_PORT_FLAPS, _fixed(device, "1"), floored("port_flaps") if first else 0.0, here)


def group_table(layout: Layout) -> Table:
    """Readings of jobs and engines: on the node of a job's first rank, on the node of each replica."""
    table = Table([-1, *(group.nodes[0] for group in layout.groups)])
    emit_engine.fill(layout, table)
    emit_training.fill(layout, table)
    return table
