"""GPUs: clocks and power under their limits, heat flow from die to coolant, memory temperature."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.profiles import MEMORY_COUPLING, POWER_NOISE
from gigawatch.simulator.state import REASONS, TIMED_REASONS, State

INTERFACE_SHARE = 0.6
"""Share of the thermal resistance between die and plate; the rest lies between plate and coolant."""
LIQUID_SHARE = 0.8
"""Share of a liquid-cooled GPU's heat that its cold plate takes; the rest goes to the air."""
CLOCK_EXPONENT = 2.4
"""Dynamic power follows the clock to this power: voltage falls along with frequency."""
LEAKAGE_PER_KELVIN = 0.0012
"""Rise of idle power per kelvin above 40 °C, as a share of it."""
LIMITER_MARGIN = 0.985
"""The limiter aims a little below the limit, since it sees averages and power is never steady."""
LOWEST_CLOCK = 0.17
STAGNANT_FLOW = 0.03
"""Relative flow below which a cold plate does no better: natural convection and conduction."""
MEMORY_TAU = 20.0

_IDLE = REASONS.index("gpu_idle")
_HELD = REASONS.index("applications_clocks_setting")
_CAP = REASONS.index("sw_power_cap")
_SOFT = REASONS.index("sw_thermal_slowdown")
_HARD = REASONS.index("hw_thermal_slowdown")
_SLOW = REASONS.index("hw_slowdown")
_TIMED = [(TIMED_REASONS.index(r), REASONS.index(r)) for r in TIMED_REASONS if r in REASONS]


def draw_power(layout: Layout, state: State, effects: Effects, dt: float, normal: Array) -> None:
    """Clocks and power of every GPU from its activity, its limits and its temperature."""
    alive = (state.lost == 0) & (state.powered[layout.gpu_node] > 0)
    state.limit[:] = np.maximum(layout.tdp * effects.limit, layout.limit_min)
    over = layout.slowdown - 0.5 - state.core
    # The governor takes clock away while the die is at its slowdown temperature and gives it back slowly.
    state.thermal_cap[:] = np.clip(
        state.thermal_cap + np.clip(0.02 * over, -0.06, 0.02) * dt, LOWEST_CLOCK, 1.0
    )
    idle = layout.idle * (1 + LEAKAGE_PER_KELVIN * np.maximum(state.core - 40, 0))
    dynamic = np.maximum((layout.peak - idle) * state.activity, 1e-3)
    power_cap = np.clip(np.maximum((LIMITER_MARGIN * state.limit - idle) / dynamic, 0.0), 0.0, 1.0) ** (
        1 / CLOCK_EXPONENT
    )
    power_cap = np.maximum(power_cap, LOWEST_CLOCK)
    clock = np.minimum(np.minimum(power_cap, state.thermal_cap), effects.clock)
    working = alive & (state.activity > 0)
    state.frequency[:] = np.where(working, clock, np.where(alive, LOWEST_CLOCK, 0.0))
    drawn = idle + dynamic * np.minimum(clock, 1.0) ** CLOCK_EXPONENT
    drawn = np.where(working, drawn * (1 + POWER_NOISE * normal), idle * (1 + 0.004 * normal))
    before = state.power.copy()
    state.power[:] = np.where(alive, np.maximum(drawn, 0.0), 0.0)
    # The driver's average covers about a second.
    blend = 1 - math.exp(-dt)
    state.power_average[:] = np.where(alive, before + (state.power - before) * blend, 0.0)
    state.energy[:] += state.power * dt

    flags = state.reasons
    flags[:] = 0
    flags[_IDLE] = alive & ~working
    flags[_CAP] = working & (power_cap < 0.96) & (power_cap <= clock + 1e-9)
    flags[_HELD] = working & (effects.clock < 0.999)
    flags[_SOFT] = alive & (state.thermal_cap < 0.985)
    flags[_HARD] = alive & (state.core > layout.slowdown + 2)
    flags[_SLOW] = flags[_HARD]
    for timed, reason in _TIMED:
        state.reason_seconds[timed] += flags[reason] * dt


def flow_heat(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    """Temperatures after dt: C dT/dt = P - (T - T_in)/R, solved exactly for constant P and T_in."""
    node = layout.gpu_node
    loop = layout.node_loop[node]
    liquid = layout.gpu_liquid
    at_node = node_flow(layout, state, effects)
    flow = at_node[node]
    # Stagnant coolant in the plates is as warm as what returns.
    fresh = 1 - np.exp(-flow / 0.05)
    if layout.sizes["L"]:
        coolant = fresh * state.supply[loop] + (1 - fresh) * state.returning[loop]
    else:
        coolant = state.inlet[node]
    state.coolant[:] = np.where(liquid, coolant, state.inlet[node])
    flow_factor = np.maximum(flow, STAGNANT_FLOW) ** -0.8
    air_factor = np.maximum(air_flow(state)[node] / 0.7, 0.08) ** -0.6
    convection = effects.plate[node] * np.where(liquid, flow_factor, air_factor)
    resistance = layout.resistance * (
        INTERFACE_SHARE * effects.interface + (1 - INTERFACE_SHARE) * convection
    )
    settled = state.coolant + resistance * state.power
    before = state.core.copy()
    state.core[:] = settled + (before - settled) * np.exp(-dt / (resistance * layout.heat_capacity))
    state.heat_out[:] = state.power - layout.heat_capacity * (state.core - before) / dt
    warm_air = 0.25 * np.maximum(state.exhaust[node] - 42.0, 0.0)
    _racks(layout, state, at_node)
    target = state.coolant + MEMORY_COUPLING * (state.core - state.coolant) + layout.memory_offset + warm_air
    state.memory[:] += (target - state.memory) * (1 - math.exp(-dt / MEMORY_TAU))
    hot = (state.core >= layout.shutdown) & (state.lost == 0)
    state.tripped[:] = np.where(hot, 1.0, np.where(state.core < layout.slowdown - 35, 0.0, state.tripped))


def _racks(layout: Layout, state: State, at_node: Array) -> None:
    """What a rack's manifold sees: flow through its branch, and heat taken up there."""
    racks, liquid = layout.sizes["R"], layout.node_liquid
    rack = layout.node_rack[liquid]
    count = np.maximum(np.bincount(rack, minlength=racks), 1)
    state.rack_flow[:] = np.bincount(rack, at_node[liquid], minlength=racks) / count
    taken = LIQUID_SHARE * np.bincount(layout.gpu_node, state.heat_out, minlength=layout.sizes["N"])
    state.rack_heat[:] = np.bincount(rack, taken[liquid], minlength=racks)


def node_flow(layout: Layout, state: State, effects: Effects) -> Array:
    """Coolant through each node's plates against its design flow; 0 for nodes without a loop."""
    if not layout.sizes["L"]:
        return np.zeros(layout.sizes["N"])
    branch = effects.branch[layout.node_rack]
    share = branch / np.maximum(mean_branch(layout, branch)[layout.node_loop], 1e-9)
    return np.asarray(np.where(layout.node_liquid, state.flow[layout.node_loop] * share, 0.0))


def mean_branch(layout: Layout, branch: Array) -> Array:
    """Mean conductance of the branches of each loop."""
    on_loop = layout.node_liquid
    total = np.bincount(layout.node_loop[on_loop], branch[on_loop], minlength=layout.sizes["L"])
    empty = np.bincount(layout.node_loop[on_loop], minlength=layout.sizes["L"]) == 0
    return np.asarray(np.where(empty, 1.0, total / layout.loop_nodes))


def air_flow(state: State) -> Array:
    """Air through each node against its greatest flow."""
    return np.asarray(state.fan_speed * (1 - state.fans_lost))
