"""Facility metrics: one scrape target is one device (PDU, UPS, CDU, sensor, a server's BMC)."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

STATUS = ("ok", "warning", "critical", "unknown")


def _facility(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.SUPPORTED,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.FACILITY, Target.DEVICE, labels, values or {}, presence)


# Power
_POWER_LABELS = ("side", "scope", "id")
_POWER_VALUES = {"scope": ("inlet", "phase", "branch", "outlet", "output")}
POWER_ACTIVE = _facility(
    "power_active_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Active power through a device, at its inlet, a phase, a branch, an outlet or its output.",
    _POWER_LABELS,
    _POWER_VALUES,
)
ENERGY = _facility(
    "energy_joules_total",
    Kind.COUNTER,
    Unit.JOULES,
    "Energy through a device since its meter was reset.",
    _POWER_LABELS,
    _POWER_VALUES,
)
CURRENT = _facility(
    "current_amperes", Kind.GAUGE, Unit.AMPERES, "Current per phase or branch.", _POWER_LABELS, _POWER_VALUES
)
VOLTAGE = _facility(
    "voltage_volts", Kind.GAUGE, Unit.VOLTS, "Voltage, line to neutral.", _POWER_LABELS, _POWER_VALUES
)
BREAKER_RATING = _facility(
    "breaker_rating_amperes", Kind.GAUGE, Unit.AMPERES, "Rated current of a breaker.", ("side", "id")
)
BREAKER_STATE = _facility(
    "breaker_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "State of a breaker.",
    ("side", "id", "state"),
    {"state": ("normal", "tripped", "off")},
)
POWER_CAPACITY = _facility(
    "power_capacity_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power a device may carry continuously (80 % of the breaker, NEC 210.20).",
    ("side",),
)
UPS_STATUS = _facility(
    "ups_status",
    Kind.STATE_SET,
    Unit.FLAG,
    "What feeds the UPS's output.",
    ("state",),
    {"state": ("online", "on_battery", "bypass", "off")},
)
UPS_CHARGE = _facility("ups_battery_charge_ratio", Kind.GAUGE, Unit.RATIO, "Charge of the UPS battery.")
UPS_RUNTIME = _facility(
    "ups_battery_runtime_seconds", Kind.GAUGE, Unit.SECONDS, "How long the battery lasts at the present load."
)
UPS_LOAD = _facility("ups_load_ratio", Kind.GAUGE, Unit.RATIO, "Load of the UPS against its rating.")

# Cooling
_CIRCUIT = ("circuit",)
_CIRCUIT_VALUES = {"circuit": ("fws", "tcs")}
COOLANT_SUPPLY_TEMPERATURE = _facility(
    "coolant_supply_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Coolant temperature on its way to the load; fws is the facility side, tcs the technology side.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
COOLANT_RETURN_TEMPERATURE = _facility(
    "coolant_return_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Coolant temperature on its way back from the load.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
COOLANT_SETPOINT = _facility(
    "coolant_setpoint_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Supply temperature that the coolant unit is told to hold.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
COOLANT_FLOW = _facility(
    "coolant_flow_cubic_meters_per_second",
    Kind.GAUGE,
    Unit.CUBIC_METERS_PER_SECOND,
    "Coolant flow.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
COOLANT_DESIGN_FLOW = _facility(
    "coolant_design_flow_cubic_meters_per_second",
    Kind.GAUGE,
    Unit.CUBIC_METERS_PER_SECOND,
    "Coolant flow the loop was built for.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
COOLANT_PRESSURE = _facility(
    "coolant_differential_pressure_pascals",
    Kind.GAUGE,
    Unit.PASCALS,
    "Pressure between supply and return.",
    _CIRCUIT,
    _CIRCUIT_VALUES,
)
HEAT_REMOVED = _facility(
    "heat_removed_watts", Kind.GAUGE, Unit.WATTS, "Heat the coolant carries away.", _CIRCUIT, _CIRCUIT_VALUES
)
COOLING_CAPACITY = _facility(
    "cooling_capacity_watts", Kind.GAUGE, Unit.WATTS, "Heat the device can carry away."
)
PUMP_SPEED = _facility("pump_speed_ratio", Kind.GAUGE, Unit.RATIO, "Speed of a pump.", ("pump",))
PUMP_RUNNING = _facility("pump_running", Kind.GAUGE, Unit.FLAG, "1 while the pump turns.", ("pump",))
RESERVOIR_LEVEL = _facility("reservoir_level_ratio", Kind.GAUGE, Unit.RATIO, "Coolant left in the reservoir.")
LEAK_STATE = _facility(
    "leak_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "What a leak sensor says of its zone.",
    ("zone", "state"),
    {"state": ("dry", "leak", "fault")},
)
AIR_TEMPERATURE = _facility(
    "air_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Air temperature.",
    ("position",),
    {"position": ("inlet", "exhaust", "room", "outdoor")},
)
HUMIDITY = _facility(
    "relative_humidity_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Relative humidity of the air.",
    ("position",),
    {"position": ("inlet", "exhaust", "room", "outdoor")},
)
DEW_POINT = _facility(
    "dew_point_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature at which water condenses from the air.",
    ("position",),
    {"position": ("inlet", "exhaust", "room", "outdoor")},
)
FAN_SPEED = _facility("fan_speed_ratio", Kind.GAUGE, Unit.RATIO, "Speed of a fan.", ("fan",))
COMPONENT_HEALTH = _facility(
    "component_health",
    Kind.STATE_SET,
    Unit.FLAG,
    "Health of a part of a device (a power supply, a fan), as the device judges it.",
    ("component", "status"),
    {"status": STATUS},
)
FACILITY_POLL_UP = _facility(
    "poll_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the device answered its last poll.",
    presence=Presence.ALWAYS,
)
