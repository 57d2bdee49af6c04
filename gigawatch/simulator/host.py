"""What a node counts besides its GPUs' physics: links, pressure, disks, its clock, its heat."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.train import CHECKPOINT_SECONDS
from gigawatch.simulator.work import storage_rate

NVLINK_SHARE = 0.6
"""Share of the links' bandwidth that collectives of a training job reach while they communicate."""
HALF_WIDTH = 8.0
HUNG_AFTER = 120.0
"""Seconds that a task waits before the kernel calls it hung (its default)."""
DISK_LATENCY = 90e-6
OPERATION_BYTES = 128 * 1024
DRIFT = 8e-3
"""Seconds per second by which a clock runs wrong that nobody keeps. Real ones take hours for what a drill
must show in half a minute."""
CHUNK = 4e9
"""Bytes that a GPU copies out for a checkpoint."""


def advance(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    """Counters of links and host after dt."""
    _links(layout, state, effects, dt)
    _pressure(state, effects, dt)
    _disks(layout, state, effects, dt)
    _clock(state, effects, dt)


def _links(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    group = layout.gpu_group
    at_work = state.activity > 0.4
    training = layout.training[group] & at_work
    collectives = np.where(training, NVLINK_SHARE * layout.comm_share[group], 0.04 * state.activity)
    state.nvlink_bytes[:] += layout.nvlink_speed * collectives * dt
    saving = (layout.training & (state.checkpoint_left > 0))[group] * (CHUNK / CHECKPOINT_SECONDS)
    state.pcie_bytes[0] += (np.where(training, 2.6e8, 4e7 * state.activity) + 2e4) * dt
    state.pcie_bytes[1] += (np.where(training, 3e7, 1.5e7 * state.activity) + saving + 2e4) * dt
    bad = effects.pcie
    state.pcie_width[:] = np.where(bad > 0, HALF_WIDTH, 16.0)
    state.pcie_errors[:] += 6.0 * bad * dt
    state.replays[:] += 3.0 * bad * dt


def _pressure(state: State, effects: Effects, dt: float) -> None:
    stalled = effects.stall > 0
    busy = state.cpu_busy
    waiting = np.where(stalled, 0.94, 0.01 * busy)
    state.pressure[0] += 0.08 * busy * dt
    state.pressure[1] += waiting * dt
    state.pressure[2] += np.where(stalled, 0.86, 0.002 * busy) * dt
    before = state.stalled_for.copy()
    state.stalled_for[:] = np.where(stalled, before + dt, 0.0)
    state.hung_tasks[:] += 4.0 * ((before < HUNG_AFTER) & (state.stalled_for >= HUNG_AFTER))
    air = state.fan_speed * (1 - state.fans_lost)
    target = state.inlet + 12.0 + (8.0 + 62.0 * busy) / np.maximum(0.4 + air, 0.4)
    state.cpu_core[:] += (target - state.cpu_core) * (1 - math.exp(-dt / 20))


def _disks(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    # Loaders that shared storage leaves waiting fall back on the node's own cache.
    fallback = np.where(effects.stall > 0, 4e8, 0.0)
    state.disk[0] += fallback * dt
    state.disk[2] += fallback / 2.5e9 * dt
    slower = 1.0 + 9.0 * (fallback > 0) + 40.0 * effects.disk
    local = (0.3 * (2e5 + 4e6 * state.cpu_busy) + fallback, 2e5 + 4e6 * state.cpu_busy)
    for row, rate in enumerate(local):
        state.disk_seconds[row] += rate / OPERATION_BYTES * DISK_LATENCY * slower * dt
    read, written = storage_rate(layout, state, dt)
    state.storage_written[:] += written * dt
    # Reads come from a server's cache mostly; writes wait for its disks.
    for row, rate, seconds in ((0, read, 0.3), (1, written, 1.2)):
        state.storage_seconds[row] += rate / 2**20 * seconds * state.mount_seconds * dt
    state.disk_wear[:] = layout.disk_wear + effects.disk * 0.98
    state.disk_spare[:] = 1.0 - 0.95 * effects.disk
    state.media_errors[:] += 0.5 * effects.disk * dt


def _clock(state: State, effects: Effects, dt: float) -> None:
    free = effects.time_lost
    # What keeps the clock steers it back within a minute once it is there again.
    drifted = (state.clock_offset + DRIFT * free * dt) * np.where(free > 0, 1.0, math.exp(-dt / 15))
    state.clock_offset[:] = drifted
    state.clock_error[:] = np.where(free > 0, state.clock_error + 5e-4 * dt, 2e-3)


def idle_clock(layout: Layout, state: State) -> Array:
    """The small wander of a clock that is kept: some tens of microseconds."""
    return np.asarray(30e-6 * np.sin(state.time / 700.0 + layout.clock_phase))
