"""Nodes: servers that are down, and their fans."""

from __future__ import annotations

from alerts.cases import Case, given, other, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import HARDWARE, NODE, at_bmc, at_node, both, settled
from gigawatch.catalogue import facility, host
from gigawatch.promql import (
    age,
    count_by,
    foreign,
    matches,
    max_by,
    min_by,
    series,
)

_up = foreign('max by (site, rack, node) (up{job="gigawatch-agent"})', NODE)
_down = _up.equals(0)
_lost_share = foreign('1 - avg by (site) (up{job="gigawatch-agent"})', ("site",))
_bad_fan = max_by(
    series(facility.COMPONENT_HEALTH, component=matches("fan.*"), status=matches("warning|critical")),
    *HARDWARE,
).equals(1)
_still_fan = min_by(series(facility.FAN_SPEED), *HARDWARE) < 0.05

ALERTS = (
    Alert(
        name="NodeDown",
        expr=at_node(_down),
        severity=Severity.CRITICAL,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{node} does not answer",
        description="The node's agent has not answered a scrape for two minutes.",
        cause="The node crashed, lost power or its network; less often only the agent died.",
        consequence="Its GPUs are unobserved and most likely lost to their jobs: {jobs_on_node}.",
        action=Action.RESTART_OS,
        first_step="Ping it and look at its management controller: is it powered?",
        board="gw-node",
        hold="2m",
        steps=(
            "Powered and pingable: restart the agent (systemctl restart gigawatch-agent).",
            "Powered and silent: read the console, then reset it through the management controller.",
            "Not powered: look at the rack's PDUs before you switch anything on.",
        ),
        symptom_of=("node-down-mass", "agents-gone", "rack-power"),
        cases=(
            Case(
                "silent",
                (
                    target("gigawatch-agent", turning(1, 4, 0), node="n1", rack="r1"),
                    target("gigawatch-agent", 1, node="n2", rack="r1"),
                ),
                ("n1",),
                carries={"rack": "r1", "row": "a", "loop": "loop-1"},
            ),
            Case(
                "unknown to service discovery",
                (target("gigawatch-agent", 0, node="n9", rack="r9"), target("gigawatch-agent", 1, node="n1")),
                ("n9",),
            ),
            Case("a scrape missed", (target("gigawatch-agent", "1+0x9 0+0x1 1+0x60", node="n1", rack="r1"),)),
        ),
    ),
    Alert(
        name="NodesLost",
        expr=settled(both(_lost_share >= 0.25, count_by(_down, "site") > 3, "site"), 60),
        severity=Severity.CRITICAL,
        domain=Domain.NODE,
        scope=Scope.SITE,
        summary="{value:percent} of the nodes of {site} do not answer",
        description="A quarter of the agents or more is silent at the same time.",
        cause="Something that they share: network, power, a bad roll-out of the agent.",
        consequence="Jobs across the site fail. One page stands for all the nodes.",
        action=Action.NONE,
        first_step="Look for what the silent nodes have in common: rack, row, feed, switch, agent version.",
        board="gw-fleet",
        hold="1m",
        symptom_of=("agents-gone",),
        cases=(
            Case(
                "four of five",
                (
                    *(target("gigawatch-agent", 0, node=f"m{i}", rack="r1") for i in range(4)),
                    target("gigawatch-agent", 1, node="n1", rack="r1"),
                ),
                ("s1",),
            ),
            Case(
                "Prometheus has just started",
                (
                    *(target("gigawatch-agent", 0, node=f"m{i}", rack="r1") for i in range(4)),
                    target("gigawatch-agent", 1, node="n1", rack="r1"),
                    other("process_start_time_seconds", 570, job="prometheus", instance="i1"),
                ),
            ),
            Case(
                "one of five",
                (
                    *(target("gigawatch-agent", 1, node=f"m{i}", rack="r1") for i in range(4)),
                    target("gigawatch-agent", 0, node="n1", rack="r1"),
                ),
            ),
        ),
    ),
    Alert(
        name="NodeRebooted",
        expr=at_node(max_by(age(series(host.HOST_BOOT_TIMESTAMP)), *NODE) < 600),
        severity=Severity.INFO,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{node} started {value:duration} ago",
        description="The node's boot time is less than ten minutes ago.",
        cause="Maintenance, a crash, or a power event.",
        consequence="What ran before is gone.",
        action=Action.NONE,
        first_step="If nobody planned it, read the last kernel messages before the boot.",
        board="gw-node",
        hold="0s",
        cases=(
            Case("young", (given(host.HOST_BOOT_TIMESTAMP, 60),), ("n1",), at="5m"),
            Case("old", (given(host.HOST_BOOT_TIMESTAMP, 0),), at="20m"),
        ),
    ),
    Alert(
        name="NodeFanFailed",
        expr=at_bmc(_bad_fan.or_(_still_fan)),
        severity=Severity.WARNING,
        domain=Domain.COOLING,
        scope=Scope.NODE,
        summary="A fan of {node} has failed",
        description="The management controller reports a fan as bad, or a fan that does not turn.",
        cause="A worn fan, a loose connector, or a blocked rotor.",
        consequence="The remaining fans run faster; a second failure overheats what the coolant does not "
        "reach.",
        action=Action.SERVICE_REQUIRED,
        first_step="Exchange the fan; most servers allow it while they run.",
        board="gw-node",
        hold="1m",
        rehearse=("fan-failure",),
        symptom_of=("rack-power",),
        cases=(
            Case(
                "reported bad",
                (
                    given(
                        facility.COMPONENT_HEALTH,
                        1,
                        device="bmc-n1",
                        rack="r1",
                        node="n1",
                        component="fan3",
                        status="critical",
                    ),
                ),
                ("n1",),
                carries={"loop": "loop-1"},
            ),
            Case(
                "stands still",
                (given(facility.FAN_SPEED, 0, device="bmc-n1", rack="r1", node="n1", fan="fan1"),),
                ("n1",),
            ),
            Case(
                "a power supply is bad, not a fan",
                (
                    given(
                        facility.COMPONENT_HEALTH,
                        1,
                        device="bmc-n1",
                        rack="r1",
                        node="n1",
                        component="psu1",
                        status="critical",
                    ),
                    given(facility.FAN_SPEED, 0.4, device="bmc-n1", rack="r1", node="n1", fan="fan1"),
                ),
            ),
        ),
    ),
)
