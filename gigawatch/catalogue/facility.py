"""Facility metrics: one scrape target is one device (PDU, UPS, CDU, sensor, a server's BMC)."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

STATUS = ("ok", "warning", "critical", "unknown")


def facility_metric(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.SUPPORTED,
) -> Metric:
    """A metric of facility devices."""
    return Metric(key, kind, unit, text, Origin.FACILITY, Target.DEVICE, labels, values or {}, presence)


# Power
POWER_LABELS = ("side", "scope", "id")
POWER_VALUES = {"scope": ("inlet", "phase", "line", "branch", "outlet", "output")}
"""A phase is one conductor against neutral (id L1 to L3), a line two conductors against each other (id
L1-L2)."""
POWER_ACTIVE = facility_metric(
    "power_active_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Active power through a device, at its inlet, a phase, a branch, an outlet or its output.",
    POWER_LABELS,
    POWER_VALUES,
)
ENERGY = facility_metric(
    "energy_joules_total",
    Kind.COUNTER,
    Unit.JOULES,
    "Energy through a device since its meter was reset.",
    POWER_LABELS,
    POWER_VALUES,
)
CURRENT = facility_metric(
    "current_amperes", Kind.GAUGE, Unit.AMPERES, "Current per phase or branch.", POWER_LABELS, POWER_VALUES
)
VOLTAGE = facility_metric(
    "voltage_volts",
    Kind.GAUGE,
    Unit.VOLTS,
    "Voltage: of a phase to neutral, of a line between its two conductors.",
    POWER_LABELS,
    POWER_VALUES,
)
BREAKER_RATING = facility_metric(
    "breaker_rating_amperes", Kind.GAUGE, Unit.AMPERES, "Rated current of a breaker.", ("side", "id")
)
BREAKER_STATE = facility_metric(
    "breaker_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "State of a breaker.",
    ("side", "id", "state"),
    {"state": ("normal", "tripped", "off")},
)
POWER_CAPACITY = facility_metric(
    "power_capacity_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power a device may carry continuously (80 % of the breaker, NEC 210.20).",
    ("side",),
)
UPS_STATUS = facility_metric(
    "ups_status",
    Kind.STATE_SET,
    Unit.FLAG,
    "What feeds the UPS's output.",
    ("state",),
    {"state": ("online", "on_battery", "bypass", "off", "unknown")},
)
UPS_CHARGE = facility_metric("ups_battery_charge_ratio", Kind.GAUGE, Unit.RATIO, "Charge of the UPS battery.")
UPS_RUNTIME = facility_metric(
    "ups_battery_runtime_seconds", Kind.GAUGE, Unit.SECONDS, "How long the battery lasts at the present load."
)
UPS_LOAD = facility_metric("ups_load_ratio", Kind.GAUGE, Unit.RATIO, "Load of the UPS against its rating.")

# Cooling
CIRCUIT = ("circuit",)
CIRCUIT_VALUES = {"circuit": ("fws", "tcs")}
COOLANT_SUPPLY_TEMPERATURE = facility_metric(
    "coolant_supply_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Coolant temperature on its way to the load; fws is the facility side, tcs the technology side.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
COOLANT_RETURN_TEMPERATURE = facility_metric(
    "coolant_return_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Coolant temperature on its way back from the load.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
COOLANT_SETPOINT = facility_metric(
    "coolant_setpoint_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Supply temperature that the coolant unit is told to hold.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
COOLANT_FLOW = facility_metric(
    "coolant_flow_cubic_meters_per_second",
    Kind.GAUGE,
    Unit.CUBIC_METERS_PER_SECOND,
    "Coolant flow.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
COOLANT_DESIGN_FLOW = facility_metric(
    "coolant_design_flow_cubic_meters_per_second",
    Kind.GAUGE,
    Unit.CUBIC_METERS_PER_SECOND,
    "Coolant flow the loop was built for.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
COOLANT_PRESSURE = facility_metric(
    "coolant_differential_pressure_pascals",
    Kind.GAUGE,
    Unit.PASCALS,
    "Pressure between supply and return.",
    CIRCUIT,
    CIRCUIT_VALUES,
)
HEAT_REMOVED = facility_metric(
    "heat_removed_watts", Kind.GAUGE, Unit.WATTS, "Heat the coolant carries away.", CIRCUIT, CIRCUIT_VALUES
)
COOLING_CAPACITY = facility_metric(
    "cooling_capacity_watts", Kind.GAUGE, Unit.WATTS, "Heat the device can carry away."
)
PUMP_SPEED = facility_metric("pump_speed_ratio", Kind.GAUGE, Unit.RATIO, "Speed of a pump.", ("pump",))
PUMP_RUNNING = facility_metric("pump_running", Kind.GAUGE, Unit.FLAG, "1 while the pump turns.", ("pump",))
RESERVOIR_LEVEL = facility_metric(
    "reservoir_level_ratio", Kind.GAUGE, Unit.RATIO, "Coolant left in the reservoir."
)
AIR_LABELS = ("position", "sensor")
"""`sensor` tells several sensors at one position apart; empty where there is one."""
AIR_VALUES = {"position": ("inlet", "exhaust", "room", "outdoor")}
LEAK_STATE = facility_metric(
    "leak_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "What a leak sensor says of its zone; warning is a first trace of moisture.",
    ("zone", "state"),
    {"state": ("dry", "warning", "leak", "fault")},
)
AIR_TEMPERATURE = facility_metric(
    "air_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Air temperature.",
    AIR_LABELS,
    AIR_VALUES,
)
HUMIDITY = facility_metric(
    "relative_humidity_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Relative humidity of the air.",
    AIR_LABELS,
    AIR_VALUES,
)
DEW_POINT = facility_metric(
    "dew_point_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature at which water condenses from the air.",
    AIR_LABELS,
    AIR_VALUES,
)
FAN_SPEED = facility_metric("fan_speed_ratio", Kind.GAUGE, Unit.RATIO, "Speed of a fan.", ("fan",))
COMPONENT_HEALTH = facility_metric(
    "component_health",
    Kind.STATE_SET,
    Unit.FLAG,
    "Health of a part of a device (a power supply, a fan), as the device judges it.",
    ("component", "status"),
    {"status": STATUS},
)
FACILITY_POLL_UP = facility_metric(
    "poll_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the device answered its last poll, by every way that the inventory names.",
    presence=Presence.ALWAYS,
)
