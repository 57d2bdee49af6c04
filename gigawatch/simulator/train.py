"""Synchronous training: steps in lockstep at the pace of the slowest GPU, checkpoints, crashes."""

from __future__ import annotations

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State

COMPUTE, COMMUNICATE, SPIN, CHECKPOINT, LOADING = 1.0, 0.50, 0.32, 0.14, 0.06
"""Activity (share of the dynamic power) of a training GPU by phase; spinning is waiting inside a
collective, loading what a job does before its first step."""
CHECKPOINT_SECONDS = 15.0
"""Mean time that a checkpoint keeps a job from its steps."""
DOWN_SECONDS, STARTUP_SECONDS = 15.0, 20.0
"""After a crash: until the scheduler has begun the job again, and until its first step. Large jobs take many
minutes for either; a drill must show it all within one."""
CRASH_EVERY = 120.0
"""Seconds between two crashes of a job that does not stay up."""
SEQUENCE = 8192.0
"""Tokens of a sample."""


def _periodic(x: Array, comm: Array) -> Array:
    """Integral from 0 to x of the activity of steps of length 1 that compute first and communicate last."""
    whole, part = np.floor(x), x - np.floor(x)
    compute = 1 - comm
    mean = COMPUTE * compute + COMMUNICATE * comm
    inside = COMPUTE * np.minimum(part, compute) + COMMUNICATE * np.maximum(part - compute, 0)
    return np.asarray(whole * mean + inside)


def advance(
    layout: Layout,
    state: State,
    effects: Effects,
    dt: float,
    slowest: Array,
    alive_gpus: Array,
    held: Array,
    uniform: Array,
    speed: Array,
    alive: Array,
) -> Array:
    """Steps, tokens, checkpoints and waits of training jobs; returns the activity of each GPU."""
    training, comm, groups = layout.training, layout.comm_share, layout.gpu_group
    complete = alive_gpus >= layout.group_gpus
    loading = _restarts(layout, state, effects, dt)
    up = dt - loading[0] - loading[1]
    # Rare hiccups of the data pipeline, a few seconds each, about four a day and job.
    hiccup = training & (uniform < dt / 21600)
    state.stall_left[:] = np.maximum(np.where(hiccup, 4 + 8 * uniform * 21600 / dt, state.stall_left) - dt, 0)
    used = _checkpoints(layout, state, dt, up, complete & ~held & (up > 0), uniform)

    free = np.where(training & complete & ~held & (state.stall_left <= 0), up - used, 0.0)
    own = (1 - comm) / np.maximum(slowest, 0.05)
    step = layout.step_seconds * (own + comm)
    progress = free / step
    spent = _periodic(state.phase + progress, comm) - _periodic(state.phase, comm)
    mean = np.divide(spent, progress, out=np.zeros_like(spent), where=progress > 0)
    state.phase[:] = np.mod(state.phase + progress, 1.0)
    state.steps[:] += progress
    state.step_number[:] += progress
    state.tokens[:] += progress * layout.training_rate * layout.step_seconds
    state.since_checkpoint[:] += free
    again = np.minimum(state.rework_left, free)
    state.rework_left[:] -= again
    state.lost_seconds[2] += again
    state.stepping[:] += np.where(training, up - used, 0.0)
    state.elapsed[:] += np.where(training, dt, 0.0)
    state.reported[:] = np.where((free > 0) | (used > 0), state.time + dt, state.reported)
    # A held step lasts as long as it is held: the duration grows until it ends.
    blocked = training & (free <= 0) & (used <= 0) & (up > 0)
    state.step_time[:] = np.where(blocked, state.step_time + dt, np.where(free > 0, step, state.step_time))
    level = (mean * free + CHECKPOINT * used + SPIN * (up - free - used) + LOADING * loading[1]) / dt
    # Within a step, ranks faster than the slowest wait for it.
    work_share = np.where(alive, np.minimum(1.0, slowest[groups] / np.maximum(speed, 0.05)), 0.0)
    wait = training[groups] * (1 - comm[groups]) * (1 - work_share) * free[groups]
    cause = (alive_gpus < layout.group_gpus)[groups]
    state.rank_wait[:] += np.where(alive, wait + np.where(blocked[groups] & cause, dt, 0.0), 0.0)
    mixed = level[groups] * work_share + SPIN * (1 - work_share)
    return np.asarray(np.where(free[groups] > 0, mixed, level[groups]))


def _restarts(layout: Layout, state: State, effects: Effects, dt: float) -> tuple[Array, Array]:
    """Jobs that crash and begin again; returns the seconds of this step that each is down, and loads."""
    nothing = np.zeros(len(layout.training))
    if not (effects.crash.any() or state.down_left.any() or state.startup_left.any()):
        state.next_crash[:] = 0.0
        return nothing, nothing
    crashing = layout.training & (np.bincount(layout.node_group, effects.crash, minlength=len(nothing)) > 0)
    crash = crashing & (state.time >= state.next_crash)
    state.next_crash[:] = np.where(crash, state.time + CRASH_EVERY, np.where(crashing, state.next_crash, 0.0))
    state.down_left[crash], state.startup_left[crash] = DOWN_SECONDS, STARTUP_SECONDS
    # What was done since the last checkpoint is done again, and so is what was just being done again.
    state.rework_left[crash] += state.since_checkpoint[crash]
    state.step_number[crash] = state.checkpoint_step[crash]
    for forgotten in (state.since_checkpoint, state.phase, state.checkpoint_left, state.checkpoint_spent):
        forgotten[crash] = 0.0
    down = np.minimum(state.down_left, dt)
    state.restarts[:] += (down > 0) & (state.down_left <= dt)
    state.down_left[:] -= down
    startup = np.minimum(state.startup_left, dt - down)
    state.startup_left[:] -= startup
    state.lost_seconds[0] += down
    state.lost_seconds[1] += startup
    return down, startup


def _checkpoints(layout: Layout, state: State, dt: float, up: Array, able: Array, uniform: Array) -> Array:
    """Checkpoints that are due and can be written; returns the seconds that each job spends on one."""
    start = layout.training & (state.time >= state.next_checkpoint) & able
    state.checkpoint_left[start] = CHECKPOINT_SECONDS * (0.9 + 0.2 * uniform[start])
    state.next_checkpoint[start] += layout.checkpoint_every[start] * np.ceil(
        (state.time - state.next_checkpoint[start] + 1) / layout.checkpoint_every[start]
    )
    writing = layout.training & (state.checkpoint_left > 0) & able
    used = np.where(writing, np.minimum(state.checkpoint_left, up), 0.0)
    state.checkpoint_left[:] -= used
    state.checkpoint_spent[:] += used
    state.checkpoint_seconds[:] += used
    done = writing & (state.checkpoint_left <= 0)
    state.checkpoint_done[done] = state.time + dt
    state.checkpoint_duration[done] = state.checkpoint_spent[done]
    state.checkpoint_step[done] = np.floor(state.step_number[done])
    state.checkpoints[:] += done
    state.checkpoint_spent[done] = state.since_checkpoint[done] = 0.0
    return np.asarray(used)


def loss(state: State) -> Array:
    """Loss of the last step: it falls quickly at first, then ever more slowly, and trembles."""
    step = np.floor(state.step_number)
    return np.asarray(1.75 + 8.5 * (1 + step / 20) ** -0.35 + 0.02 * np.sin(2.4 * step))
