"""Nodes: servers that are down, their fans, fabric ports, storage and disks."""

from __future__ import annotations

from alerts.cases import Case, given, other, rising, target, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import HARDWARE, NODE, at_bmc, at_node, both, settled
from gigawatch.catalogue import fabric, facility, host, storage
from gigawatch.promql import (
    Expr,
    age,
    count_by,
    foreign,
    increase,
    lacks,
    many_to_one,
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

DOWN = (
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

_port = (*NODE, "device", "port")
_active = max_by(series(fabric.IB_PORT_STATE, state="active"), *_port)

FABRIC = (
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
                increase(series(fabric.IB_PORT_ERRORS, kind=matches("symbol|link_recovery")), "10m"),
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
)

_mount = ("site", "mountpoint", "fstype")
_dead_mounts = max_by(series(storage.MOUNT_RESPONSIVE), *NODE, "mountpoint", "fstype").equals(0)
_free = max_by(
    series(host.HOST_FILESYSTEM_AVAILABLE, fstype=lacks("squashfs|iso9660|tmpfs")), *NODE, "mountpoint"
)
_size = max_by(series(host.HOST_FILESYSTEM_SIZE), *NODE, "mountpoint")
_disk = (*NODE, "mountpoint")


def _share(part: Expr, whole: Expr, by: tuple[str, ...]) -> Expr:
    return many_to_one(part, "/", whole, by)


STORAGE = (
    Alert(
        name="StorageStalled",
        expr=count_by(_dead_mounts, *_mount) > 0,
        severity=Severity.CRITICAL,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{mountpoint}",
        summary="Shared storage {mountpoint} does not answer on {value:.0f} nodes",
        description="The probe of {mountpoint} ({fstype}) got no answer within its deadline on: "
        "{nodes_stalled}.",
        cause="The storage server or its network is down or overloaded; on one node alone its client.",
        consequence="Data loading and checkpoints stand still, and with them every job that uses it; "
        "processes "
        "that touch it cannot even be killed.",
        action=Action.NONE,
        first_step="Is it one node or all? All: call storage operations. One: drain and reboot that node.",
        board="gw-job",
        hold="30s",
        keep="1m",
        rehearse=("storage-stall",),
        cases=(
            Case(
                "on both nodes",
                tuple(
                    given(storage.MOUNT_RESPONSIVE, 0, node=node, mountpoint="/data", fstype="nfs")
                    for node in ("n1", "n2")
                ),
                ("/data",),
            ),
            Case("answers", (given(storage.MOUNT_RESPONSIVE, 1, mountpoint="/data", fstype="nfs"),)),
        ),
    ),
    Alert(
        name="NodeStorageStalled",
        expr=at_node(_dead_mounts),
        severity=Severity.INFO,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{mountpoint} does not answer {node}",
        description="The probe of {mountpoint} ({fstype}) on {node} got no answer within its deadline.",
        cause="The storage behind it, or the client on this node.",
        consequence="Work on this node that needs {mountpoint} stands still: {jobs_on_node}.",
        action=Action.NONE,
        first_step="StorageStalled is the page; this one says where, and mutes what follows from it here.",
        board="gw-node",
        hold="0s",
        keep="1m",
        rehearse=("storage-stall",),
        symptom_of=("node-down",),
        cases=(
            Case(
                "one node",
                (
                    given(storage.MOUNT_RESPONSIVE, 0, mountpoint="/data", fstype="nfs"),
                    given(storage.MOUNT_RESPONSIVE, 1, node="n2", mountpoint="/data", fstype="nfs"),
                ),
                ("n1",),
            ),
            Case("answers", (given(storage.MOUNT_RESPONSIVE, 1, mountpoint="/data", fstype="nfs"),)),
        ),
    ),
    Alert(
        name="StorageSlow",
        expr=max_by(series(storage.MOUNT_PROBE_DURATION), *_mount) > 2,
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{mountpoint}",
        summary="Shared storage {mountpoint} takes {value:.1f} s to answer",
        description="The slowest probe took {value:.1f} s; milliseconds are usual.",
        cause="An overloaded server, a lost path, or many jobs that write checkpoints at once.",
        consequence="Loading and checkpoints slow down; timeouts follow.",
        action=Action.NONE,
        first_step="Look at the storage's own load and at which jobs write.",
        board="gw-job",
        hold="3m",
        symptom_of=("storage",),
        cases=(
            Case(
                "slow",
                (given(storage.MOUNT_PROBE_DURATION, 4, mountpoint="/data", fstype="nfs"),),
                ("/data",),
            ),
            Case("quick", (given(storage.MOUNT_PROBE_DURATION, 0.01, mountpoint="/data", fstype="nfs"),)),
        ),
    ),
    Alert(
        name="NodeDiskFull",
        expr=at_node(both(_share(_free, _size, _disk) < 0.05, _free < 5e9, *_disk)),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{mountpoint} of {node} is nearly full",
        description="{value:percent} left, and less than 5 GB.",
        cause="Logs, caches, or checkpoints on the wrong disk.",
        consequence="Jobs that write there fail.",
        action=Action.NONE,
        first_step="Find what grew: du -xh --max-depth=2 {mountpoint} | sort -h | tail",
        board="gw-node",
        hold="10m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "nearly full",
                (
                    given(host.HOST_FILESYSTEM_AVAILABLE, 1e9, mountpoint="/", fstype="ext4"),
                    given(host.HOST_FILESYSTEM_SIZE, 1e12, mountpoint="/", fstype="ext4"),
                ),
                ("n1",),
                at="15m",
            ),
            Case(
                "little but small",
                (
                    given(host.HOST_FILESYSTEM_AVAILABLE, 1e9, mountpoint="/", fstype="ext4"),
                    given(host.HOST_FILESYSTEM_SIZE, 1.1e9, mountpoint="/", fstype="ext4"),
                ),
                at="15m",
            ),
        ),
    ),
    Alert(
        name="NodeMemoryLow",
        expr=at_node(
            _share(
                max_by(series(host.HOST_MEMORY_AVAILABLE), *NODE),
                max_by(series(host.HOST_MEMORY_SIZE), *NODE),
                NODE,
            )
            < 0.03
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{node} has {value:percent} of its memory left",
        description="Less than 3 % of the host's memory can be taken.",
        cause="A data loader that leaks or is too greedy.",
        consequence="The kernel ends processes, often the job: {jobs_on_node}.",
        action=Action.RESTART_APP,
        first_step="See who holds it: ps aux --sort=-rss | head",
        board="gw-node",
        hold="5m",
        symptom_of=("node-down",),
        cases=(
            Case(
                "low", (given(host.HOST_MEMORY_AVAILABLE, 1e9), given(host.HOST_MEMORY_SIZE, 1e12)), ("n1",)
            ),
            Case("enough", (given(host.HOST_MEMORY_AVAILABLE, 5e11), given(host.HOST_MEMORY_SIZE, 1e12))),
        ),
    ),
)

ALERTS = (*DOWN, *FABRIC, *STORAGE)
