"""Who carries what: the power of every node along the tree of feeds, and its heat along the loops.

Loads come from the racks (measured or planned) and are split over each node's power supplies that still have
power. What cooling devices use themselves is not counted: their meters sit elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gigawatch.topology.model import Device, Inventory, Node, Role

CONTINUOUS = 0.8
"""Share of a breaker's rating that may flow for three hours and more (NEC 210.20(A), 215.3)."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What the racks draw."""

    watts: Mapping[str, float]
    """By rack; racks that are missing count with their design."""
    source: str
    """Where that comes from, for people."""


def design_draw(inventory: Inventory) -> Draw:
    """What the racks draw if every node takes its design power."""
    return Draw({rack.name: design_watts(inventory, rack.name) for rack in inventory.racks}, "design power")


def design_watts(inventory: Inventory, rack: str) -> float:
    """Design power of a rack's nodes; a node that states none takes an even share of the rack's plan."""
    nodes = inventory.nodes_in_rack[rack]
    stated = sum(node.power_watts for node in nodes)
    silent = sum(node.power_watts == 0 for node in nodes)
    if not silent:
        return stated
    return stated + max(0.0, inventory.rack[rack].power_watts - stated)


def limit_of(device: Device) -> float:
    """Watts that a power device may carry for long: its capacity, and 80 % of its breaker; 0: not said."""
    breaker = CONTINUOUS * device.breaker_amperes * device.voltage * device.phases
    stated = [watts for watts in (device.capacity_watts, breaker) if watts > 0]
    return min(stated, default=0.0)


class Flow:
    """Power and heat of a site while some devices are off.

    `off` are names of devices that fail; what hangs on them fails with them, a UPS once its battery is empty.
    `extra` adds watts to racks (something that may be placed there).
    """

    def __init__(
        self,
        inventory: Inventory,
        draw: Draw,
        off: frozenset[str] = frozenset(),
        extra: Mapping[str, float] | None = None,
    ) -> None:
        self.inventory, self.off = inventory, off
        self._alive: dict[str, bool] = {}
        self.node_watts = _node_watts(inventory, draw)
        self.dark: list[Node] = []
        """Nodes without power."""
        self.poorer: list[Node] = []
        """Nodes that still have power, from fewer feeds than before."""
        self.load: dict[str, float] = {}
        """Watts by power device."""
        self._feeds: dict[str, str] = {}
        for node in inventory.nodes:
            self._feed(node)
        for rack, watts in (extra or {}).items():
            self._spread([pdu.name for pdu in inventory.pdus_of_rack.get(rack, ())], watts)

    def alive(self, name: str) -> bool:
        """Whether a device still has power (or stands in no tree)."""
        known = self._alive.get(name)
        if known is None:
            device = self.inventory.device[name]
            known = name not in self.off and (not device.fed_by or self.alive(device.fed_by))
            self._alive[name] = known
        return known

    def _feed(self, node: Node) -> None:
        pdus = [s.pdu for s in self.inventory.supplies_of(node) if s.pdu in self.inventory.device]
        living = [pdu for pdu in pdus if self.alive(pdu)]
        if pdus and not living:
            self.dark.append(node)
            return
        if {self._feed_of(pdu) for pdu in pdus} != {self._feed_of(pdu) for pdu in living}:
            self.poorer.append(node)
        self._spread(living, self.node_watts[node.name])

    def _feed_of(self, pdu: str) -> str:
        if pdu not in self._feeds:
            self._feeds[pdu] = self.inventory.feed_of(self.inventory.device[pdu])
        return self._feeds[pdu]

    def _spread(self, pdus: list[str], watts: float) -> None:
        living = [pdu for pdu in pdus if self.alive(pdu)]
        for pdu in living:
            name = pdu
            while name:
                self.load[name] = self.load.get(name, 0.0) + watts / len(living)
                name = self.inventory.device[name].fed_by

    def overloads(self) -> list[tuple[Device, float, float]]:
        """(device, watts, limit) of every device that carries more than it may for long."""
        found = []
        for name, watts in self.load.items():
            device = self.inventory.device[name]
            limit = limit_of(device)
            if 0 < limit < watts - 1e-6:
                found.append((device, watts, limit))
        return found

    def heat_of_loop(self, loop: str, extra: float = 0.0) -> float:
        """Watts that the nodes on a loop give off; all of it is taken to go into the coolant."""
        gone = {node.name for node in self.dark}
        nodes = self.inventory.nodes_on_loop[loop]
        return extra + sum(self.node_watts[node.name] for node in nodes if node.name not in gone)

    def heat_of_hall(self, hall: str) -> float:
        """Watts that the air-cooled nodes of a hall give off."""
        gone = {node.name for node in self.dark}
        rack = self.inventory.rack
        return sum(
            self.node_watts[node.name]
            for node in self.inventory.nodes
            if not node.loop and node.name not in gone and rack[node.rack].hall == hall
        )

    def units(self, role: Role, *, loop: str = "", hall: str = "") -> list[Device]:
        """Devices of a role that work: coolant units of a loop, air handlers or chillers of a hall."""
        return [
            device
            for device in self.inventory.devices_with(role)
            if self.alive(device.name)
            and device.name not in self.off
            and (not loop or device.loop == loop)
            and (not hall or device.hall == hall)
        ]


def _node_watts(inventory: Inventory, draw: Draw) -> dict[str, float]:
    """A rack's watts over its nodes, by their design."""
    found: dict[str, float] = {}
    for rack in inventory.racks:
        nodes = inventory.nodes_in_rack[rack.name]
        if not nodes:
            continue
        planned = design_watts(inventory, rack.name)
        silent = [node for node in nodes if not node.power_watts]
        stated = sum(node.power_watts for node in nodes)
        share = max(0.0, planned - stated) / len(silent) if silent else 0.0
        watts = draw.watts.get(rack.name, planned)
        for node in nodes:
            own = node.power_watts or share
            found[node.name] = watts * own / planned if planned > 0 else 0.0
    return found
