"""What must hold of an inventory, and what is worth knowing about it."""

from __future__ import annotations

from collections.abc import Iterator

from gigawatch.topology.checks import cooling, endpoints, identity, power, space
from gigawatch.topology.checks.finding import Finding
from gigawatch.topology.model import Inventory

__all__ = ["Finding", "contradictions", "remarks"]


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    """What makes no sense whatever else is missing. References in the inventory have to be sound."""
    for part in (space, power, cooling, identity, endpoints):
        yield from part.contradictions(inventory)


def remarks(inventory: Inventory) -> Iterator[Finding]:
    """Warnings and notes about an inventory without contradictions."""
    for part in (space, power, cooling, identity):
        yield from part.remarks(inventory)
