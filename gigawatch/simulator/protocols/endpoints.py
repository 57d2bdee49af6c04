"""Which device of the plant is asked in which protocol, and the file that says so."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.simulator.protocols import mibs, points, registers
from gigawatch.simulator.protocols.modbus import Map
from gigawatch.simulator.protocols.mqtt import Point
from gigawatch.simulator.protocols.resources import Builder, builder_of
from gigawatch.simulator.protocols.snmp import Mib
from gigawatch.topology import Device, Endpoint, Inventory, Role

NAME = "endpoints.json"
_SNMP: dict[Role, tuple[str, Mib]] = {
    Role.RACK_PDU: ("raritan-px2", mibs.rack_pdu),
    Role.UPS: ("ups-mib", mibs.ups),
}
_MODBUS: dict[Role, tuple[str, Map]] = {
    Role.UTILITY: ("schneider-pm5000", registers.intake),
    Role.CDU: ("gigawatch-cdu", registers.coolant_unit),
    Role.DOOR: ("gigawatch-door", registers.door),
}
_UNITS = 247
"""Unit ids that one Modbus gateway can have behind it; devices beyond them speak Redfish."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the plant's servers listen."""

    snmp: str
    modbus: str
    redfish: str
    mqtt: str = ""
    """Empty where there is no broker: what would be on the bus speaks Redfish then, and says less."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What each server serves, and the endpoints under which it is found."""

    mibs: dict[str, Mib]
    units: dict[int, tuple[str, Map]]
    builders: dict[str, Builder]
    points: list[Point]
    endpoints: dict[str, list[Endpoint]]


def wire(inventory: Inventory, addresses: Addresses) -> Wiring:
    """Every device in one protocol: rack PDUs and UPS over SNMP; intakes, doors and every other coolant unit
    over Modbus; machines of the building on the bus; all else over Redfish."""
    found = Wiring({}, {}, {}, [], {})
    modbus = set(_on_modbus(inventory))
    for device in inventory.devices:
        found.endpoints[device.name] = [_connect(found, device, inventory, addresses, device.name in modbus)]
    return found


def _connect(
    found: Wiring, device: Device, inventory: Inventory, addresses: Addresses, modbus: bool
) -> Endpoint:
    name = device.name
    if device.role in _SNMP:
        profile, mib = _SNMP[device.role]
        found.mibs[name] = mib
        return Endpoint("snmp", addresses.snmp, profile=profile, context=name)
    if modbus:
        profile, registers_of = _MODBUS[device.role]
        unit = len(found.units) + 1
        found.units[unit] = (name, registers_of)
        return Endpoint("modbus", addresses.modbus, profile=profile, unit=unit)
    if addresses.mqtt and points.speaks(device.role):
        found.points.extend(points.points_of(device))
        return Endpoint("mqtt", addresses.mqtt, object=name)
    builder = builder_of(device, inventory)
    found.builders[name] = builder
    return Endpoint("redfish", addresses.redfish, path=builder.path)


def _on_modbus(inventory: Inventory) -> list[str]:
    intakes = [device.name for device in inventory.devices_with(Role.UTILITY)]
    every_other = [device.name for device in inventory.devices_with(Role.CDU)][1::2]
    doors = [device.name for device in inventory.devices_with(Role.DOOR)]
    return [*intakes, *every_other, *doors][:_UNITS]


def write(path: Path, endpoints: Mapping[str, list[Endpoint]]) -> None:
    """The file that `gigawatch facility --endpoints` reads, whole or not at all. Raises UserError."""
    defaults = {f.name: f.default for f in fields(Endpoint)}
    rows = {
        name: [{key: value for key, value in asdict(one).items() if value != defaults[key]} for one in found]
        for name, found in endpoints.items()
    }
    text = json.dumps(rows, indent=1) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: the endpoints cannot be written ({error.strerror})") from None
