"""What an inventory holds once it is loaded, and how its things hang together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from gigawatch.topology.things import (
    Device,
    Economics,
    Endpoint,
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
]


@dataclass(frozen=True)
class Inventory:
    """A whole site. Names are unique over racks, nodes, devices and loops each."""

    site: str
    racks: tuple[Rack, ...]
    nodes: tuple[Node, ...]
    devices: tuple[Device, ...]
    loops: tuple[Loop, ...]
    economics: Economics
    source: str = ""
    """File or blueprint it came from."""
    workloads: tuple[dict[str, object], ...] = field(default=())
    """What the simulated plant runs, as written in the file; real sites leave it out."""
    rows: tuple[Row, ...] = ()
    kinds: tuple[Kind, ...] = ()
    reservations: tuple[Reservation, ...] = ()

    @cached_property
    def rack(self) -> dict[str, Rack]:
        return {rack.name: rack for rack in self.racks}

    @cached_property
    def node(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def device(self) -> dict[str, Device]:
        return {device.name: device for device in self.devices}

    @cached_property
    def loop(self) -> dict[str, Loop]:
        return {loop.name: loop for loop in self.loops}

    @cached_property
    def nodes_in_rack(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {rack.name: [] for rack in self.racks}
        for node in self.nodes:
            found[node.rack].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def nodes_on_loop(self) -> dict[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {loop.name: [] for loop in self.loops}
        for node in self.nodes:
            if node.loop:
                found[node.loop].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def devices_with(self, role: Role) -> tuple[Device, ...]:
        """All devices of a role."""
        return self._by_role.get(role, ())

    @cached_property
    def _by_role(self) -> dict[Role, tuple[Device, ...]]:
        found: dict[Role, list[Device]] = {}
        for device in self.devices:
            found.setdefault(device.role, []).append(device)
        return {role: tuple(devices) for role, devices in found.items()}

    @cached_property
    def pdus_of_rack(self) -> dict[str, tuple[Device, ...]]:
        """Rack PDUs by rack, in the order of the inventory; racks without any are left out."""
        found: dict[str, list[Device]] = {}
        for device in self.devices_with(Role.RACK_PDU):
            if device.rack:
                found.setdefault(device.rack, []).append(device)
        return {rack: tuple(pdus) for rack, pdus in found.items()}

    def supplies_of(self, node: Node) -> tuple[Supply, ...]:
        """Where the power supplies of a node are plugged in: as said, or in turn into its rack's PDUs."""
        if node.supplies:
            return node.supplies
        pdus = self.pdus_of_rack.get(node.rack, ())
        return (
            tuple(Supply(n + 1, pdus[n % len(pdus)].name) for n in range(max(1, node.psus))) if pdus else ()
        )

    def switches_of(self, node: Node) -> tuple[str, ...]:
        """Network switches that a node hangs on: as said, or those that stand in its rack."""
        return node.switches or self._switches_in.get(node.rack, ())

    @cached_property
    def _switches_in(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for device in self.devices_with(Role.SWITCH):
            if device.rack:
                found.setdefault(device.rack, []).append(device.name)
        return {rack: tuple(names) for rack, names in found.items()}

    def feed_of(self, device: Device) -> str:
        """Name of the utility intake that a power device hangs on; empty for other devices."""
        seen: set[str] = set()
        current = device
        while current.fed_by and current.name not in seen:
            seen.add(current.name)
            current = self.device[current.fed_by]
        return current.name if current.role is Role.UTILITY else ""

    def side_of(self, device: Device) -> str:
        """A or B: of the device, or of the nearest that feeds it; empty where none says."""
        seen: set[str] = set()
        current = device
        while not current.side and current.fed_by and current.name not in seen:
            seen.add(current.name)
            current = self.device[current.fed_by]
        return current.side

    def fed_from(self, name: str) -> tuple[Device, ...]:
        """The device and everything below it in the power tree."""
        below = {name: self.device[name]}
        waiting = [self.device[name]]
        for parent in waiting:
            for child in self._children.get(parent.name, ()):
                if child.name not in below:
                    below[child.name] = child
                    waiting.append(child)
        return tuple(below.values())

    @cached_property
    def _children(self) -> dict[str, tuple[Device, ...]]:
        children: dict[str, list[Device]] = {}
        for device in self.devices:
            if device.fed_by:
                children.setdefault(device.fed_by, []).append(device)
        return {name: tuple(found) for name, found in children.items()}

    @property
    def gpu_count(self) -> int:
        return sum(node.gpus for node in self.nodes)

    def blast_radius(self, name: str) -> tuple[Node, ...]:
        """Nodes that the loss of a node, rack, loop or device touches (redundant feeds included)."""
        if name in self.node:
            return (self.node[name],)
        if name in self.rack:
            return self.nodes_in_rack[name]
        if name in self.loop:
            return self.nodes_on_loop[name]
        if name in self.device:
            return self._touched_by(self.device[name])
        raise KeyError(name)

    def _touched_by(self, device: Device) -> tuple[Node, ...]:
        if device.role is Role.BMC:
            return (self.node[device.node],)
        if device.role is Role.SWITCH:
            return tuple(node for node in self.nodes if device.name in self.switches_of(node))
        if device.role is Role.CRAH:
            return _in_racks(self.nodes, {r.name for r in self.racks if r.air_handler == device.name})
        if device.role in _OF_THEIR_RACK and device.rack:
            return self.nodes_in_rack[device.rack]
        if device.loop:
            return self.nodes_on_loop[device.loop]
        racks = {d.rack for d in self.fed_from(device.name) if d.role is Role.RACK_PDU}
        return _in_racks(self.nodes, racks)

    def place_of(self, name: str) -> str:
        """Where a thing stands, from large to small: site › hall › row › rack › U, node."""
        if name in self.node:
            node = self.node[name]
            rack = self.rack[node.rack]
            return " › ".join((self.site, rack.hall, rack.row, rack.name, f"U{node.unit}", node.name))
        if name in self.rack:
            rack = self.rack[name]
            return f"{self.site} › {rack.hall} › {rack.row} › {rack.name}"
        if name in self.loop:
            return f"{self.site} › {self.loop[name].hall} › {name}"
        if name in self.device:
            device = self.device[name]
            parts = (self.site, device.hall, device.rack, name)
            return " › ".join(part for part in parts if part)
        raise KeyError(name)


_OF_THEIR_RACK = (Role.MANIFOLD, Role.REAR_DOOR, Role.POWER_SHELF)
"""What serves the rack in which it stands, whatever loop it hangs on."""


def _in_racks(nodes: Iterable[Node], racks: set[str]) -> tuple[Node, ...]:
    return tuple(node for node in nodes if node.rack in racks)
