"""The users and projects section of gw-job: who holds what, uses how much of it, and what that costs."""

from __future__ import annotations

from dashboards import limits
from dashboards.boards.common import SITE
from dashboards.model import Panel, Section
from dashboards.panels import Column, Line, alarm, table, timeseries
from gigawatch.promql import Recorded, max_by, recorded
from gigawatch.promql import recording as rec

_MONEY = (
    "The cost is an estimate: capital and fixed cost by GPUs held, used or not, energy by measured power."
)

_Rules = tuple[Recorded, Recorded, Recorded, Recorded, Recorded, Recorded]
"""GPUs held, those idle, utilisation, power, cost, cost of the idle ones."""
_USER: _Rules = (
    rec.USER_GPUS,
    rec.USER_GPUS_IDLE,
    rec.USER_UTILIZATION,
    rec.USER_POWER,
    rec.USER_COST,
    rec.USER_COST_IDLE,
)
_NAMESPACE: _Rules = (
    rec.NAMESPACE_GPUS,
    rec.NAMESPACE_GPUS_IDLE,
    rec.NAMESPACE_UTILIZATION,
    rec.NAMESPACE_POWER,
    rec.NAMESPACE_COST,
    rec.NAMESPACE_COST_IDLE,
)


def _held(title: str, question: str, label: str, rules: _Rules) -> Panel:
    gpus, idle, utilization, power, cost, wasted = rules
    return table(
        title,
        f"{question} {_MONEY}",
        ("site", label),
        Column("GPUs", recorded(gpus, **SITE), decimals=1),
        Column("Idle", recorded(idle, **SITE), decimals=1, steps=alarm("orange", 0.01)),
        Column("Utilisation", recorded(utilization, **SITE), decimals=0, steps=limits.UTILIZATION),
        Column("Power", recorded(power, **SITE), decimals=1),
        Column("Cost per hour", recorded(cost, **SITE), decimals=2),
        Column("Idle cost per hour", recorded(wasted, **SITE), decimals=2, steps=alarm("orange", 0.01)),
        width=12,
        height=8,
        sort="Cost per hour",
        descending=True,
        hide=("site",),
    )


def tenants() -> Section:
    """Users and namespaces, over all jobs of the chosen sites."""
    return Section(
        "Users and projects",
        (
            _held(
                "Users",
                "Who holds how many GPUs, uses them, and what does it cost per hour?",
                "user",
                _USER,
            ),
            _held(
                "Namespaces",
                "Which project holds how many GPUs, uses them, and what does it cost per hour?",
                "namespace",
                _NAMESPACE,
            ),
            timeseries(
                "GPUs held and idle per user",
                "Who holds GPUs for a quarter of an hour and longer without using them?",
                Line(max_by(recorded(rec.USER_GPUS, **SITE), "site", "user"), "{{user}} holds"),
                Line(max_by(recorded(rec.USER_GPUS_IDLE, **SITE), "site", "user"), "{{user}} idle"),
                low=0,
            ),
            timeseries(
                "Power per user",
                "Whose work draws the power?",
                Line(max_by(recorded(rec.USER_POWER, **SITE), "site", "user"), "{{user}}"),
                low=0,
            ),
            timeseries(
                "Cost per namespace",
                "What does each project cost per hour, and is it rising?",
                Line(max_by(recorded(rec.NAMESPACE_COST, **SITE), "site", "namespace"), "{{namespace}}"),
                low=0,
            ),
        ),
    )


def waiting() -> Panel:
    """Jobs that wait for their data."""
    keys = ("site", "rack", "node", "job_id")
    return table(
        "GPUs that wait for data",
        "Which job's GPUs stand still while their node waits for I/O? The node leads to its storage.",
        keys,
        Column(
            "GPUs", max_by(recorded(rec.DATA_STALL, **SITE), *keys) > 0, decimals=0, steps=alarm("orange")
        ),
        nothing="None waits",
        width=8,
        height=7,
        hide=("site", "rack"),
    )
