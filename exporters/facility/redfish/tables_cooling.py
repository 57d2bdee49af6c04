"""Coolant units, their connectors, pumps, reservoirs and filters; leak detection wherever it stands."""

from __future__ import annotations

from exporters.facility.redfish import naming
from exporters.facility.redfish.model import (
    FLOW,
    HEALTH,
    HEAT,
    HOURS,
    KPA,
    PERCENT,
    SLOW,
    Join,
    Link,
    State,
    Table,
    Value,
)
from gigawatch.catalogue import electrical, facility, liquid

HEALTHS = {"OK": "ok", "Warning": "warning", "Critical": "critical"}
REDUNDANCY = {"OK": "full", "Warning": "degraded", "Critical": "lost"}
LEAKS = {"OK": "dry", "Warning": "warning", "Critical": "leak", "Unavailable": "fault", "Absent": "fault"}
HEALTH_OF_PART = State(
    "Status/Health", facility.COMPONENT_HEALTH, HEALTHS, ("{id}",), every=HEALTH, always=True
)
_CIRCUIT = ("{circuit}",)
_PUMP_TURNS = 5.0
"""Percent of its speed from which on a pump counts as running."""

COOLING = {
    "CoolingUnit": Table(
        values=(Value("CoolingCapacityWatts", facility.COOLING_CAPACITY, every=SLOW),),
        links=(
            Link("SecondaryCoolantConnectors", "CoolantConnector", {"circuit": "tcs"}, many=True),
            Link("PrimaryCoolantConnectors", "CoolantConnector", {"circuit": "fws"}, many=True),
            Link("LeakDetection", "LeakDetection"),
            Link("Pumps", "Pump", many=True),
            Link("Reservoirs", "Reservoir", many=True),
            Link("Filters", "Filter", many=True),
            Link("EnvironmentMetrics", "EnvironmentMetrics"),
            Link("PumpRedundancy", "Redundancy", {"group": "pumps"}),
            Link("FilterRedundancy", "Redundancy", {"group": "filters"}),
            Link("CoolantConnectorRedundancy", "Redundancy", {"group": "connectors"}),
        ),
    ),
    "CoolantConnector": Table(
        values=(
            Value("FlowLitersPerMinute", facility.COOLANT_FLOW, FLOW, _CIRCUIT, Join.SUM),
            Value(
                "RatedFlowLitersPerMinute",
                facility.COOLANT_DESIGN_FLOW,
                FLOW,
                _CIRCUIT,
                Join.SUM,
                every=SLOW,
            ),
            Value("HeatRemovedkW", facility.HEAT_REMOVED, HEAT, _CIRCUIT, Join.SUM),
            Value(
                "SupplyTemperatureCelsius",
                facility.COOLANT_SUPPLY_TEMPERATURE,
                1.0,
                _CIRCUIT,
                Join.BY_FLOW,
            ),
            Value(
                "ReturnTemperatureCelsius",
                facility.COOLANT_RETURN_TEMPERATURE,
                1.0,
                _CIRCUIT,
                Join.BY_FLOW,
            ),
            Value(
                "SupplyTemperatureControlCelsius/SetPoint",
                facility.COOLANT_SETPOINT,
                1.0,
                _CIRCUIT,
                Join.MEAN,
                every=SLOW,
            ),
            Value("DeltaPressurekPa", facility.COOLANT_PRESSURE, KPA, _CIRCUIT, Join.MEAN),
            Value("SupplyPressurekPa", liquid.COOLANT_PRESSURE_AT, KPA, (*_CIRCUIT, "supply"), Join.MEAN),
            Value("ReturnPressurekPa", liquid.COOLANT_PRESSURE_AT, KPA, (*_CIRCUIT, "return"), Join.MEAN),
            Value("ValvePositionPercent", liquid.VALVE_POSITION, PERCENT, ("{circuit} {id}",)),
        ),
    ),
    "Pump": Table(
        values=(
            Value("PumpSpeedPercent", facility.PUMP_SPEED, PERCENT, ("{id}",)),
            Value("PumpSpeedPercent", facility.PUMP_RUNNING, 1.0, ("{id}",), above=_PUMP_TURNS, standby=0.0),
            Value(
                "PumpSpeedPercent/SpeedRPM",
                liquid.PUMP_SPEED_RPM,
                1.0,
                ("{id}",),
                unless="PumpSpeedPercent",
            ),
            Value(
                "PumpSpeedPercent/SpeedRPM",
                facility.PUMP_RUNNING,
                1.0,
                ("{id}",),
                unless="PumpSpeedPercent",
                above=0.0,
                standby=0.0,
            ),
            Value("ServiceHours", liquid.PUMP_SERVICE, HOURS, ("{id}",), every=SLOW),
        ),
        states=(HEALTH_OF_PART,),
        name=naming.numbered("pump"),
    ),
    "Reservoir": Table(
        values=(Value("FluidLevelPercent", facility.RESERVOIR_LEVEL, PERCENT, join=Join.LOWEST),),
    ),
    "Filter": Table(
        values=(
            Value("DeltaLiquidPressurekPa", liquid.FILTER_PRESSURE, KPA, ("{id}",)),
            Value(
                "DeltaPressurekPa",
                liquid.FILTER_PRESSURE,
                KPA,
                ("{id}",),
                unless="DeltaLiquidPressurekPa",
            ),
        ),
        states=(HEALTH_OF_PART,),
        name=naming.numbered("filter"),
    ),
    "LeakDetection": Table(
        links=(
            Link("LeakDetectorGroups", "LeakDetectorGroup"),
            Link("LeakDetectors", "LeakDetector", many=True, unless=("LeakDetectorGroups/0/Detectors",)),
        ),
    ),
    "LeakDetectorGroup": Table(links=(Link("Detectors", "LeakDetector"),)),
    "LeakDetector": Table(
        states=(State("DetectorState", facility.LEAK_STATE, LEAKS, ("{zone}",), always=True),),
        name=naming.zone,
    ),
    "Redundancy": Table(
        states=(State("Status/Health", electrical.REDUNDANCY_STATE, REDUNDANCY, ("{group}",), every=SLOW),),
        name=naming.group,
    ),
}
