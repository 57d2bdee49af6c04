"""The inventory as metrics: places, joins, budgets, costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from exporters.inventory.structure import structure_readings
from gigawatch.catalogue import site
from gigawatch.readings import Reading
from gigawatch.topology import Inventory, Role

METER_ROLES = {Role.UTILITY: "facility", Role.RACK_PDU: "it"}
"""PUE category 2: all that is bought, against what reaches the racks."""


def site_readings(
    inventory: Inventory, generation: int, load_errors: int, day: date | None = None
) -> Iterator[Reading]:
    """What an inventory says on a day (today, by UTC): all of `gigawatch.catalogue.site` but the state of its
    source and what is under maintenance."""
    yield from _places(inventory)
    yield from structure_readings(inventory, day or datetime.now(UTC).date())
    yield from _devices(inventory)
    yield from _costs(inventory)
    yield Reading(site.GPUS_OWNED, (), float(inventory.gpu_count))
    yield Reading(site.TOPOLOGY_GENERATION, (), float(generation))
    yield Reading(site.TOPOLOGY_LOAD_ERRORS, (), float(load_errors))


def source_readings(kind: str, up: bool, age: float) -> Iterator[Reading]:
    """Whether the inventory's source can be read, and the seconds since it last was."""
    yield Reading(site.INVENTORY_SOURCE_UP, (kind,), float(up))
    yield Reading(site.INVENTORY_AGE, (), age)


def _places(inventory: Inventory) -> Iterator[Reading]:
    for rack in inventory.racks:
        yield Reading(site.RACK_INFO, (rack.name, rack.row, rack.hall, rack.cooling), 1.0)
        yield Reading(site.POWER_BUDGET, (rack.name, rack.hall), rack.power_watts)
        if rack.air_handler:
            yield Reading(site.RACK_AIR_INFO, (rack.name, rack.air_handler, rack.hall), 1.0)
    for node in inventory.nodes:
        rack = inventory.rack[node.rack]
        # The inventory knows no chassis apart from the node, so the node is its own.
        labels = (
            node.name, rack.name, rack.row, rack.hall, str(node.unit), node.loop, node.name, node.serial,
        )  # fmt: skip
        yield Reading(site.NODE_INFO, labels, 1.0)
        yield Reading(site.GPUS_EXPECTED, (node.name, rack.name), float(node.gpus))
        for switch in inventory.switches_of(node):
            yield Reading(site.NODE_SWITCH_INFO, (node.name, switch), 1.0)
    for loop in inventory.loops:
        yield Reading(site.LOOP_SUPPLY_SETPOINT, (loop.name, loop.hall), loop.supply_celsius)
        for name in loop.racks:
            yield Reading(site.LOOP_RACK_INFO, (loop.name, name, loop.hall), 1.0)


def _devices(inventory: Inventory) -> Iterator[Reading]:
    for device in inventory.devices:
        labels = (
            device.name, device.role.value, device.rack, device.hall, inventory.feed_of(device), device.side,
            device.loop,
        )  # fmt: skip
        yield Reading(site.DEVICE_INFO, labels, 1.0)
        if device.role in METER_ROLES:
            yield Reading(site.METER_INFO, (device.name, METER_ROLES[device.role]), 1.0)


def _costs(inventory: Inventory) -> Iterator[Reading]:
    economics = inventory.economics
    for metric, amounts in (
        (site.COST_CAPEX, economics.capex_usd),
        (site.COST_RESIDUAL, economics.residual_ratio),
        (site.COST_AMORTIZATION, economics.amortization_years),
    ):
        for asset, amount in amounts.items():
            yield Reading(metric, (asset,), amount)
    yield Reading(site.COST_STAFF, (), economics.staff_usd_per_year)
    yield Reading(site.COST_MAINTENANCE, (), economics.maintenance_usd_per_year)
    yield Reading(site.COST_COLO, (), economics.colo_usd_per_year)
    yield Reading(site.ENERGY_PRICE, (), economics.energy_usd_per_kwh)
    yield Reading(site.CLOUD_PRICE, (), economics.cloud_usd_per_gpu_hour)
