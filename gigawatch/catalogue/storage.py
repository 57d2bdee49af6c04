"""Storage as a node sees it: NVMe disks and shared file systems."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

TIERS = ("hot", "warm", "cold", "unknown")
"""How near to the GPUs data lies: NVMe in the node or next to it; a shared file system; an archive."""


def _mount(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values or {}, Presence.SUPPORTED)


MOUNT_RESPONSIVE = _mount(
    "mount_responsive",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the mount answered its last probe within the deadline.",
    ("mountpoint", "fstype"),
)
MOUNT_PROBE_DURATION = _mount(
    "mount_probe_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the last probe of the mount took.",
    ("mountpoint", "fstype"),
)
STORAGE_READ = _mount(
    "storage_read_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes this node read from shared storage.",
    ("mountpoint", "fstype"),
)
STORAGE_WRITTEN = _mount(
    "storage_written_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes this node wrote to shared storage.",
    ("mountpoint", "fstype"),
)
STORAGE_OPERATIONS = _mount(
    "storage_operations_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests of this node to shared storage.",
    ("mountpoint", "fstype", "operation"),
    {"operation": ("read", "write", "other")},
)
STORAGE_OPERATION_SECONDS = _mount(
    "storage_operation_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time that requests to shared storage took, from being queued to their answer.",
    ("mountpoint", "fstype", "operation"),
    {"operation": ("read", "write", "other")},
)
STORAGE_RETRANSMISSIONS = _mount(
    "storage_retransmissions_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Requests to shared storage that had to be sent again, or timed out.",
    ("mountpoint", "fstype"),
)
MOUNT_INFO = _mount(
    "mount_info",
    Kind.INFO,
    Unit.COUNT,
    "A file system for data: where it comes from and its tier.",
    ("mountpoint", "fstype", "source", "tier"),
    {"tier": TIERS},
)
MOUNT_SIZE = _mount(
    "mount_size_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Size of a shared file system, as of its last answered probe.",
    ("mountpoint", "fstype"),
)
MOUNT_AVAILABLE = _mount(
    "mount_available_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Bytes that can still be written to a shared file system, as of its last answered probe.",
    ("mountpoint", "fstype"),
)
MOUNT_READ_ONLY = _mount(
    "mount_read_only",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the file system is mounted read-only.",
    ("mountpoint", "fstype"),
)
NVME_WEAR = _mount(
    "nvme_wear_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of an NVMe disk's endurance that is used up; 1 is the end of what its maker vouches for.",
    ("device",),
)
NVME_SPARE = _mount(
    "nvme_spare_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Spare blocks of an NVMe disk that are left.",
    ("device",),
)
NVME_MEDIA_ERRORS = _mount(
    "nvme_media_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times an NVMe disk lost or nearly lost data for good.",
    ("device",),
)
NVME_CRITICAL_WARNING = _mount(
    "nvme_critical_warning",
    Kind.STATE_SET,
    Unit.FLAG,
    "What an NVMe disk warns of; any number can be 1.",
    ("device", "reason"),
    {"reason": ("spare_low", "temperature", "reliability", "read_only", "backup_failed", "memory_read_only")},
)
NVME_TEMPERATURE = _mount(
    "nvme_temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature of an NVMe disk.",
    ("device",),
)
