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
    SITE_VARIABLE,
    alerts_table,
    or_zero,
    state_code,
)
from dashboards.boards.node_activity import activity, heat
from dashboards.boards.node_agent import agent, partitions
from dashboards.boards.node_health import STATE, STATE_CODES, health
from dashboards.boards.node_host import host
from dashboards.boards.node_links import bus, fabric, links
from dashboards.boards.node_storage import storage
from dashboards.model import Board, Section
from dashboards.panels import Column, alarm, stat, table
from dashboards.places import NODE as UID
from gigawatch.catalogue import facility, findings, gpu, gpu_activity, site, workload
from gigawatch.promql import count_by, increase, max_by, recorded, series, sum_by
from gigawatch.promql import recording as rec

_GPU = ("site", "rack", "node", "gpu", "uuid")


def board() -> Board:
    """One server."""
    return Board(
        UID,
        "Node and GPUs",
        "What do the GPUs of this server draw, how warm are they, what holds them down, and what is broken?",
        ("gigawatch", "node", "gpu"),
        (DATASOURCE, SITE_VARIABLE, ANY_RACK_VARIABLE, NODE_VARIABLE, GPU_VARIABLE),
        (
            _now(),
            _alerts(),
            _gpus(),
            activity(),
            heat(),
            health(),
            links(),
            bus(),
            storage(),
            fabric(),
            host(),
            partitions(),
            agent(),
        ),
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
                    state_code(gpu.GPU_STATE, STATE_CODES, *_GPU, **GPU),
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
                Column("SM active", series(gpu_activity.GPU_SM_ACTIVE, **GPU), decimals=0),
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


def _alerts() -> Section:
    return Section("Alerts of this node", (alerts_table(24, 5, **NODE),))
