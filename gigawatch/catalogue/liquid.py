"""More of the cooling chain: pressures, pumps, valves, filters, coolant quality, water and reused heat."""

from gigawatch.catalogue.facility import CIRCUIT, CIRCUIT_VALUES, facility_metric
from gigawatch.catalogue.model import Kind, Unit

COOLANT_PRESSURE_AT = facility_metric(
    "coolant_pressure_pascals",
    Kind.GAUGE,
    Unit.PASCALS,
    "Pressure of the coolant above the air's, on its way to the load (supply) or back (return).",
    (*CIRCUIT, "point"),
    {**CIRCUIT_VALUES, "point": ("supply", "return")},
)
PUMP_SPEED_RPM = facility_metric(
    "pump_speed_rpm", Kind.GAUGE, Unit.RPM, "Speed of a pump, where the device gives no share.", ("pump",)
)
PUMP_SERVICE = facility_metric(
    "pump_service_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "How long a pump has run so far.",
    ("pump",),
)
VALVE_POSITION = facility_metric(
    "valve_position_ratio", Kind.GAUGE, Unit.RATIO, "How far a valve is open.", ("valve",)
)
FILTER_PRESSURE = facility_metric(
    "filter_differential_pressure_pascals",
    Kind.GAUGE,
    Unit.PASCALS,
    "Pressure that a filter takes; it rises as the filter clogs.",
    ("filter",),
)
CONDUCTIVITY = facility_metric(
    "coolant_conductivity_siemens_per_meter",
    Kind.GAUGE,
    Unit.SIEMENS_PER_METER,
    "Electrical conductivity of the coolant; it rises with corrosion.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
ISOLATED = facility_metric(
    "isolation_status",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the rack is cut off from its coolant (liquid) or its power (electrical).",
    ("kind",),
    {"kind": ("liquid", "electrical")},
)
FAN_SPEED_RPM = facility_metric(
    "fan_speed_rpm", Kind.GAUGE, Unit.RPM, "Speed of a fan, where the device gives no share.", ("fan",)
)
HEAT_REUSED = facility_metric(
    "heat_reused_joules_total", Kind.COUNTER, Unit.JOULES, "Heat given to somebody who uses it."
)
WATER_CONSUMED = facility_metric(
    "water_consumed_cubic_meters_total", Kind.COUNTER, Unit.CUBIC_METERS, "Water that the site has used up."
)
