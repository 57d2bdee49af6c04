"""The storage section of gw-node: tiers, mounts, latency, disks."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import NODE, RATE
from dashboards.model import Section
from dashboards.panels import Column, Line, alarm, falling, rising, state_timeline, table, timeseries
from gigawatch.catalogue import Unit
from gigawatch.catalogue import host as h
from gigawatch.catalogue import storage as sto
from gigawatch.promql import Expr, increase, join, max_by, one_minus, rate, series, sum_by

_MOUNT = ("site", "rack", "node", "mountpoint", "fstype")
_DISK = ("node", "device")


def _tiered(expr: Expr) -> Expr:
    return join(max_by(expr, *_MOUNT), sto.MOUNT_INFO, _MOUNT, ("source", "tier"), **NODE)


def storage() -> Section:
    """Where data lies, how full it is, and how long it takes to come."""
    size = max_by(series(sto.MOUNT_SIZE, **NODE), *_MOUNT).or_(
        max_by(series(h.HOST_FILESYSTEM_SIZE, **NODE), *_MOUNT)
    )
    free = max_by(series(sto.MOUNT_AVAILABLE, **NODE), *_MOUNT).or_(
        max_by(series(h.HOST_FILESYSTEM_AVAILABLE, **NODE), *_MOUNT)
    )
    shared = ("mountpoint", "operation")
    local = ("device", "operation")
    asked = sum_by(rate(series(sto.STORAGE_OPERATIONS, **NODE), RATE), *shared)
    took = sum_by(rate(series(sto.STORAGE_OPERATION_SECONDS, **NODE), RATE), *shared)
    disk_asked = sum_by(rate(series(h.HOST_DISK_OPERATIONS, **NODE), RATE), *local)
    disk_took = sum_by(rate(series(h.HOST_DISK_OPERATION_SECONDS, **NODE), RATE), *local)
    warned = sum_by(series(sto.NVME_CRITICAL_WARNING, **NODE), *_DISK)
    mounts = max_by(series(sto.MOUNT_RESPONSIVE, **NODE), "mountpoint")
    return Section(
        "Storage",
        (
            table(
                "Where data lies",
                "Which tier is it: near the GPUs (hot), shared (warm) or an archive (cold)? Is it full, "
                "and can it "
                "be written?",
                (*_MOUNT, "source", "tier"),
                Column("Size", _tiered(size), decimals=1),
                Column("Free", _tiered(free), decimals=1),
                Column(
                    "Used",
                    _tiered(one_minus(free / size)),
                    decimals=0,
                    steps=limits.FILESYSTEM,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                Column(
                    "Writable",
                    _tiered(series(sto.MOUNT_READ_ONLY, **NODE)),
                    states={0: ("yes", "green"), 1: ("read-only", "orange")},
                ),
                width=16,
                height=7,
                sort="Tier",
                hide=("site", "rack", "node"),
            ),
            state_timeline(
                "Mounts",
                "Does shared storage answer?",
                mounts.in_unit(Unit.COUNT),
                {0: ("no answer", "red"), 1: ("answers", "green")},
                legend="{{mountpoint}}",
                width=8,
            ),
            timeseries(
                "Latency of shared storage",
                "How long does a request take, from being queued to its answer? No line: nothing is "
                "answered.",
                Line((took / (asked > 0)).in_unit(Unit.SECONDS), "{{mountpoint}} {{operation}}"),
                low=0,
            ),
            timeseries(
                "Latency of the disks",
                "Is a local disk slow? Compare with shared storage: the slower one is what the job waits "
                "for.",
                Line((disk_took / (disk_asked > 0)).in_unit(Unit.SECONDS), "{{device}} {{operation}}"),
                low=0,
            ),
            timeseries(
                "Mount probe",
                "How long does shared storage take to answer?",
                Line(max_by(series(sto.MOUNT_PROBE_DURATION, **NODE), "mountpoint"), "{{mountpoint}}"),
                low=0,
            ),
            timeseries(
                "Shared storage",
                "Does the data still come in, and do checkpoints go out? A job that starves shows here "
                "first.",
                Line(
                    sum_by(rate(series(sto.STORAGE_READ, **NODE), RATE), "mountpoint"), "{{mountpoint}} read"
                ),
                Line(
                    sum_by(rate(series(sto.STORAGE_WRITTEN, **NODE), RATE), "mountpoint"),
                    "{{mountpoint}} written",
                ),
                low=0,
            ),
            timeseries(
                "Disks",
                "How much is read from and written to the local disks?",
                Line(sum_by(rate(series(h.HOST_DISK_READ, **NODE), RATE), "device"), "{{device}} read"),
                Line(sum_by(rate(series(h.HOST_DISK_WRITTEN, **NODE), RATE), "device"), "{{device}} written"),
                low=0,
            ),
            timeseries(
                "Requests",
                "Many small requests or a few large ones, and are some sent again?",
                Line(asked, "{{mountpoint}} {{operation}}"),
                Line(disk_asked, "{{device}} {{operation}}"),
                Line(
                    sum_by(rate(series(sto.STORAGE_RETRANSMISSIONS, **NODE), RATE), "mountpoint"),
                    "{{mountpoint}} again",
                ),
                low=0,
            ),
            table(
                "NVMe disks",
                "How much of its life has a disk used up, are spares left, and has it lost data?",
                _DISK,
                Column("Used up", series(sto.NVME_WEAR, **NODE), decimals=0, steps=rising(0.8, 0.9)),
                Column("Spares left", series(sto.NVME_SPARE, **NODE), decimals=0, steps=falling(0.5, 0.15)),
                Column(
                    "Media errors in 24 h",
                    sum_by(increase(series(sto.NVME_MEDIA_ERRORS, **NODE), "24h"), *_DISK),
                    decimals=0,
                    steps=alarm(),
                ),
                Column("Warnings", warned, decimals=0, steps=alarm()),
                Column("Temperature", series(sto.NVME_TEMPERATURE, **NODE), decimals=0),
                width=12,
                height=6,
                hide=("node",),
            ),
            table(
                "File systems",
                "Which file system fills up?",
                _MOUNT,
                Column("Size", max_by(series(h.HOST_FILESYSTEM_SIZE, **NODE), *_MOUNT), decimals=1),
                Column("Free", max_by(series(h.HOST_FILESYSTEM_AVAILABLE, **NODE), *_MOUNT), decimals=1),
                Column(
                    "Used",
                    one_minus(
                        max_by(series(h.HOST_FILESYSTEM_AVAILABLE, **NODE), *_MOUNT)
                        / max_by(series(h.HOST_FILESYSTEM_SIZE, **NODE), *_MOUNT)
                    ),
                    decimals=0,
                    steps=limits.FILESYSTEM,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                Column("Files left", series(h.HOST_FILESYSTEM_FILES_FREE, **NODE), decimals=0),
                width=12,
                height=6,
                hide=("site", "rack", "node"),
            ),
        ),
        folded=True,
    )
