"""Work: synchronous training and inference serving, as fluid models over groups of GPUs in lockstep."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State

COMPUTE, COMMUNICATE, SPIN, CHECKPOINT = 1.0, 0.50, 0.32, 0.14
"""Activity (share of the dynamic power) of a training GPU by phase; spinning is waiting inside a
collective."""
STARVED = 0.03
"""Activity of a training GPU that waits for data: now and then a small copy."""
CHECKPOINT_SECONDS = 15.0
MEAN_PROMPT, MEAN_ANSWER, CACHED_SHARE = 900.0, 250.0, 0.4
PLACES = 256.0
"""Requests that an engine works on at once; more wait."""
HALF_RATE = 40.0
"""Requests at which an engine reaches half of its token rate."""
PATIENCE = 600.0
"""Requests in the system from which clients begin to give up."""
_OUTCOMES = np.array([[0.88], [0.10], [0.018], [0.002]])
_DAY = 86400.0
_CHUNK_BYTES = 4e9


def daily(time: float) -> float:
    """Demand over the day (UTC): 0.55 at night, 1.25 in the afternoon, mean about 0.9."""
    return 0.9 + 0.35 * math.sin(2 * math.pi * (time / _DAY - 9 / 24))


def _periodic(x: Array, comm: Array) -> Array:
    """Integral from 0 to x of the activity of steps of length 1 that compute first and communicate last."""
    whole, part = np.floor(x), x - np.floor(x)
    compute = 1 - comm
    mean = COMPUTE * compute + COMMUNICATE * comm
    inside = COMPUTE * np.minimum(part, compute) + COMMUNICATE * np.maximum(part - compute, 0)
    return np.asarray(whole * mean + inside)


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

    level_training = _train(
        layout, state, dt, slowest, alive_gpus, stalled_storage | port_slow, uniform, groups, speed, alive
    )
    level_serving = _serve(layout, state, effects, dt, alive_gpus, groups, speed, normal)
    activity = np.where(layout.training[groups], level_training, level_serving[groups])
    # GPUs whose node gets no data have nothing to run; those of the other nodes spin in a collective.
    starving = layout.training[groups] & (effects.stall[node] > 0)
    activity = np.where(starving, STARVED, activity)
    state.activity[:] = np.where(alive, activity, 0.0)
    busy = np.where(layout.training, 0.985, np.where(layout.inference, 0.15 + 1.2 * level_serving, 0.0))
    hung = np.bincount(on_nodes, effects.hang, minlength=count) > 0
    busy = np.where(hung, 0.0, busy)
    load = np.where(starving, 0.02, np.clip(busy[groups], 0.0, 1.0))
    state.utilization[:] = np.where(alive, load, 0.0)
    state.memory_utilization[:] = 0.55 * state.activity
    share = np.where(layout.training, 0.88, np.where(layout.inference, 0.90, 0.006))
    state.memory_used[:] = np.where(alive, layout.memory * share[groups], 0.0)


def _train(
    layout: Layout,
    state: State,
    dt: float,
    slowest: Array,
    alive_gpus: Array,
    held: Array,
    uniform: Array,
    groups: Array,
    speed: Array,
    alive: Array,
) -> Array:
    """Steps, tokens, checkpoints and waits of training jobs; returns the activity of each GPU."""
    training, comm = layout.training, layout.comm_share
    complete = alive_gpus >= layout.group_gpus
    # Rare hiccups of the data pipeline, a few seconds each, about four a day and job.
    hiccup = training & (uniform < dt / 21600)
    state.stall_left[:] = np.maximum(np.where(hiccup, 4 + 8 * uniform * 21600 / dt, state.stall_left) - dt, 0)
    start = training & (state.time >= state.next_checkpoint) & complete & ~held
    state.checkpoint_left[start] = CHECKPOINT_SECONDS
    state.next_checkpoint[start] += layout.checkpoint_every[start] * np.ceil(
        (state.time - state.next_checkpoint[start] + 1) / layout.checkpoint_every[start]
    )
    writing = training & (state.checkpoint_left > 0) & complete & ~held
    used = np.where(writing, np.minimum(state.checkpoint_left, dt), 0.0)
    state.checkpoint_left[:] -= used
    done = writing & (state.checkpoint_left <= 0)
    state.checkpoint_done[done] = state.time + dt

    free = np.where(training & complete & ~held & (state.stall_left <= 0), dt - used, 0.0)
    own = (1 - comm) / np.maximum(slowest, 0.05)
    step = layout.step_seconds * (own + comm)
    progress = free / step
    spent = _periodic(state.phase + progress, comm) - _periodic(state.phase, comm)
    mean = np.divide(spent, progress, out=np.zeros_like(spent), where=progress > 0)
    state.phase[:] = np.mod(state.phase + progress, 1.0)
    state.steps[:] += progress
    healthy_step = layout.step_seconds
    state.tokens[:] += progress * layout.training_rate * healthy_step
    # A held step lasts as long as it is held: the duration grows until it ends.
    blocked = training & (free <= 0) & (used <= 0)
    state.step_time[:] = np.where(blocked, state.step_time + dt, np.where(free > 0, step, state.step_time))
    level = (mean * free + CHECKPOINT * used + SPIN * (dt - free - used)) / dt
    # Within a step, ranks faster than the slowest wait for it.
    work_share = np.where(alive, np.minimum(1.0, slowest[groups] / np.maximum(speed, 0.05)), 0.0)
    wait = training[groups] * (1 - comm[groups]) * (1 - work_share) * free[groups]
    cause = (alive_gpus < layout.group_gpus)[groups]
    state.rank_wait[:] += np.where(alive, wait + np.where(blocked[groups] & cause, dt, 0.0), 0.0)
    mixed = level[groups] * work_share + SPIN * (1 - work_share)
    return np.asarray(np.where(free[groups] > 0, mixed, level[groups]))


def _serve(
    layout: Layout,
    state: State,
    effects: Effects,
    dt: float,
    alive_gpus: Array,
    groups: Array,
    speed: Array,
    normal: Array,
) -> Array:
    """Requests and tokens of inference replicas; returns the activity of each group."""
    serving = layout.inference
    count = layout.sizes["K"]
    keep = math.exp(-dt / 120)
    state.demand_noise[:] = state.demand_noise * keep + 0.08 * math.sqrt(1 - keep * keep) * normal
    demand = layout.load * daily(state.time) * np.maximum(0.05, 1 + state.demand_noise)
    mean_speed = np.bincount(groups, speed, minlength=count) / np.maximum(layout.group_gpus, 1)
    hung = np.bincount(layout.node_group, effects.hang, minlength=count) > 0
    # The token rate follows the clocks weakly: decoding waits for memory. A lost GPU takes its share away.
    able = np.where(
        alive_gpus > 0, 0.35 * (alive_gpus / np.maximum(layout.group_gpus, 1)) + 0.65 * mean_speed, 0.0
    )
    rate = np.where(hung, 0.0, layout.decode_rate * able)
    arriving = demand * layout.decode_rate / MEAN_ANSWER
    arriving = arriving * np.clip(2 - state.in_system / PATIENCE, 0.0, 1.0)
    # One implicit step of dn/dt = arriving - rate / answer * n / (n + half): stable for any dt.
    total = state.in_system + dt * arriving
    drain = dt * rate / MEAN_ANSWER
    b = HALF_RATE - total + drain
    after = 0.5 * (-b + np.sqrt(b * b + 4 * HALF_RATE * total))
    finished = np.where(serving, np.maximum(total - after, 0.0), 0.0)
    state.in_system[:] = np.where(serving, after, 0.0)
    state.running[:] = np.minimum(state.in_system, PLACES)
    state.waiting[:] = state.in_system - state.running
    read = np.where(hung, 0.0, finished * MEAN_PROMPT)
    state.served[0] += read * (1 - CACHED_SHARE)
    state.served[1] += read * CACHED_SHARE
    state.served[2] += finished * MEAN_ANSWER
    state.requests[:] += finished * _OUTCOMES
    state.cache_used[:] = np.where(serving, 0.05 + 0.85 * state.running / PLACES, 0.0)
    per_second = finished / dt
    queue = np.divide(state.waiting, per_second, out=np.full(count, 60.0), where=per_second > 0.01)
    prompt = 0.04 + MEAN_PROMPT * (1 - CACHED_SHARE) / np.maximum(20 * layout.decode_rate, 1.0)
    target = np.minimum(prompt * (1 + state.running / 64) + queue * (state.waiting > 0), 60.0)
    state.first_token[:] += (target - state.first_token) * (1 - math.exp(-dt / 20))
    usage = np.divide(per_second * MEAN_ANSWER, layout.decode_rate, out=np.zeros(count), where=serving)
    return np.asarray(
        np.where(serving & ~hung, 0.22 + 0.68 * np.clip(usage, 0.0, 1.0), np.where(hung, 0.04, 0.0))
    )


def storage_rate(layout: Layout, state: State, dt: float) -> tuple[Array, Array]:
    """Bytes per second that each node reads from and writes to shared storage."""
    node_group = layout.node_group
    training = layout.training[node_group]
    moving = (state.stall_left[node_group] <= 0) & (state.mount_ok > 0) & (state.powered > 0)
    read = np.where(training & moving, 60e6 * layout.node_gpus, 0.0)
    read = read + np.where(layout.inference[node_group] & moving, 0.5e6, 0.0)
    writing = training & moving & (state.checkpoint_left[node_group] > 0)
    return read, np.where(writing, _CHUNK_BYTES / CHECKPOINT_SECONDS * layout.node_gpus, 0.0) + 0.0 * dt
