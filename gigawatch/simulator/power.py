"""The power path: intakes, UPS, PDUs, breakers; who is fed and what each device carries."""

from __future__ import annotations

import numpy as np

from gigawatch.simulator import cooling
from gigawatch.simulator.effects import Effects
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.topology import Role

POWER_FACTOR = 0.98
BATTERY_SECONDS = 480.0
"""How long a full battery carries the UPS's rated load."""
SWITCH_WATTS = 250.0
BREAKER_LIMIT = 0.97
"""Share of a breaker's rating to which foreign load brings the first phase."""


def feed(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    """Who has voltage: from the intakes down to the nodes."""
    ups = layout.is_ups
    for level in layout.levels:
        parent = layout.parent[level]
        fed = np.where(parent >= 0, state.live[parent], 1.0) * (effects.feed[level] == 0)
        state.fed[level] = fed
        alone = ups[level] & (fed == 0)
        carried = fed > 0
        carried = carried | (alone & (state.charge[level] > 0))
        state.live[level] = carried & (effects.ups[level] == 0) & (state.breaker_tripped[level] == 0)
    loss = np.where(ups & (state.fed == 0) & (state.live > 0), state.power_out, 0.0)
    energy = np.maximum(layout.capacity, 1.0) * BATTERY_SECONDS
    refill = np.where(ups & (state.fed > 0) & (state.charge < 1), layout.capacity * 0.05, 0.0)
    state.on_battery[:] = np.where(ups & (state.fed == 0), state.on_battery + dt, 0.0)
    state.lying[:], state.silent[:], state.wet[:] = effects.lying, effects.silent, effects.wet
    state.charge[:] = np.clip(state.charge + (refill - loss / 0.96) * dt / energy, 0.0, 1.0)
    working = working_psus(layout, state)
    state.powered[:] = np.where(layout.metered, working.sum(axis=1) > 0, 1.0)


def working_psus(layout: Layout, state: State) -> Array:
    """Power supplies that deliver, per node and PDU of its rack."""
    psus = layout.slot_psus.copy()
    psus[:, 0] = np.maximum(psus[:, 0] - state.psus_lost, 0)
    if not layout.sizes["D"]:
        return np.asarray(psus)
    live = np.where(layout.slot_pdu >= 0, state.live[layout.slot_pdu], 0.0)
    return np.asarray(psus * live)


def advance(layout: Layout, state: State, effects: Effects, dt: float, normal: Array) -> None:
    """Power of every device: loads first, then up the tree with the losses of each step."""
    if not layout.sizes["D"]:
        return
    out = np.zeros(layout.sizes["D"])
    working = working_psus(layout, state)
    total = working.sum(axis=1, keepdims=True)
    share = np.divide(working, total, out=np.zeros_like(working), where=total > 0)
    drawn = share * state.node_power[:, None]
    used = layout.slot_pdu >= 0
    out += np.bincount(layout.slot_pdu[used], drawn[used], minlength=len(out))
    _foreign(layout, state, effects, out)
    own = _own(layout, state)
    ups = layout.is_ups
    charging = np.where(ups & (state.fed > 0) & (state.charge < 1), layout.capacity * 0.05, 0.0)
    for level in reversed(layout.levels):
        loss = np.where(ups[level], 0.004 * layout.capacity[level] + 0.025 * out[level], 0.0)
        loss = loss + np.where(layout.is_rack_pdu[level], 0.004 * out[level], 0.0)
        power = np.where(state.live[level] > 0, out[level] + loss + own[level], 0.0) + charging[level]
        # On battery, nothing comes in.
        state.power_in[level] = np.where(state.fed[level] > 0, power, 0.0)
        parent = layout.parent[level]
        below = parent >= 0
        out += np.bincount(parent[below], state.power_in[level][below], minlength=len(out))
    state.power_out[:] = np.where(state.live > 0, out, 0.0)
    state.device_energy[:] += state.power_in * dt
    bmcs = layout.with_role(Role.BMC)
    state.power_in[bmcs] = state.node_power[layout.bmc_node]
    state.device_energy[bmcs] = state.node_energy[layout.bmc_node]
    state.volts[:] = np.where(state.fed > 0, layout.voltage * (1 + 0.003 * normal), 0.0)
    # A rack PDU keeps voltage while its UPS runs on battery: `fed` says so.
    state.phase_power[:] = layout.phase_share * np.maximum(state.power_in - state.foreign, 0.0)
    state.phase_power[0] += np.where(state.power_in > 0, state.foreign, 0.0)
    _breakers(layout, state, dt)


def _foreign(layout: Layout, state: State, effects: Effects, out: Array) -> None:
    room = np.maximum(
        BREAKER_LIMIT * layout.breaker * layout.voltage * POWER_FACTOR - layout.phase_share[0] * out, 0.0
    )
    state.foreign[:] = np.where((effects.foreign > 0) & (state.live > 0), room * effects.foreign, 0.0)
    out += state.foreign


def _own(layout: Layout, state: State) -> Array:
    """What switches and cooling devices use themselves."""
    own = np.zeros(layout.sizes["D"])
    chillers, crahs = layout.with_role(Role.CHILLER), layout.with_role(Role.CRAH)
    cop = cooling.efficiency(float(state.outdoor[0]))
    own[chillers] = (
        state.device_heat[chillers] / cop + 0.004 * layout.capacity[chillers] * state.live[chillers]
    )
    switches = layout.with_role(Role.SWITCH)
    own[switches] = SWITCH_WATTS * state.live[switches]
    own[crahs] = 0.035 * state.device_heat[crahs] + 0.012 * layout.capacity[crahs] * state.live[crahs]
    # Affinity: a pump's power follows the cube of its speed.
    pumps = 0.006 * layout.cdu_capacity * (state.pump**3).sum(axis=0) + 0.002 * layout.cdu_capacity
    own[layout.cdu_device] = pumps * state.live[layout.cdu_device]
    return own


def phase_current(layout: Layout, state: State) -> Array:
    """Current per phase of every device."""
    volts = np.maximum(layout.voltage, 1.0)
    return np.asarray(state.phase_power / (volts * POWER_FACTOR))


def _breakers(layout: Layout, state: State, dt: float) -> None:
    """Thermal trip: a breaker warms with the square of its current and trips at 135 % in about a minute."""
    rated = np.maximum(layout.breaker, 1e-9)
    load = np.where(layout.breaker > 0, phase_current(layout, state).max(axis=0) / rated, 0.0)
    state.breaker_heat[:] = np.clip(state.breaker_heat + dt * (load**2 - 1.1) / 45.0, 0.0, 1.0)
    tripped = (state.breaker_heat >= 1.0) | (state.breaker_tripped > 0)
    state.breaker_tripped[:] = tripped & (layout.breaker > 0)
