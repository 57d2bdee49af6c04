"""The inventory as metrics: what stands where, what feeds and cools it, what room is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from gigawatch.catalogue import site
from gigawatch.readings import Reading
from gigawatch.topology import Inventory, Rack, Reservation
from gigawatch.topology.slots import gaps, in_force, slots, taken_units


def structure_readings(inventory: Inventory, day: date) -> Iterator[Reading]:
    """Space, paths and what is promised on that day."""
    promised = [reservation for reservation in inventory.reservations if in_force(reservation, day)]
    taken = taken_units(inventory)
    yield from _slots(inventory, promised, taken)
    yield from _paths(inventory)
    for rack in inventory.racks:
        mine = [reservation for reservation in promised if reservation.rack == rack.name]
        yield from _room(inventory, rack, mine, taken[rack.name])
    for node in inventory.nodes:
        if node.power_watts:
            yield Reading(site.NODE_DESIGN_POWER, (node.name, node.rack), node.power_watts)
    for device in inventory.devices:
        if device.capacity_watts:
            yield Reading(site.DEVICE_CAPACITY, (device.name,), device.capacity_watts)
        if device.breaker_amperes:
            yield Reading(site.DEVICE_BREAKER, (device.name,), device.breaker_amperes)
        if device.group:
            yield Reading(site.REDUNDANCY_SPARE, (device.name, device.group), float(device.spare))
        for zone in device.zones:
            endangers = ", ".join(zone.endangers)
            yield Reading(site.LEAK_ZONE_INFO, (device.name, zone.name, zone.location, endangers), 1.0)


def _slots(
    inventory: Inventory, promised: list[Reservation], taken: dict[str, set[int]]
) -> Iterator[Reading]:
    for slot in slots(inventory):
        labels = (slot.rack, str(slot.unit), str(slot.height), slot.face, slot.kind, slot.name)
        yield Reading(site.RACK_SLOT_INFO, labels, 1.0)
    # A reservation names no units: it is shown in the first gap that holds it.
    left = {rack: set(units) for rack, units in taken.items()}
    for reservation in promised:
        units = inventory.rack[reservation.rack].units
        for begin, height in gaps(units, left[reservation.rack]):
            if 0 < reservation.units <= height:
                left[reservation.rack].update(range(begin, begin + reservation.units))
                place = (str(begin), str(reservation.units), "both", "reserved", reservation.name)
                yield Reading(site.RACK_SLOT_INFO, (reservation.rack, *place), 1.0)
                break


def _paths(inventory: Inventory) -> Iterator[Reading]:
    for device in inventory.devices:
        if device.fed_by:
            labels = (device.name, device.fed_by, inventory.side_of(device))
            yield Reading(site.POWER_PATH_INFO, labels, 1.0)
        for cooler in device.cooled_by:
            yield Reading(site.COOLING_PATH_INFO, (device.name, cooler), 1.0)
    for node in inventory.nodes:
        for supply in inventory.supplies_of(node):
            plug = (node.name, str(supply.psu), supply.pdu, supply.outlet)
            yield Reading(site.NODE_FEED_INFO, plug, 1.0)


def _room(
    inventory: Inventory, rack: Rack, promised: list[Reservation], taken: set[int]
) -> Iterator[Reading]:
    place = (rack.name, rack.hall)
    yield Reading(site.RACK_COOLING, place, rack.cooling_watts or rack.power_watts)
    yield Reading(site.RACK_UNITS, place, float(rack.units))
    yield Reading(site.RACK_UNITS_FREE, place, float(rack.units - len(taken)))
    if rack.ports:
        used = sum(node.ports for node in inventory.nodes_in_rack[rack.name])
        yield Reading(site.RACK_PORTS, place, float(rack.ports))
        yield Reading(site.RACK_PORTS_FREE, place, float(max(0, rack.ports - used)))
    yield Reading(site.RACK_RESERVED_POWER, place, sum(one.power_watts for one in promised))
    yield Reading(site.RACK_RESERVED_UNITS, place, float(sum(one.units for one in promised)))
