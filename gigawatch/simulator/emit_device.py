"""Facility readings of the plant: intakes, UPS, PDUs, chillers, coolant units, controllers, sensors."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import facility
from gigawatch.simulator import power
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.table import Labels, Mask, Table, Values, rounded
from gigawatch.topology import Role

PHASES = ("L1", "L2", "L3")
DEW_POINT = 9.4
"""Moisture of the room air: the air handlers neither dry nor wet it."""
_LONGEST_RUNTIME = 6 * 3600.0


def device_tables(layout: Layout) -> tuple[Table, ...]:
    """Readings of every facility device."""
    return (_devices(layout), _coolant_units(layout), *_controllers(layout))


def _is(layout: Layout, *roles: Role) -> Mask:
    return np.array([device.role in roles for device in layout.inventory.devices], dtype=bool)


def _sided(layout: Layout, *extra: str) -> Labels:
    devices = layout.inventory.devices
    return lambda d: (devices[d].side, *extra)


def _fixed(*labels: str) -> Labels:
    return lambda _: labels


def _devices(layout: Layout) -> Table:
    table = Table(range(layout.sizes["D"]))
    add = table.add
    powered = np.ones(layout.sizes["D"])
    bmcs = _is(layout, Role.BMC)
    nodes = [layout.node[d.node] if d.node else -1 for d in layout.inventory.devices]

    def answers(state: State) -> Array:
        # A server's controller hangs on the server's supplies; all else has power of its own.
        if not layout.sizes["N"]:
            return powered
        return np.where(bmcs, state.powered[nodes], 1.0)

    add(facility.FACILITY_POLL_UP, _fixed(), answers)
    metered = ~_is(layout, Role.SENSOR)

    def watts(state: State) -> Array:
        return np.where(answers(state) > 0, np.round(state.power_in, 1), np.nan)

    def joules(state: State) -> Array:
        return np.where(answers(state) > 0, np.round(state.device_energy), np.nan)

    add(facility.POWER_ACTIVE, _sided(layout, "inlet", ""), watts, metered)
    add(facility.ENERGY, _sided(layout, "inlet", ""), joules, metered)
    _electrical(layout, table)
    _air_and_water(layout, table)
    return table


def _electrical(layout: Layout, table: Table) -> None:
    add = table.add
    pdus, ups = _is(layout, Role.RACK_PDU, Role.FLOOR_PDU), _is(layout, Role.UPS)
    racks = _is(layout, Role.RACK_PDU)
    phased, intakes = racks, _is(layout, Role.UTILITY)
    for row, phase in enumerate(PHASES):
        here = phased & (layout.phases > row)
        label = _sided(layout, "phase", phase)
        add(facility.POWER_ACTIVE, label, rounded("phase_power", 1, row), here)
        add(facility.CURRENT, label, _current(layout, row), here)
        volts = (phased | intakes) & (layout.phases > row)
        add(facility.VOLTAGE, label, rounded("volts", 1), volts)
    rated = racks & (layout.breaker > 0)
    add(facility.BREAKER_RATING, _sided(layout, "main"), layout.breaker, rated)
    table.add_states(
        facility.BREAKER_STATE,
        _sided(layout, "main"),
        facility.BREAKER_STATE.values["state"],
        lambda s: (1 - s.breaker_tripped, s.breaker_tripped, s.breaker_tripped * 0),
        rated,
    )
    add(facility.POWER_CAPACITY, _sided(layout), layout.capacity, (pdus | ups) & (layout.capacity > 0))
    add(facility.POWER_ACTIVE, _sided(layout, "output", ""), rounded("power_out", 1), ups)
    table.add_states(facility.UPS_STATUS, _fixed(), facility.UPS_STATUS.values["state"], _ups_status, ups)
    add(facility.UPS_CHARGE, _fixed(), rounded("charge", 4), ups)
    energy = layout.capacity * power.BATTERY_SECONDS

    def runtime(state: State) -> Array:
        return np.round(
            np.minimum(state.charge * energy * 0.96 / np.maximum(state.power_out, 1.0), _LONGEST_RUNTIME)
        )

    add(facility.UPS_RUNTIME, _fixed(), runtime, ups)
    load: Values = lambda s: np.round(s.power_out / np.maximum(layout.capacity, 1.0), 4)  # noqa: E731 - beside its use
    add(facility.UPS_LOAD, _fixed(), load, ups & (layout.capacity > 0))


def _current(layout: Layout, row: int) -> Values:
    return lambda s: np.round(power.phase_current(layout, s)[row], 2)


def _turning(row: int) -> Values:
    return lambda s: np.asarray(s.pump[row] > 0.05)


def _ups_status(s: State) -> tuple[Array, ...]:
    online, battery = (s.live > 0) & (s.fed > 0), (s.live > 0) & (s.fed == 0)
    return online * 1.0, battery * 1.0, s.live * 0, (s.live == 0) * 1.0, s.live * 0


def _air_and_water(layout: Layout, table: Table) -> None:
    add = table.add
    cooling = _is(layout, Role.CHILLER, Role.CRAH)
    crahs, sensors = _is(layout, Role.CRAH), _is(layout, Role.SENSOR)
    add(facility.COOLING_CAPACITY, _fixed(), layout.capacity, cooling & (layout.capacity > 0))
    add(facility.HEAT_REMOVED, _fixed("fws"), rounded("device_heat", 0), cooling)

    def room(state: State) -> Array:
        return state.room[layout.hall_of_device]

    add(facility.AIR_TEMPERATURE, _fixed("room", ""), lambda s: np.round(room(s), 1), crahs | sensors)
    outdoors: Values = lambda s: np.full(layout.sizes["D"], round(float(s.outdoor[0]), 1))  # noqa: E731 - beside its use
    add(facility.AIR_TEMPERATURE, _fixed("outdoor", ""), outdoors, sensors)
    add(facility.DEW_POINT, _fixed("room", ""), DEW_POINT, sensors)
    humidity: Values = lambda s: np.round(vapor(DEW_POINT) / vapor(room(s)), 3)  # noqa: E731 - beside its use
    add(facility.HUMIDITY, _fixed("room", ""), humidity, sensors)


def vapor(celsius: float | Array) -> Array:
    """Saturation pressure of water vapor in hPa (Magnus formula, WMO 2008 constants)."""
    return np.asarray(6.112 * np.exp(17.62 * np.asarray(celsius) / (243.12 + np.asarray(celsius))))


def _coolant_units(layout: Layout) -> Table:
    table = Table(layout.cdu_device.tolist())
    add, loop = table.add, layout.cdu_loop
    tcs, fws = _fixed("tcs"), _fixed("fws")
    # Facility water is sized for 8 K of rise at rated capacity.
    rise = 8.0 / layout.cdu_capacity
    add(facility.COOLANT_SUPPLY_TEMPERATURE, tcs, rounded("supply", 2, at=loop))
    add(facility.COOLANT_RETURN_TEMPERATURE, tcs, rounded("returning", 2, at=loop))
    add(
        facility.COOLANT_SUPPLY_TEMPERATURE,
        fws,
        lambda s: np.full(len(loop), round(float(s.facility_supply[0]), 2)),
    )
    add(
        facility.COOLANT_RETURN_TEMPERATURE,
        fws,
        lambda s: np.round(s.facility_supply[0] + s.unit_heat * rise, 2),
    )
    add(facility.COOLANT_SETPOINT, tcs, rounded("setpoint", 1))
    add(facility.COOLANT_FLOW, tcs, rounded("unit_flow", 7))
    add(facility.COOLANT_DESIGN_FLOW, tcs, layout.cdu_flow)
    add(facility.COOLANT_PRESSURE, tcs, rounded("unit_pressure", -1))
    add(facility.HEAT_REMOVED, tcs, rounded("unit_heat", 0))
    add(facility.COOLING_CAPACITY, _fixed(), layout.cdu_capacity)
    for row, pump in enumerate(("p1", "p2")):
        add(facility.PUMP_SPEED, _fixed(pump), rounded("pump", 3, row))
        add(facility.PUMP_RUNNING, _fixed(pump), _turning(row))
    add(facility.RESERVOIR_LEVEL, _fixed(), rounded("reservoir", 3))
    table.add_states(
        facility.LEAK_STATE,
        _fixed("cdu"),
        facility.LEAK_STATE.values["state"],
        lambda s: (s.leak == 0, s.leak * 0, s.leak > 0, s.leak * 0),
    )
    return table


def _controllers(layout: Layout) -> tuple[Table, ...]:
    """BMC readings: one row per controller, one per fan, one per power supply."""
    found = [(layout.device[d.name], layout.node[d.node]) for d in layout.inventory.devices_with(Role.BMC)]
    owners, nodes = [d for d, _ in found], np.array([n for _, n in found], dtype=np.int64)
    table = Table(owners)

    def on(values: Values) -> Values:
        return lambda s: np.where(s.powered[nodes] > 0, values(s), np.nan)

    table.add(facility.AIR_TEMPERATURE, _fixed("inlet", ""), on(lambda s: np.round(s.inlet[nodes], 1)))
    table.add(facility.AIR_TEMPERATURE, _fixed("exhaust", ""), on(lambda s: np.round(s.exhaust[nodes], 1)))
    liquid = layout.node_liquid[nodes]
    for state_name, values in (
        ("dry", lambda s: s.node_leak[nodes] == 0),
        ("warning", lambda s: s.node_leak[nodes] * 0),
        ("leak", lambda s: s.node_leak[nodes] > 0),
        ("fault", lambda s: s.node_leak[nodes] * 0),
    ):
        table.add(facility.LEAK_STATE, _fixed("node", state_name), on(values), liquid)
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
