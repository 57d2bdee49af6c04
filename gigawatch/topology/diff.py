"""The inventory held against what telemetry shows: what stands elsewhere, is missing, is something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gigawatch.topology.model import Inventory, Role
from gigawatch.topology.telemetry import Shown

_FAMILY = re.compile(r"(?<![A-Z0-9])(?:G[BH]|RTX ?(?:PRO ?)?A?|[A-Z])\d{1,4}[A-Z]?(?![A-Z0-9])")
_MEMORY = re.compile(r"(\d+) ?GB?(?![A-Z0-9])")
_ASKED = frozenset({Role.UTILITY, Role.UPS, Role.RACK_PDU, Role.CDU, Role.BMC})
"""Roles that are always worth asking."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which inventory and telemetry do not agree."""

    kind: str
    """node-without-place, place-without-node, gpu-count, gpu-model, serial, rack, unit, two-racks,
    device-without-place, device-silent, device-not-asked, device-model."""
    name: str
    place: str
    """Where the inventory has it; empty if nowhere."""
    inventory: str
    telemetry: str


def differences(inventory: Inventory, shown: Shown) -> list[Difference]:
    """All of them, the same order for the same facts."""
    found = [*_nodes(inventory, shown), *_gpus(inventory, shown), *_devices(inventory, shown)]
    found += [*_hardware(inventory, shown), *_places(inventory, shown)]
    return sorted(found, key=lambda one: (one.kind, one.name))


def _nodes(inventory: Inventory, shown: Shown) -> Iterator[Difference]:
    for name, racks in shown.nodes.items():
        node = inventory.node.get(name)
        # The agent of the machine that runs the stack stands in no rack, and says so.
        if node is None and racks != {""}:
            yield Difference("node-without-place", name, "", "", f"reports from rack {_listed(racks)}")
        elif len(racks) > 1:
            yield Difference(
                "two-racks", name, _place(inventory, name), node.rack if node else "", _listed(racks)
            )
        elif node is not None and racks != {node.rack}:
            yield Difference("rack", name, _place(inventory, name), node.rack, _listed(racks))
    for node in inventory.nodes:
        if node.name not in shown.nodes:
            yield Difference(
                "place-without-node",
                node.name,
                _place(inventory, node.name),
                "stands there",
                "never reported",
            )


def _gpus(inventory: Inventory, shown: Shown) -> Iterator[Difference]:
    for node in inventory.nodes:
        if node.name not in shown.nodes:
            continue
        models = shown.gpus.get(node.name, {})
        count = len(set().union(*models.values()))
        place = _place(inventory, node.name)
        if count != node.gpus:
            yield Difference("gpu-count", node.name, place, str(node.gpus), str(count))
        for model in models:
            if node.gpu_model and model and not same_gpu(node.gpu_model, model):
                yield Difference("gpu-model", node.name, place, node.gpu_model, model)


def same_gpu(one: str, other: str) -> bool:
    """Whether two names may mean the same product: H100-SXM5-80GB is what a driver calls NVIDIA H100 80GB
    HBM3. Names that tell no product are given the benefit of the doubt."""
    families = [_FAMILY.findall(_spoken(name)) for name in (one, other)]
    if all(families) and families[0][0].replace(" ", "") != families[1][0].replace(" ", ""):
        return False
    memories = [_MEMORY.findall(_spoken(name)) for name in (one, other)]
    # Vendors round memory in their own ways (a B200 is sold with 180, 183 or 192 GB).
    return not all(memories) or abs(int(memories[0][0]) - int(memories[1][0])) <= 0.1 * int(memories[0][0])


def _devices(inventory: Inventory, shown: Shown) -> Iterator[Difference]:
    for name, racks in shown.devices.items():
        device = inventory.device.get(name)
        if device is None:
            yield Difference("device-without-place", name, "", "", f"polled, in rack {_listed(racks)}")
        elif len(racks) > 1:
            yield Difference("two-racks", name, _place(inventory, name), device.rack, _listed(racks))
        elif racks != {device.rack}:
            yield Difference(
                "rack", name, _place(inventory, name), device.rack or "none", _listed(racks) or "none"
            )
    asked = any(device.endpoints for device in inventory.devices)
    for device in inventory.devices:
        place = _place(inventory, device.name)
        if device.name in shown.silent:
            yield Difference("device-silent", device.name, place, "stands there", "does not answer")
        elif device.name in shown.devices:
            continue
        elif device.endpoints:
            yield Difference("device-silent", device.name, place, "is to be asked", "never polled")
        elif device.role in _ASKED and (asked or shown.devices):
            yield Difference("device-not-asked", device.name, place, "has no endpoint", "never polled")


def _hardware(inventory: Inventory, shown: Shown) -> Iterator[Difference]:
    for name, hardware in shown.hardware.items():
        device = inventory.device.get(name)
        if device is None:
            continue
        place = _place(inventory, name)
        planned = device.serial
        if device.role is Role.BMC and device.node:
            node = inventory.node[device.node]
            # Nodes without a serial in the file carry one made of their name.
            planned = planned or ("" if node.serial == f"sn-{node.name}" else node.serial)
        if planned and hardware.serial and planned.casefold() != hardware.serial.casefold():
            yield Difference("serial", name, place, planned, hardware.serial)
        said = f"{hardware.vendor} {hardware.model}".strip()
        if device.model and hardware.model and not _same_model(device.model, said):
            yield Difference("device-model", name, place, device.model, said)


def _places(inventory: Inventory, shown: Shown) -> Iterator[Difference]:
    for name, (rack, unit) in shown.places.items():
        device = inventory.device.get(name)
        if device is None:
            continue
        planned_rack, planned_unit = device.rack, device.unit
        if device.role is Role.BMC and device.node:
            node = inventory.node[device.node]
            planned_rack, planned_unit = node.rack, node.unit
        place = _place(inventory, name)
        if rack and planned_rack and rack.casefold() != planned_rack.casefold():
            yield Difference("rack", name, place, planned_rack, f"says of itself: {rack}")
        elif unit.isdecimal() and planned_unit and int(unit) != planned_unit:
            yield Difference("unit", name, place, f"U{planned_unit}", f"says of itself: U{int(unit)}")


def _same_model(planned: str, said: str) -> bool:
    one, other = (re.sub(r"[^a-z0-9]", "", text.casefold()) for text in (planned, said))
    return one in other or other in one


def _spoken(name: str) -> str:
    return name.upper().replace("-", " ").replace("_", " ")


def _place(inventory: Inventory, name: str) -> str:
    return inventory.place_of(name)


def _listed(racks: set[str]) -> str:
    return ", ".join(sorted(filter(None, racks))) or ""
