"""GPU readings of the plant beyond the classic ones: profiling, memory health, traffic, the PCI bus."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gigawatch.catalogue import Metric, gpu, gpu_activity, gpu_links
from gigawatch.simulator.identity import pci_bus_id
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.profiles import GIB
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Table, Values, floored, rounded

BANKS_PER_GIB = 32
BAR1_IDLE, BAR1_USED = 2 * 2**20, 34 * 2**20
_TRANSFERS = {3: 8e9, 4: 16e9, 5: 32e9, 6: 64e9}
"""Transfers per second and lane, by PCIe generation."""


class Rows(Protocol):
    """What adds rows about GPUs: see `emit_gpu.Gpus`."""

    layout: Layout
    table: Table
    index: list[str]

    def labels(self, *extra: str) -> Labels: ...
    def alive(self, values: Values | Array | float) -> Values: ...


def fill(rows: Rows) -> None:
    """Add everything."""
    _profiling(rows)
    _memory(rows)
    _traffic(rows)
    _fabric(rows)
    _bus(rows)


def _profiling(rows: Rows) -> None:
    layout = rows.layout
    training = layout.training[layout.gpu_group]
    # Matrices make up most of training; decoding reads memory and leaves the tensor cores waiting.
    tensor_share = np.where(training, 0.52, 0.16)
    dram_share = np.where(training, 0.58, 0.82)
    modern = np.array([profile.architecture != "Ampere" for profile in layout.profiles], dtype=bool)

    def sm(state: State) -> Array:
        return np.asarray(state.utilization * (0.08 + 0.86 * state.activity))

    shares: tuple[tuple[Metric, tuple[str, ...], Values], ...] = (
        (gpu_activity.GPU_GRAPHICS_ACTIVE, (), lambda s: s.utilization * 0.995),
        (gpu_activity.GPU_SM_ACTIVE, (), sm),
        (gpu_activity.GPU_SM_OCCUPANCY, (), lambda s: 0.44 * sm(s)),
        (gpu_activity.GPU_PIPE_ACTIVE, ("tensor",), lambda s: tensor_share * s.activity),
        (gpu_activity.GPU_PIPE_ACTIVE, ("hmma",), lambda s: 0.97 * tensor_share * s.activity),
        (gpu_activity.GPU_DRAM_ACTIVE, (), lambda s: dram_share * s.activity),
    )
    for metric, extra, values in shares:
        rows.table.add(metric, rows.labels(*extra), rows.alive(_to(values, 4)), modern)
    old = rows.labels(gpu_activity.GPU_SM_ACTIVE.key, "gpm", "not_supported")
    rows.table.add(gpu.GPU_CAPABILITY_INFO, old, rows.alive(1.0), ~modern)
    for precision in gpu_activity.GPU_PEAK_FLOPS.values["precision"]:
        peak = np.array([1e12 * profile.peak.get(precision, 0.0) for profile in layout.profiles])
        rows.table.add(gpu_activity.GPU_PEAK_FLOPS, rows.labels(precision), rows.alive(peak), peak > 0)
    held = (layout.gpu_group > 0).astype(float)
    rows.table.add(gpu_activity.GPU_PROCESSES, rows.labels(), rows.alive(held))


def _to(values: Values, digits: int) -> Values:
    return lambda state: np.round(values(state), digits)


def _memory(rows: Rows) -> None:
    layout, add = rows.layout, rows.table.add
    add(gpu.GPU_MEMORY_RESERVED, rows.labels(), rows.alive(np.floor(layout.memory * 0.0065)))
    add(gpu.GPU_BAR1_USED, rows.labels(), rows.alive(np.where(layout.gpu_group > 0, BAR1_USED, BAR1_IDLE)))
    for when in ("current", "pending"):
        add(gpu.GPU_ECC_ENABLED, rows.labels(when), rows.alive(1.0))
    banks = np.floor(layout.memory / GIB * BANKS_PER_GIB)

    def repaired(state: State) -> Array:
        return np.asarray(np.floor(state.remapped[0]) + np.floor(state.remapped[1]))

    counts: dict[str, Values | float] = {
        "max": lambda s: banks - repaired(s), "high": repaired, "partial": 0.0, "low": 0.0, "none": 0.0
    }  # fmt: skip
    for spare, values in counts.items():
        add(gpu.GPU_ROW_REMAP_BANKS, rows.labels(spare), rows.alive(values))


def _traffic(rows: Rows) -> None:
    add, linked = rows.table.add, rows.layout.nvlink_speed > 0
    for row, direction in enumerate(("receive", "transmit")):
        add(gpu_links.GPU_PCIE_BYTES, rows.labels(direction), rows.alive(floored("pcie_bytes", row)))
        bytes_ = rows.alive(floored("nvlink_bytes"))
        add(gpu_links.GPU_NVLINK_BYTES, rows.labels("all", direction), bytes_, linked)


def _fabric(rows: Rows) -> None:
    switched = np.array([p.architecture != "Ampere" for p in rows.layout.profiles], dtype=bool)
    for state in gpu_links.GPU_FABRIC_STATE.values["state"]:
        values = rows.alive(float(state == "completed"))
        rows.table.add(gpu_links.GPU_FABRIC_STATE, rows.labels(state), values, switched)
    # Of the checks, only the one that a fault of the plant can fail: all fourteen would be 14 series per GPU.
    degraded = rows.labels("degraded_bandwidth")
    rows.table.add(gpu_links.GPU_FABRIC_UNHEALTHY, degraded, rows.alive(rounded("nvlink_down", 0)), switched)


def _bus(rows: Rows) -> None:
    """What the bus tells, with a driver or without one: also of a GPU that has fallen off."""
    layout, add = rows.layout, rows.table.add
    addresses = [pci_bus_id(int(index))[-12:].lower() for index in rows.index]

    def at(*extra: str) -> Labels:
        return lambda g: (addresses[g], *extra)

    models = [layout.inventory.nodes[node].gpu_model for node in layout.gpu_node]
    add(
        gpu_links.PCI_DEVICE_INFO,
        lambda g: (addresses[g], "gpu", "nvidia", "NVIDIA", models[g], str(int(rows.index[g]) // 4)),
        1.0,
    )
    speed = np.array([_TRANSFERS[p.pcie_generation] for p in layout.profiles])
    width: dict[str, Values | float] = {"current": rounded("pcie_width", 0), "max": 16.0}
    for kind, lanes in width.items():
        add(gpu_links.PCI_LINK_SPEED, at(kind), speed)
        add(gpu_links.PCI_LINK_WIDTH, at(kind), lanes)
    for severity in gpu_links.PCI_AER_ERRORS.values["severity"]:
        counted: Values | float = floored("pcie_errors") if severity == "correctable" else 0.0
        add(gpu_links.PCI_AER_ERRORS, at(severity), counted)
