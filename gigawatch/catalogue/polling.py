"""How the polling of facility devices is doing: on each device's own page."""

from gigawatch.catalogue.facility import facility_metric
from gigawatch.catalogue.model import Kind, Presence, Unit

POLL_ENDPOINT_UP = facility_metric(
    "poll_endpoint_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if this way to the device answered its last poll; a device may have several.",
    ("endpoint",),
    presence=Presence.ALWAYS,
)
POLL_DURATION = facility_metric(
    "poll_duration_seconds",
    Kind.HISTOGRAM,
    Unit.SECONDS,
    "How long polls of the device took, the failed ones too.",
    ("endpoint",),
    presence=Presence.ALWAYS,
)
POLL_ERRORS = facility_metric(
    "poll_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Polls that failed, by the kind of error.",
    ("endpoint", "reason"),
    presence=Presence.EVENT,
)
POLL_CIRCUIT_OPEN = facility_metric(
    "poll_circuit_open",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the device is asked only now and then, because it has failed several times in a row.",
    ("endpoint",),
    presence=Presence.ALWAYS,
)
POLL_LAST_SUCCESS = facility_metric(
    "poll_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the device last answered (Unix time).",
    ("endpoint",),
    presence=Presence.EVENT,
)
POLL_INTERVAL = facility_metric(
    "poll_interval_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How often the device is meant to be asked.",
    ("endpoint",),
    presence=Presence.ALWAYS,
)
POLL_LAG = facility_metric(
    "poll_lag_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How much later than planned its last poll began.",
    ("endpoint",),
    presence=Presence.ALWAYS,
)
READINGS_DROPPED = facility_metric(
    "poll_readings_dropped_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Values in answers that were not exported, and why: a sentinel, a bad quality, no number, out of range.",
    ("endpoint", "reason"),
    presence=Presence.EVENT,
)
HARDWARE_INFO = facility_metric(
    "device_hardware_info",
    Kind.INFO,
    Unit.COUNT,
    "What the device says it is, and by which profile it is read.",
    ("endpoint", "profile", "vendor", "model", "firmware", "serial"),
)
REPORTED_PLACE = facility_metric(
    "device_reported_place_info",
    Kind.INFO,
    Unit.COUNT,
    "Where the device itself says it stands (Redfish Location): held against the inventory.",
    ("reported_rack", "unit"),
)
