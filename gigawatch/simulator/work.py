"""Work: what every GPU does now, and how busy that makes it. Training and serving have files of their own."""

from __future__ import annotations

import numpy as np

from gigawatch.simulator import serving, train
from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State

STARVED = 0.03
"""Activity of a training GPU that waits for data: now and then a small copy."""
_CHUNK_BYTES = 4e9


def advance(layout: Layout, state: State, effects: Effects, dt: float, normal: Array, uniform: Array) -> None:
    """Move all work on by dt and set every GPU's activity and utilisation.

    `normal` and `uniform` hold one random number per group.
    """
    node, groups = layout.gpu_node, layout.gpu_group
    count = layout.sizes["K"]
    alive = (state.lost == 0) & (state.powered[node] > 0)
    speed = np.where(alive, np.maximum(state.frequency, 0.05), 0.0)
    slowest = np.full(count, 1.0)
    np.minimum.at(slowest, groups, np.where(state.activity > 0, speed, 1.0))
    alive_gpus = np.bincount(groups, alive, minlength=count)
    on_nodes = layout.node_group
    stalled_storage = np.bincount(on_nodes, effects.stall, minlength=count) > 0
    port_slow = np.bincount(on_nodes, effects.flapping >= 0.01, minlength=count) > 0

    held = stalled_storage | port_slow
    level_training = train.advance(
        layout, state, effects, dt, slowest, alive_gpus, held, uniform, speed, alive
    )
    level_serving = serving.advance(layout, state, effects, dt, alive_gpus, groups, speed, normal)
    activity = np.where(layout.training[groups], level_training, level_serving[groups])
    # GPUs whose node gets no data have nothing to run; those of the other nodes spin in a collective.
    down = (state.down_left > 0) | (state.startup_left > 0)
    starving = (layout.training & ~down)[groups] & (effects.stall[node] > 0)
    activity = np.where(starving, STARVED, activity)
    state.activity[:] = np.where(alive, activity, 0.0)
    busy = np.where(layout.training, 0.985, np.where(layout.inference, 0.15 + 1.2 * level_serving, 0.0))
    hung = np.bincount(on_nodes, effects.hang, minlength=count) > 0
    busy = np.where(hung | (state.down_left > 0), 0.0, np.where(down, 0.1, busy))
    load = np.where(starving, 0.02, np.clip(busy[groups], 0.0, 1.0))
    state.utilization[:] = np.where(alive, load, 0.0)
    state.memory_utilization[:] = 0.55 * state.activity
    share = np.where(layout.training, 0.88, np.where(layout.inference, 0.90, 0.006))
    share = np.where(state.down_left > 0, 0.006, share)
    state.memory_used[:] = np.where(alive, layout.memory * share[groups], 0.0)


def storage_rate(layout: Layout, state: State, dt: float) -> tuple[Array, Array]:
    """Bytes per second that each node reads from and writes to shared storage."""
    node_group = layout.node_group
    training = layout.training[node_group]
    moving = (state.stall_left[node_group] <= 0) & (state.mount_ok > 0) & (state.powered > 0)
    moving &= state.down_left[node_group] <= 0
    read = np.where(training & moving, 60e6 * layout.node_gpus, 0.0)
    read = read + np.where(layout.inference[node_group] & moving, 0.5e6, 0.0)
    writing = training & moving & (state.checkpoint_left[node_group] > 0)
    return read, np.where(writing, _CHUNK_BYTES / train.CHECKPOINT_SECONDS * layout.node_gpus, 0.0) + 0.0 * dt
