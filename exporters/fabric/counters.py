"""The counters of InfiniBand and RoCE adapters: their files, and what each of them means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import Metric, fabric

_WORD = 4
"""The data counters count words of four bytes (InfiniBand specification, PortCounters)."""
_STANDARD: tuple[tuple[Metric, tuple[str, ...], tuple[str, ...]], ...] = (
    (fabric.IB_PORT_ERRORS, ("symbol",), ("symbol_error",)),
    (fabric.IB_PORT_ERRORS, ("link_recovery",), ("link_error_recovery",)),
    (fabric.IB_PORT_ERRORS, ("receive",), ("port_rcv_errors",)),
    (fabric.IB_PORT_ERRORS, ("receive_remote",), ("port_rcv_remote_physical_errors",)),
    (fabric.IB_PORT_ERRORS, ("discard",), ("port_xmit_discards",)),
    (fabric.IB_PORT_ERRORS, ("constraint",), ("port_rcv_constraint_errors", "port_xmit_constraint_errors")),
    (fabric.IB_PORT_ERRORS, ("link_integrity",), ("local_link_integrity_errors",)),
    (fabric.IB_PORT_ERRORS, ("buffer_overrun",), ("excessive_buffer_overrun_errors",)),
    (fabric.IB_PORT_ERRORS, ("vl15_dropped",), ("VL15_dropped",)),
    (fabric.IB_PORT_FLAPS, (), ("link_downed",)),
    (fabric.IB_PORT_WAIT, (), ("port_xmit_wait",)),
)
"""Metric, its last label, and the files in counters/ that are added up."""
_HARDWARE = {
    # NVIDIA's driver, mlx5
    "np_ecn_marked_roce_packets": "ecn_marked",
    "np_cnp_sent": "cnp_sent",
    "rp_cnp_handled": "cnp_handled",
    "out_of_sequence": "out_of_sequence",
    "packet_seq_err": "packet_sequence_error",
    "rnr_nak_retry_err": "rnr_nak_retry",
    "roce_adp_retrans": "adaptive_retransmission",
    "duplicate_request": "duplicate_request",
    "implied_nak_seq_err": "implied_nak_sequence_error",
    "roce_slow_restart": "slow_restart",
    "out_of_buffer": "out_of_buffer",
    "local_ack_timeout_err": "local_ack_timeout",
    # Broadcom's driver, bnxt_re
    "rx_ecn_marked_pkts": "ecn_marked",
    "tx_cnp_pkts": "cnp_sent",
    "rx_cnp_pkts": "cnp_handled",
    "oos_drop_count": "out_of_sequence",
    "seq_err_naks_rcvd": "packet_sequence_error",
    "rnr_naks_rcvd": "rnr_nak_retry",
    "dup_req": "duplicate_request",
    "rx_out_of_buffer": "out_of_buffer",
    "to_retransmits": "local_ack_timeout",
}
"""Files in hw_counters/; no adapter has two of one kind."""
_VOLUME = {"receive": ("port_rcv_data", "rx_bytes"), "transmit": ("port_xmit_data", "tx_bytes")}
"""Traffic in counters/ (words) and, of adapters without those (EFA), in hw_counters/ (bytes)."""


class Counter(NamedTuple):
    """Files that add up to a reading."""

    metric: Metric
    labels: tuple[str, ...]
    paths: tuple[str, ...]
    factor: float = 1.0


def find(port: Path, place: tuple[str, str]) -> Iterator[Counter]:
    """Errors and events that this port has files for."""
    standard = set(sysfs.names(port / "counters"))
    for metric, last, files in _STANDARD:
        here = tuple(str(port / "counters" / file) for file in files if file in standard)
        if here:
            yield Counter(metric, (*place, *last), here)
    for file in sysfs.names(port / "hw_counters"):
        kind = _HARDWARE.get(file)
        if kind is not None:
            yield Counter(fabric.ROCE_EVENTS, (*place, kind), (str(port / "hw_counters" / file),))


def find_volume(port: Path, place: tuple[str, str]) -> Iterator[Counter]:
    """Traffic that this port has files for."""
    for direction, (words, volume) in _VOLUME.items():
        labels = (*place, direction)
        if (port / "counters" / words).exists():
            yield Counter(fabric.IB_PORT_BYTES, labels, (str(port / "counters" / words),), _WORD)
        elif (port / "hw_counters" / volume).exists():
            yield Counter(fabric.IB_PORT_BYTES, labels, (str(port / "hw_counters" / volume),))
