"""Space: units of racks, places in rows, weight, and what is promised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from gigawatch.topology.checks.finding import Finding, error, note, today, warning
from gigawatch.topology.model import Device, Inventory, Node, Role
from gigawatch.topology.slots import Slot, in_force, parse_date, slots, taken_units


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    yield from _heights(inventory)
    yield from _overlaps(inventory)
    yield from _rows(inventory)
    yield from _switches(inventory)
    for reservation in inventory.reservations:
        if reservation.until and parse_date(reservation.until) is None:
            yield error(
                "date",
                "reservations",
                reservation.name,
                ("until",),
                f"is '{reservation.until[:40]}'",
                "allowed: a date such as 2027-03-31",
            )


def _switches(inventory: Inventory) -> Iterator[Finding]:
    for node in inventory.nodes:
        for index, name in enumerate(node.switches):
            role = inventory.device[name].role
            if role is not Role.SWITCH:
                yield error("switch", "nodes", node.name, ("switches", index), f"names '{name}', a {role}",
                            f"allowed are devices of the role {Role.SWITCH}")  # fmt: skip


def remarks(inventory: Inventory) -> Iterator[Finding]:
    yield from _reservations(inventory)
    for rack in inventory.racks:
        weight = sum(node.weight_kg for node in inventory.nodes_in_rack[rack.name])
        if rack.max_weight_kg and weight > rack.max_weight_kg:
            yield warning(
                "weight",
                "racks",
                rack.name,
                ("max_weight_kg",),
                f"is {rack.max_weight_kg:g}, and the nodes of '{rack.name}' weigh {weight:g} kg",
            )
        used = sum(node.ports for node in inventory.nodes_in_rack[rack.name])
        if rack.ports and used > rack.ports:
            yield warning("ports", "racks", rack.name, ("ports",),
                          f"is {rack.ports}, and the nodes of '{rack.name}' use {used}")  # fmt: skip


def _heights(inventory: Inventory) -> Iterator[Finding]:
    for section, thing in _standing(inventory):
        if isinstance(thing, Device) and not thing.rack:
            yield error(
                "no-rack", section, thing.name, ("unit",), f"is U{thing.unit}, of no rack", "name the rack"
            )
            continue
        units = inventory.rack[thing.rack].units
        top = thing.unit + thing.height - 1
        if top > units:
            yield error(
                "unit-outside", section, thing.name, ("unit",),
                f"puts '{thing.name}' at U{thing.unit} to U{top}", f"rack '{thing.rack}' has {units} units",
            )  # fmt: skip


def _standing(inventory: Inventory) -> Iterator[tuple[str, Node | Device]]:
    for node in inventory.nodes:
        yield "nodes", node
    for device in inventory.devices:
        if device.unit:
            yield "devices", device


def _overlaps(inventory: Inventory) -> Iterator[Finding]:
    by_rack: dict[tuple[str, str], list[Slot]] = defaultdict(list)
    for slot in slots(inventory):
        for face in ("front", "rear") if slot.face == "both" else (slot.face,):
            by_rack[slot.rack, face].append(slot)
    told: set[tuple[str, str]] = set()
    for standing in by_rack.values():
        # A later row has to yield to an earlier one, so each is told against the one it was written after.
        order = {slot.name: number for number, slot in enumerate(standing)}
        standing.sort(key=lambda slot: (slot.unit, order[slot.name]))
        below = standing[0]
        for first, second in pairwise(standing):
            below = max(below, first, key=lambda slot: slot.unit + slot.height)
            if second.unit >= below.unit + below.height:
                continue
            early, late = sorted((below, second), key=lambda slot: order[slot.name])
            if (early.name, late.name) not in told:
                told.add((early.name, late.name))
                yield error(
                    "unit-overlap", late.section, late.name, ("unit",),
                    f"puts '{late.name}' on U{second.unit}", f"'{early.name}' stands there",
                )  # fmt: skip


def _rows(inventory: Inventory) -> Iterator[Finding]:
    rows = {(row.hall, row.name): row for row in inventory.rows}
    taken: dict[tuple[str, str, int], str] = {}
    for rack in inventory.racks:
        row = rows.get((rack.hall, rack.row))
        if rows and row is None:
            known = ", ".join(sorted(f"{name} of {hall}" for hall, name in rows))
            yield error("unknown-reference", "racks", rack.name, ("row",),
                        f"names the row '{rack.row}' of hall '{rack.hall}', which does not exist",
                        f"known: {known[:200]}")  # fmt: skip
        if not rack.position:
            continue
        if row and row.positions and rack.position > row.positions:
            yield error("position-outside", "racks", rack.name, ("position",),
                        f"puts '{rack.name}' at place {rack.position}",
                        f"row '{row.name}' has {row.positions}")  # fmt: skip
        other = taken.setdefault((rack.hall, rack.row, rack.position), rack.name)
        if other != rack.name:
            yield error("position-overlap", "racks", rack.name, ("position",),
                        f"puts '{rack.name}' at place {rack.position} of row '{rack.row}'",
                        f"'{other}' stands there")  # fmt: skip


def _reservations(inventory: Inventory) -> Iterator[Finding]:
    promised: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    day = today()
    taken = taken_units(inventory) if inventory.reservations else {}
    for reservation in inventory.reservations:
        if not in_force(reservation, day):
            yield note(
                "expired",
                "reservations",
                reservation.name,
                ("until",),
                f"was {reservation.until}: '{reservation.name}' no longer counts",
                "take the row out",
            )
            continue
        rack = inventory.rack[reservation.rack]
        nodes = inventory.nodes_in_rack[rack.name]
        sums = promised[rack.name]
        sums[0] += reservation.power_watts
        sums[1] += reservation.units
        sums[2] += reservation.ports
        free = (
            ("power_watts", rack.power_watts - sum(node.power_watts for node in nodes), sums[0], "W"),
            ("units", float(rack.units - len(taken[rack.name])), sums[1], "units"),
            ("ports", float(rack.ports - sum(node.ports for node in nodes)), sums[2], "ports"),
        )
        for name, left, wanted, unit in free:
            if wanted > left and getattr(reservation, name) and (name != "ports" or rack.ports):
                yield warning(
                    "reservation", "reservations", reservation.name, (name,),
                    f"does not fit: {wanted:g} {unit} are promised in rack '{rack.name}'",
                    f"{max(left, 0):g} are free",
                )  # fmt: skip
