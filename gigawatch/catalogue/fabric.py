"""Fabric and storage as a node sees them."""

from collections.abc import Mapping

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit


def _port(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> Metric:
    return Metric(key, kind, unit, text, Origin.AGENT, Target.NODE, labels, values or {}, Presence.SUPPORTED)


IB_PORT_STATE = _port(
    "ib_port_state",
    Kind.STATE_SET,
    Unit.FLAG,
    "State of an InfiniBand or RoCE port.",
    ("device", "port", "state"),
    {"state": ("active", "down", "init", "armed")},
)
IB_PORT_BYTES = _port(
    "ib_port_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes over an InfiniBand or RoCE port.",
    ("device", "port", "direction"),
    {"direction": ("receive", "transmit")},
)
IB_PORT_ERRORS = _port(
    "ib_port_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Errors of an InfiniBand or RoCE port.",
    ("device", "port", "kind"),
    {"kind": ("symbol", "link_recovery", "receive", "discard")},
)
IB_PORT_FLAPS = _port(
    "ib_port_flaps_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times a port went down and came back.",
    ("device", "port"),
)
MOUNT_RESPONSIVE = _port(
    "mount_responsive",
    Kind.GAUGE,
    Unit.FLAG,
    "1 if the mount answered its last probe within the deadline.",
    ("mountpoint", "fstype"),
)
MOUNT_PROBE_DURATION = _port(
    "mount_probe_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the last probe of the mount took.",
    ("mountpoint", "fstype"),
)
STORAGE_READ = _port(
    "storage_read_bytes_total",
    Kind.COUNTER,
    Unit.BYTES,
    "Bytes this node read from shared storage.",
    ("mountpoint", "fstype"),
)
