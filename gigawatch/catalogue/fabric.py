"""Fabric as a node sees it: InfiniBand and RoCE ports."""

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
    {
        "kind": (
            "symbol", "link_recovery", "receive", "receive_remote", "discard", "constraint", "link_integrity",
            "buffer_overrun", "vl15_dropped",
        )
    },
)  # fmt: skip
IB_PORT_FLAPS = _port(
    "ib_port_flaps_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Times a port went down and came back.",
    ("device", "port"),
)
IB_PORT_INFO = _port(
    "ib_port_info",
    Kind.INFO,
    Unit.COUNT,
    "What kind of port it is, and the network interface and PCI address behind it.",
    ("device", "port", "link_layer", "netdev", "firmware", "pci_bus_id"),
)
IB_PORT_SPEED = _port(
    "ib_port_speed_bytes_per_second",
    Kind.GAUGE,
    Unit.BYTES_PER_SECOND,
    "Speed at which the port runs.",
    ("device", "port"),
)
IB_PORT_WAIT = _port(
    "ib_port_transmit_wait_ticks_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Ticks in which the port had data to send and could not: congestion.",
    ("device", "port"),
)
ROCE_EVENTS = _port(
    "roce_events_total",
    Kind.COUNTER,
    Unit.COUNT,
    "What the transport of a port has counted: congestion marks, packets lost and sent again.",
    ("device", "port", "kind"),
    {
        "kind": (
            "ecn_marked", "cnp_sent", "cnp_handled", "out_of_sequence", "packet_sequence_error",
            "rnr_nak_retry", "adaptive_retransmission", "duplicate_request", "implied_nak_sequence_error",
            "slow_restart", "out_of_buffer", "local_ack_timeout",
        )
    },
)  # fmt: skip
