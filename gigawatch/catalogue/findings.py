"""What analytics says: scores, estimates, incidents, and how it is doing itself."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

PLACE = ("rack", "node", "gpu", "uuid", "device", "loop")
"""Labels that say what a finding is about; those that do not apply are empty."""

DETECTORS = ("cooling", "novelty", "peers", "thermal_resistance")
CAUSES = (
    "thermal_interface",
    "cold_plate",
    "coolant_loop",
    "inlet_air",
    "fan",
    "pump",
    "sensor",
    "power_path",
    "power_supply",
    "breaker",
    "power_swing",
    "straggler",
    "job",
    "software",
    "memory",
    "link",
    "switch",
    "driver",
    "unknown",
)
SCOPES = ("gpu", "node", "rack", "loop", "feed", "device", "switch", "job", "site")
HORIZONS = ("1h", "24h", "7d")


def _finding(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.ANALYTICS, Target.SITE, labels, values or {}, presence)


ANOMALY_SCORE = _finding(
    "anomaly_score",
    Kind.GAUGE,
    Unit.COUNT,
    "How abnormal a signal is now, 0 (ordinary) to 1.",
    ("detector", "signal", *PLACE),
    {"detector": DETECTORS},
)
THERMAL_RESISTANCE = _finding(
    "thermal_resistance_kelvin_per_watt",
    Kind.GAUGE,
    Unit.KELVIN_PER_WATT,
    "Kelvin of rise over the coolant or inlet air per watt of GPU power.",
    ("rack", "node", "gpu", "uuid"),
    presence=Presence.EVENT,
)
THERMAL_RESISTANCE_CHANGE = _finding(
    "thermal_resistance_change_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Thermal resistance against this GPU's own baseline, less what its peers share; 0 is unchanged.",
    ("rack", "node", "gpu", "uuid"),
    presence=Presence.EVENT,
)
TIME_TO_THROTTLE = _finding(
    "time_to_throttle_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Time until the GPU slows itself down if the trend goes on; absent while there is no trend.",
    ("rack", "node", "gpu", "uuid"),
    presence=Presence.EVENT,
)
FAILURE_RISK = _finding(
    "failure_risk_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Estimated chance that the GPU throttles or fails within the horizon.",
    ("horizon", "rack", "node", "gpu", "uuid"),
    {"horizon": HORIZONS},
    Presence.EVENT,
)
INCIDENT_INFO = _finding(
    "incident_info",
    Kind.INFO,
    Unit.COUNT,
    "Findings with one physical cause.",
    ("incident", "cause", "scope", "place"),
    {"cause": CAUSES, "scope": SCOPES},
    Presence.EVENT,
)
INCIDENT_AFFECTED_GPUS = _finding(
    "incident_affected_gpus",
    Kind.GAUGE,
    Unit.COUNT,
    "GPUs that an incident touches.",
    ("incident",),
    presence=Presence.EVENT,
)
ANALYTICS_LAST_SUCCESS = _finding(
    "analytics_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When a run last read all signals and scored them (Unix time).",
)
ANALYTICS_RUN_DURATION = _finding(
    "analytics_run_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the last run took, by phase.",
    ("phase",),
)
ANALYTICS_SERIES = _finding(
    "analytics_series", Kind.GAUGE, Unit.COUNT, "Series with state, by signal.", ("signal",)
)
ANALYTICS_ERRORS = _finding(
    "analytics_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Runs or queries that failed, by reason.",
    ("reason",),
    {"reason": ("query", "answer", "state", "detector", "capacity")},
)
ANALYTICS_STATE_SAVED = _finding(
    "analytics_state_saved_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the state was last written to disk (Unix time).",
)
