"""The errors and memory health section of gw-node."""

from __future__ import annotations

from dashboards.boards.common import GPU, RATE, state_code
from dashboards.model import Section
from dashboards.panels import Column, Line, alarm, rising, state_timeline, table, timeseries
from gigawatch.catalogue import gpu
from gigawatch.promql import increase, join, matches, max_by, series, sum_by

_GPU = ("site", "rack", "node", "gpu", "uuid")
STATE = {
    0: ("ok", "green"),
    1: ("lost", "red"),
    2: ("hung", "red"),
    3: ("reset required", "orange"),
    4: ("missing", "red"),
}
STATE_CODES = {"lost": 1, "hung": 2, "reset_required": 3, "missing": 4}
YES_IS_BAD = {0: ("no", "green"), 1: ("yes", "red")}


def health() -> Section:
    """GPU state, XIDs and memory."""
    corrected = increase(series(gpu.GPU_ECC_ERRORS, severity="corrected", scope="volatile", **GPU), RATE)
    uncorrected = increase(series(gpu.GPU_ECC_ERRORS, severity="uncorrected", scope="volatile", **GPU), RATE)
    located = increase(series(gpu.GPU_ECC_LOCATION_ERRORS, scope="volatile", **GPU), RATE)
    code = ("site", "node", "gpu", "xid")
    xids = sum_by(increase(series(gpu.GPU_XID_ERRORS, **GPU), "24h"), *code) > 0
    known = join(xids, gpu.GPU_XID_INFO, code, ("meaning", "action"), **GPU)
    worn = max_by(series(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED, **GPU), *_GPU).equals(1)
    failed = max_by(series(gpu.GPU_ROW_REMAP_FAILED, **GPU), *_GPU).equals(1)
    used_up = max_by(series(gpu.GPU_ROW_REMAP_BANKS, spare="none", **GPU), *_GPU) > 0
    return Section(
        "Errors and memory health",
        (
            state_timeline(
                "GPU state",
                "Did a GPU fall off the bus, hang or ask for a reset?",
                state_code(gpu.GPU_STATE, STATE_CODES, "gpu", **GPU),
                STATE,
                legend="GPU {{gpu}}",
            ),
            table(
                "XIDs of the last 24 hours",
                "Which errors did the driver report, what do they mean, and what is to be done first?",
                (*code, "meaning", "action"),
                Column("Count", known, decimals=0, steps=rising(1, 2)),
                nothing="None",
                width=12,
                height=7,
                sort="Count",
                descending=True,
                hide=("site", "node"),
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
                "Are errors corrected, has a GPU replaced rows, does a repair wait for a reset, has one "
                "failed, "
                "and how many of its memory banks are short of spare rows?",
                _GPU,
                Column(
                    "ECC",
                    series(gpu.GPU_ECC_ENABLED, when="current", **GPU),
                    states={0: ("off", "red"), 1: ("on", "green")},
                ),
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
                Column(
                    "Banks short of spares",
                    sum_by(series(gpu.GPU_ROW_REMAP_BANKS, spare=matches("low|none"), **GPU), *_GPU),
                    decimals=0,
                    steps=alarm("orange"),
                ),
                width=16,
                height=8,
                sort="GPU",
                hide=("site", "rack", "node", "uuid"),
            ),
            table(
                "GPUs to exchange",
                "Which GPUs do their own memory counters condemn: on-chip memory worn out, a row that "
                "could not "
                "be replaced, or no spare rows left?",
                ("node", "gpu", "uuid"),
                Column("Worn out", max_by(worn.or_(failed).or_(used_up) * 0 + 1, *_GPU), states=YES_IS_BAD),
                nothing="None",
                width=12,
                height=6,
            ),
            timeseries(
                "Memory errors by location",
                "Where on the GPU do errors happen: in its memory, or in caches and registers, which have no "
                "spares?",
                Line(sum_by(located, "gpu", "location", "severity"), "GPU {{gpu}} {{location}} {{severity}}"),
                width=12,
                height=6,
                low=0,
            ),
        ),
    )
