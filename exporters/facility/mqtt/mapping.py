"""From a point's metadata to the metric that its values are: one table for each kind of point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from exporters.facility.mqtt.point import Meta
from exporters.facility.mqtt.words import (
    BREAKER,
    DETECTED,
    HEALTH,
    ISOLATED,
    LEAK,
    OPEN,
    RUNNING,
    SENSOR_FAULT,
    TRANSFER,
    UPS,
    generic_names,
    named,
    part,
    states_of,
    tokens,
)
from exporters.facility.units import conversion, is_energy
from gigawatch.catalogue import Metric, electrical, facility, liquid, room
from gigawatch.topology import Device, Role


@dataclass(frozen=True, slots=True)
class Binding:
    """What a point's values are."""

    metric: Metric
    labels: tuple[str, ...]
    """A state set's without the state."""
    factor: float = 1.0
    offset: float = 0.0
    absolute: bool = False
    states: Mapping[int, str] = field(default_factory=dict)
    """State sets: number to state. A number that is not in it says nothing."""
    flags: Mapping[int, float] = field(default_factory=dict)
    """Flags: number to 0 or 1."""


class Unbound(Exception):  # noqa: N818 - it is counted, not raised to anybody
    """The point's values are not used: `reason` is unmapped or unit."""

    def __init__(self, reason: str = "unmapped") -> None:
        super().__init__(reason)
        self.reason = reason


Maker = Callable[[Meta, Device], Binding]
_AIR_HANDLERS = ("CRAH", "CRAC", "AHU")
_PRODUCERS = ("Chiller", "CoolingTower")
"""What makes the water cold: what comes in there is the return."""
_PARTS = ("Tank", "Sensor", "GenericObject", "Pump", "Fan", "Valve", "Damper")
_EQUIPMENT = frozenset(("CDU", "HX", *_AIR_HANDLERS, *_PRODUCERS, *_PARTS))


def bind(meta: Meta, device: Device) -> Binding:
    """What the point is for this device. Raises Unbound."""
    kind = meta.object_type
    if kind == "Rack":
        maker = _RACK.get(meta.point_type)
    elif kind == "PowerMeter" and meta.point_type in _METER:
        maker = _METER[meta.point_type]
    elif meta.point_type == "GenericPoint":
        maker = _generic(meta)
    elif meta.point_type == "Status":
        maker = _STATUS.get(kind)
    elif meta.point_type == "Available":
        maker = _available
    elif meta.point_type == "ActivePower":
        maker = _METER["ActivePower"]
    else:
        maker = _PLANT.get(meta.point_type) if kind in _EQUIPMENT else None
    if maker is None:
        raise Unbound
    return maker(meta, device)


def _number(meta: Meta, metric: Metric, *labels: str, absolute: bool = False) -> Binding:
    found = conversion(meta.unit, metric.unit)
    if found is None:
        raise Unbound("unit")
    return Binding(metric, labels, found.factor, found.offset, absolute)


def _states(metric: Metric, states: Mapping[int, str], *labels: str) -> Binding:
    if not states:
        raise Unbound
    return Binding(metric, labels, states=states)


def _flag(meta: Meta, metric: Metric, words: Mapping[str, str], *labels: str) -> Binding:
    states = states_of(meta, words, {0: "0", 1: "1"})
    return Binding(metric, labels, flags={number: float(flag) for number, flag in states.items()})


def _circuit(meta: Meta, device: Device) -> str:
    said = tokens(meta)
    if "condenser" in said:
        raise Unbound  # neither of our circuits
    if said & {"secondary", "tcs", "technology"}:
        return "tcs"
    if said & {"primary", "fws", "facility"}:
        return "fws"
    near = meta.object_type in ("Rack", "CDU") or device.role in (Role.CDU, Role.MANIFOLD)
    return "tcs" if near else "fws"


def _way(meta: Meta, circuit: str) -> str:
    """Supply or return; Unbound where nothing says it."""
    said = tokens(meta)
    for way in ("supply", "return"):
        if way in said:
            return way
    makes_cold = meta.object_type in _PRODUCERS or (meta.object_type in ("CDU", "HX") and circuit == "tcs")
    if said & {"inlet", "entering"}:
        return "return" if makes_cold else "supply"
    if said & {"outlet", "leaving"}:
        return "supply" if makes_cold else "return"
    raise Unbound


def _liquid_temperature(meta: Meta, device: Device) -> Binding:
    circuit = _circuit(meta, device)
    if meta.setpoint:
        return _number(meta, facility.COOLANT_SETPOINT, circuit)
    if _way(meta, circuit) == "supply":
        return _number(meta, facility.COOLANT_SUPPLY_TEMPERATURE, circuit)
    return _number(meta, facility.COOLANT_RETURN_TEMPERATURE, circuit)


def _liquid_flow(meta: Meta, device: Device) -> Binding:
    design = meta.setpoint or "design" in tokens(meta)
    metric = facility.COOLANT_DESIGN_FLOW if design else facility.COOLANT_FLOW
    return _number(meta, metric, _circuit(meta, device))


def _liquid_pressure(meta: Meta, device: Device) -> Binding:
    circuit = _circuit(meta, device)
    return _measured(meta, liquid.COOLANT_PRESSURE_AT, circuit, _way(meta, circuit))


def _measured(meta: Meta, metric: Metric, *labels: str) -> Binding:
    if meta.setpoint:
        raise Unbound
    return _number(meta, metric, *labels)


def _on_circuit(metric: Metric) -> Maker:
    return lambda meta, device: _measured(meta, metric, _circuit(meta, device))


def _plain(metric: Metric, *labels: str) -> Maker:
    return lambda meta, _device: _measured(meta, metric, *labels)


def _speed(ratio: Metric, rpm: Metric, running: Metric | None) -> Maker:
    def maker(meta: Meta, device: Device) -> Binding:
        name = part(meta, device.name, device.rack)
        if meta.states:
            if running is None:
                raise Unbound
            return _flag(meta, running, RUNNING, name)
        metric = rpm if conversion(meta.unit, rpm.unit) else ratio
        if not meta.unit:
            raise Unbound("unit")
        return _measured(meta, metric, name)

    return maker


def _valve(meta: Meta, device: Device) -> Binding:
    name = "rack" if meta.object_type == "Rack" else part(meta, device.name, device.rack)
    if meta.states:
        return _flag(meta, liquid.VALVE_POSITION, OPEN, name)
    if not meta.unit:
        raise Unbound("unit")
    return _measured(meta, liquid.VALVE_POSITION, name)


def _air(metric: Metric) -> Maker:
    def maker(meta: Meta, _device: Device) -> Binding:
        said = tokens(meta)
        position = "room"
        sensor = named(meta)
        if meta.object_type in _AIR_HANDLERS:
            sensor = sensor or next((way for way in ("supply", "return") if way in said), "")
        elif said & {"inlet", "cold", "supply"}:
            position = "inlet"
        elif said & {"exhaust", "outlet", "hot", "return"}:
            position = "exhaust"
        elif said & {"outdoor", "outside", "ambient"}:
            position = "outdoor"
        return _measured(meta, metric, position, sensor)

    return maker


def _air_pressure(meta: Meta, _device: Device) -> Binding:
    return _measured(meta, room.AIR_PRESSURE, named(meta))


def zone(meta: Meta, device: Device, otherwise: str) -> str:
    """Name of the leak zone, as the inventory has it where it can be told."""
    said = {text.casefold() for text in (*meta.area, *meta.tag_path.split("/"))}
    for known in device.zones:
        if known.name.casefold() in said:
            return known.name
    if len(device.zones) == 1:
        return device.zones[0].name
    return named(meta) or otherwise


def _leak(otherwise: str = "") -> Maker:
    def maker(meta: Meta, device: Device) -> Binding:
        states = states_of(meta, LEAK, {0: "dry", 1: "leak"})
        return _states(
            facility.LEAK_STATE, states, zone(meta, device, otherwise or meta.object_type.casefold())
        )

    return maker


def _sensor_fault(meta: Meta, device: Device) -> Binding:
    states = states_of(meta, SENSOR_FAULT, {1: "fault"})
    return _states(facility.LEAK_STATE, states, zone(meta, device, "rack"))


def _isolated(kind: str) -> Maker:
    return lambda meta, _device: _flag(meta, liquid.ISOLATED, ISOLATED, kind)


def _metered(metric: Metric, *, absolute: bool = False) -> Maker:
    def maker(meta: Meta, device: Device) -> Binding:
        scope = "output" if "output" in tokens(meta) else "inlet"
        if meta.setpoint:
            raise Unbound
        return _number(meta, metric, device.side, scope, "", absolute=absolute)

    return maker


def _phase_current(meta: Meta, device: Device) -> Binding:
    line = {"A": "L1", "B": "L2", "C": "L3", "1": "L1", "2": "L2", "3": "L3"}.get(meta.phase.upper())
    if line is None:
        raise Unbound
    return _measured(meta, facility.CURRENT, device.side, "phase", line)


def _voltage(meta: Meta, device: Device) -> Binding:
    return _measured(meta, facility.VOLTAGE, device.side, "line", "")


def _rating(meta: Meta, device: Device) -> Binding:
    return _number(meta, facility.BREAKER_RATING, device.side, "main")


def _breaker(meta: Meta, device: Device) -> Binding:
    states = states_of(meta, BREAKER)
    return _states(
        facility.BREAKER_STATE, states, device.side, part(meta, device.name, device.rack) or "main"
    )


def _available(meta: Meta, _device: Device) -> Binding:
    return _states(facility.COMPONENT_HEALTH, states_of(meta, HEALTH), meta.object_type.casefold())


def _generic(meta: Meta) -> Maker | None:
    if is_energy(meta.unit):
        return _metered(facility.ENERGY)
    return next((maker for name in generic_names(meta) if (maker := _GENERIC.get(name))), None)


_RACK: dict[str, Maker] = {
    "RackLiquidSupplyTemperature": _plain(facility.COOLANT_SUPPLY_TEMPERATURE, "tcs"),
    "RackLiquidReturnTemperature": _plain(facility.COOLANT_RETURN_TEMPERATURE, "tcs"),
    "RackLiquidFlow": _plain(facility.COOLANT_FLOW, "tcs"),
    "RackLiquidDifferentialPressure": _plain(facility.COOLANT_PRESSURE, "tcs"),
    "RackControlValvePosition": _valve,
    "RackPower": _metered(facility.POWER_ACTIVE),
    "RackLeakDetect": _leak("rack"),
    "RackLeakDetectTray": _leak("tray"),
    "RackLeakSensorFault": _sensor_fault,
    "RackLiquidIsolationStatus": _isolated("liquid"),
    "RackElectricalIsolationStatus": _isolated("electrical"),
}
_PLANT: dict[str, Maker] = {
    "LiquidTemperature": _liquid_temperature,
    "LiquidFlow": _liquid_flow,
    "LiquidDifferentialPressure": _on_circuit(facility.COOLANT_PRESSURE),
    "LiquidPressure": _liquid_pressure,
    "PumpSpeed": _speed(facility.PUMP_SPEED, liquid.PUMP_SPEED_RPM, facility.PUMP_RUNNING),
    "FanSpeed": _speed(facility.FAN_SPEED, liquid.FAN_SPEED_RPM, None),
    "ValvePosition": _valve,
    "AirTemperature": _air(facility.AIR_TEMPERATURE),
    "AirRelativeHumidity": _air(facility.HUMIDITY),
    "AirDifferentialPressure": _air_pressure,
    "LeakDetect": _leak(),
}
_METER: dict[str, Maker] = {
    "ActivePower": _metered(facility.POWER_ACTIVE),
    "ApparentPower": _metered(electrical.POWER_APPARENT),
    "PowerFactor": _metered(electrical.POWER_FACTOR, absolute=True),
    "Frequency": _metered(electrical.FREQUENCY),
    "Current": _metered(facility.CURRENT),
    "PhaseCurrent": _phase_current,
    "Voltage": _voltage,
    "CurrentLimit": _rating,
}
_STATUS: dict[str, Maker] = {
    "UPS": lambda meta, _device: _states(facility.UPS_STATUS, states_of(meta, UPS)),
    "ATS": lambda meta, _device: _states(electrical.TRANSFER_SOURCE, states_of(meta, TRANSFER)),
    "Breaker": _breaker,
}
_GENERIC: dict[str, Maker] = {
    "heatremoved": _on_circuit(facility.HEAT_REMOVED),
    "coolingcapacity": _plain(facility.COOLING_CAPACITY),
    "activepower": _metered(facility.POWER_ACTIVE),
    "reservoirlevel": _plain(facility.RESERVOIR_LEVEL),
    "dewpoint": _air(facility.DEW_POINT),
    "conductivity": _on_circuit(liquid.CONDUCTIVITY),
    "fluidconductivity": _on_circuit(liquid.CONDUCTIVITY),
    "batterycharge": _plain(facility.UPS_CHARGE),
    "batteryruntime": _plain(facility.UPS_RUNTIME),
    "upsload": _plain(facility.UPS_LOAD),
    "waterconsumed": _plain(liquid.WATER_CONSUMED),
    "smokedetected": lambda meta, device: _flag(
        meta, room.SMOKE, DETECTED, zone(meta, device, meta.object_type.casefold())
    ),
    "dooropen": lambda meta, device: _flag(meta, room.DOOR_OPEN, OPEN, part(meta, device.name, device.rack)),
}
