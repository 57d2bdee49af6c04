"""What analytics says: scores, estimates, incidents, and how it is doing itself."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

PLACE = ("rack", "node", "gpu", "uuid", "device", "loop")
"""Labels that say what a finding is about; those that do not apply are empty."""

DETECTORS = (
    "changes",
    "cooling",
    "multivariate",
    "novelty",
    "peers",
    "power",
    "precursors",
    "thermal_resistance",
)
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
POWER_HORIZONS = ("1m", "5m", "15m")
POWER_PROBABILITIES = ("0.1", "0.5", "0.9", "0.99")
BOUNDS = ("early", "expected", "late")
KNOWN_REASONS = ("maintenance", "marked_known", "marked_wrong")
VERDICTS = ("right", "wrong", "known")


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
    "How abnormal a signal is now, 0 (ordinary) to 1. Said from 0.2 until it is below 0.1, and of each "
    "detector and signal the highest in any case: what is absent beside it is ordinary.",
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
RACK_POWER_FORECAST = _finding(
    "rack_power_forecast_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power that a rack will stay below at the end of the horizon, with that probability.",
    ("horizon", "probability", "rack"),
    {"horizon": POWER_HORIZONS, "probability": POWER_PROBABILITIES},
    Presence.EVENT,
)
FEED_POWER_FORECAST = _finding(
    "feed_power_forecast_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power that racks will take from a feed at most at the end of the horizon, with that probability.",
    ("horizon", "probability", "feed"),
    {"horizon": POWER_HORIZONS, "probability": POWER_PROBABILITIES},
    Presence.EVENT,
)
JOB_POWER_SWING = _finding(
    "job_power_swing_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power of a job's GPUs from peak to peak within the last minute; absent below four readings.",
    ("job_id",),
    presence=Presence.EVENT,
)
JOB_POWER_RAMP = _finding(
    "job_power_ramp_watts_per_second",
    Kind.GAUGE,
    Unit.WATTS_PER_SECOND,
    "Steepest change of the power of a job's GPUs within the last minute.",
    ("job_id",),
    presence=Presence.EVENT,
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
INCIDENT_ONSET = _finding(
    "incident_onset_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the trouble behind an incident began, as far as can be told (Unix time).",
    ("incident",),
    presence=Presence.EVENT,
)
INCIDENT_CONFIDENCE = _finding(
    "incident_confidence_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Chance that the cause an incident names is right, calibrated by what operators marked.",
    ("incident",),
    presence=Presence.EVENT,
)
INCIDENT_ETA = _finding(
    "incident_eta_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Time until what is feared happens (throttle, trip, loss); early and late bound nine cases of ten.",
    ("incident", "bound"),
    {"bound": BOUNDS},
    Presence.EVENT,
)
INCIDENT_DEVIATION = _finding(
    "incident_deviation_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "How far the signal that speaks most for an incident is from its own past (0.18: 18 % above it).",
    ("incident", "signal"),
    presence=Presence.EVENT,
)
INCIDENT_CHILDREN = _finding(
    "incident_children",
    Kind.GAUGE,
    Unit.COUNT,
    "Narrower findings that an incident explains.",
    ("incident",),
    presence=Presence.EVENT,
)
INCIDENT_KNOWN_INFO = _finding(
    "incident_known_info",
    Kind.INFO,
    Unit.COUNT,
    "Incidents that nobody is called for, and why: maintenance there, or marked as known or wrong.",
    ("incident", "reason"),
    {"reason": KNOWN_REASONS},
    Presence.EVENT,
)
KNOWN_GPU_INFO = _finding(
    "known_gpu_info",
    Kind.INFO,
    Unit.COUNT,
    "GPUs for whose trouble of a cause, at that scope, nobody is called, and why.",
    ("cause", "scope", "reason", "rack", "node", "gpu", "uuid"),
    {"cause": CAUSES, "scope": SCOPES, "reason": KNOWN_REASONS},
    Presence.EVENT,
)
FEEDBACK_MARKS = _finding(
    "feedback_marks",
    Kind.GAUGE,
    Unit.COUNT,
    "Marks that operators gave to incidents and that are kept, by cause.",
    ("cause", "verdict"),
    {"cause": CAUSES, "verdict": VERDICTS},
    Presence.EVENT,
)
FEEDBACK_PRECISION = _finding(
    "feedback_precision_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of incidents of a cause that are right, as marks and a stated prior tell.",
    ("cause",),
    {"cause": CAUSES},
    Presence.EVENT,
)
FEEDBACK_THRESHOLD = _finding(
    "feedback_threshold_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "How much more certain than at first a finding of a cause must be to become an incident; 1 is unchanged.",
    ("cause",),
    {"cause": CAUSES},
    Presence.EVENT,
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
ANALYTICS_WATCHED = _finding(
    "analytics_things_watched",
    Kind.GAUGE,
    Unit.COUNT,
    "Things (GPUs, nodes, racks, loops) that report a signal, by the detector that looks at it.",
    ("detector", "signal"),
    {"detector": DETECTORS},
)
ANALYTICS_JUDGED = _finding(
    "analytics_things_judged",
    Kind.GAUGE,
    Unit.COUNT,
    "Those of the things watched that the detector can judge now; others are still being learned, or lack "
    "what it needs (peers, a limit).",
    ("detector", "signal"),
    {"detector": DETECTORS},
)
ANALYTICS_ERRORS = _finding(
    "analytics_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Runs or queries that failed, by reason.",
    ("reason",),
    {"reason": ("query", "answer", "state", "detector", "capacity", "clock")},
)
ANALYTICS_DETECTOR_DURATION = _finding(
    "analytics_detector_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long each detector took in the last run.",
    ("detector",),
    {"detector": DETECTORS},
)
ANALYTICS_LAG = _finding(
    "analytics_lag_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Time from the moment that the last run looked at until its findings were there.",
)
ANALYTICS_INTERVAL = _finding(
    "analytics_interval_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Time between runs; longer than set while runs take too long.",
)
ANALYTICS_TICKS_SKIPPED = _finding(
    "analytics_ticks_skipped_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Runs left out because the one before took longer than the interval.",
)
ANALYTICS_CATCH_UP = _finding(
    "analytics_catch_up_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Missed time that is still to be read after an outage; 0 when findings are about now.",
)
ANALYTICS_CLOCK_SKEW = _finding(
    "analytics_clock_skew_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How far the clock of Prometheus is ahead of this machine's; less than a second counts as 0.",
)
ANALYTICS_STATE_SAVED = _finding(
    "analytics_state_saved_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the state was last written to disk (Unix time).",
)
