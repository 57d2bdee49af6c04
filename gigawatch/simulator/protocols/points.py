"""The points of the plant's devices on the building management's bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from gigawatch.catalogue import Metric, facility, liquid
from gigawatch.simulator.protocols.mqtt import Point
from gigawatch.simulator.protocols.values import Values
from gigawatch.topology import Device, Role

_OBJECTS = {Role.CHILLER: "Chiller", Role.CRAH: "CRAH", Role.MANIFOLD: "Rack"}
_RACK_MEASURED: tuple[tuple[str, str, float, Metric, str], ...] = (
    ("RackLiquidSupplyTemperature", "C", 1.0, facility.COOLANT_SUPPLY_TEMPERATURE, "tcs"),
    ("RackLiquidReturnTemperature", "C", 1.0, facility.COOLANT_RETURN_TEMPERATURE, "tcs"),
    ("RackLiquidFlow", "LPM", 60_000.0, facility.COOLANT_FLOW, "tcs"),
    ("RackLiquidDifferentialPressure", "kPa", 1e-3, facility.COOLANT_PRESSURE, "tcs"),
    ("RackControlValvePosition", "%", 100.0, liquid.VALVE_POSITION, "rack"),
)
_LEAK_WORDS = ("NoLeak", "Leak")
_FAULT_WORDS = ("Normal", "Fault")
_ISOLATION_WORDS = ("NotIsolated", "Isolated")

Get = Callable[[Values], float | None]


def speaks(role: Role) -> bool:
    """Whether such devices are on the bus."""
    return role in _OBJECTS


def points_of(device: Device) -> Iterator[Point]:
    """The points of a device; none for those that are not on the bus."""
    if device.role is Role.MANIFOLD:
        yield from _rack(device)
    elif speaks(device.role):
        yield from _machine(device)


def _machine(device: Device) -> Iterator[Point]:
    """A chiller or an air handler."""
    name = _OBJECTS[device.role]

    def generic(what: str, unit: str, get: Get) -> Point:
        metadata = _metadata(device, name, "GenericPoint", engUnit=unit, processArea=[what])
        return Point(device.name, f"{name}/GenericPoint", f"{device.name}/{what}", metadata, get)

    yield generic("ActivePower", "kW", partial(_inlet, facility.POWER_ACTIVE, 1e-3))
    yield generic("ActiveEnergy", "kWh", partial(_inlet, facility.ENERGY, 1 / 3.6e6))
    yield generic("HeatRemoved", "kW", partial(_plain, facility.HEAT_REMOVED, ("fws",), 1e-3))
    if device.capacity_watts > 0:
        yield generic("CoolingCapacity", "kW", partial(_plain, facility.COOLING_CAPACITY, (), 1e-3))
    if device.role is Role.CRAH:
        metadata = _metadata(device, name, "AirTemperature", engUnit="C", processArea=["Room"])
        air = partial(_plain, facility.AIR_TEMPERATURE, ("room", ""), 1.0)
        yield Point(device.name, f"{name}/AirTemperature", f"{device.name}/AirTemperature", metadata, air)


def _rack(device: Device) -> Iterator[Point]:
    """A rack's manifold: valves, flow and leak sensors."""
    for what, unit, factor, metric, label in _RACK_MEASURED:
        metadata = _metadata(device, "Rack", what, engUnit=unit)
        get = partial(_plain, metric, (label,), factor)
        yield Point(device.name, f"Rack/{what}", f"{device.name}/{what}", metadata, get)
    zone = device.zones[0].name if device.zones else ""
    place = f"{device.name}/{zone}" if zone else device.name
    for what, words, state in (
        ("RackLeakDetect", _LEAK_WORDS, "leak"),
        ("RackLeakSensorFault", _FAULT_WORDS, "fault"),
    ):
        leak = partial(_plain, facility.LEAK_STATE, (zone or "rack", state), 1.0)
        yield _state(device, what, f"{place}/{what}", words, leak)
    for what, kind in (
        ("RackLiquidIsolationStatus", "liquid"),
        ("RackElectricalIsolationStatus", "electrical"),
    ):
        cut = partial(_plain, liquid.ISOLATED, (kind,), 1.0)
        yield _state(device, what, f"{device.name}/{what}", _ISOLATION_WORDS, cut)


def _state(device: Device, what: str, tag: str, words: tuple[str, str], get: Get) -> Point:
    texts = [{"value": number, "text": word} for number, word in enumerate(words)]
    metadata = _metadata(device, "Rack", what, stateText=texts)
    return Point(device.name, f"Rack/{what}", tag, metadata, get, state=True)


def _metadata(device: Device, kind: str, point: str, **more: object) -> dict[str, object]:
    owner = (
        {"rackLocationId": device.rack, "rackLocationName": device.rack}
        if kind == "Rack"
        else {"objectId": device.name, "objectName": device.name}
    )
    return {"objectType": kind, "pointType": point, **owner, **more}


def _plain(metric: Metric, labels: tuple[str, ...], factor: float, values: Values) -> float | None:
    value = values.get(metric, *labels)
    return None if value is None else round(value * factor, 4)


def _inlet(metric: Metric, factor: float, values: Values) -> float | None:
    value = values.power(metric, "inlet")
    return None if value is None else round(value * factor, 4)
