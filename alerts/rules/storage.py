"""Shared file systems: whether they answer, have room, and can be written to."""

from __future__ import annotations

from alerts.cases import Case, Given, given, rising, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node, both
from gigawatch.catalogue import storage
from gigawatch.promql import count_by, max_by, min_by, min_over_time, rate, series, sum_by

_mount = ("site", "mountpoint", "fstype")
_dead_mounts = max_by(series(storage.MOUNT_RESPONSIVE), *NODE, "mountpoint", "fstype").equals(0)

_left = min_by(series(storage.MOUNT_AVAILABLE), *_mount) / (max_by(series(storage.MOUNT_SIZE), *_mount) > 0)
_read_only = max_by(series(storage.MOUNT_READ_ONLY), *NODE, "mountpoint", "fstype").equals(1)
_was_writable = min_by(
    min_over_time(series(storage.MOUNT_READ_ONLY), "6h"), *NODE, "mountpoint", "fstype"
).equals(0)
_again = sum_by(rate(series(storage.STORAGE_RETRANSMISSIONS), "10m"), *_mount)
_asked = sum_by(rate(series(storage.STORAGE_OPERATIONS), "10m"), *_mount)


def _room(available: float) -> tuple[Given, Given]:
    at = {"mountpoint": "/data", "fstype": "nfs4"}
    return given(storage.MOUNT_AVAILABLE, available, **at), given(storage.MOUNT_SIZE, 1e15, **at)


def _requests(again_per_step: float) -> tuple[Given, Given]:
    at = {"mountpoint": "/data", "fstype": "nfs4"}
    return (
        given(storage.STORAGE_OPERATIONS, rising(3000), **at, operation="read"),
        given(storage.STORAGE_RETRANSMISSIONS, rising(again_per_step), **at),
    )


ALERTS = (
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
        name="SharedStorageFull",
        expr=_left < 0.02,
        severity=Severity.CRITICAL,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{mountpoint}",
        summary="Shared storage {mountpoint} is full: {value:percent} left",
        description="Less than 2 % of {mountpoint} ({fstype}) can still be written.",
        cause="Checkpoints and logs that nobody removes, or a job that writes far more than it should.",
        consequence="Checkpoints fail next: jobs end, or compute on with nothing to fall back on.",
        action=Action.NONE,
        first_step="Find what grew in the last day and ask its owner; old checkpoints are the usual answer.",
        board="gw-job",
        hold="5m",
        symptom_of=("storage",),
        cases=(
            Case("full", _room(1e13), ("/data",)),
            Case("nearly full", _room(6e13)),
        ),
    ),
    Alert(
        name="SharedStorageNearlyFull",
        expr=_left < 0.10,
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{mountpoint}",
        summary="Shared storage {mountpoint} has {value:percent} left",
        description="Less than 10 % of {mountpoint} ({fstype}) can still be written.",
        cause="Checkpoints, data sets and logs that nobody removes.",
        consequence="It slows down as it fills; once full, checkpoints fail.",
        action=Action.NONE,
        first_step="Ask the owners of the largest folders to clean up.",
        board="gw-job",
        hold="15m",
        symptom_of=("storage",),
        cases=(
            Case("nearly full", _room(6e13), ("/data",), at="20m"),
            Case("room", _room(3e14), at="20m"),
        ),
    ),
    Alert(
        name="MountTurnedReadOnly",
        expr=at_node(both(_read_only, _was_writable, *NODE, "mountpoint")),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="{mountpoint} of {node} can no longer be written",
        description="{mountpoint} ({fstype}) has become read-only within the last six hours.",
        cause="The kernel protects a file system after errors of its disk; or somebody mounted it so.",
        consequence="Checkpoints, caches and logs that go there fail: {jobs_on_node}.",
        action=Action.DRAIN,
        first_step="Read the kernel log for errors of the disk behind {mountpoint}; drain {node} if there "
        "are any.",
        board="gw-node",
        hold="1m",
        note="File systems that are mounted read-only from the start, as data sets are, raise nothing.",
        symptom_of=("node-down", "node-storage"),
        cases=(
            Case(
                "turned",
                (given(storage.MOUNT_READ_ONLY, turning(0, 10, 1), mountpoint="/scratch", fstype="xfs"),),
                ("n1",),
                carries={"mountpoint": "/scratch"},
            ),
            Case("always so", (given(storage.MOUNT_READ_ONLY, 1, mountpoint="/sets", fstype="nfs4"),)),
        ),
    ),
    Alert(
        name="StorageRetransmissions",
        expr=both(_again / (_asked > 1) > 0.01, _again > 1, *_mount),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.SITE,
        place="{mountpoint}",
        summary="Requests to {mountpoint} are sent again: {value:percent}",
        description="That share of all requests to {mountpoint} ({fstype}) got no answer in time, over "
        "ten minutes.",
        cause="Packets lost between the nodes and the server, or a server that is overloaded.",
        consequence="Each of them waits for seconds: loaders starve although throughput looks fair.",
        action=Action.NONE,
        first_step="Is it one node (its cable) or all (server, switch)? Compare them on the node board.",
        board="gw-job",
        hold="5m",
        symptom_of=("storage",),
        cases=(
            Case("many", _requests(120), ("/data",), at="20m"),
            Case("a few", _requests(3), at="20m"),
        ),
    ),
)
