"""The host and fabric sections of gw-node."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import NODE, RATE, state_code
from dashboards.model import Section
from dashboards.panels import Column, Line, state_timeline, table, timeseries
from gigawatch.catalogue import Unit
from gigawatch.catalogue import fabric as fab
from gigawatch.catalogue import host as h
from gigawatch.catalogue import storage as sto
from gigawatch.promql import (
    age,
    differs,
    lacks,
    many_to_one,
    max_by,
    one_minus,
    rate,
    series,
    sum_by,
)

_NODE = ("site", "rack", "node")
PORT = {0: ("active", "green"), 1: ("down", "red"), 2: ("initialising", "orange"), 3: ("armed", "yellow")}


def host() -> Section:
    """Processor, memory, disks, network."""
    modes = sum_by(rate(series(h.HOST_CPU_SECONDS, mode=differs("idle"), **NODE), RATE), *_NODE, "mode")
    busy = many_to_one(modes, "/", max_by(series(h.HOST_CPUS, **NODE), *_NODE), _NODE).in_unit(Unit.RATIO)
    free = max_by(series(h.HOST_MEMORY_AVAILABLE, **NODE), *_NODE)
    size = max_by(series(h.HOST_MEMORY_SIZE, **NODE), *_NODE)
    keys = (*_NODE, "mountpoint", "fstype")
    left = max_by(series(h.HOST_FILESYSTEM_AVAILABLE, **NODE), *keys)
    whole = max_by(series(h.HOST_FILESYSTEM_SIZE, **NODE), *keys)
    errors = rate(series(h.HOST_NETWORK_ERRORS, **NODE), RATE)
    drops = rate(series(h.HOST_NETWORK_DROPS, **NODE), RATE)
    return Section(
        "Host",
        (
            timeseries(
                "Processors",
                "What keeps the processors busy? Much iowait points at storage.",
                Line(busy, "{{mode}}"),
                stacked=True,
                low=0,
                high=1,
            ),
            timeseries(
                "Memory",
                "Does the host run out of memory?",
                Line(size - free, "used"),
                Line(max_by(series(h.HOST_SWAP_USED, **NODE), *_NODE), "swap"),
                Line(size, "size", dashed=True),
                low=0,
            ),
            timeseries(
                "Load",
                "Do more tasks wait for a processor than there are processors?",
                Line(max_by(series(h.HOST_LOAD, **NODE), *_NODE), "load"),
                Line(max_by(series(h.HOST_CPUS, **NODE), *_NODE), "processors", dashed=True),
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
                "Network",
                "How much goes over the network interfaces?",
                Line(
                    sum_by(
                        rate(series(h.HOST_NETWORK_BYTES, device=lacks("lo"), **NODE), RATE),
                        "device",
                        "direction",
                    ),
                    "{{device}} {{direction}}",
                ),
                low=0,
            ),
            timeseries(
                "Network errors and drops",
                "Does a cable or a port lose packets?",
                Line(sum_by(errors, "device"), "{{device}} errors"),
                Line(sum_by(drops, "device"), "{{device}} drops"),
                low=0,
            ),
            table(
                "File systems",
                "Which file system fills up?",
                keys,
                Column("Size", whole, decimals=1),
                Column("Free", left, decimals=1),
                Column(
                    "Used",
                    one_minus(left / whole),
                    decimals=0,
                    steps=limits.FILESYSTEM,
                    cell="gauge",
                    low=0,
                    high=1,
                ),
                width=16,
                height=6,
                hide=("site", "rack"),
            ),
            table(
                "Running since",
                "Has the host restarted on its own?",
                _NODE,
                Column("Up for", max_by(age(series(h.HOST_BOOT_TIMESTAMP, **NODE)), *_NODE), decimals=0),
                width=8,
                height=6,
                hide=("site",),
            ),
        ),
    )


def fabric() -> Section:
    """InfiniBand ports and shared storage."""
    moved = sum_by(rate(series(fab.IB_PORT_BYTES, **NODE), RATE), "device", "port", "direction")
    errors = sum_by(rate(series(fab.IB_PORT_ERRORS, **NODE), RATE), "device", "port", "kind")
    flaps = sum_by(rate(series(fab.IB_PORT_FLAPS, **NODE), RATE), "device", "port")
    mounts = max_by(series(sto.MOUNT_RESPONSIVE, **NODE), "mountpoint", "fstype")
    return Section(
        "Fabric and shared storage",
        (
            state_timeline(
                "Fabric ports",
                "Is every fabric port active?",
                state_code(fab.IB_PORT_STATE, {"down": 1, "init": 2, "armed": 3}, "device", "port", **NODE),
                PORT,
                legend="{{device}}:{{port}}",
                width=8,
            ),
            timeseries(
                "Fabric traffic",
                "How much goes over each port, and is one silent?",
                Line(moved, "{{device}}:{{port}} {{direction}}"),
                height=7,
                low=0,
            ),
            timeseries(
                "Fabric errors and flaps",
                "Does a cable, transceiver or port fail?",
                Line(errors, "{{device}}:{{port}} {{kind}}"),
                Line(flaps, "{{device}}:{{port}} flaps"),
                height=7,
                low=0,
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
                "Mount probe",
                "How long does shared storage take to answer?",
                Line(max_by(series(sto.MOUNT_PROBE_DURATION, **NODE), "mountpoint"), "{{mountpoint}}"),
                height=7,
                low=0,
            ),
            timeseries(
                "Read from shared storage",
                "Does the data still come in? A training job that starves shows here first.",
                Line(sum_by(rate(series(sto.STORAGE_READ, **NODE), RATE), "mountpoint"), "{{mountpoint}}"),
                height=7,
                low=0,
            ),
        ),
    )
