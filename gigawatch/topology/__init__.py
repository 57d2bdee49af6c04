"""The inventory: what stands where, what feeds it, what cools it."""

from gigawatch.topology.load import blueprint, blueprint_names, load_inventory
from gigawatch.topology.model import (
    Device,
    Economics,
    Endpoint,
    Inventory,
    Kind,
    Loop,
    Node,
    Rack,
    Reservation,
    Role,
    Row,
    Supply,
    Zone,
)

__all__ = [
    "Device",
    "Economics",
    "Endpoint",
    "Inventory",
    "Kind",
    "Loop",
    "Node",
    "Rack",
    "Reservation",
    "Role",
    "Row",
    "Supply",
    "Zone",
    "blueprint",
    "blueprint_names",
    "load_inventory",
]
