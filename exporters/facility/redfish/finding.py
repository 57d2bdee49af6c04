"""Which resource of a service is the device."""

from __future__ import annotations

from collections.abc import Iterable

from exporters.facility.driver import PollError, Reason
from exporters.facility.redfish.jsons import items, last, link, text
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Body
from exporters.facility.redfish.service import Service
from exporters.facility.redfish.tables_chassis import ROOTS
from gigawatch.topology import Device, Role

_MOST_CANDIDATES = 32
_CHASSIS = (("Chassis",),)
_PLACES: dict[Role, tuple[tuple[str, ...], ...]] = {
    Role.CDU: (("ThermalEquipment", "CDUs"),),
    Role.REAR_DOOR: (("ThermalEquipment", "HeatExchangers"),),
    Role.RACK_PDU: (("PowerEquipment", "RackPDUs"),),
    Role.FLOOR_PDU: (("PowerEquipment", "FloorPDUs"),),
    Role.BUSWAY: (("PowerEquipment", "ElectricalBuses"),),
    Role.TRANSFER_SWITCH: (("PowerEquipment", "TransferSwitches"),),
    Role.POWER_SHELF: (("PowerEquipment", "PowerShelves"),),
    Role.METER: (("PowerEquipment", "Switchgear"),),
    Role.LEAK_DETECTOR: (*_CHASSIS, ("ThermalEquipment", "LeakDetection")),
}
_TELLING = ("ThermalSubsystem", "PowerSubsystem", "EnvironmentMetrics", "Sensors", "Thermal", "Power")
_OF_OTHERS = frozenset({"Component", "Module", "Zone", "Card", "Rack", "Row", "Pod", "Shelf", "Drawer"})
"""Types of chassis that are a part of the server, or hold several."""


async def find(service: Service, device: Device, path: str, seconds: float) -> tuple[str, str]:
    """Address and table of the resource that is the device. Raises PollError."""
    if path:
        uri = local(path if path.startswith("/") else f"/{path}", service.origin)
        if not uri:
            raise PollError(Reason.PROFILE, f"path {path}: is no path of a Redfish resource")
        return uri, kind_of(await service.remembered(uri, seconds), uri)
    root = await service.root()
    for way in _PLACES.get(device.role, _CHASSIS):
        found = await _members(service, root, way, seconds)
        if found:
            uri, body = _choose(found, device, way)
            return uri, kind_of(body, uri)
    looked = " or ".join("/".join(way) for way in _PLACES.get(device.role, _CHASSIS))
    raise PollError(Reason.PROFILE, f"has nothing under {looked}; name the resource as the endpoint's path")


def kind_of(body: Body, uri: str) -> str:
    """The table for a resource. Raises PollError(PROFILE)."""
    kind = text(body.get("@odata.type")).lstrip("#").partition(".")[0]
    if kind in ROOTS:
        return kind
    if not kind:
        for part, table in (
            ("/ThermalEquipment/", "CoolingUnit"),
            ("/PowerEquipment/", "PowerDistribution"),
            ("/Chassis/", "Chassis"),
        ):
            if part in uri:
                return table
    raise PollError(
        Reason.PROFILE, f"{last(uri)}: is a {kind or 'resource without type'}, not one that can be read"
    )


async def _members(
    service: Service, root: Body, way: tuple[str, ...], seconds: float
) -> list[tuple[str, Body]]:
    body = root
    uri = ""
    for step in way:
        uri = local(link(body.get(step)), service.origin)
        if not uri:
            return []
        body = await service.remembered(uri, seconds)
    if "Members" not in body:
        return [(uri, body)]
    uris = [local(link(member), service.origin) for member in items(body.get("Members"))]
    wanted = [uri for uri in uris if uri][:_MOST_CANDIDATES]
    return [(uri, await service.remembered(uri, seconds)) for uri in wanted]


def _choose(found: list[tuple[str, Body]], device: Device, way: tuple[str, ...]) -> tuple[str, Body]:
    if len(found) == 1:
        return found[0]
    names = {name.lower() for name in (device.name, device.serial, device.node) if name}
    for uri, body in found:
        if any(name.lower() in names for name in _names(uri, body)):
            return uri, body
    if way == ("Chassis",):
        return max(found, key=lambda pair: _told_by(pair[1]))
    known = ", ".join(last(uri) for uri, _ in found[:5])
    raise PollError(
        Reason.PROFILE, f"has several ({known}) and none bears the device's name or serial: set its path"
    )


def _names(uri: str, body: Body) -> Iterable[str]:
    yield from (text(body.get(name)) for name in ("Id", "Name", "SerialNumber", "AssetTag"))
    yield last(uri)


def _told_by(body: Body) -> int:
    """How much a chassis has to say."""
    telling = sum(bool(link(body.get(name))) for name in _TELLING)
    return telling - (len(_TELLING) if text(body.get("ChassisType")) in _OF_OTHERS else 0)
