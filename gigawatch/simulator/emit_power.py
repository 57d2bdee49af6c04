"""Power readings of the plant: intakes, UPS, rack PDUs with their poles, main breaker and outlets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigawatch.catalogue import electrical, facility
from gigawatch.simulator import power
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Mask, Table, Values, rounded
from gigawatch.topology import Role

PHASES = ("L1", "L2", "L3")
FREQUENCY = 50.0
CELL_VOLTS = 480.0
"""Full voltage of a UPS's battery string; it falls by 15 % as the battery empties."""
LIE = 10.0
"""A lying meter has lost a decimal place of its currents."""
LOW_BATTERY = 0.2
_LONGEST_RUNTIME = 6 * 3600.0


def is_a(layout: Layout, *roles: Role) -> Mask:
    """Which devices have one of the roles."""
    return np.array([device.role in roles for device in layout.inventory.devices], dtype=bool)


def sided(layout: Layout, *extra: str) -> Labels:
    """The device's side, then fixed labels."""
    devices = layout.inventory.devices
    return lambda d: (devices[d].side, *extra)


def fixed(*labels: str) -> Labels:
    return lambda _: labels


def add_power(layout: Layout, table: Table) -> None:
    """Series of whole power devices, into the table of all devices."""
    _feeds(layout, table)
    _breakers(layout, table)
    _ups(layout, table)


def _feeds(layout: Layout, table: Table) -> None:
    racks, intakes, ups = is_a(layout, Role.RACK_PDU), is_a(layout, Role.UTILITY), is_a(layout, Role.UPS)
    add = table.add
    for row, phase in enumerate(PHASES):
        label = sided(layout, "phase", phase)
        here = (racks | intakes) & (layout.phases > row)
        add(facility.POWER_ACTIVE, label, rounded("phase_power", 1, row), here)
        add(facility.CURRENT, label, _current(layout, row), here)
        add(facility.VOLTAGE, label, rounded("volts", 1), here)
    inlet = sided(layout, "inlet", "")
    apparent: Values = lambda s: np.round(s.power_in / power.POWER_FACTOR, 1)  # noqa: E731 - beside its use
    add(electrical.POWER_APPARENT, inlet, apparent, racks | intakes)
    add(electrical.POWER_FACTOR, inlet, power.POWER_FACTOR, racks)
    add(electrical.FREQUENCY, inlet, _frequency, intakes)
    add(facility.POWER_ACTIVE, sided(layout, "output", ""), rounded("power_out", 1), ups)
    rated = (racks | ups | is_a(layout, Role.FLOOR_PDU)) & (layout.capacity > 0)
    add(facility.POWER_CAPACITY, sided(layout), layout.capacity, rated)


def _frequency(state: State) -> Array:
    return np.asarray(np.where(state.fed > 0, FREQUENCY, np.nan))


def _breakers(layout: Layout, table: Table) -> None:
    rated = is_a(layout, Role.RACK_PDU) & (layout.breaker > 0)
    main = sided(layout, "main")
    table.add(facility.BREAKER_RATING, main, layout.breaker, rated)
    table.add_states(
        facility.BREAKER_STATE,
        main,
        facility.BREAKER_STATE.values["state"],
        lambda s: (1 - s.breaker_tripped, s.breaker_tripped, s.breaker_tripped * 0),
        rated,
    )


def _ups(layout: Layout, table: Table) -> None:
    ups = is_a(layout, Role.UPS)
    add, none = table.add, fixed()
    states = facility.UPS_STATUS.values["state"]
    table.add_states(facility.UPS_STATUS, none, states, _ups_status, ups)
    batteries = electrical.UPS_BATTERY_STATUS.values["state"]
    table.add_states(electrical.UPS_BATTERY_STATUS, none, batteries, _battery_status, ups)
    add(facility.UPS_CHARGE, none, rounded("charge", 4), ups)
    energy = layout.capacity * power.BATTERY_SECONDS

    def runtime(state: State) -> Array:
        return np.round(
            np.minimum(state.charge * energy * 0.96 / np.maximum(state.power_out, 1.0), _LONGEST_RUNTIME)
        )

    add(facility.UPS_RUNTIME, none, runtime, ups)
    load: Values = lambda s: np.round(s.power_out / np.maximum(layout.capacity, 1.0), 4)  # noqa: E731 - beside its use
    add(facility.UPS_LOAD, none, load, ups & (layout.capacity > 0))
    add(electrical.UPS_ON_BATTERY, none, rounded("on_battery", 0), ups)
    volts: Values = lambda s: np.round(CELL_VOLTS * (0.85 + 0.15 * s.charge), 1)  # noqa: E731 - beside its use
    add(electrical.UPS_BATTERY_VOLTAGE, none, volts, ups)
    add(electrical.UPS_ALARMS, none, _alarms, ups)


def _ups_status(s: State) -> tuple[Array, ...]:
    online, battery = (s.live > 0) & (s.fed > 0), (s.live > 0) & (s.fed == 0)
    return online * 1.0, battery * 1.0, s.live * 0, (s.live == 0) * 1.0, s.live * 0


def _battery_status(s: State) -> tuple[Array, ...]:
    depleted, low = s.charge <= 0, (s.charge > 0) & (s.charge < LOW_BATTERY)
    return (s.charge >= LOW_BATTERY) * 1.0, low * 1.0, depleted * 1.0, s.live * 0


def _alarms(s: State) -> Array:
    """On battery, battery low, output off: each is one alarm condition."""
    return np.asarray((s.fed == 0) * 1.0 + (s.charge < LOW_BATTERY) + (s.live == 0))


def _current(layout: Layout, row: int) -> Values:
    def values(state: State) -> Array:
        lying = 1 + (LIE - 1) * state.lying
        return np.asarray(np.round(power.phase_current(layout, state)[row] * lying, 2))

    return values


@dataclass(frozen=True, slots=True)
class Outlet:
    """An outlet of a rack PDU and what is plugged in."""

    pdu: int
    name: str
    node: int
    """-1: none of the nodes."""
    rank: int = 0
    """Which of the node's supplies on this PDU."""
    device: int = -1
    """-1: none of the devices; with neither, whatever else somebody has plugged in."""


def outlet_table(layout: Layout) -> Table:
    """Outlets of the rack PDUs: one for each power supply of a node, one for each device, and the last for
    whatever else is plugged in."""
    outlets = _outlets(layout)
    table = Table([outlet.pdu for outlet in outlets])
    pdu = np.array([outlet.pdu for outlet in outlets], dtype=np.int64)
    node = np.array([outlet.node for outlet in outlets], dtype=np.int64)
    rank = np.array([outlet.rank for outlet in outlets], dtype=np.int64)
    device = np.array([outlet.device for outlet in outlets], dtype=np.int64)
    if not outlets:
        return table

    def watts(state: State) -> Array:
        total = np.maximum(power.working_psus(layout, state).sum(axis=1), 1.0)
        lost = np.where(layout.slot_pdu[node, 0] == pdu, state.psus_lost[node], 0)
        drawn = np.where(rank >= lost, state.node_power[node] / total[node], 0.0)
        other = np.where(device < 0, state.foreign[pdu], state.power_in[device])
        return np.asarray(np.where(live(state), np.where(node < 0, other, drawn), 0.0))

    def live(state: State) -> Array:
        return np.asarray(state.live[pdu] > 0)

    def amperes(state: State) -> Array:
        lying = 1 + (LIE - 1) * state.lying[pdu]
        return np.asarray(watts(state) / (np.maximum(layout.voltage[pdu], 1.0) * power.POWER_FACTOR) * lying)

    def label(*scope: str) -> Labels:
        sides = [device.side for device in layout.inventory.devices]
        return lambda i: (sides[outlets[i].pdu], *scope, outlets[i].name)

    table.add(facility.POWER_ACTIVE, label("outlet"), lambda s: np.round(watts(s), 1))
    table.add(facility.CURRENT, label("outlet"), lambda s: np.round(amperes(s), 2))
    table.add_states(
        electrical.OUTLET_STATE,
        label(),
        electrical.OUTLET_STATE.values["state"],
        lambda s: (live(s) * 1.0, ~live(s) * 1.0, live(s) * 0.0),
    )
    return table


def _outlets(layout: Layout) -> list[Outlet]:
    found: list[Outlet] = []
    nodes = layout.inventory.nodes_in_rack
    for device in layout.inventory.devices_with(Role.RACK_PDU):
        number, count = layout.device[device.name], 0
        for node in nodes.get(device.rack, ()):
            place = layout.node[node.name]
            slots = np.flatnonzero(layout.slot_pdu[place] == number)
            named = [supply.outlet for supply in node.supplies if supply.pdu == device.name]
            for rank in range(int(layout.slot_psus[place, slots].sum())):
                count += 1
                name = named[rank] if rank < len(named) and named[rank] else str(count)
                found.append(Outlet(number, name, place, rank))
        for child in np.flatnonzero(layout.parent == number).tolist():
            count += 1
            found.append(Outlet(number, str(count), -1, device=child))
        found.append(Outlet(number, str(count + 1), -1))
    return found
