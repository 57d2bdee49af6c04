"""Power: a tree from the intakes to the outlets, two paths for each node, loads that can be carried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from gigawatch.topology.checks.finding import Finding, error, note, warning
from gigawatch.topology.model import Device, Inventory, Node, Role

DISTRIBUTING = (
    Role.UTILITY, Role.UPS, Role.FLOOR_PDU, Role.RACK_PDU, Role.TRANSFER_SWITCH, Role.BUSWAY, Role.METER,
    Role.POWER_SHELF,
)  # fmt: skip
"""Roles that can feed others."""
_TRANSFORMING = (Role.UPS, Role.FLOOR_PDU, Role.POWER_SHELF)
"""Roles whose voltage may differ from that of what feeds them."""
_OUTLETS = (Role.RACK_PDU, Role.POWER_SHELF, Role.BUSWAY, Role.FLOOR_PDU)
CONTINUOUS = 0.8
"""Share of a breaker's rating that may flow for hours (NEC 210.20(A), 215.3)."""


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    circled = set(circles(inventory.devices, lambda device: (device.fed_by,) if device.fed_by else ()))
    for name in sorted(circled, key=list(inventory.device).index):
        feeder = inventory.device[name].fed_by
        yield error(
            "circle",
            "devices",
            name,
            ("fed_by",),
            f"closes a circle through '{feeder}'",
            "power flows one way",
        )
    for device in inventory.devices:
        if device.fed_by:
            yield from _edge(device, inventory.device[device.fed_by])
    yield from _supplies(inventory)


def remarks(inventory: Inventory) -> Iterator[Finding]:
    for device in inventory.devices:
        if device.fed_by:
            yield from _odd_edge(inventory, device, inventory.device[device.fed_by])
        rating = device.breaker_amperes * device.voltage * device.phases
        if rating and device.capacity_watts > CONTINUOUS * rating * 1.001:
            yield note(
                "breaker", "devices", device.name, ("capacity_watts",),
                f"is {device.capacity_watts:g} W, more than 80 % of what its breaker of "
                f"{device.breaker_amperes:g} A carries", f"{CONTINUOUS * rating:.0f} W may flow for hours",
            )  # fmt: skip
    yield from _cords(inventory)
    yield from _loads(inventory)


def circles(devices: Iterable[Device], above: Callable[[Device], tuple[str, ...]]) -> Iterator[str]:
    """One device of each circle: the first in order that leads back to itself."""
    known = {device.name: device for device in devices}
    done: set[str] = set()
    for device in known.values():
        path: dict[str, None] = {}
        waiting: list[tuple[str, Iterator[str]]] = []
        if device.name not in done:
            waiting.append((device.name, iter(above(device))))
            path[device.name] = None
        while waiting:
            name, rest = waiting[-1]
            following = next((one for one in rest if one in known and one not in done), None)
            if following is None:
                waiting.pop()
                path.pop(name)
                done.add(name)
            elif following in path:
                order = list(path)
                members = order[order.index(following) :]
                yield min(members, key=list(known).index)
            else:
                path[following] = None
                waiting.append((following, iter(above(known[following]))))


def _edge(device: Device, parent: Device) -> Iterator[Finding]:
    if parent.role not in DISTRIBUTING:
        yield error(
            "feeder", "devices", device.name, ("fed_by",),
            f"names '{parent.name}', a {parent.role}, which distributes no power",
            f"allowed are devices of the roles {', '.join(DISTRIBUTING)}",
        )  # fmt: skip
    elif (
        device.role in DISTRIBUTING and device.phases > parent.phases and parent.role is not Role.POWER_SHELF
    ):
        yield error(
            "phases", "devices", device.name, ("phases",),
            f"is {device.phases}, and '{parent.name}' that feeds it has {parent.phases}",
        )  # fmt: skip


def _odd_edge(inventory: Inventory, device: Device, parent: Device) -> Iterator[Finding]:
    if device.role not in DISTRIBUTING or parent.role is Role.POWER_SHELF:
        return
    if device.role not in _TRANSFORMING and abs(device.voltage - parent.voltage) > 0.1 * parent.voltage:
        yield warning(
            "voltage", "devices", device.name, ("voltage",),
            f"is {device.voltage:g} V to neutral, and '{parent.name}' that feeds it has {parent.voltage:g} V",
        )  # fmt: skip
    ratings = [one.breaker_amperes * one.voltage * one.phases for one in (device, parent)]
    if min(ratings) > 0 and ratings[0] > ratings[1] * 1.001:
        yield warning(
            "breaker", "devices", device.name, ("breaker_amperes",),
            f"is {device.breaker_amperes:g} A, more than the {parent.breaker_amperes:g} A of '{parent.name}' "
            "that feeds it", "the breaker above would trip first",
        )  # fmt: skip
    above = inventory.side_of(parent)
    if device.side and above and device.side != above and device.role is not Role.TRANSFER_SWITCH:
        yield warning(
            "side", "devices", device.name, ("side",),
            f"is {device.side}, and '{parent.name}' that feeds it is on side {above}",
        )  # fmt: skip


def _supplies(inventory: Inventory) -> Iterator[Finding]:
    outlets: dict[tuple[str, str], tuple[str, int]] = {}
    for node in inventory.nodes:
        seen: set[int] = set()
        for index, supply in enumerate(node.supplies):
            at = ("supplies", index)
            pdu = inventory.device[supply.pdu]
            if supply.psu > node.psus or supply.psu in seen:
                what = "stands twice" if supply.psu in seen else f"is more than the node has ({node.psus})"
                yield error("supply", "nodes", node.name, (*at, "psu"), f"{supply.psu} {what}")
            seen.add(supply.psu)
            if pdu.role not in _OUTLETS:
                yield error("supply", "nodes", node.name, (*at, "pdu"), f"names '{pdu.name}', a {pdu.role}",
                            f"allowed are devices of the roles {', '.join(_OUTLETS)}")  # fmt: skip
            elif pdu.rack and pdu.rack != node.rack:
                yield error("supply", "nodes", node.name, (*at, "pdu"),
                            f"names '{pdu.name}', which hangs in rack '{pdu.rack}'",
                            f"'{node.name}' stands in '{node.rack}'")  # fmt: skip
            if supply.outlet:
                other = outlets.setdefault((pdu.name, supply.outlet), (node.name, supply.psu))
                if other != (node.name, supply.psu):
                    yield error("outlet", "nodes", node.name, (*at, "outlet"),
                                f"puts '{node.name}' on outlet {supply.outlet} of '{pdu.name}'",
                                f"supply {other[1]} of '{other[0]}' is plugged in there")  # fmt: skip


def _cords(inventory: Inventory) -> Iterator[Finding]:
    told: set[str] = set()
    for node in inventory.nodes:
        missing = _missing_path(inventory, node)
        if not missing:
            continue
        feeds = {inventory.feed_of(pdu) for pdu in inventory.pdus_of_rack.get(node.rack, ())} - {""}
        if node.supplies or len(feeds) > 1:
            yield note(
                "single-corded", "nodes", node.name, (), f"node '{node.name}' is single-corded: {missing}"
            )
        elif node.rack not in told:
            told.add(node.rack)
            yield note(
                "single-corded",
                "racks",
                node.rack,
                (),
                f"rack '{node.rack}' hangs on {len(feeds)} feed(s): its nodes are single-corded, and losing "
                "one feed takes it down",
            )


def _missing_path(inventory: Inventory, node: Node) -> str:
    """Why a node has no two independent paths; empty if it has."""
    pdus = {supply.pdu for supply in inventory.supplies_of(node)}
    if len(pdus) < 2:
        return f"it hangs on '{pdus.pop()}' alone" if pdus else "nothing is known to feed it"
    sides = {inventory.side_of(inventory.device[pdu]) for pdu in pdus} - {""}
    feeds = {inventory.feed_of(inventory.device[pdu]) for pdu in pdus} - {""}
    if len(feeds) == 1:
        return f"all its supplies come from '{feeds.pop()}'"
    if len(sides) == 1:
        return f"all its supplies hang on side {sides.pop()}"
    return "" if feeds or sides else "its PDUs hang on no feed"


def _loads(inventory: Inventory) -> Iterator[Finding]:
    """What would have to be carried if the other side fails; design power, cooling devices not counted."""
    design = {
        rack.name: sum(node.power_watts for node in inventory.nodes_in_rack[rack.name])
        for rack in inventory.racks
    }
    for rack in inventory.racks:
        if design[rack.name] > rack.power_watts:
            yield warning(
                "oversubscribed", "racks", rack.name, ("power_watts",),
                f"is {rack.power_watts:g} W, and the nodes of '{rack.name}' are designed for "
                f"{design[rack.name]:g} W",
            )  # fmt: skip
    fed = _racks_below(inventory)
    for device in inventory.devices:
        load = sum(design[rack] for rack in fed.get(device.name, ()))
        if device.role in DISTRIBUTING and 0 < device.capacity_watts < load:
            yield warning(
                "oversubscribed",
                "devices",
                device.name,
                ("capacity_watts",),
                f"is {device.capacity_watts:g} W, and the nodes below it are designed for {load:g} "
                "W: more than it carries if the other side fails",
            )


def _racks_below(inventory: Inventory) -> Mapping[str, set[str]]:
    """By device, the racks whose PDUs hang below it."""
    below: dict[str, set[str]] = defaultdict(set)
    for rack, pdus in inventory.pdus_of_rack.items():
        for pdu in pdus:
            current = pdu
            while rack not in below[current.name]:
                below[current.name].add(rack)
                if not current.fed_by:
                    break
                current = inventory.device[current.fed_by]
    return below
