"""More of the power chain: what meters, outlets, UPS and transfer switches tell beyond `facility`."""

from gigawatch.catalogue.facility import POWER_LABELS, POWER_VALUES, facility_metric
from gigawatch.catalogue.model import Kind, Presence, Unit

POWER_APPARENT = facility_metric(
    "power_apparent_voltamperes",
    Kind.GAUGE,
    Unit.VOLTAMPERES,
    "Apparent power through a device.",
    POWER_LABELS,
    POWER_VALUES,
)
POWER_FACTOR = facility_metric(
    "power_factor_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Active by apparent power, without sign.",
    POWER_LABELS,
    POWER_VALUES,
)
FREQUENCY = facility_metric(
    "frequency_hertz", Kind.GAUGE, Unit.HERTZ, "Frequency of the supply.", POWER_LABELS, POWER_VALUES
)
LOAD = facility_metric(
    "load_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Load of an inlet, phase, branch or outlet against its rating, as the device reckons it.",
    POWER_LABELS,
    POWER_VALUES,
)
PHASE_IMBALANCE = facility_metric(
    "phase_imbalance_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "How far the worst phase is from the mean of all, as the device reckons it.",
    POWER_LABELS,
    POWER_VALUES,
)
RESIDUAL_CURRENT = facility_metric(
    "residual_current_amperes",
    Kind.GAUGE,
    Unit.AMPERES,
    "Current that leaves by another way than it should (RCM).",
    ("side",),
)
OUTLET_STATE = facility_metric(
    "outlet_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "Whether an outlet has voltage.",
    ("side", "id", "state"),
    {"state": ("on", "off", "unknown")},
)
UPS_BATTERY_STATUS = facility_metric(
    "ups_battery_status",
    Kind.STATE_SET,
    Unit.FLAG,
    "How the UPS judges its battery (RFC 1628).",
    ("state",),
    {"state": ("normal", "low", "depleted", "unknown")},
)
UPS_ON_BATTERY = facility_metric(
    "ups_on_battery_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Time since the UPS went on battery; 0 if it is not.",
)
UPS_BATTERY_TEMPERATURE = facility_metric(
    "ups_battery_temperature_celsius", Kind.GAUGE, Unit.CELSIUS, "Temperature at the battery."
)
UPS_BATTERY_VOLTAGE = facility_metric(
    "ups_battery_voltage_volts", Kind.GAUGE, Unit.VOLTS, "Voltage of the battery string."
)
UPS_ALARMS = facility_metric(
    "ups_alarms", Kind.GAUGE, Unit.COUNT, "Alarm conditions that the UPS has now (RFC 1628)."
)
TRANSFER_SOURCE = facility_metric(
    "transfer_switch_source",
    Kind.STATE_SET,
    Unit.FLAG,
    "Which source a transfer switch takes.",
    ("source",),
    {"source": ("A", "B", "none")},
)
REDUNDANCY_STATE = facility_metric(
    "redundancy_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "Redundancy of a group of parts (pumps, filters, supplies, mains), as the device judges it.",
    ("group", "state"),
    {"state": ("full", "degraded", "lost")},
    Presence.SUPPORTED,
)
