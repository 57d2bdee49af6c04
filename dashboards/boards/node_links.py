"""The links, PCI bus and fabric sections of gw-node."""

from __future__ import annotations

from dashboards.boards.common import GPU, NODE, RATE, state_code
from dashboards.model import Section
from dashboards.panels import Column, Line, alarm, rising, state_timeline, table, timeseries
from gigawatch.catalogue import Unit
from gigawatch.catalogue import fabric as fab
from gigawatch.catalogue import gpu_links as lnk
from gigawatch.promql import (
    Expr,
    count_by,
    increase,
    join,
    many_to_one,
    matches,
    max_by,
    rate,
    series,
    sum_by,
)

PORT = {0: ("active", "green"), 1: ("down", "red"), 2: ("initialising", "orange"), 3: ("armed", "yellow")}
_GIGA = "suffix: GT/s"
REGISTERED = {0: ("completed", "green"), 1: ("not started", "red"), 2: ("in progress", "orange")}


def links() -> Section:
    """NVLink and PCIe of each GPU."""
    lanes = max_by(series(lnk.GPU_PCIE_LINK_WIDTH, kind="current", **GPU), "gpu")
    full = max_by(series(lnk.GPU_PCIE_LINK_WIDTH, kind="max", **GPU), "gpu")
    generation = max_by(series(lnk.GPU_PCIE_LINK_GENERATION, kind="current", **GPU), "gpu")
    best = max_by(series(lnk.GPU_PCIE_LINK_GENERATION, kind="max", **GPU), "gpu")
    links_up = many_to_one(
        sum_by(series(lnk.GPU_NVLINK_UP, **GPU), "gpu"),
        "/",
        count_by(series(lnk.GPU_NVLINK_UP, **GPU), "gpu"),
        ("gpu",),
    )
    link = ("site", "node", "gpu", "link")
    failing = max_by(series(lnk.GPU_FABRIC_UNHEALTHY, **GPU), "site", "node", "gpu", "check").equals(1)
    return Section(
        "NVLink and PCIe",
        (
            timeseries(
                "NVLink traffic",
                "How much do the GPUs exchange, and is one silent while its siblings talk?",
                Line(
                    sum_by(rate(series(lnk.GPU_NVLINK_BYTES, **GPU), RATE), "gpu", "direction"),
                    "GPU {{gpu}} {{direction}}",
                ),
                low=0,
            ),
            timeseries(
                "NVLink errors",
                "Does an NVLink fail? Errors there slow collectives before they kill the job.",
                Line(
                    sum_by(increase(series(lnk.GPU_NVLINK_ERRORS, **GPU), RATE), "gpu", "kind"),
                    "GPU {{gpu}} {{kind}}",
                ),
                low=0,
            ),
            timeseries(
                "NVLinks up",
                "Are all NVLinks of each GPU up?",
                Line(links_up.in_unit(Unit.RATIO), "GPU {{gpu}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "PCIe traffic",
                "How much goes between the host and each GPU? Loading and checkpoints show here.",
                Line(
                    sum_by(rate(series(lnk.GPU_PCIE_BYTES, **GPU), RATE), "gpu", "direction"),
                    "GPU {{gpu}} {{direction}}",
                ),
                low=0,
            ),
            timeseries(
                "PCIe replays",
                "Does a GPU's PCIe link send packets again?",
                Line(sum_by(increase(series(lnk.GPU_PCIE_REPLAYS, **GPU), RATE), "gpu"), "GPU {{gpu}}"),
                low=0,
            ),
            timeseries(
                "PCIe link against its best",
                "Has a link trained down to fewer lanes, or a lower generation while the GPU works?",
                Line(lanes / full, "GPU {{gpu}} lanes"),
                Line(generation / best, "GPU {{gpu}} generation"),
                low=0,
                high=1,
            ),
            state_timeline(
                "NVSwitch fabric",
                "Is every GPU registered with the fabric? Without that CUDA does not start.",
                state_code(lnk.GPU_FABRIC_STATE, {"not_started": 1, "in_progress": 2}, "gpu", **GPU),
                REGISTERED,
                legend="GPU {{gpu}}",
                width=8,
                height=8,
            ),
            table(
                "Fabric checks that fail",
                "What does the fabric find wrong with a GPU's way to the others?",
                ("site", "node", "gpu", "check"),
                Column("Fails", failing, states={1: ("yes", "red")}),
                nothing="None",
                width=8,
                height=8,
                hide=("site", "node"),
            ),
            table(
                "NVLinks one by one",
                "Which link is down, slow, or lets wrong bits through? The worst stand first.",
                link,
                Column(
                    "State",
                    series(lnk.GPU_NVLINK_UP, **GPU),
                    states={0: ("down", "red"), 1: ("up", "green")},
                ),
                Column(
                    "Errors in 1 h",
                    sum_by(increase(series(lnk.GPU_NVLINK_ERRORS, **GPU), "1h"), *link),
                    decimals=0,
                    steps=alarm("orange"),
                ),
                Column("Speed", series(lnk.GPU_NVLINK_SPEED, **GPU), decimals=1),
                Column("Wrong bits", series(lnk.GPU_NVLINK_BIT_ERROR, kind="effective", **GPU)),
                width=8,
                height=8,
                sort="State",
                hide=("site", "node"),
            ),
        ),
    )


def bus() -> Section:
    """What the PCI bus tells, with a driver or without one."""
    device = ("site", "rack", "node", "pci_bus_id")
    shown = (*device, "type")

    def known(expr: Expr) -> Expr:
        return join(max_by(expr, *device), lnk.PCI_DEVICE_INFO, device, ("type",), **NODE)

    def speed(kind: str) -> Expr:
        return known(series(lnk.PCI_LINK_SPEED, kind=kind, **NODE)) / 1e9

    def errors(severity: str) -> Expr:
        return known(
            sum_by(increase(series(lnk.PCI_AER_ERRORS, severity=matches(severity), **NODE), "1h"), *device)
        )

    sxid = sum_by(
        increase(series(lnk.NVSWITCH_SXID_ERRORS, **NODE), "24h"), "node", "pci_bus_id", "sxid", "severity"
    )
    return Section(
        "PCI bus",
        (
            table(
                "PCI devices",
                "Does a GPU, adapter or disk run on fewer lanes or slower than it can, and does its link "
                "err? "
                "The bus answers also where a driver does not. An idle GPU slows its link down.",
                shown,
                Column("Lanes", known(series(lnk.PCI_LINK_WIDTH, kind="current", **NODE)), decimals=0),
                Column("of", known(series(lnk.PCI_LINK_WIDTH, kind="max", **NODE)), decimals=0),
                Column("Per lane", speed("current"), decimals=1, unit=_GIGA),
                Column("at best", speed("max"), decimals=1, unit=_GIGA),
                Column("Corrected in 1 h", errors("correctable"), decimals=0, steps=rising(10, 1000)),
                Column("Not corrected in 1 h", errors("nonfatal|fatal"), decimals=0, steps=alarm()),
                width=16,
                height=8,
                sort="Address",
                hide=("site", "rack", "node"),
            ),
            table(
                "NVSwitch errors of the last 24 hours",
                "Which errors (SXID) did the switches between the GPUs report?",
                ("node", "pci_bus_id", "sxid", "severity"),
                Column("Count", sxid > 0, decimals=0, steps=rising(1, 2)),
                nothing="None",
                width=8,
                height=8,
                hide=("node",),
            ),
        ),
        folded=True,
    )


def fabric() -> Section:
    """InfiniBand and RoCE ports."""
    port = ("device", "port")
    moved = sum_by(rate(series(fab.IB_PORT_BYTES, **NODE), RATE), *port, "direction")
    errors = sum_by(rate(series(fab.IB_PORT_ERRORS, **NODE), RATE), *port, "kind")
    flaps = sum_by(rate(series(fab.IB_PORT_FLAPS, **NODE), RATE), *port)
    words = sum_by(rate(series(fab.IB_PORT_BYTES, direction="transmit", **NODE), RATE), *port) / 4
    waits = sum_by(rate(series(fab.IB_PORT_WAIT, **NODE), RATE), *port) / words
    keys = ("node", *port, "link_layer", "netdev", "firmware")
    speed = join(
        max_by(series(fab.IB_PORT_SPEED, **NODE), "site", "node", *port),
        fab.IB_PORT_INFO,
        ("site", "node", *port),
        ("link_layer", "netdev", "firmware"),
        **NODE,
    )
    return Section(
        "Fabric ports",
        (
            state_timeline(
                "Fabric ports",
                "Is every fabric port active?",
                state_code(fab.IB_PORT_STATE, {"down": 1, "init": 2, "armed": 3}, *port, **NODE),
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
            timeseries(
                "Waiting to send",
                "Is the fabric congested? Ticks in which a port had data and could not send, per word sent; "
                "well below one is usual.",
                Line(waits, "{{device}}:{{port}}"),
                height=7,
                low=0,
            ),
            timeseries(
                "RoCE transport",
                "Does a lossless network lose packets? Marks are its brake, out of sequence is loss.",
                Line(
                    sum_by(rate(series(fab.ROCE_EVENTS, **NODE), RATE), *port, "kind"),
                    "{{device}}:{{port}} {{kind}}",
                ),
                height=7,
                low=0,
            ),
            table(
                "Ports",
                "Do all ports run at the same speed and firmware?",
                keys,
                Column("Speed", speed, decimals=1),
                width=8,
                height=7,
                sort="Device",
                hide=("node", "netdev"),
            ),
        ),
        folded=True,
    )
