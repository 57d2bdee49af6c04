"""Readings of the coolant's way: coolant units, and the manifolds of the racks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gigawatch.catalogue import electrical, facility, liquid
from gigawatch.simulator import cooling
from gigawatch.simulator.emit_power import fixed
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Table, Values, rounded
from gigawatch.topology import Role

STATIC_PRESSURE = 120e3
"""Pressure above the air's that the reservoir holds the return at."""
MANIFOLD_SHARE = 0.8
"""Part of a coolant unit's pressure that is left at the racks."""
OPEN = 0.7
"""How far the valve of a rack stands open."""
_WARMEST = 95.0


def zones(layout: Layout, otherwise: str) -> Callable[[int], str]:
    """The zone that a device's leak sensor watches: the first that the inventory names."""
    devices = layout.inventory.devices
    return lambda d: devices[d].zones[0].name if devices[d].zones else otherwise


def coolant_unit_table(layout: Layout) -> Table:
    """Series of coolant units."""
    owners = layout.cdu_device.tolist()
    table = Table(owners)
    add, loop = table.add, layout.cdu_loop
    tcs, fws = fixed("tcs"), fixed("fws")
    # Facility water is sized for 8 K of rise at rated capacity.
    rise = 8.0 / layout.cdu_capacity
    add(facility.COOLANT_SUPPLY_TEMPERATURE, tcs, rounded("supply", 2, at=loop))
    add(facility.COOLANT_RETURN_TEMPERATURE, tcs, rounded("returning", 2, at=loop))
    water: Values = lambda s: np.full(len(loop), round(float(s.facility_supply[0]), 2))  # noqa: E731 - beside its use
    add(facility.COOLANT_SUPPLY_TEMPERATURE, fws, water)
    warmed: Values = lambda s: np.round(s.facility_supply[0] + s.unit_heat * rise, 2)  # noqa: E731 - beside its use
    add(facility.COOLANT_RETURN_TEMPERATURE, fws, warmed)
    add(facility.COOLANT_SETPOINT, tcs, rounded("setpoint", 1))
    add(facility.COOLANT_FLOW, tcs, rounded("unit_flow", 7))
    add(facility.COOLANT_DESIGN_FLOW, tcs, layout.cdu_flow)
    add(facility.COOLANT_PRESSURE, tcs, rounded("unit_pressure", -1))
    pressed: Values = lambda s: np.round(s.unit_pressure + STATIC_PRESSURE, -1)  # noqa: E731 - beside its use
    add(liquid.COOLANT_PRESSURE_AT, fixed("tcs", "supply"), pressed)
    add(liquid.COOLANT_PRESSURE_AT, fixed("tcs", "return"), STATIC_PRESSURE)
    add(facility.HEAT_REMOVED, tcs, rounded("unit_heat", 0))
    add(facility.COOLING_CAPACITY, fixed(), layout.cdu_capacity)
    for row, pump in enumerate(("p1", "p2")):
        add(facility.PUMP_SPEED, fixed(pump), rounded("pump", 3, row))
        add(facility.PUMP_RUNNING, fixed(pump), _turning(row))
    states = electrical.REDUNDANCY_STATE.values["state"]
    table.add_states(electrical.REDUNDANCY_STATE, fixed("pumps"), states, _pumps_left)
    add(facility.RESERVOIR_LEVEL, fixed(), rounded("reservoir", 3))
    zone = zones(layout, "cdu")
    _add_leak(table, lambda i: (zone(owners[i]),), lambda s: s.leak > 0)
    return table


def _add_leak(table: Table, labels: Labels, leaking: Callable[[State], Array]) -> None:
    def states(state: State) -> tuple[Array, ...]:
        wet = np.asarray(leaking(state))
        return ~wet * 1.0, wet * 0.0, wet * 1.0, wet * 0.0

    table.add_states(facility.LEAK_STATE, labels, facility.LEAK_STATE.values["state"], states)


def _turning(row: int) -> Values:
    return lambda s: np.asarray(s.pump[row] > 0.05)


def _pumps_left(state: State) -> tuple[Array, ...]:
    turning = (state.pump > 0.05).sum(axis=0)
    return (turning == 2) * 1.0, (turning == 1) * 1.0, (turning == 0) * 1.0


def manifold_table(layout: Layout) -> Table:
    """Series of the racks' manifolds: what the rack's own share of its loop does."""
    inventory = layout.inventory
    found = [d for d in inventory.devices_with(Role.MANIFOLD) if _loop_of(layout, d.rack) >= 0]
    owners = [layout.device[device.name] for device in found]
    table = Table(owners)
    if not found:
        return table
    rack = np.array([layout.rack[device.rack] for device in found], dtype=np.int64)
    loop = np.array([_loop_of(layout, device.rack) for device in found], dtype=np.int64)
    nodes = np.bincount(layout.node_rack[layout.node_liquid], minlength=len(layout.rack))[rack]
    design = layout.loop_flow[loop] * nodes / layout.loop_nodes[loop]

    def flow(state: State) -> Array:
        return np.asarray(design * state.rack_flow[rack])

    def back(state: State) -> Array:
        carried = flow(state) * cooling.DENSITY * cooling.HEAT_CAPACITY
        warmed = state.supply[loop] + state.rack_heat[rack] / np.maximum(carried, 1.0)
        return np.asarray(np.round(np.minimum(warmed, _WARMEST), 2))

    def pressure(state: State) -> Array:
        highest = np.zeros(len(layout.loop))
        np.maximum.at(highest, layout.cdu_loop, state.unit_pressure)
        return np.asarray(np.round(MANIFOLD_SHARE * highest[loop], -1))

    tcs = fixed("tcs")
    table.add(facility.COOLANT_SUPPLY_TEMPERATURE, tcs, rounded("supply", 2, at=loop))
    table.add(facility.COOLANT_RETURN_TEMPERATURE, tcs, back)
    table.add(facility.COOLANT_FLOW, tcs, lambda s: np.round(flow(s), 7))
    table.add(facility.COOLANT_PRESSURE, tcs, pressure)
    table.add(liquid.VALVE_POSITION, fixed("rack"), OPEN)
    for kind in liquid.ISOLATED.values["kind"]:
        table.add(liquid.ISOLATED, fixed(kind), 0.0)
    return table


def zone_table(layout: Layout) -> Table:
    """Leak sensors of racks and floors, one for each zone. Water comes to the first zone of a device."""
    found = [
        (layout.device[device.name], number, zone)
        for device in layout.inventory.devices
        if device.role in (Role.MANIFOLD, Role.LEAK_DETECTOR)
        for number, zone in enumerate([zone.name for zone in device.zones] or ["rack"])
    ]
    owners = [owner for owner, _, _ in found]
    table = Table(owners)
    device = np.array(owners, dtype=np.int64)
    first = np.array([number == 0 for _, number, _ in found], dtype=bool)
    _add_leak(table, lambda i: (found[i][2],), lambda s: (s.wet[device] > 0) & first)
    return table


def _loop_of(layout: Layout, rack: str) -> int:
    """Number of the loop that a rack hangs on; -1 without one."""
    return next((layout.loop[loop.name] for loop in layout.inventory.loops if rack in loop.racks), -1)
