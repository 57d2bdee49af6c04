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
