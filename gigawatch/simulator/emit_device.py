"""Facility readings of the plant: intakes, UPS, PDUs, chillers, coolant units, controllers, sensors."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import facility, room
from gigawatch.simulator.emit_cooling import coolant_unit_table, manifold_table, zone_table, zones
from gigawatch.simulator.emit_power import add_power, fixed, is_a, outlet_table, sided
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Table, Values, rounded
from gigawatch.topology import Role

DEW_POINT = 9.4
"""Moisture of the room air: the air handlers neither dry nor wet it."""


_VISIT_EVERY, _VISIT_TAKES = 6 * 3600.0, 90.0
_VISITS_BEFORE = 75_000.0
"""So that counters are of a size that one believes."""
_UNMETERED = (Role.SENSOR, Role.MANIFOLD, Role.LEAK_DETECTOR, Role.DOOR)


def device_tables(layout: Layout) -> tuple[Table, ...]:
    """Readings of every facility device."""
    cooling = (coolant_unit_table(layout), manifold_table(layout), zone_table(layout))
    return (_devices(layout), outlet_table(layout), *cooling, *_controllers(layout))


def _devices(layout: Layout) -> Table:
    table = Table(range(layout.sizes["D"]))
    add = table.add
    powered = np.ones(layout.sizes["D"])
    bmcs = is_a(layout, Role.BMC)
    nodes = [layout.node[d.node] if d.node else -1 for d in layout.inventory.devices]

    def answers(state: State) -> Array:
        # A server's controller hangs on the server's supplies; all else has power of its own.
        if not layout.sizes["N"]:
            return powered
        return np.where(bmcs, state.powered[nodes], 1.0)

    add(facility.FACILITY_POLL_UP, fixed(), answers)
    metered = ~is_a(layout, *_UNMETERED)

    def watts(state: State) -> Array:
        return np.where(answers(state) > 0, np.round(state.power_in, 1), np.nan)

    def joules(state: State) -> Array:
        return np.where(answers(state) > 0, np.round(state.device_energy), np.nan)

    add(facility.POWER_ACTIVE, sided(layout, "inlet", ""), watts, metered)
    add(facility.ENERGY, sided(layout, "inlet", ""), joules, metered)
    add_power(layout, table)
    _doors(layout, table)
    _air_and_water(layout, table)
    return table


def _doors(layout: Layout, table: Table) -> None:
    """Somebody with a right to it comes to a rack every few hours, and closes the door behind him."""
    doors, places = is_a(layout, Role.DOOR), np.arange(layout.sizes["D"])

    def since(state: State) -> Array:
        return np.asarray((state.time + 997.0 * places) % _VISIT_EVERY)

    def visits(state: State) -> Array:
        return np.asarray((state.time + 997.0 * places) // _VISIT_EVERY - _VISITS_BEFORE)

    table.add(room.DOOR_OPEN, fixed("main"), lambda s: (since(s) < _VISIT_TAKES) * 1.0, doors)
    table.add(room.ACCESS_EVENTS, fixed("main", "granted"), visits, doors)
    for result in ("denied", "forced"):
        table.add(room.ACCESS_EVENTS, fixed("main", result), 0.0, doors)


def _air_and_water(layout: Layout, table: Table) -> None:
    add = table.add
    cooling = is_a(layout, Role.CHILLER, Role.CRAH)
    crahs, sensors = is_a(layout, Role.CRAH), is_a(layout, Role.SENSOR)
    add(facility.COOLING_CAPACITY, fixed(), layout.capacity, cooling & (layout.capacity > 0))
    add(facility.HEAT_REMOVED, fixed("fws"), rounded("device_heat", 0), cooling)

    def hall_air(state: State) -> Array:
        return state.room[layout.hall_of_device]

    add(facility.AIR_TEMPERATURE, fixed("room", ""), lambda s: np.round(hall_air(s), 1), crahs | sensors)
    outdoors: Values = lambda s: np.full(layout.sizes["D"], round(float(s.outdoor[0]), 1))  # noqa: E731 - beside its use
    add(facility.AIR_TEMPERATURE, fixed("outdoor", ""), outdoors, sensors)
    add(facility.DEW_POINT, fixed("room", ""), DEW_POINT, sensors)
    humidity: Values = lambda s: np.round(vapor(DEW_POINT) / vapor(hall_air(s)), 3)  # noqa: E731 - beside its use
    add(facility.HUMIDITY, fixed("room", ""), humidity, sensors)


def vapor(celsius: float | Array) -> Array:
    """Saturation pressure of water vapor in hPa (Magnus formula, WMO 2008 constants)."""
    return np.asarray(6.112 * np.exp(17.62 * np.asarray(celsius) / (243.12 + np.asarray(celsius))))


def _controllers(layout: Layout) -> tuple[Table, ...]:
    """BMC readings: one row per controller, one per fan, one per power supply."""
    found = [(layout.device[d.name], layout.node[d.node]) for d in layout.inventory.devices_with(Role.BMC)]
    owners, nodes = [d for d, _ in found], np.array([n for _, n in found], dtype=np.int64)
    table = Table(owners)

    def on(values: Values) -> Values:
        return lambda s: np.where(s.powered[nodes] > 0, values(s), np.nan)

    table.add(facility.AIR_TEMPERATURE, fixed("inlet", ""), on(lambda s: np.round(s.inlet[nodes], 1)))
    table.add(facility.AIR_TEMPERATURE, fixed("exhaust", ""), on(lambda s: np.round(s.exhaust[nodes], 1)))
    liquid = layout.node_liquid[nodes]
    zone = zones(layout, "node")
    for state_name, values in (
        ("dry", lambda s: s.node_leak[nodes] == 0),
        ("warning", lambda s: s.node_leak[nodes] * 0),
        ("leak", lambda s: s.node_leak[nodes] > 0),
        ("fault", lambda s: s.node_leak[nodes] * 0),
    ):
        table.add(
            facility.LEAK_STATE,
            lambda i, name=state_name: (zone(owners[i]), name),  # type: ignore[misc] # bound default
            on(values),
            liquid,
        )
    return table, _fans(layout, found), _supplies(layout, found)


def _fans(layout: Layout, found: list[tuple[int, int]]) -> Table:
    parts = [
        (device, node, fan) for device, node in found for fan in range(layout.inventory.nodes[node].fans)
    ]
    table = Table([device for device, _, _ in parts])
    nodes = np.array([node for _, node, _ in parts], dtype=np.int64)
    numbers = np.array([fan for _, _, fan in parts], dtype=np.int64)

    def broken(state: State) -> Array:
        return np.asarray(numbers < np.round(state.fans_lost[nodes] * layout.node_fans[nodes]))

    def speed(state: State) -> Array:
        turning = np.where(broken(state), 0.0, np.round(state.fan_speed[nodes], 2))
        return np.where(state.powered[nodes] > 0, turning, np.nan)

    names = [f"fan{fan + 1}" for _, _, fan in parts]
    table.add(facility.FAN_SPEED, lambda i: (names[i],), speed)
    _health(table, names, nodes, broken)
    return table


def _supplies(layout: Layout, found: list[tuple[int, int]]) -> Table:
    parts = [
        (device, node, psu) for device, node in found for psu in range(layout.inventory.nodes[node].psus)
    ]
    table = Table([device for device, _, _ in parts])
    nodes = np.array([node for _, node, _ in parts], dtype=np.int64)
    numbers = np.array([psu for _, _, psu in parts], dtype=np.int64)
    slots = np.maximum((layout.slot_pdu >= 0).sum(axis=1), 1)
    pdu = layout.slot_pdu[nodes, numbers % slots[nodes]] if len(nodes) else np.zeros(0, dtype=np.int64)

    def broken(state: State) -> Array:
        dark = (pdu >= 0) & (state.live[pdu] == 0)
        return np.asarray((numbers < state.psus_lost[nodes]) | dark)

    _health(table, [f"psu{psu + 1}" for _, _, psu in parts], nodes, broken)
    return table


def _health(table: Table, names: list[str], nodes: Array, broken: Values) -> None:
    for status in facility.STATUS:
        wanted = {"ok": False, "critical": True}.get(status)

        def values(state: State, wanted: bool | None = wanted) -> Array:
            flag = np.zeros(len(names)) if wanted is None else broken(state) == wanted
            return np.where(state.powered[nodes] > 0, flag, np.nan)

        table.add(
            facility.COMPONENT_HEALTH,
            lambda i, status=status: (names[i], status),  # type: ignore[misc] # bound default
            values,
        )
