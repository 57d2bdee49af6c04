"""GPU metrics. Every series carries `gpu` (index, a nickname) and `uuid` (identity)."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

_ID = ("gpu", "uuid")

CLOCK_EVENT_REASONS = (
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
)
"""NVML's clock-event reason bits, by name (nvml.h, nvmlClocksEventReason*)."""

RECOVERY_ACTIONS = (
    "none",
    "gpu_reset",
    "node_reboot",
    "drain_p2p",
    "drain_and_reset",
    "recover_imex",
    "bus_reset",
    "system_reboot",
)
"""NVML field 230."""

XID_SERIOUS = (
    46, 48, 62, 63, 64, 74, 79, 92, 94, 95, 109, 110, 119, 120, 136, 140, 143, 144, 145, 149,
)  # fmt: skip
"""XID codes that call for a reset, a reboot or a repair; their counters exist at 0 from the start, so that
increase() sees the first one. Source: NVIDIA's XID catalogue."""


def _gpu(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, _ID + labels, values or {}, presence)


GPU_INFO = _gpu(
    "gpu_info",
    Kind.INFO,
    Unit.COUNT,
    "Identity of a GPU.",
    (
        "model",
        "serial",
        "pci_bus_id",
        "vbios",
        "driver_version",
        "architecture",
        "board_part",
        "minor",
        "numa",
    ),
)
GPU_STATE = _gpu(
    "gpu_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "Condition of a GPU as the node sees it; exactly one state is 1.",
    ("state",),
    {"state": ("ok", "lost", "hung", "reset_required", "missing")},
)
GPUS_VISIBLE = Metric(
    "gpus_visible",
    Kind.GAUGE,
    Unit.COUNT,
    "GPUs that answer on this node, by who was asked.",
    Origin.AGENT,
    Target.NODE,
    ("source",),
    {"source": ("nvml", "pci")},
)
GPU_CAPABILITY_INFO = _gpu(
    "gpu_capability_info",
    Kind.INFO,
    Unit.COUNT,
    "A reading that this GPU or driver does not offer, and why.",
    ("feature", "source", "reason"),
    presence=Presence.SUPPORTED,
)
GPU_POWER = _gpu(
    "gpu_power_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power drawn now.",
    ("scope",),
    {"scope": ("gpu", "module", "memory")},
)
GPU_POWER_AVERAGE = _gpu(
    "gpu_power_average_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power drawn, averaged by the driver over one second.",
    ("scope",),
    {"scope": ("gpu", "module", "memory")},
    Presence.SUPPORTED,
)
GPU_POWER_LIMIT = _gpu(
    "gpu_power_limit_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power limits: enforced now, requested by the operator, factory default, and the settable range.",
    ("kind",),
    {"kind": ("enforced", "requested", "default", "min", "max")},
)
GPU_ENERGY = _gpu(
    "gpu_energy_joules_total", Kind.COUNTER, Unit.JOULES, "Energy drawn since the driver was loaded."
)
GPU_TEMPERATURE = _gpu(
    "gpu_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature of the GPU die (core) and of its memory stacks.",
    ("sensor",),
    {"sensor": ("core", "memory")},
)
GPU_TEMPERATURE_THRESHOLD = _gpu(
    "gpu_temperature_threshold_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Absolute temperature at which the GPU slows down or shuts down.",
    ("threshold",),
    {"threshold": ("slowdown", "shutdown", "memory_max", "gpu_max")},
)
GPU_TEMPERATURE_MARGIN = _gpu(
    "gpu_temperature_margin_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Kelvin left until the GPU slows itself down.",
)
GPU_CLOCK = _gpu(
    "gpu_clock_hertz",
    Kind.GAUGE,
    Unit.HERTZ,
    "Clock frequency now.",
    ("domain",),
    {"domain": ("sm", "memory", "graphics", "video")},
)
GPU_CLOCK_MAX = _gpu(
    "gpu_clock_max_hertz",
    Kind.GAUGE,
    Unit.HERTZ,
    "Highest clock frequency of the domain.",
    ("domain",),
    {"domain": ("sm", "memory", "graphics", "video")},
)
GPU_CLOCK_EVENT_ACTIVE = _gpu(
    "gpu_clock_event_active",
    Kind.STATE_SET,
    Unit.FLAG,
    "Why the clock is below its maximum now; any number of reasons can be 1.",
    ("reason",),
    {"reason": CLOCK_EVENT_REASONS},
)
GPU_CLOCK_EVENT_SECONDS = _gpu(
    "gpu_clock_event_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time during which the clock was held down, by reason.",
    ("reason",),
    {
        "reason": (
            "sw_power_cap", "sync_boost", "sw_thermal_slowdown", "hw_thermal_slowdown",
            "hw_power_brake_slowdown",
        )
    },
)  # fmt: skip
GPU_PERFORMANCE_STATE = _gpu(
    "gpu_performance_state", Kind.GAUGE, Unit.COUNT, "Performance state, 0 (fastest) to 15 (idle)."
)
GPU_UTILIZATION = _gpu(
    "gpu_utilization_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of the last sample period in which the engine was busy.",
    ("engine",),
    {"engine": ("gpu", "memory", "encoder", "decoder", "jpeg", "ofa")},
)
GPU_MEMORY_SIZE = _gpu("gpu_memory_size_bytes", Kind.GAUGE, Unit.BYTES, "Memory on the GPU.")
GPU_MEMORY_USED = _gpu("gpu_memory_used_bytes", Kind.GAUGE, Unit.BYTES, "GPU memory in use.")
GPU_MEMORY_FREE = _gpu("gpu_memory_free_bytes", Kind.GAUGE, Unit.BYTES, "GPU memory free.")
GPU_MEMORY_RESERVED = _gpu(
    "gpu_memory_reserved_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "GPU memory that the driver keeps for itself.",
    presence=Presence.SUPPORTED,
)
GPU_BAR1_USED = _gpu(
    "gpu_bar1_used_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Part of the BAR1 window, through which the host reaches GPU memory, in use.",
    presence=Presence.SUPPORTED,
)
GPU_FAN_SPEED = _gpu(
    "gpu_fan_speed_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Speed of a fan on the GPU against its highest.",
    ("fan",),
    presence=Presence.SUPPORTED,
)
GPU_ECC_ENABLED = _gpu(
    "gpu_ecc_enabled",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if memory errors are corrected: now (current) and after the next restart (pending).",
    ("when",),
    {"when": ("current", "pending")},
    Presence.SUPPORTED,
)
GPU_ECC_ERRORS = _gpu(
    "gpu_ecc_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Memory errors; volatile since the driver was loaded, aggregate over the life of the GPU.",
    ("severity", "scope"),
    {"severity": ("corrected", "uncorrected"), "scope": ("volatile", "aggregate")},
)
GPU_ECC_LOCATION_ERRORS = _gpu(
    "gpu_ecc_location_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Memory errors by where in the GPU they happened; the totals are in aif_gpu_ecc_errors_total.",
    ("severity", "scope", "location"),
    {
        "severity": ("corrected", "uncorrected"),
        "scope": ("volatile", "aggregate"),
        "location": ("l1", "l2", "device_memory", "register_file", "texture", "cbu", "sram"),
    },
    Presence.SUPPORTED,
)
GPU_SRAM_ECC_THRESHOLD_EXCEEDED = _gpu(
    "gpu_sram_ecc_threshold_exceeded",
    Kind.GAUGE,
    Unit.FLAG,
    "1 once the on-chip memory has had more errors than the vendor accepts: exchange the GPU.",
    presence=Presence.SUPPORTED,
)
GPU_REMAPPED_ROWS = _gpu(
    "gpu_remapped_rows_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Memory rows replaced by spares, by the kind of error that caused it.",
    ("cause",),
    {"cause": ("corrected", "uncorrected")},
)
GPU_ROW_REMAP_PENDING = _gpu(
    "gpu_row_remap_pending", Kind.GAUGE, Unit.FLAG, "1 while a row remap waits for a reset of the GPU."
)
GPU_ROW_REMAP_FAILED = _gpu(
    "gpu_row_remap_failed", Kind.GAUGE, Unit.FLAG, "1 once a row could not be replaced: exchange the GPU."
)
GPU_ROW_REMAP_BANKS = _gpu(
    "gpu_row_remap_banks",
    Kind.GAUGE,
    Unit.COUNT,
    "Memory banks by how many spare rows they have left.",
    ("spare",),
    {"spare": ("max", "high", "partial", "low", "none")},
    Presence.SUPPORTED,
)
GPU_RETIRED_PAGES = _gpu(
    "gpu_retired_pages_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Memory pages taken out of use (GPUs before Ampere), by the kind of error that caused it.",
    ("cause",),
    {"cause": ("corrected", "uncorrected")},
    Presence.SUPPORTED,
)
GPU_RETIRED_PAGES_PENDING = _gpu(
    "gpu_retired_pages_pending",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while a page waits for a restart to be taken out of use.",
    presence=Presence.SUPPORTED,
)
GPU_XID_ERRORS = _gpu(
    "gpu_xid_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "XID errors since the node was started, by code and by who told of each first; an event is counted once.",
    ("xid", "source"),
    {"source": ("nvml", "kmsg")},
)
GPU_XID_LAST_TIMESTAMP = _gpu(
    "gpu_xid_last_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "When the XID was last seen (Unix time).",
    ("xid",),
    presence=Presence.EVENT,
)
GPU_XID_INFO = _gpu(
    "gpu_xid_info",
    Kind.INFO,
    Unit.COUNT,
    "What an XID that was seen on this GPU means, and what to do about it.",
    ("xid", "meaning", "action"),
    presence=Presence.EVENT,
)
GPU_RECOVERY_ACTION = _gpu(
    "gpu_recovery_action",
    Kind.STATE_SET,
    Unit.FLAG,
    "What the driver asks for to bring the GPU back.",
    ("action",),
    {"action": RECOVERY_ACTIONS},
    Presence.SUPPORTED,
)
