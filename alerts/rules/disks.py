"""NVMe disks of the nodes: what they say of their own health."""

from __future__ import annotations

from alerts.cases import Case, given, turning
from alerts.model import Action, Alert, Domain, Scope, Severity
from alerts.places import NODE, at_node
from gigawatch.catalogue import storage
from gigawatch.promql import increase, lacks, max_by, series

_DISK = (*NODE, "device")

ALERTS = (
    Alert(
        name="NvmeFailing",
        expr=at_node(
            max_by(
                series(storage.NVME_CRITICAL_WARNING, reason=lacks("temperature")), *_DISK, "reason"
            ).equals(1)
        ),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Disk {device} of {node} warns: {reason}",
        description="The disk itself has raised a critical warning.",
        cause="Worn-out flash, or a defect of the disk.",
        consequence="It turns read-only or loses data next; caches and checkpoints on it are gone then.",
        action=Action.SERVICE_REQUIRED,
        first_step="Move what is needed off {device}; exchange it when {node} is drained next.",
        board="gw-node",
        hold="1m",
        rehearse=("disk-worn",),
        symptom_of=("node-down",),
        cases=(
            Case(
                "no spares",
                (given(storage.NVME_CRITICAL_WARNING, 1, device="nvme0n1", reason="spare_low"),),
                ("n1",),
                carries={"device": "nvme0n1", "reason": "spare_low"},
            ),
            Case("warm", (given(storage.NVME_CRITICAL_WARNING, 1, device="nvme0n1", reason="temperature"),)),
        ),
    ),
    Alert(
        name="NvmeMediaErrors",
        expr=at_node(max_by(increase(series(storage.NVME_MEDIA_ERRORS), "1h"), *_DISK) > 0),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Disk {device} of {node} has lost data",
        description="It counted media errors within the last hour.",
        cause="Flash cells that fail beyond what the disk can correct.",
        consequence="Files on it may be damaged; more will follow.",
        action=Action.SERVICE_REQUIRED,
        first_step="Find out what lay on {device}; exchange it when {node} is drained next.",
        board="gw-node",
        hold="0s",
        rehearse=("disk-worn",),
        symptom_of=("node-down", "nvme"),
        cases=(
            Case("rising", (given(storage.NVME_MEDIA_ERRORS, turning(2, 10, 3), device="nvme0n1"),), ("n1",)),
            Case("old ones", (given(storage.NVME_MEDIA_ERRORS, 2, device="nvme0n1"),)),
        ),
    ),
    Alert(
        name="NvmeWornOut",
        expr=at_node(max_by(series(storage.NVME_WEAR), *_DISK) > 0.9),
        severity=Severity.WARNING,
        domain=Domain.NODE,
        scope=Scope.NODE,
        summary="Disk {device} of {node} has used up {value:percent} of its endurance",
        description="At 100 % its maker no longer vouches for it.",
        cause="Much written to it: checkpoints, caches, swapping.",
        consequence="It may go on for long, or fail without warning, outside its warranty.",
        action=Action.SERVICE_REQUIRED,
        first_step="Plan the exchange of {device}; find out what writes so much.",
        board="gw-node",
        hold="15m",
        rehearse=("disk-worn",),
        symptom_of=("node-down", "nvme"),
        cases=(
            Case("worn", (given(storage.NVME_WEAR, 0.97, device="nvme0n1"),), ("n1",), at="20m"),
            Case("half", (given(storage.NVME_WEAR, 0.5, device="nvme0n1"),), at="20m"),
        ),
    ),
)
