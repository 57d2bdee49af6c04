"""Which alerts depend on a place, as matchers of Alertmanager's silences.

The labels that alerts carry say where they are; what follows from a cause elsewhere is known from the
inhibitions. What endangers people or hardware beside the place (a leak, smoke) stays loud.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from alerts.inhibitions import INHIBITIONS
from alerts.model import Domain
from alerts.rules import all_alerts
from gigawatch.errors import UserError
from gigawatch.topology import Device, Inventory, Role

LOUD = ("LeakAtCoolantUnit", "LeakInNode", "LeakInTray", "SmokeDetected")
"""Alerts that no maintenance mutes unless it is asked to: somebody may be standing there."""
_REDUNDANCY = ("PsuLost", "RackWithoutRedundancy")
"""What racks say of themselves while one of their feeds is off on purpose. That the other feed is overloaded
is not among it."""
_LOOP_CAUSES = ("loop-leak", "loop-unit", "loop-cooling")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    name: str
    values: tuple[str, ...]
    equal: bool = True

    def json(self) -> dict[str, object]:
        """As Alertmanager's API v2 takes it."""
        regex = len(self.values) > 1
        value = "|".join(re.escape(v) for v in self.values) if regex else self.values[0]
        return {"name": self.name, "value": value, "isRegex": regex, "isEqual": self.equal}

    def __str__(self) -> str:
        shown = self.json()
        sign = {(True, False): "=", (True, True): "=~", (False, False): "!=", (False, True): "!~"}
        return f'{self.name}{sign[(self.equal, bool(shown["isRegex"]))]}"{shown["value"]}"'


Silence = tuple[Matcher, ...]
"""All of these at once."""


def silences(inventory: Inventory, scope: str, name: str, everything: bool = False) -> list[Silence]:
    """The silences that together cover what depends on a place; UserError if there is no such place.

    `everything` mutes leaks and smoke there too.
    """
    always = [Matcher("site", (inventory.site,))]
    known = {alert.name for alert in all_alerts()}
    loud = tuple(alert for alert in LOUD if alert in known)
    if not everything and loud:
        always.append(Matcher("alertname", loud, equal=False))
    return [(*always, *one) for one in _without_doubles(_of(inventory, scope, name))]


def _of(inventory: Inventory, scope: str, name: str) -> Iterable[Silence]:
    if scope == "site":
        if name != inventory.site:
            raise UserError(f"no site '{name}'; the inventory is of site '{inventory.site}'")
        return [()]
    if scope == "gpu":
        return [_gpu(inventory, name)]
    known = _places(inventory)[scope]
    if name not in known:
        near = ", ".join(sorted(known)[:8]) or "none"
        raise UserError(f"no {scope} '{name}' in site '{inventory.site}'; there are: {near}")
    if scope == "node":
        return [(Matcher("node", (name,)),)]
    if scope in ("rack", "row", "hall"):
        return _racks(inventory, scope, name)
    if scope == "loop":
        return _loop(inventory, name)
    device = inventory.device[name]
    found = list(_device(inventory, device))
    return [(Matcher("feed", (name,)),), *found] if scope == "feed" else found


def _places(inventory: Inventory) -> dict[str, set[str]]:
    return {
        "node": set(inventory.node),
        "rack": set(inventory.rack),
        "row": {rack.row for rack in inventory.racks},
        "hall": {rack.hall for rack in inventory.racks} | {d.hall for d in inventory.devices if d.hall},
        "loop": set(inventory.loop),
        "device": set(inventory.device),
        "feed": {device.name for device in inventory.devices_with(Role.UTILITY)},
    }


def _gpu(inventory: Inventory, name: str) -> Silence:
    node, _, index = name.partition("/")
    if node not in inventory.node or not index.isdigit() or int(index) >= inventory.node[node].gpus:
        raise UserError(f"no GPU '{name}'; write NODE/INDEX, such as {next(iter(inventory.node), 'n01')}/0")
    return (Matcher("node", (node,)), Matcher("gpu", (index,)))


def _racks(inventory: Inventory, scope: str, name: str) -> Iterable[Silence]:
    attribute = "name" if scope == "rack" else scope
    racks = tuple(rack.name for rack in inventory.racks if getattr(rack, attribute) == name)
    if racks:
        yield (Matcher("rack", racks),)
    if scope == "hall":
        yield (Matcher("hall", (name,)),)


def _loop(inventory: Inventory, name: str) -> Iterable[Silence]:
    on_loop = Matcher("loop", (name,))
    yield (on_loop, Matcher("domain", (Domain.COOLING.value,)))
    yield (on_loop, Matcher("alertname", _symptoms(*_LOOP_CAUSES)))
    units = tuple(d.name for d in inventory.devices if d.loop == name)
    if units:
        yield (Matcher("device", units),)


def _device(inventory: Inventory, device: Device) -> Iterable[Silence]:
    """The device, all that it feeds, and what follows from their being off."""
    off = inventory.fed_from(device.name)
    gone = {d.name for d in off}
    yield (Matcher("device", tuple(d.name for d in off)),)
    pdus: dict[str, list[bool]] = {}
    for pdu in inventory.devices_with(Role.RACK_PDU):
        pdus.setdefault(pdu.rack, []).append(pdu.name in gone)
    dark = tuple(rack for rack, lost in pdus.items() if all(lost))
    poorer = tuple(rack for rack, lost in pdus.items() if any(lost) and not all(lost))
    if dark:
        yield (Matcher("rack", dark),)
    if poorer:
        yield (Matcher("rack", poorer), Matcher("alertname", _REDUNDANCY))
    for loop in dict.fromkeys(d.loop for d in off if d.role is Role.CDU and d.loop):
        units = [d.name for d in inventory.devices_with(Role.CDU) if d.loop == loop]
        if gone.issuperset(units):
            yield from _loop(inventory, loop)
        else:
            # The other units carry on, with less flow.
            yield (Matcher("loop", (loop,)), Matcher("alertname", _symptoms("loop-unit")))


def _symptoms(*causes: str) -> tuple[str, ...]:
    """Alerts that the inhibitions of those names mute."""
    found = [
        target for inhibition in INHIBITIONS if inhibition.name in causes for target in inhibition.targets
    ]
    return tuple(dict.fromkeys(found))


def _without_doubles(found: Iterable[Silence]) -> list[Silence]:
    return list(dict.fromkeys(found))
