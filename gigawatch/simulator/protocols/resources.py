"""The Redfish resources of the plant's devices: coolant units, servers with their controllers, room sensors.

What of them is read: `exporters/facility/redfish/README.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from gigawatch.catalogue import Metric, electrical, facility, liquid
from gigawatch.simulator.protocols.values import Values
from gigawatch.topology import Device, Inventory, Role

Resource = dict[str, Any]
ROOT = "/redfish/v1"
CHASSIS, CDUS = f"{ROOT}/Chassis", f"{ROOT}/ThermalEquipment/CDUs"
REPORTS = f"{ROOT}/TelemetryService/MetricReports"
_MAKER = {"Manufacturer": "Gigawatch", "FirmwareVersion": "1.0"}
_LEAKS = {"dry": "OK", "warning": "Warning", "leak": "Critical", "fault": "Unavailable"}
_HEALTH = {"ok": "OK", "warning": "Warning", "critical": "Critical"}
_LEFT = {"full": "OK", "degraded": "Warning", "lost": "Critical"}
_POSITIONS = {"inlet": "Intake", "exhaust": "Exhaust", "room": "Room", "outdoor": "Room"}


@dataclass(frozen=True, slots=True)
class Builder:
    """How a device's resources are made, and where the first of them lies."""

    path: str
    build: Callable[[Values], Iterable[Resource]]


def builder_of(device: Device, inventory: Inventory) -> Builder:
    """The builder for a device of any role."""
    if device.role is Role.CDU:
        path = f"{CDUS}/{device.name}"
        return Builder(path, partial(_coolant_unit, path, device))
    path = f"{CHASSIS}/{device.node or device.name}"
    return Builder(path, partial(_chassis, path, device, inventory))


def collection(path: str, kind: str, members: list[str]) -> Resource:
    return {
        "@odata.id": path,
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} collection",
        "Members@odata.count": len(members),
        "Members": [{"@odata.id": member} for member in members],
    }


def _resource(path: str, kind: str, name: str = "", **properties: Any) -> Resource:
    """A resource without the properties that are None."""
    number = path.rpartition("/")[2]
    known = {key: value for key, value in properties.items() if value is not None}
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": number, "Name": name or number, **known}


def _link(path: str) -> Resource:
    return {"@odata.id": path}


def _reading(value: float | None, factor: float = 1.0, digits: int = 4) -> Resource | None:
    return None if value is None else {"Reading": round(value * factor, digits)}


def _status(health: str | None = "OK") -> Resource:
    return {"State": "Enabled", **({"Health": health} if health else {})}


def _listed(path: str, kind: str, members: list[Resource]) -> Iterator[Resource]:
    """A collection and its members."""
    yield collection(path, kind, [str(member["@odata.id"]) for member in members])
    yield from members


def _coolant_unit(path: str, device: Device, values: Values) -> Iterator[Resource]:
    left = values.state(electrical.REDUNDANCY_STATE, "pumps")
    redundancy = [{"RedundancyType": "NPlusM", "Status": _status(_LEFT[left])}] if left else None
    yield _resource(
        path,
        "CoolingUnit.v1_2_0.CoolingUnit",
        device.name,
        EquipmentType="CDU",
        Model=device.model or "Simulated CDU",
        SerialNumber=device.serial or f"SIM-{device.name}",
        CoolingCapacityWatts=values.get(facility.COOLING_CAPACITY),
        PumpRedundancy=redundancy,
        Status=_status(),
        PrimaryCoolantConnectors=_link(f"{path}/PrimaryCoolantConnectors"),
        SecondaryCoolantConnectors=_link(f"{path}/SecondaryCoolantConnectors"),
        Pumps=_link(f"{path}/Pumps"),
        Reservoirs=_link(f"{path}/Reservoirs"),
        LeakDetection=_link(f"{path}/LeakDetection"),
        EnvironmentMetrics=_link(f"{path}/EnvironmentMetrics"),
        **_MAKER,
    )
    for side, circuit in (("Primary", "fws"), ("Secondary", "tcs")):
        connectors = f"{path}/{side}CoolantConnectors"
        found = _connector(f"{connectors}/1", circuit, values)
        yield from _listed(connectors, "CoolantConnector", [found])
    yield from _listed(f"{path}/Pumps", "Pump", [_pump(f"{path}/Pumps/{n}", n, values) for n in ("p1", "p2")])
    level = _reading(values.get(facility.RESERVOIR_LEVEL), 100)
    reservoir = _resource(
        f"{path}/Reservoirs/1", "Reservoir.v1_0_0.Reservoir", FluidLevelPercent=level, Status=_status()
    )
    yield from _listed(f"{path}/Reservoirs", "Reservoir", [reservoir])
    yield from _leak_detection(path, values)
    yield _environment(path, values)


def _connector(path: str, circuit: str, values: Values) -> Resource:
    def of(metric: Metric, *labels: str, factor: float = 1.0) -> Resource | None:
        return _reading(values.get(metric, circuit, *labels), factor)

    setpoint = values.get(facility.COOLANT_SETPOINT, circuit)
    flow = values.get(facility.COOLANT_DESIGN_FLOW, circuit)
    return _resource(
        path,
        "CoolantConnector.v1_1_0.CoolantConnector",
        f"{circuit} connector",
        SupplyTemperatureCelsius=of(facility.COOLANT_SUPPLY_TEMPERATURE),
        ReturnTemperatureCelsius=of(facility.COOLANT_RETURN_TEMPERATURE),
        FlowLitersPerMinute=of(facility.COOLANT_FLOW, factor=60_000),
        RatedFlowLitersPerMinute=None if flow is None else round(flow * 60_000, 4),
        HeatRemovedkW=of(facility.HEAT_REMOVED, factor=1e-3),
        DeltaPressurekPa=of(facility.COOLANT_PRESSURE, factor=1e-3),
        SupplyPressurekPa=of(liquid.COOLANT_PRESSURE_AT, "supply", factor=1e-3),
        ReturnPressurekPa=of(liquid.COOLANT_PRESSURE_AT, "return", factor=1e-3),
        SupplyTemperatureControlCelsius=None if setpoint is None else {"SetPoint": setpoint},
        Status=_status(),
    )


def _pump(path: str, name: str, values: Values) -> Resource:
    turning = values.get(facility.PUMP_RUNNING, name) == 1.0
    return _resource(
        path,
        "Pump.v1_1_0.Pump",
        PumpType="Liquid",
        PumpSpeedPercent=_reading(values.get(facility.PUMP_SPEED, name), 100),
        Status=_status("OK" if turning else "Critical"),
    )


def _leak_detection(path: str, values: Values) -> Iterator[Resource]:
    """Nothing where the device watches no zone."""
    zones = [(labels[0], labels[1]) for labels, on in values.each(facility.LEAK_STATE) if on == 1.0]
    if not zones:
        return
    path = f"{path}/LeakDetection"
    detectors = [
        {"DataSourceUri": f"{path}/LeakDetectors/{zone}", "DeviceName": zone, "DetectorState": _LEAKS[state]}
        for zone, state in zones
    ]
    yield _resource(
        path,
        "LeakDetection.v1_1_0.LeakDetection",
        LeakDetectorGroups=[{"GroupName": "all", "Detectors": detectors}],
        LeakDetectors=_link(f"{path}/LeakDetectors"),
        Status=_status(),
    )
    members = [
        _resource(
            f"{path}/LeakDetectors/{zone}",
            "LeakDetector.v1_2_0.LeakDetector",
            LeakDetectorType="Moisture",
            DetectorState=_LEAKS[state],
            Status=_status(),
        )
        for zone, state in zones
    ]
    yield collection(f"{path}/LeakDetectors", "LeakDetector", [str(m["@odata.id"]) for m in members])
    yield from members


def _environment(path: str, values: Values) -> Resource:
    return _resource(
        f"{path}/EnvironmentMetrics",
        "EnvironmentMetrics.v1_4_0.EnvironmentMetrics",
        PowerWatts=_reading(values.power(facility.POWER_ACTIVE, "inlet")),
        EnergyJoules=_reading(values.power(facility.ENERGY, "inlet")),
    )


def _chassis(path: str, device: Device, inventory: Inventory, values: Values) -> Iterator[Resource]:
    node = inventory.node.get(device.node)
    leaking = any(True for _ in values.each(facility.LEAK_STATE))
    thermal = leaking or any(True for _ in values.each(facility.FAN_SPEED))
    supplies = [name for name in _components(values) if name.startswith("psu")]
    place = None
    if node is not None:
        offset = {"Rack": node.rack, "RackOffset": node.unit, "RackOffsetUnits": "EIA_310"}
        place = {"Placement": offset}
    yield _resource(
        path,
        "Chassis.v1_25_0.Chassis",
        device.name,
        ChassisType="RackMount" if node else "Module",
        Model=device.model or ("Simulated server" if node else "Simulated device"),
        SerialNumber=(node.serial if node else "") or device.serial or f"SIM-{device.name}",
        Location=place,
        Status=_status(),
        Sensors=_link(f"{path}/Sensors"),
        ThermalSubsystem=_link(f"{path}/ThermalSubsystem") if thermal else None,
        PowerSubsystem=_link(f"{path}/PowerSubsystem") if supplies else None,
        EnvironmentMetrics=_link(f"{path}/EnvironmentMetrics"),
        **_MAKER,
    )
    yield from _listed(f"{path}/Sensors", "Sensor", list(_sensors(f"{path}/Sensors", values)))
    if thermal:
        yield from _thermal(f"{path}/ThermalSubsystem", values, leaking)
    if supplies:
        yield from _power(f"{path}/PowerSubsystem", supplies, values)
    yield _environment(path, values)


def _components(values: Values) -> list[str]:
    """Names of the parts whose health the device judges."""
    return list(dict.fromkeys(labels[0] for labels, _ in values.each(facility.COMPONENT_HEALTH)))


def _health_of(name: str, values: Values) -> str | None:
    return _HEALTH.get(values.state(facility.COMPONENT_HEALTH, name) or "")


_SENSORS = (
    (facility.AIR_TEMPERATURE, "Temperature", "Cel", "", 1.0),
    (facility.HUMIDITY, "Humidity", "%", "-humidity", 100.0),
    (facility.DEW_POINT, "Temperature", "Cel", "-dew-point", 1.0),
)


def _sensors(path: str, values: Values) -> Iterator[Resource]:
    for metric, kind, unit, suffix, factor in _SENSORS:
        for (position, sensor), value in values.each(metric):
            yield _resource(
                f"{path}/{sensor or position}{suffix}",
                "Sensor.v1_9_0.Sensor",
                ReadingType=kind,
                ReadingUnits=unit,
                Reading=round(value * factor, 4),
                PhysicalContext=_POSITIONS[position],
                PhysicalSubContext="Outdoor" if position == "outdoor" else None,
                Status=_status(),
            )


def _thermal(path: str, values: Values, leaking: bool) -> Iterator[Resource]:
    fans = [
        _resource(
            f"{path}/Fans/{name}",
            "Fan.v1_5_0.Fan",
            SpeedPercent=_reading(speed, 100),
            Status=_status(_health_of(name, values)),
        )
        for (name,), speed in values.each(facility.FAN_SPEED)
    ]
    yield _resource(
        path,
        "ThermalSubsystem.v1_3_0.ThermalSubsystem",
        Fans=_link(f"{path}/Fans") if fans else None,
        LeakDetection=_link(f"{path}/LeakDetection") if leaking else None,
        Status=_status(),
    )
    if fans:
        yield from _listed(f"{path}/Fans", "Fan", fans)
    if leaking:
        yield from _leak_detection(path, values)


def _power(path: str, names: list[str], values: Values) -> Iterator[Resource]:
    supplies = f"{path}/PowerSupplies"
    yield _resource(
        path, "PowerSubsystem.v1_1_0.PowerSubsystem", PowerSupplies=_link(supplies), Status=_status()
    )
    members = [
        _resource(
            f"{supplies}/{name}",
            "PowerSupply.v1_6_0.PowerSupply",
            PowerSupplyType="AC",
            Status=_status(_health_of(name, values)),
        )
        for name in names
    ]
    yield from _listed(supplies, "PowerSupply", members)
