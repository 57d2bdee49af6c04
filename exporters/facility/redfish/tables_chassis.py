"""Servers and whatever else is a chassis: power and heat, sensors, and the older Power and Thermal."""

from __future__ import annotations

from exporters.facility.redfish import naming, sensors
from exporters.facility.redfish.model import PERCENT, SLOW, Join, Link, Table, Value
from exporters.facility.redfish.tables_cooling import COOLING, HEALTH_OF_PART
from exporters.facility.redfish.tables_power import POWER
from gigawatch.catalogue import facility, liquid

_INLET = ("{side}", "inlet", "")

CHASSIS = {
    "Chassis": Table(
        links=(
            Link("EnvironmentMetrics", "EnvironmentMetrics"),
            Link("ThermalSubsystem", "ThermalSubsystem"),
            Link("LeakDetectors", "LeakDetector", many=True, unless=("ThermalSubsystem",)),
            Link("PowerSubsystem", "PowerSubsystem"),
            Link("Thermal", "Thermal", unless=("ThermalSubsystem",)),
            Link("Power", "Power", unless=("PowerSubsystem",)),
            Link("Sensors", "Sensor", many=True),
        ),
    ),
    "ThermalSubsystem": Table(
        links=(
            Link("LeakDetection", "LeakDetection"),
            Link("Fans", "Fan", many=True),
            Link("Pumps", "Pump", many=True),
            Link("ThermalMetrics", "ThermalMetrics"),
            Link("FanRedundancy", "Redundancy", {"group": "fans"}),
        ),
    ),
    "ThermalMetrics": Table(
        values=(
            Value("TemperatureSummaryCelsius/Intake", facility.AIR_TEMPERATURE, 1.0, ("inlet", ""), rank=1),
            Value(
                "TemperatureSummaryCelsius/Exhaust", facility.AIR_TEMPERATURE, 1.0, ("exhaust", ""), rank=1
            ),
            # A server is no sensor of the room.
            Value(
                "TemperatureSummaryCelsius/Ambient",
                facility.AIR_TEMPERATURE,
                1.0,
                ("room", ""),
                rank=1,
                roles=("sensor",),
            ),
        ),
    ),
    "Fan": Table(
        values=(
            Value("SpeedPercent", facility.FAN_SPEED, PERCENT, ("{id}",)),
            Value("SpeedPercent/SpeedRPM", liquid.FAN_SPEED_RPM, 1.0, ("{id}",), unless="SpeedPercent"),
        ),
        states=(HEALTH_OF_PART,),
        name=naming.numbered("fan"),
    ),
    "PowerSubsystem": Table(
        values=(
            Value(
                "CapacityWatts",
                facility.POWER_CAPACITY,
                1.0,
                ("{side}",),
                every=SLOW,
                roles=("power_shelf",),
            ),
        ),
        links=(
            Link("PowerSupplies", "PowerSupply", many=True),
            Link("PowerSupplyRedundancy", "Redundancy", {"group": "supplies"}),
        ),
    ),
    "Sensor": Table(more=sensors.sensor),
    "Thermal": Table(
        links=(
            Link("Temperatures", "Temperature"),
            Link("Fans", "OldFan"),
            Link("Redundancy", "Redundancy", {"group": "fans"}),
        ),
    ),
    "Temperature": Table(more=sensors.temperature),
    "OldFan": Table(
        states=(HEALTH_OF_PART,),
        more=sensors.fan,
        name=naming.numbered("fan"),
    ),
    "Power": Table(
        links=(
            Link("PowerControl/0", "PowerControl"),
            Link("PowerSupplies", "OldPowerSupply"),
            Link("Redundancy", "Redundancy", {"group": "supplies"}),
        ),
    ),
    "PowerControl": Table(
        values=(Value("PowerConsumedWatts", facility.POWER_ACTIVE, 1.0, _INLET, Join.FIRST, rank=1),),
    ),
    "OldPowerSupply": Table(
        values=(
            Value("PowerInputWatts", facility.POWER_ACTIVE, 1.0, _INLET, Join.SUM, rank=3),
            Value("LineInputVoltage", facility.VOLTAGE, 1.0, ("{side}", "inlet", "{id}")),
        ),
        states=(HEALTH_OF_PART,),
        name=naming.numbered("psu"),
    ),
}

TABLES = {**COOLING, **POWER, **CHASSIS}
"""Every kind of resource that is read."""
ROOTS = ("CoolingUnit", "PowerDistribution", "Chassis", "LeakDetection", "LeakDetector", "Sensor", "Outlet")
"""Kinds that may be a device of their own, by the first part of `@odata.type`."""
