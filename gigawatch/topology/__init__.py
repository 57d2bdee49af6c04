"""The inventory: what stands where, what feeds it, what cools it."""

from gigawatch.topology.load import blueprint, blueprint_names, load_inventory
from gigawatch.topology.model import (
    Device,
    Economics,
    Inventory,
    Loop,
    Node,
    Rack,
    Role,
)

__all__ = [
    "Device",
    "Economics",
    "Inventory",
    "Loop",
    "Node",
    "Rack",
    "Role",
    "blueprint",
    "blueprint_names",
    "load_inventory",
]
