"""Coolant loops, coolant units, room air, facility water and chillers."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.heat import LIQUID_SHARE, mean_branch
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.topology import Role

DENSITY, HEAT_CAPACITY = 1030.0, 3974.0
"""PG25 (25 % propylene glycol): kg/m3 and J/(kg K)."""
DESIGN_SPEED = 0.9
PUMP_SLOPE = 0.597
SYSTEM_SLOPE = 0.213
"""Head of pumps: s^2 - PUMP_SLOPE (q/n)^2; of the loop: SYSTEM_SLOPE q^2. Together they give the design flow
at 90 % speed with all pumps, and 62 % of it at full speed with half of them."""
DESIGN_PRESSURE = 150e3
TRANSIT_SECONDS = 20.0
"""Time that the coolant in a loop's hot half takes to pass at design flow: its heat capacity."""
FACILITY_SETPOINT = 20.0
ROOM_SETPOINT = 23.5
LOW_RESERVOIR = 0.2
FULL_RESERVOIR = 0.85
_DAY = 86400.0


def outdoor(time: float) -> float:
    """Outdoor air over the day (UTC): 14 °C before dawn, 24 °C in the afternoon."""
    return 19.0 + 5.0 * math.sin(2 * math.pi * (time / _DAY - 9 / 24))


def efficiency(outdoor_celsius: float) -> float:
    """Coefficient of performance of the chillers."""
    return min(9.0, max(3.0, 7.2 - 0.11 * (outdoor_celsius - 15.0)))


def advance(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    """Flow, coolant and air temperatures after dt."""
    state.outdoor[0] = outdoor(state.time)
    if layout.sizes["L"]:
        _loops(layout, state, effects, dt)
    _rooms(layout, state, dt)
    _facility_water(layout, state, dt)


def _loops(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    loops, of_unit = layout.sizes["L"], layout.cdu_loop
    powered = state.live[layout.cdu_device] > 0
    state.leak[:] = effects.leak
    filling = np.where(effects.drain > 0, -0.004 * effects.drain, 0.002 * (state.reservoir < FULL_RESERVOIR))
    state.reservoir[:] = np.clip(state.reservoir + filling * dt, 0.0, FULL_RESERVOIR)
    wet = np.clip(state.reservoir / LOW_RESERVOIR, 0.0, 1.0)
    running = np.where(powered & (effects.unit_dead < 0.5), 1.0, 0.0) * (
        1 - np.minimum(effects.unit_dead, 0.99)
    )
    # The first pump fails first, then the second.
    able = np.stack([np.clip(1 - effects.pumps, 0, 1), np.clip(2 - effects.pumps, 0, 1)]) * running
    branch = mean_branch(layout, effects.branch[layout.node_rack])
    units = np.maximum(layout.loop_units, 1)

    def strength(pumps: Array) -> Array:
        per_unit = pumps.sum(axis=0) * wet / 2
        return np.asarray(np.bincount(of_unit, per_unit, minlength=loops) / units)

    system = SYSTEM_SLOPE / np.maximum(branch, 0.02) ** 2

    def flow_at_full_speed(pumps: Array) -> Array:
        share = strength(pumps)
        return np.asarray(
            np.where(share > 1e-3, 1 / np.sqrt(system + PUMP_SLOPE / np.maximum(share, 1e-3) ** 2), 0.0)
        )

    # Units share one controller per loop: as much speed as the design flow needs, and no more than there is.
    reachable = flow_at_full_speed(able)
    demand = np.clip(np.divide(1.0, reachable, out=np.ones(loops), where=reachable > 0), 0.4, 1.0)
    state.pump_demand[:] += (demand - state.pump_demand) * (1 - math.exp(-dt / 4))
    state.pump[:] += (able * state.pump_demand[of_unit] - state.pump) * (1 - math.exp(-dt / 2.5))
    turning = np.divide(state.pump, state.pump_demand[of_unit], out=np.zeros_like(state.pump))
    external = layout.loop_units == 0
    state.flow[:] = np.where(external, 1.0, flow_at_full_speed(turning) * state.pump_demand)
    pull = state.pump.sum(axis=0) * wet
    total = np.bincount(of_unit, pull, minlength=loops)[of_unit]
    share = np.divide(pull, total, out=np.zeros_like(pull), where=total > 1e-6)
    state.unit_flow[:] = share * (state.flow * layout.loop_flow)[of_unit]
    pressure = DESIGN_PRESSURE * (state.flow / np.maximum(branch, 0.02)) ** 2
    state.unit_pressure[:] = np.where(pull > 0.02, pressure[of_unit], 0.0)

    gpu_heat = np.bincount(layout.gpu_node, state.heat_out, minlength=layout.sizes["N"])
    liquid = layout.node_liquid
    state.loop_heat[:] = np.bincount(
        layout.node_loop[liquid], LIQUID_SHARE * gpu_heat[liquid], minlength=loops
    )
    carried = state.flow * layout.loop_flow * DENSITY * HEAT_CAPACITY  # W/K
    stored = layout.loop_flow * TRANSIT_SECONDS * DENSITY * HEAT_CAPACITY  # J/K

    state.setpoint[:] = layout.loop_setpoint[of_unit] + effects.setpoint
    weight = np.bincount(of_unit, state.unit_flow, minlength=loops)
    wanted = np.divide(
        np.bincount(of_unit, state.unit_flow * state.setpoint, minlength=loops), weight,
        out=layout.loop_setpoint.copy(), where=weight > 1e-9,
    )  # fmt: skip
    # What the heat exchangers can take: 15 K above facility water at rated capacity, less at low flow.
    exchange = np.bincount(of_unit, layout.cdu_capacity * (share > 0) / 15.0, minlength=loops)
    possible = (
        exchange
        * np.maximum(state.returning - state.facility_supply[0], 0)
        * np.sqrt(np.minimum(state.flow, 1))
    )
    possible = np.where(external, np.inf, np.minimum(possible, 1.1 * layout.loop_capacity))
    coldest = state.returning - np.divide(possible, carried, out=np.zeros(loops), where=carried > 1.0)
    # A coolant unit cools and never heats: a raised set point is reached by the load's own heat.
    reached = np.maximum(np.minimum(wanted, state.returning), coldest)
    target = np.where(carried > 1.0, reached, state.supply)
    state.supply[:] += (target - state.supply) * (1 - math.exp(-dt / 8))
    # Heat balance of the hot half, exact for constant heat: C dT/dt = Q - w (T - T_supply).
    before = state.returning.copy()
    still = before + state.loop_heat * dt / stored
    settled = state.supply + state.loop_heat / np.maximum(carried, 1.0)
    moving = settled + (before - settled) * np.exp(-dt * carried / stored)
    state.returning[:] = np.where(carried > 1.0, moving, still)
    removed = state.loop_heat - stored * (state.returning - before) / dt
    state.unit_heat[:] = share * removed[of_unit]


def _rooms(layout: Layout, state: State, dt: float) -> None:
    halls = layout.sizes["H"]
    state.room_heat[:] = np.bincount(layout.node_hall, state.node_air_heat, minlength=halls)
    crahs = layout.with_role(Role.CRAH)
    of_crah = layout.hall_of_device[crahs]
    able = layout.capacity[crahs] * state.live[crahs]
    capacity = np.bincount(of_crah, able, minlength=halls)
    rated = np.bincount(of_crah, layout.capacity[crahs], minlength=halls)
    # A hall without air handlers is held by the building; its air stores heat like a small hall's.
    stored = np.maximum(100.0 * rated, 2e5)
    wanted = np.maximum(state.room_heat + stored * (state.room - ROOM_SETPOINT) / 60.0, 0.0)
    removed = np.where(rated > 0, np.minimum(capacity, wanted), wanted)
    state.room[:] = np.minimum(state.room + dt * (state.room_heat - removed) / stored, 70.0)
    portion = np.divide(able, capacity[of_crah], out=np.zeros(len(crahs)), where=capacity[of_crah] > 0)
    state.device_heat[crahs] = portion * removed[of_crah]


def _facility_water(layout: Layout, state: State, dt: float) -> None:
    crahs, chillers = layout.with_role(Role.CRAH), layout.with_role(Role.CHILLER)
    heat = float(state.unit_heat.sum() + state.device_heat[crahs].sum())
    state.device_heat[layout.cdu_device] = state.unit_heat
    state.facility_heat[0] = heat
    able = layout.capacity[chillers] * state.live[chillers]
    rated = float(layout.capacity[chillers].sum())
    if rated <= 0:
        state.facility_supply[0] = FACILITY_SETPOINT
        return
    stored = 60.0 * rated
    wanted = max(heat + stored * (float(state.facility_supply[0]) - FACILITY_SETPOINT) / 60.0, 0.0)
    removed = min(float(able.sum()), wanted)
    state.facility_supply[0] = min(state.facility_supply[0] + dt * (heat - removed) / stored, 60.0)
    total = float(able.sum())
    state.device_heat[chillers] = removed * able / total if total > 0 else 0.0
