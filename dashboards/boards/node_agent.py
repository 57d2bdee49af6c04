"""The partitions and agent sections of gw-node: who shares a GPU, and what the agent cannot see."""

from __future__ import annotations

from dashboards.boards.common import GPU, NODE
from dashboards.model import Section
from dashboards.panels import Column, Line, alarm, rising, table, timeseries
from gigawatch.catalogue import gpu, own, workload
from gigawatch.catalogue import gpu_activity as act
from gigawatch.promql import age, count_by, increase, join, max_by, series, sum_by

_NODE = ("site", "rack", "node")
WORKS = {0: ("no", "red"), 1: ("yes", "green")}


def partitions() -> Section:
    """MIG partitions and processes; both may rightly be empty."""
    part = ("node", "gpu", "gi", "ci", "mig_uuid")
    whole = ("site", "node", "gpu", "gi", "ci", "mig_uuid")
    used = join(
        max_by(series(act.GPU_MIG_MEMORY_USED, **GPU), *whole), act.GPU_MIG_INFO, whole, ("profile",), **GPU
    )
    held = max_by(series(workload.GPU_ALLOCATION_INFO, **GPU), "node", "gpu", "mig_uuid", "job_id")
    program = ("node", "gpu", "pid", "comm")
    return Section(
        "Partitions and processes",
        (
            table(
                "Partitions (MIG)",
                "Which GPUs are cut up, how, and is a partition full?",
                (*part[:3], "profile", "mig_uuid"),
                Column("Memory used", used, decimals=1),
                nothing="No GPU of this node is cut up",
                width=12,
                height=7,
                sort="GPU",
                hide=("node",),
            ),
            timeseries(
                "SM activity of partitions",
                "Which partition works, and which is held and idle?",
                Line(
                    max_by(series(act.GPU_MIG_SM_ACTIVE, **GPU), "gpu", "gi"), "GPU {{gpu}} instance {{gi}}"
                ),
                width=12,
                height=7,
                low=0,
                high=1,
            ),
            table(
                "Processes",
                "Which programs hold GPU memory? Only where the agent's settings ask for it.",
                program,
                Column("Memory", series(act.GPU_PROCESS_MEMORY_USED, **GPU), decimals=1),
                Column("Utilisation", series(act.GPU_PROCESS_UTILIZATION, **GPU), decimals=0),
                nothing="Not asked for",
                width=12,
                height=7,
                sort="GPU",
                hide=("node",),
            ),
            table(
                "Holders",
                "Which job holds which GPU or partition?",
                ("node", "gpu", "mig_uuid", "job_id"),
                Column("Holds", held, states={1: ("yes", "green")}),
                nothing="No job holds a GPU here",
                width=12,
                height=7,
                sort="GPU",
                hide=("node",),
            ),
        ),
        folded=True,
    )


def agent() -> Section:
    """How well the node is observed."""
    collector = (*_NODE, "collector")
    process = ("node", "process")
    memory = max_by(series(own.COLLECTOR_PROCESS_MEMORY, **NODE), *process)
    errors = sum_by(increase(series(own.COLLECTOR_ERRORS, **NODE), "1h"), "node", "collector", "error")
    rejected = sum_by(increase(series(own.REJECTED_SAMPLES, **NODE), "1h"), "node", "metric", "reason")
    lacking = count_by(series(gpu.GPU_CAPABILITY_INFO, **GPU), "node", "feature", "source", "reason")
    return Section(
        "The agent on this node",
        (
            table(
                "Collectors",
                "Does every part of the agent read what it should, in time? One that hangs has dropped its "
                "values.",
                collector,
                Column("Works", series(own.COLLECTOR_UP, **NODE), states=WORKS),
                Column("Takes", series(own.COLLECTOR_DURATION, **NODE), decimals=2),
                Column("Late by", series(own.COLLECTOR_STUCK, **NODE), decimals=0, steps=rising(1, 30)),
                width=12,
                height=8,
                sort="Works",
                hide=("site", "rack", "node"),
            ),
            table(
                "What these GPUs do not offer",
                "Which figures are missing because the hardware or the driver does not give them, and why?",
                ("node", "feature", "source", "reason"),
                Column("GPUs", lacking, decimals=0),
                nothing="Everything is there",
                width=12,
                height=8,
                sort="Feature",
                hide=("node",),
            ),
            table(
                "Collector processes",
                "How much memory does the process hold that talks to the driver, and was it replaced?",
                process,
                Column("Memory", memory, decimals=1),
                Column("Threads", series(own.COLLECTOR_PROCESS_THREADS, **NODE), decimals=0),
                Column(
                    "Starts in 1 h",
                    sum_by(increase(series(own.COLLECTOR_PROCESS_STARTS, **NODE), "1h"), *process),
                    decimals=0,
                    steps=rising(1, 3),
                ),
                nothing="None",
                width=8,
                height=6,
                hide=("node",),
            ),
            table(
                "Read errors of this node in 1 h",
                "What could not be read, and what kind of error was it?",
                ("node", "collector", "error"),
                Column("Count", errors > 0, decimals=0, steps=rising(1, 100)),
                nothing="None",
                width=8,
                height=6,
                sort="Count",
                descending=True,
                hide=("node",),
            ),
            table(
                "Readings rejected in 1 h",
                "Which impossible values did a device give? They are not shown anywhere.",
                ("node", "metric", "reason"),
                Column("Count", rejected > 0, decimals=0, steps=rising(1, 100)),
                nothing="None",
                width=8,
                height=6,
                sort="Count",
                descending=True,
                hide=("node",),
            ),
            table(
                "Questions to hanging GPUs",
                "Is a GPU that hangs still asked, each time by a process of its own, and does it answer?",
                ("node", "gpu", "outcome"),
                Column(
                    "in 1 h", sum_by(increase(series(own.GPU_PROBES, **GPU), "1h"), "node", "gpu", "outcome")
                ),
                nothing="No GPU hangs",
                width=8,
                height=6,
                hide=("node",),
            ),
            table(
                "Devices that do not match",
                "Does a scheduler give away devices that are no GPU of this node?",
                ("node", "scheduler", "reason"),
                Column(
                    "Devices",
                    max_by(series(workload.ALLOCATION_UNMATCHED, **NODE), "node", "scheduler", "reason") > 0,
                    decimals=0,
                    steps=alarm("orange"),
                ),
                nothing="None",
                width=8,
                height=6,
                hide=("node",),
            ),
            table(
                "Text files",
                "How old are the figures that scripts write for the agent?",
                ("node", "file"),
                Column(
                    "Age", max_by(age(series(own.TEXTFILE_TIMESTAMP, **NODE)), "node", "file"), decimals=0
                ),
                nothing="None",
                width=8,
                height=6,
                sort="Age",
                descending=True,
                hide=("node",),
            ),
        ),
        folded=True,
    )
