"""What fails if something is lost: a feed, a device, a loop, a rack, a row, a hall."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gigawatch.errors import UserError
from gigawatch.topology.flow import Draw, Flow
from gigawatch.topology.model import Inventory, Role


@dataclass(frozen=True, slots=True)
class Overload:
    """A power device that would carry more than it may for long."""

    device: str
    place: str
    watts: float
    limit_watts: float
    trips: bool
    """More than the breaker's rating itself, or than the capacity: it will not hold."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Cooling that is too little: of a loop, the air of a hall, or the chillers of a hall."""

    what: str
    name: str
    heat_watts: float
    capacity_watts: float
    nodes: int
    gpus: int


@dataclass(slots=True)
class Outcome:
    """What a loss leads to, once batteries are empty and the rest has taken over."""

    lost: tuple[str, ...]
    dark_racks: list[str] = field(default_factory=list)
    dark_nodes: list[str] = field(default_factory=list)
    dark_gpus: int = 0
    poorer_racks: list[str] = field(default_factory=list)
    """Racks that go on, with one feed less."""
    on_battery: list[str] = field(default_factory=list)
    """UPS that carry their load until their batteries are empty."""
    overloads: list[Overload] = field(default_factory=list)
    shortages: list[Shortage] = field(default_factory=list)

    @property
    def harmless(self) -> bool:
        """Nothing goes dark, nothing is overloaded, everything stays cool."""
        return not (self.dark_nodes or self.overloads or self.shortages)


def devices_of(inventory: Inventory, name: str) -> frozenset[str]:
    """The devices that are off when the thing of that name is lost; UserError if there is no such thing.

    A rack takes its PDUs with it, a row or hall all that stands in it, a loop its coolant units.
    """
    if name in inventory.device:
        return frozenset((name,))
    if name in inventory.loop:
        return frozenset(d.name for d in inventory.devices if d.loop == name)
    racks = {r.name for r in inventory.racks if name in (r.name, r.row, r.hall)}
    halls = {r.hall for r in inventory.racks} | {d.hall for d in inventory.devices}
    if racks or name in halls:
        return frozenset(d.name for d in inventory.devices if d.rack in racks or d.hall == name)
    names = sorted({*inventory.device, *inventory.loop, *inventory.rack})
    raise UserError(
        f"the site '{inventory.site}' has no device, loop, rack, row or hall '{name}'; "
        f"there are {', '.join(names[:6])} ..."
    )


def lose(inventory: Inventory, names: Iterable[str], draw: Draw) -> Outcome:
    """What fails if all of these are lost at once."""
    lost = tuple(names)
    off = frozenset().union(*(devices_of(inventory, name) for name in lost))
    before, after = Flow(inventory, draw), Flow(inventory, draw, off)
    outcome = Outcome(lost)
    gone = {node.name for node in after.dark} - {node.name for node in before.dark}
    # A row or hall that is lost takes its nodes with it, whether PDUs are known or not.
    gone |= {n.name for n in inventory.nodes if _stands_in(inventory, n.rack, lost)}
    outcome.dark_nodes = [node.name for node in inventory.nodes if node.name in gone]
    outcome.dark_gpus = sum(inventory.node[name].gpus for name in outcome.dark_nodes)
    whole = {r.name: {n.name for n in inventory.nodes_in_rack[r.name]} for r in inventory.racks}
    outcome.dark_racks = [rack for rack, nodes in whole.items() if nodes and nodes <= gone]
    poorer = {node.rack for node in after.poorer} - set(outcome.dark_racks)
    outcome.poorer_racks = [rack.name for rack in inventory.racks if rack.name in poorer]
    outcome.on_battery = [
        ups.name
        for ups in inventory.devices_with(Role.UPS)
        if ups.name not in off and not after.alive(ups.name)
    ]
    already = {device.name for device, _, _ in before.overloads()}
    for device, watts, limit in after.overloads():
        if device.name not in already:
            rating = device.breaker_amperes * device.voltage * device.phases
            trips = watts > max(device.capacity_watts, rating, limit)
            outcome.overloads.append(
                Overload(device.name, inventory.place_of(device.name), watts, limit, trips)
            )
    outcome.shortages = _shortages(inventory, before, after, gone)
    return outcome


def _stands_in(inventory: Inventory, rack: str, lost: Iterable[str]) -> bool:
    found = inventory.rack[rack]
    return any(name in (found.name, found.row, found.hall) for name in lost)


def _shortages(inventory: Inventory, before: Flow, after: Flow, gone: set[str]) -> list[Shortage]:
    found = []
    for loop in inventory.loops:
        nodes = [node for node in inventory.nodes_on_loop[loop.name] if node.name not in gone]
        heat = sum(after.node_watts[node.name] for node in nodes)
        had = sum(d.capacity_watts for d in before.units(Role.CDU, loop=loop.name))
        has = sum(
            d.capacity_watts
            for d in after.units(Role.CDU, loop=loop.name)
            if _chilled(inventory, after, d.cooled_by)
        )
        if has < had and has < heat:
            found.append(Shortage("loop", loop.name, heat, has, len(nodes), sum(n.gpus for n in nodes)))
    for hall in dict.fromkeys(rack.hall for rack in inventory.racks):
        here = [n for n in inventory.nodes if inventory.rack[n.rack].hall == hall and n.name not in gone]
        in_air = [n for n in here if not n.loop]
        for role, what, nodes in ((Role.CRAH, "air", in_air), (Role.CHILLER, "chillers", here)):
            heat = sum(after.node_watts[n.name] for n in nodes)
            had = sum(d.capacity_watts for d in before.units(role, hall=hall))
            has = sum(d.capacity_watts for d in after.units(role, hall=hall))
            if has < had and has < heat:
                found.append(Shortage(what, hall, heat, has, len(nodes), sum(n.gpus for n in nodes)))
    return found


def _chilled(inventory: Inventory, flow: Flow, sources: tuple[str, ...]) -> bool:
    """Whether at least one of the devices that carry the heat on still works; true where none is named."""
    known = [name for name in sources if name in inventory.device]
    return not known or any(flow.alive(name) for name in known)
