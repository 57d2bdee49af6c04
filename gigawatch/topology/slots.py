"""What stands on the units of racks, and which are free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from gigawatch.topology.model import Inventory, Reservation


@dataclass(frozen=True, slots=True)
class Slot:
    """Something that takes height units of a rack."""

    rack: str
    unit: int
    """The lowest."""
    height: int
    face: str
    """front, rear or both."""
    kind: str
    """node, or the role of a device."""
    name: str
    section: str


def slots(inventory: Inventory) -> Iterator[Slot]:
    """All that stands on units, in the order of the inventory."""
    for node in inventory.nodes:
        yield Slot(node.rack, node.unit, node.height, "both", "node", node.name, "nodes")
    for device in inventory.devices:
        if device.unit and device.rack:
            yield Slot(
                device.rack,
                device.unit,
                device.height,
                device.face,
                device.role.value,
                device.name,
                "devices",
            )


def taken_units(inventory: Inventory) -> dict[str, set[int]]:
    """By rack, the units on which something stands, on either face."""
    taken: dict[str, set[int]] = {rack.name: set() for rack in inventory.racks}
    for slot in slots(inventory):
        taken[slot.rack].update(range(slot.unit, slot.unit + slot.height))
    return taken


def gaps(units: int, taken: set[int]) -> list[tuple[int, int]]:
    """Lowest unit and height of each stretch on which nothing stands, from below."""
    found: list[tuple[int, int]] = []
    for unit in range(1, units + 1):
        if unit in taken:
            continue
        if found and sum(found[-1]) == unit:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((unit, 1))
    return found


def in_force(reservation: Reservation, day: date) -> bool:
    """Whether a reservation still counts on a day; its last day is `until`."""
    until = parse_date(reservation.until) if reservation.until else None
    return until is None or day <= until


def parse_date(text: str) -> date | None:
    """A date such as 2027-03-31; None if it is none."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.isoformat() == text else None
