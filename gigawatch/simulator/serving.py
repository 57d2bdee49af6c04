"""Inference serving as a fluid: demand, a queue, tokens, latency. Every node of a job is a replica."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State

MEAN_PROMPT, MEAN_ANSWER, CACHED_SHARE = 900.0, 250.0, 0.4
PLACES = 256.0
"""Requests that an engine works on at once; more wait."""
HALF_RATE = 40.0
"""Requests at which an engine reaches half of its token rate."""
PATIENCE = 600.0
"""Requests in the system from which clients begin to give up."""
SLOWED = 0.9
"""Share of its token rate that an engine loses to a host that is too busy to feed it."""
STEPS_PER_SECOND = 40.0
CROWDED = 0.92
"""Share of the places from which the cache runs out now and then, and a request is thrown out."""
COUNTED_EVERY = 5.0
"""Seconds between two times that latencies are sorted into buckets."""
_OUTCOMES = np.array([[0.88], [0.10], [0.018], [0.002]])
_DAY = 86400.0


def daily(time: float) -> float:
    """Demand over the day (UTC): 0.55 at night, 1.25 in the afternoon, mean about 0.9."""
    return 0.9 + 0.35 * math.sin(2 * math.pi * (time / _DAY - 9 / 24))


def advance(
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
    pace = 1 - SLOWED * np.minimum(np.bincount(layout.node_group, effects.starved, minlength=count), 1.0)
    # The token rate follows the clocks weakly: decoding waits for memory. A lost GPU takes its share away.
    able = np.where(
        alive_gpus > 0, 0.35 * (alive_gpus / np.maximum(layout.group_gpus, 1)) + 0.65 * mean_speed, 0.0
    )
    rate = np.where(hung, 0.0, layout.decode_rate * able * pace)
    arriving = demand * layout.decode_rate / MEAN_ANSWER
    arriving = arriving * np.clip(2 - state.in_system / PATIENCE, 0.0, 1.0)
    # One implicit step of dn/dt = arriving - rate / answer * n / (n + half): stable for any dt.
    total = state.in_system + dt * arriving
    drain = dt * rate / MEAN_ANSWER
    b = HALF_RATE - total + drain
    after = 0.5 * (-b + np.sqrt(b * b + 4 * HALF_RATE * total))
    finished = np.where(serving & (rate > 0), np.maximum(total - after, 0.0), 0.0)
    state.in_system[:] = np.where(serving, after, 0.0)
    state.running[:] = np.minimum(state.in_system, PLACES)
    state.waiting[:] = state.in_system - state.running
    read = finished * MEAN_PROMPT
    state.served[0] += read * (1 - CACHED_SHARE)
    state.served[1] += read * CACHED_SHARE
    state.served[2] += finished * MEAN_ANSWER
    state.requests[:] += finished * _OUTCOMES
    state.cache_used[:] = np.where(serving, 0.05 + 0.85 * state.running / PLACES, 0.0)
    state.preempted[:] += 0.5 * dt * np.maximum(state.running / PLACES - CROWDED, 0.0) / (1 - CROWDED)
    state.answering[:] = serving & (alive_gpus > 0)
    works = finished > 0
    state.progress[:] += np.where(works, STEPS_PER_SECOND * pace * dt, 0.0)
    state.stalled[:] = np.where(serving & ~works & (np.round(state.in_system) > 0), state.stalled + dt, 0.0)
    _latency(layout, state, finished, dt, pace)
    usage = np.divide(finished / dt * MEAN_ANSWER, layout.decode_rate, out=np.zeros(count), where=serving)
    return np.asarray(
        np.where(serving & ~hung, 0.22 + 0.68 * np.clip(usage, 0.0, 1.0), np.where(hung, 0.04, 0.0))
    )


def _latency(layout: Layout, state: State, finished: Array, dt: float, pace: Array) -> None:
    """What requests that end now have waited, and for what."""
    per_second = finished / dt
    works = per_second > 0.01
    queue = np.divide(state.waiting, per_second, out=np.full(len(finished), 60.0), where=works)
    prompt = 0.04 + MEAN_PROMPT * (1 - CACHED_SHARE) / np.maximum(20 * layout.decode_rate, 1.0)
    target = np.minimum(prompt / pace * (1 + state.running / 64) + queue * (state.waiting > 0), 60.0)
    state.first_token[:] += (target - state.first_token) * (1 - math.exp(-dt / 20))
    per_request = np.divide(state.in_system, per_second, out=np.zeros(len(finished)), where=works)
    per_token = np.divide(state.running, per_second * MEAN_ANSWER, out=np.zeros(len(finished)), where=works)
    queued = np.where(state.waiting > 0, queue, 0.002)
    ended = np.where(works, finished, 0.0)
    # A gap lies between two tokens: one fewer than a request has.
    numbers = np.stack([ended, ended * (MEAN_ANSWER - 1), ended, ended, ended])
    means = (state.first_token, per_token, per_token, queued, per_request)
    state.observed[0] += numbers
    state.observed[1] += numbers * np.stack(means)
    if math.floor((state.time + dt) / COUNTED_EVERY) > math.floor(state.time / COUNTED_EVERY):
        layout.latency.observe(state.latency_counts, state.latency_sums, *state.observed)
        state.observed[:] = 0.0
