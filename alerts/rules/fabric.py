"""InfiniBand and RoCE ports of the nodes."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both
from gigawatch.catalogue import fabric
from gigawatch.promql import increase, matches, max_by, rate, series, sum_by

_DAMAGE = "symbol|link_recovery|link_integrity|receive|buffer_overrun"
_port = (*NODE, "device", "port")
_active = max_by(series(fabric.IB_PORT_STATE, state="active"), *_port)
_WORD = 4
"""Bytes that a port sends per tick of its data counter; waiting is counted against them."""
_sent = sum_by(rate(series(fabric.IB_PORT_BYTES, direction="transmit"), "10m"), *_port)
_waited = sum_by(rate(series(fabric.IB_PORT_WAIT), "10m"), *_port)
_LOST = "out_of_sequence|packet_sequence_error|local_ack_timeout|implied_nak_sequence_error"


def _traffic(waits_per_step: float) -> tuple[Given, Given]:
    at = {"device": "mlx5_0", "port": "1"}
    return (
        given(fabric.IB_PORT_BYTES, rising(3e10), **at, direction="transmit"),
        given(fabric.IB_PORT_WAIT, rising(waits_per_step), **at),
    )


ALERTS = (
    Alert(
        name="IbPortDown",
        expr=at_node(_active.equals(0)),
        severity=Severity.CRITICAL,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Port {device}/{port} of {node} is down",
        description="The fabric port has not been active for a minute.",
        cause="Cable, transceiver or switch port; less often the adapter.",
        consequence="Jobs that span nodes lose this rail: they slow down or fail: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Look at the switch end: is the port up there, are errors counted?",
        board="gw-node",
        hold="1m",
        steps=(
            "Reseat or exchange cable and transceiver.",
            "Still down: exchange the adapter (service_required).",
        ),
        rehearse=("link-flapping",),
        symptom_of=("node-down", "rack-power"),
        cases=(
            Case(
                "down",
                (given(fabric.IB_PORT_STATE, 0, device="mlx5_0", port="1", state="active"),),
                ("n1",),
                carries={"device": "mlx5_0"},
            ),
            Case("up", (given(fabric.IB_PORT_STATE, 1, device="mlx5_0", port="1", state="active"),)),
        ),
    ),
    Alert(
        name="IbPortFlapping",
        expr=at_node(max_by(increase(series(fabric.IB_PORT_FLAPS), "10m"), *_port) > 2),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Port {device}/{port} of {node} goes down and up",
        description="About {value:.0f} interruptions in ten minutes.",
        cause="A transceiver or cable that is failing, or dirt on the optics.",
        consequence="Each interruption stalls collective operations for seconds, or ends the job: "
        "{jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Clean and reseat the optics at both ends; drain {node} if it goes on.",
        board="gw-node",
        hold="0s",
        keep="5m",
        rehearse=("link-flapping",),
        symptom_of=("node-down",),
        cases=(
            Case("flaps", (given(fabric.IB_PORT_FLAPS, rising(1), device="mlx5_0", port="1"),), ("n1",)),
            Case("once", (given(fabric.IB_PORT_FLAPS, turning(0, 10, 1), device="mlx5_0", port="1"),)),
        ),
    ),
    Alert(
        name="IbPortErrors",
        expr=at_node(
            max_by(
                increase(series(fabric.IB_PORT_ERRORS, kind=matches(_DAMAGE)), "10m"),
                *_port,
                "kind",
            )
            > 100
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Port {device}/{port} of {node} counts errors",
        description="About {value:.0f} errors of kind {kind} in ten minutes.",
        cause="A marginal cable or transceiver.",
        consequence="Repeated packets slow the job: {jobs_on_node}; the port may begin to flap.",
        action=Action.DRAIN,
        first_step="Clean and reseat the optics when the node is drained next.",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "many",
                (given(fabric.IB_PORT_ERRORS, rising(20), device="mlx5_0", port="1", kind="symbol"),),
                ("n1",),
                at="20m",
            ),
            Case(
                "few",
                (given(fabric.IB_PORT_ERRORS, rising(0.5), device="mlx5_0", port="1", kind="symbol"),),
                at="20m",
            ),
        ),
    ),
    Alert(
        name="IbPortCongested",
        expr=at_node(both(_waited / (_sent / _WORD) > 0.5, _sent > 1e8, *_port)),
        severity=Severity.INFO,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Port {device}/{port} of {node} waits to send",
        description="{value:.1f} ticks of waiting for each word sent, over ten minutes; well below one is "
        "usual.",
        cause="A slow receiver, an uneven route, or several jobs that share links of the fabric.",
        consequence="Collectives are slower than they could be: {jobs_on_node}.",
        action=Action.NONE,
        first_step="Is it this port alone? Then look at the far end; is it many, look at routing and "
        "placement.",
        board="gw-node",
        hold="10m",
        note="The length of a tick differs between adapters: compare ports of one kind.",
        symptom_of=("node-down",),
        cases=(
            Case("waits", _traffic(6e9), ("n1",), at="30m"),
            Case("flows", _traffic(1e8), at="30m"),
        ),
    ),
    Alert(
        name="RocePacketsLost",
        expr=at_node(sum_by(rate(series(fabric.ROCE_EVENTS, kind=matches(_LOST)), "10m"), *_port) > 100),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="RoCE at {device}/{port} of {node} loses packets",
        description="{value:.0f} packets per second out of order, missing or timed out, over ten minutes.",
        cause="A network that is not lossless: flow control or congestion marks set up unevenly, a bad "
        "cable.",
        consequence="Every loss sends much again: collectives slow down or time out: {jobs_on_node}.",
        action=Action.NONE,
        first_step="Compare flow control (PFC) and congestion marks (ECN) at the port and its switch with "
        "a good one.",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "many",
                (given(fabric.ROCE_EVENTS, rising(9000), device="mlx5_0", port="1", kind="out_of_sequence"),),
                ("n1",),
                at="20m",
            ),
            Case(
                "marked, not lost",
                (given(fabric.ROCE_EVENTS, rising(9000), device="mlx5_0", port="1", kind="ecn_marked"),),
                at="20m",
            ),
        ),
    ),
)
