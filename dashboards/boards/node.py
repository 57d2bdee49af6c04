"""gw-node: one server and its GPUs, from watts to links."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import (
    ANY_RACK_VARIABLE,
    DATASOURCE,
    GPU,
    GPU_VARIABLE,
    NODE,
    NODE_VARIABLE,
    RATE,
    SITE_VARIABLE,
    alerts_table,
    or_zero,
    state_code,
)
from dashboards.boards.node_host import fabric, host
from dashboards.model import Board, Section
from dashboards.panels import (
    Column,
    Line,
    alarm,
    rising,
    stat,
    state_timeline,
    table,
    timeseries,
)
from dashboards.places import NODE as UID
from gigawatch.catalogue import Unit, facility, findings, gpu, gpu_links, site, workload
from gigawatch.promql import (
    count_by,
    increase,
    many_to_one,
    max_by,
    min_by,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql import recording as rec

_GPU = ("site", "rack", "node", "gpu", "uuid")
STATE = {
    0: ("ok", "green"),
    1: ("lost", "red"),
    2: ("hung", "red"),
    3: ("reset required", "orange"),
    4: ("missing", "red"),
}
_STATE_CODES = {"lost": 1, "hung": 2, "reset_required": 3, "missing": 4}
HELD_CODES = {
    "sw_power_cap": 1,
    "sw_thermal_slowdown": 2,
    "hw_thermal_slowdown": 4,
    "hw_power_brake_slowdown": 8,
}
"""Reasons that can hold a clock down, as bits: several can act at once."""
_HELD_WORDS = {1: "power cap", 2: "software heat", 4: "hardware heat", 8: "power brake"}
_HELD_COLOURS = {0: "green", 1: "yellow", 2: "orange", 4: "red", 8: "red"}


def _held(code: int) -> tuple[str, str]:
    parts = [bit for bit in _HELD_WORDS if code & bit]
    return " + ".join(_HELD_WORDS[bit] for bit in parts) or "free", _HELD_COLOURS[max(parts, default=0)]


HELD = {code: _held(code) for code in range(16)}


def board() -> Board:
    """One server."""
    return Board(
        UID,
        "Node and GPUs",
        "What do the GPUs of this server draw, how warm are they, what holds them down, and what is broken?",
        ("gigawatch", "node", "gpu"),
        (DATASOURCE, SITE_VARIABLE, ANY_RACK_VARIABLE, NODE_VARIABLE, GPU_VARIABLE),
        (_now(), _gpus(), _heat(), _work(), _errors(), host(), fabric(), _alerts()),
    )


def _now() -> Section:
    sick = sum_by(series(site.GPUS_EXPECTED, **NODE)) - or_zero(
        sum_by(series(gpu.GPU_STATE, state="ok", **NODE))
    )
    uncorrected = series(gpu.GPU_ECC_ERRORS, severity="uncorrected", scope="volatile", **GPU)
    return Section(
        "Now",
        (
            stat(
                "GPUs not working",
                "How many of the node's GPUs are lost, hung, waiting for a reset or not reported?",
                sick,
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "GPU power",
                "How much do the node's GPUs draw?",
                max_by(recorded(rec.NODE_GPU_POWER, **NODE), "site", "rack", "node"),
                decimals=1,
            ),
            stat(
                "Server power",
                "How much does the whole server draw at its inlet?",
                sum_by(series(facility.POWER_ACTIVE, scope="inlet", **NODE)),
                decimals=1,
            ),
            stat(
                "Utilisation",
                "How busy are the node's GPUs on average?",
                max_by(recorded(rec.NODE_UTILIZATION, **NODE), "site", "rack", "node"),
                decimals=0,
            ),
            stat(
                "Smallest margin",
                "How many kelvin is the node's GPU nearest to slowdown away from it?",
                max_by(recorded(rec.NODE_MARGIN, **NODE), "site", "rack", "node"),
                steps=limits.MARGIN,
                decimals=1,
            ),
            stat(
                "XIDs in the last hour",
                "How many errors did the driver report?",
                or_zero(sum_by(increase(series(gpu.GPU_XID_ERRORS, **GPU), "1h"))),
                steps=alarm("orange", 0.5),
                decimals=0,
                filled=True,
            ),
            stat(
                "Uncorrected ECC",
                "How many uncorrected memory errors since the driver was loaded?",
                or_zero(sum_by(uncorrected)),
                steps=alarm(),
                decimals=0,
                filled=True,
            ),
            stat(
                "Inlet air",
                "How warm is the air that the server breathes in?",
                max_by(series(facility.AIR_TEMPERATURE, position="inlet", **NODE)),
                steps=limits.INLET,
                decimals=1,
            ),
        ),
    )


def _gpus() -> Section:
    used = max_by(series(gpu.GPU_MEMORY_USED, **GPU), *_GPU) / max_by(
        series(gpu.GPU_MEMORY_SIZE, **GPU), *_GPU
    )
    jobs = ("site", "job_id", "stage", "user", "namespace", "scheduler")
    return Section(
        "GPUs and their job",
        (
            table(
                "GPUs",
                "Which GPU of this node stands out? A GPU's number narrows the board to it.",
                _GPU,
                Column(
                    "State",
                    state_code(gpu.GPU_STATE, _STATE_CODES, *_GPU, **GPU),
                    states=STATE,
                    cell="color-text",
                ),
                Column("Power", series(gpu.GPU_POWER, scope="gpu", **GPU), decimals=0),
                Column("Limit", series(gpu.GPU_POWER_LIMIT, kind="enforced", **GPU), decimals=0),
                Column("Core", series(gpu.GPU_TEMPERATURE, sensor="core", **GPU), decimals=1),
                Column("Memory", series(gpu.GPU_TEMPERATURE, sensor="memory", **GPU), decimals=1),
                Column("Margin", series(gpu.GPU_TEMPERATURE_MARGIN, **GPU), decimals=1, steps=limits.MARGIN),
                Column("SM clock", series(gpu.GPU_CLOCK, domain="sm", **GPU), decimals=2),
                Column("Utilisation", series(gpu.GPU_UTILIZATION, engine="gpu", **GPU), decimals=0),
                Column("Memory used", used, decimals=0),
                Column(
                    "Resistance change",
                    series(findings.THERMAL_RESISTANCE_CHANGE, **GPU),
                    decimals=1,
                    steps=limits.RESISTANCE_CHANGE,
                ),
                width=24,
                height=9,
                sort="GPU",
                hide=("site", "rack", "uuid"),
            ),
            table(
                "Jobs on this node",
                "Whose work suffers if this node stops? The job's name leads to its board.",
                jobs,
                Column("GPUs held", count_by(series(workload.GPU_ALLOCATION_INFO, **GPU), *jobs), decimals=0),
                width=24,
                height=5,
            ),
        ),
    )


def _heat() -> Section:
    limit = max_by(series(gpu.GPU_POWER_LIMIT, kind="enforced", **GPU))
    held = state_code(gpu.GPU_CLOCK_EVENT_ACTIVE, HELD_CODES, "gpu", **GPU)
    return Section(
        "Power and heat",
        (
            timeseries(
                "Power of each GPU",
                "Which GPU draws more or less than its siblings, and is one at its limit?",
                Line(max_by(series(gpu.GPU_POWER, scope="gpu", **GPU), "gpu"), "GPU {{gpu}}"),
                Line(limit, "limit", dashed=True),
                low=0,
            ),
            timeseries(
                "GPU core temperature",
                "Which GPU runs warmer than its siblings at the same power?",
                Line(max_by(series(gpu.GPU_TEMPERATURE, sensor="core", **GPU), "gpu"), "GPU {{gpu}}"),
            ),
            timeseries(
                "Temperature margin",
                "How many kelvin are left until a GPU slows itself down?",
                Line(min_by(series(gpu.GPU_TEMPERATURE_MARGIN, **GPU), "gpu"), "GPU {{gpu}}"),
                steps=limits.MARGIN,
                low=0,
            ),
            timeseries(
                "GPU memory temperature",
                "Are the memory stacks warmer than their siblings?",
                Line(max_by(series(gpu.GPU_TEMPERATURE, sensor="memory", **GPU), "gpu"), "GPU {{gpu}}"),
            ),
            timeseries(
                "SM clock",
                "Does a GPU run slower than its siblings?",
                Line(max_by(series(gpu.GPU_CLOCK, domain="sm", **GPU), "gpu"), "GPU {{gpu}}"),
                low=0,
            ),
            timeseries(
                "Thermal resistance",
                "Does a GPU need more and more kelvin for a watt? Rising means paste, cold plate or flow.",
                Line(max_by(series(findings.THERMAL_RESISTANCE, **GPU), "gpu"), "GPU {{gpu}}"),
                decimals=3,
            ),
            state_timeline(
                "What holds the clocks down",
                "Is a GPU slowed by its power cap, by heat or by the power brake?",
                held,
                HELD,
                legend="GPU {{gpu}}",
            ),
            timeseries(
                "Time below full clock, by reason",
                "Which share of the time were the GPUs held down, and why?",
                Line(max_by(rate(series(gpu.GPU_CLOCK_EVENT_SECONDS, **GPU), RATE), "reason"), "{{reason}}"),
                width=12,
                height=7,
                low=0,
            ),
        ),
    )


def _work() -> Section:
    return Section(
        "Work",
        (
            timeseries(
                "Utilisation of each GPU",
                "Is a GPU idle while its siblings work?",
                Line(max_by(series(gpu.GPU_UTILIZATION, engine="gpu", **GPU), "gpu"), "GPU {{gpu}}"),
                low=0,
                high=1,
            ),
            timeseries(
                "GPU memory used",
                "Is a GPU close to running out of memory?",
                Line(max_by(series(gpu.GPU_MEMORY_USED, **GPU), "gpu"), "GPU {{gpu}}"),
                Line(max_by(series(gpu.GPU_MEMORY_SIZE, **GPU)), "size", dashed=True),
                low=0,
            ),
            timeseries(
                "Power from the energy counters",
                "Does the energy that the GPUs count agree with the power they report?",
                Line(sum_by(rate(series(gpu.GPU_ENERGY, **GPU), RATE)), "from energy"),
                Line(sum_by(series(gpu.GPU_POWER, scope="gpu", **GPU)), "reported"),
                low=0,
            ),
        ),
    )


def _errors() -> Section:
    corrected = increase(series(gpu.GPU_ECC_ERRORS, severity="corrected", scope="volatile", **GPU), RATE)
    uncorrected = increase(series(gpu.GPU_ECC_ERRORS, severity="uncorrected", scope="volatile", **GPU), RATE)
    xids = sum_by(increase(series(gpu.GPU_XID_ERRORS, **GPU), "24h"), "site", "node", "gpu", "xid", "source")
    lanes = max_by(series(gpu_links.GPU_PCIE_LINK_WIDTH, kind="current", **GPU), "gpu")
    full = max_by(series(gpu_links.GPU_PCIE_LINK_WIDTH, kind="max", **GPU), "gpu")
    generation = max_by(series(gpu_links.GPU_PCIE_LINK_GENERATION, kind="current", **GPU), "gpu")
    best = max_by(series(gpu_links.GPU_PCIE_LINK_GENERATION, kind="max", **GPU), "gpu")
    links_up = many_to_one(
        sum_by(series(gpu_links.GPU_NVLINK_UP, **GPU), "gpu"),
        "/",
        count_by(series(gpu_links.GPU_NVLINK_UP, **GPU), "gpu"),
        ("gpu",),
    )
    return Section(
        "Errors and links",
        (
            state_timeline(
                "GPU state",
                "Did a GPU fall off the bus, hang or ask for a reset?",
                state_code(gpu.GPU_STATE, _STATE_CODES, "gpu", **GPU),
                STATE,
                legend="GPU {{gpu}}",
            ),
            table(
                "XIDs of the last 24 hours",
                "Which errors did the driver report? Look the code up in the runbook of its alert.",
                ("site", "node", "gpu", "xid", "source"),
                Column("Count", xids > 0, decimals=0, steps=rising(1, 2)),
                nothing="None",
                width=12,
                height=7,
                sort="Count",
                descending=True,
            ),
            timeseries(
                "Memory errors",
                "Do memory errors pile up on a GPU? Corrected ones warn, uncorrected ones cost the job.",
                Line(sum_by(corrected, "gpu"), "GPU {{gpu}} corrected"),
                Line(sum_by(uncorrected, "gpu"), "GPU {{gpu}} uncorrected"),
                low=0,
            ),
            table(
                "Memory repair",
                "Has a GPU replaced memory rows, does a repair wait for a reset, has one failed?",
                _GPU,
                Column(
                    "Rows replaced",
                    sum_by(series(gpu.GPU_REMAPPED_ROWS, **GPU), *_GPU),
                    decimals=0,
                    steps=alarm("orange"),
                ),
                Column(
                    "Waits for reset",
                    series(gpu.GPU_ROW_REMAP_PENDING, **GPU),
                    states={0: ("no", "green"), 1: ("yes", "orange")},
                ),
                Column(
                    "Failed",
                    series(gpu.GPU_ROW_REMAP_FAILED, **GPU),
                    states={0: ("no", "green"), 1: ("exchange GPU", "red")},
                ),
                width=8,
                height=8,
                sort="GPU",
                hide=("site", "rack", "node", "uuid"),
            ),
            timeseries(
                "NVLink errors",
                "Does an NVLink fail? Errors there slow collectives before they kill the job.",
                Line(
                    sum_by(increase(series(gpu_links.GPU_NVLINK_ERRORS, **GPU), RATE), "gpu", "kind"),
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
                "PCIe replays",
                "Does a GPU's PCIe link send packets again?",
                Line(sum_by(increase(series(gpu_links.GPU_PCIE_REPLAYS, **GPU), RATE), "gpu"), "GPU {{gpu}}"),
                low=0,
            ),
            timeseries(
                "PCIe link against its best",
                "Has a link trained down to fewer lanes or a lower generation?",
                Line(lanes / full, "GPU {{gpu}} lanes"),
                Line(generation / best, "GPU {{gpu}} generation"),
                low=0,
                high=1,
            ),
        ),
    )


def _alerts() -> Section:
    return Section("Alerts of this node", (alerts_table(24, 6, **NODE),))
