"""Host metrics of a node: processor, memory, disks, network, power of the whole server."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit


def _host(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values or {}, presence)


HOST_CPU_SECONDS = _host(
    "host_cpu_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Processor time summed over all processors, by mode.",
    ("mode",),
    {"mode": ("user", "system", "iowait", "idle", "other")},
)
HOST_CPUS = _host("host_cpus", Kind.GAUGE, Unit.COUNT, "Logical processors.")
HOST_LOAD = _host("host_load", Kind.GAUGE, Unit.COUNT, "Run-queue length averaged over one minute.")
HOST_MEMORY_SIZE = _host("host_memory_size_bytes", Kind.GAUGE, Unit.BYTES, "Memory of the host.")
HOST_MEMORY_AVAILABLE = _host(
    "host_memory_available_bytes", Kind.GAUGE, Unit.BYTES, "Memory that can be taken without swapping."
)
HOST_SWAP_USED = _host("host_swap_used_bytes", Kind.GAUGE, Unit.BYTES, "Swap in use.")
HOST_DISK_READ = _host(
    "host_disk_read_bytes_total", Kind.COUNTER, Unit.BYTES, "Bytes read from a disk.", ("device",)
)
HOST_DISK_WRITTEN = _host(
    "host_disk_written_bytes_total", Kind.COUNTER, Unit.BYTES, "Bytes written to a disk.", ("device",)
)
HOST_DISK_BUSY = _host(
    "host_disk_busy_seconds_total", Kind.COUNTER, Unit.SECONDS, "Time a disk was busy.", ("device",)
)
HOST_FILESYSTEM_SIZE = _host(
    "host_filesystem_size_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Size of a file system.",
    ("mountpoint", "fstype"),
)
HOST_FILESYSTEM_AVAILABLE = _host(
    "host_filesystem_available_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Bytes that an ordinary user can still write.",
    ("mountpoint", "fstype"),
)
HOST_NETWORK_BYTES = _host(
    "host_network_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes over a network interface.",
    ("device", "direction"),
    {"direction": ("receive", "transmit")},
)
HOST_NETWORK_ERRORS = _host(
    "host_network_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Damaged packets of a network interface.",
    ("device", "direction"),
    {"direction": ("receive", "transmit")},
)
HOST_NETWORK_DROPS = _host(
    "host_network_drops_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Packets that a network interface dropped.",
    ("device", "direction"),
    {"direction": ("receive", "transmit")},
)
HOST_BOOT_TIMESTAMP = _host(
    "host_boot_timestamp_seconds", Kind.GAUGE, Unit.TIMESTAMP, "When the host started (Unix time)."
)
HOST_POWER = _host(
    "host_power_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power of the whole server at its inlet, by who measured it.",
    ("source",),
    {"source": ("redfish", "ipmi", "rapl")},
    Presence.SUPPORTED,
)


def _where(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    """Where the kernel or the hardware offers it."""
    return _host(key, kind, unit, text, labels, values, Presence.SUPPORTED)


HOST_PRESSURE = _where(
    "host_pressure_stalled_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which some, or all, runnable tasks waited for a resource (pressure stall information).",
    ("resource", "share"),
    {"resource": ("cpu", "memory", "io"), "share": ("some", "full")},
)
HOST_TEMPERATURE = _where(
    "host_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature at a sensor of the host's chips and board.",
    ("chip", "sensor"),
)
HOST_TEMPERATURE_CRITICAL = _where(
    "host_temperature_critical_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature at which the chip calls its own state critical.",
    ("chip", "sensor"),
)
HOST_FAN_SPEED = _where(
    "host_fan_speed_hertz",
    Kind.GAUGE,
    Unit.HERTZ,
    "Turns per second of a fan that the board's chips watch.",
    ("chip", "sensor"),
)
HOST_CPU_THROTTLES = _where(
    "host_cpu_throttles_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times that heat slowed processors down, summed over cores or packages.",
    ("scope",),
    {"scope": ("core", "package")},
)
HOST_MEMORY_ERRORS = _where(
    "host_memory_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Memory errors of the host (EDAC), by controller and module; dimm is empty where no module is known.",
    ("controller", "dimm", "severity"),
    {"severity": ("corrected", "uncorrected")},
)
HOST_HUNG_TASKS = _where(
    "host_hung_tasks_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Tasks that the kernel found waiting without an end since the host was started.",
)
HOST_TASKS_BLOCKED = _where(
    "host_tasks_blocked",
    Kind.GAUGE,
    Unit.COUNT,
    "Tasks that wait for I/O and cannot be interrupted.",
)
HOST_OOM_KILLS = _where(
    "host_oom_kills_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Processes that the kernel killed because memory ran out.",
)
HOST_CLOCK_OFFSET = _where(
    "host_clock_offset_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How far the clock is from true time as the kernel's clock discipline believes.",
)
HOST_CLOCK_SYNCHRONIZED = _where(
    "host_clock_synchronized",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while something keeps the clock in step with true time.",
)
HOST_CLOCK_MAX_ERROR = _where(
    "host_clock_max_error_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Bound on the clock's error; grows while nobody sets it.",
)
_OPERATION = {"operation": ("read", "write")}
HOST_DISK_OPERATIONS = _where(
    "host_disk_operations_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests that a disk has finished.",
    ("device", "operation"),
    _OPERATION,
)
HOST_DISK_OPERATION_SECONDS = _where(
    "host_disk_operation_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time that requests to a disk took; against their number it is the latency.",
    ("device", "operation"),
    _OPERATION,
)
HOST_NETWORK_UP = _where(
    "host_network_up", Kind.GAUGE, Unit.FLAG, "1 while the interface has a link.", ("device",)
)
HOST_NETWORK_SPEED = _where(
    "host_network_speed_bytes_per_second",
    Kind.GAUGE,
    Unit.BYTES_PER_SECOND,
    "Speed at which the interface runs.",
    ("device",),
)
HOST_NETWORK_FLAPS = _where(
    "host_network_flaps_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times that the interface lost its link.",
    ("device",),
)
HOST_FILESYSTEM_FILES_FREE = _where(
    "host_filesystem_files_free_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of a file system's inodes that is free.",
    ("mountpoint", "fstype"),
)
