"""How Gigawatch itself is doing."""

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit


def _own(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    origin: Origin = Origin.AGENT,
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    target = {Origin.AGENT: Target.NODE, Origin.EVERY: Target.SITE}.get(origin, Target.SITE)
    return Metric(key, kind, unit, text, origin, target, labels, {}, presence)


COLLECTOR_UP = _own(
    "collector_up", Kind.GAUGE, Unit.FLAG, "1 if the collector's last run succeeded.", ("collector",)
)
COLLECTOR_DURATION = _own(
    "collector_duration_seconds", Kind.GAUGE, Unit.SECONDS, "How long the last run took.", ("collector",)
)
COLLECTOR_LAST_SUCCESS = _own(
    "collector_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the collector last succeeded (Unix time).",
    ("collector",),
    presence=Presence.EVENT,
)
COLLECTOR_STUCK = _own(
    "collector_stuck_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the present run has been over its deadline; 0 while all is well.",
    ("collector",),
)
COLLECTOR_ERRORS = _own(
    "collector_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Failed reads, by collector and kind of error.",
    ("collector", "error"),
    presence=Presence.EVENT,
)
REJECTED_SAMPLES = _own(
    "rejected_samples_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Impossible values that a device gave and that were not exported.",
    ("metric", "reason"),
    presence=Presence.EVENT,
)
COLLECTOR_PROCESS_MEMORY = _own(
    "collector_process_resident_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Memory that a collector process holds.",
    ("process",),
    presence=Presence.EVENT,
)
COLLECTOR_PROCESS_THREADS = _own(
    "collector_process_threads",
    Kind.GAUGE,
    Unit.COUNT,
    "Threads of a collector process.",
    ("process",),
    presence=Presence.EVENT,
)
COLLECTOR_PROCESS_STARTS = _own(
    "collector_process_starts_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times a collector process was started; each but the first replaced one that had ended or hung.",
    ("process",),
    presence=Presence.EVENT,
)
GPU_PROBES = _own(
    "gpu_probes_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Questions to a GPU that hangs, each from a process of its own, by outcome.",
    ("gpu", "uuid", "outcome"),
    presence=Presence.EVENT,
)
KERNEL_LOG_LOST = _own(
    "kernel_log_lost_records_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Records of the kernel log that were overwritten before they could be read.",
    presence=Presence.EVENT,
)
TEXTFILE_TIMESTAMP = _own(
    "textfile_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When a file in the text file directory was last written (Unix time).",
    ("file",),
    presence=Presence.EVENT,
)
EXPORTER_BUILD_INFO = _own(
    "exporter_build_info",
    Kind.INFO,
    Unit.COUNT,
    "Version of the program that exports this.",
    ("program", "version", "python"),
    Origin.EVERY,
)
PROCESS_UP = _own(
    "process_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if a part of the local stack runs and answers its health check.",
    ("process",),
    Origin.SUPERVISOR,
)
PROCESS_RESTARTS = _own(
    "process_restarts_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times a part of the local stack was started again after it ended.",
    ("process",),
    Origin.SUPERVISOR,
)
PROCESS_MEMORY = _own(
    "process_resident_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Memory that a part of the local stack holds.",
    ("process",),
    Origin.SUPERVISOR,
)
PROCESS_CPU = _own(
    "process_cpu_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Processor time that a part of the local stack has used.",
    ("process",),
    Origin.SUPERVISOR,
)
PAGER_PAGES = _own(
    "pager_pages_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Pages that reached on-call, by severity.",
    ("severity",),
    Origin.PAGER,
)
PAGER_HEARTBEAT = _own(
    "pager_heartbeat_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the dead man's switch was last heard (Unix time).",
    (),
    Origin.PAGER,
    Presence.EVENT,
)
PLANT_FAULT_ACTIVE = _own(
    "plant_fault_active",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while a drill's fault acts on the simulated plant.",
    ("drill", "fault", "fault_target"),
    Origin.PLANT,
    Presence.EVENT,
)
PLANT_LAG = _own(
    "plant_lag_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How far the simulated plant is behind real time.",
    (),
    Origin.PLANT,
)
