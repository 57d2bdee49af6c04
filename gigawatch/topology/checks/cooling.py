"""Cooling: heat flows one way, every loop has coolant units, and they can carry it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gigawatch.topology.checks.finding import Finding, error, note, warning
from gigawatch.topology.checks.power import circles
from gigawatch.topology.model import Device, Inventory, Rack, Role

COOLING = (
    Role.CHILLER, Role.CDU, Role.CRAH, Role.DRY_COOLER, Role.COOLING_TOWER, Role.REAR_DOOR, Role.MANIFOLD,
)  # fmt: skip
"""Roles that can carry heat away."""


def contradictions(inventory: Inventory) -> Iterator[Finding]:
    for name in circles(inventory.devices, lambda device: device.cooled_by):
        yield error(
            "circle",
            "devices",
            name,
            ("cooled_by",),
            f"'{name}' cools itself in the end",
            "heat flows one way",
        )
    for device in inventory.devices:
        for index, other in enumerate(device.cooled_by):
            role = inventory.device[other].role
            if role not in COOLING:
                yield error("cooler", "devices", device.name, ("cooled_by", index),
                            f"names '{other}', a {role}, which carries no heat away",
                            f"allowed are devices of the roles {', '.join(COOLING)}")  # fmt: skip
    for rack in inventory.racks:
        yield from _air(inventory, rack)
    for node in inventory.nodes:
        if node.loop and node.rack not in inventory.loop[node.loop].racks:
            yield error("loop-rack", "nodes", node.name, ("loop",),
                        f"is '{node.loop}', which does not serve rack '{node.rack}'",
                        "add the rack to the loop's racks")  # fmt: skip
    yield from _groups(inventory)


def _air(inventory: Inventory, rack: Rack) -> Iterator[Finding]:
    if not rack.air_handler:
        return
    handler, at = inventory.device[rack.air_handler], ("air_handler",)
    if handler.role is not Role.CRAH:
        yield error("air-handler", "racks", rack.name, at, f"names '{handler.name}', a {handler.role}",
                    f"allowed are devices of the role {Role.CRAH}")  # fmt: skip
    elif handler.hall and handler.hall != rack.hall:
        yield error("air-handler", "racks", rack.name, at,
                    f"is '{handler.name}' in {handler.hall}, and the rack stands in {rack.hall}",
                    "name one of its hall")  # fmt: skip


def remarks(inventory: Inventory) -> Iterator[Finding]:
    units: dict[str, list[Device]] = defaultdict(list)
    for unit in inventory.devices_with(Role.CDU):
        units[unit.loop].append(unit)
    for loop in inventory.loops:
        yield from _loop(inventory, loop.name, units[loop.name])
    for device in inventory.devices:
        if device.role is Role.MANIFOLD and not device.loop:
            yield warning(
                "no-loop", "devices", device.name, ("loop",), "is missing", "name the manifold's loop"
            )
        if (
            device.role is Role.CDU
            and not device.cooled_by
            and any(inventory.devices_with(r) for r in _OUTDOORS)
        ):
            yield note("no-source", "devices", device.name, ("cooled_by",),
                       f"is missing: nothing is said to carry the heat of '{device.name}' away",
                       "name its chillers, dry coolers or cooling towers")  # fmt: skip
    for rack in inventory.racks:
        heat = sum(node.power_watts for node in inventory.nodes_in_rack[rack.name])
        if rack.cooling_watts and heat > rack.cooling_watts:
            yield warning("oversubscribed", "racks", rack.name, ("cooling_watts",),
                          f"is {rack.cooling_watts:g} W, and the nodes of '{rack.name}' are designed for "
                          f"{heat:g} W")  # fmt: skip


_OUTDOORS = (Role.CHILLER, Role.DRY_COOLER, Role.COOLING_TOWER)


def _loop(inventory: Inventory, name: str, units: list[Device]) -> Iterator[Finding]:
    if not units:
        yield warning("no-source", "loops", name, (), f"loop '{name}' has no coolant unit (role cdu)")
        return
    heat = sum(node.power_watts for node in inventory.nodes_on_loop[name])
    rated = [unit.capacity_watts for unit in units]
    if not all(rated):
        return
    if heat > sum(rated):
        yield warning(
            "oversubscribed",
            "loops",
            name,
            (),
            f"the coolant units of loop '{name}' carry {sum(rated):g} W, and its nodes are designed for "
            f"{heat:g} W",
        )
    elif heat > sum(rated) - max(rated):
        yield note("no-spare", "loops", name, (),
                   f"loop '{name}' has no spare coolant unit: losing one takes its nodes down")  # fmt: skip
    halls = {inventory.rack[rack].hall for rack in inventory.loop[name].racks}
    if halls - {inventory.loop[name].hall}:
        yield warning(
            "hall",
            "loops",
            name,
            ("hall",),
            f"is '{inventory.loop[name].hall}', and its racks stand in {', '.join(sorted(halls))}",
        )


def _groups(inventory: Inventory) -> Iterator[Finding]:
    groups: dict[str, list[Device]] = defaultdict(list)
    for device in inventory.devices:
        if device.group:
            groups[device.group].append(device)
        elif device.spare:
            yield error("group", "devices", device.name, ("spare",), "is given without a group",
                        "name the group of which so many may fail")  # fmt: skip
    for group, members in groups.items():
        first = members[0]
        for device in members[1:]:
            if (device.role, device.spare) != (first.role, first.spare):
                yield error(
                    "group",
                    "devices",
                    device.name,
                    ("group",),
                    f"is '{group}', as of '{first.name}': a {first.role} with spare {first.spare}, here a "
                    f"{device.role} with spare {device.spare}",
                    "what stands in for each other agrees in both",
                )
        if first.spare >= len(members):
            yield error("group", "devices", first.name, ("spare",),
                        f"is {first.spare}, and group '{group}' has {len(members)} members")  # fmt: skip
