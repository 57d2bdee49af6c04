"""The chance that a GPU fails within a horizon: a stated prior, and what each precursor makes of it.

Prior: 148 GPU and 72 HBM3 failures of 16,384 H100 in 54 days (Llama 3, table of interruptions) are 0.091 a
GPU and year. A precursor multiplies the odds of failure by its likelihood ratio: how much more often GPUs
show it that soon need a reset, a repair or an exchange, than GPUs that do not. Few such ratios are published;
those marked [judgement] are ours and are meant to be learned from what operators mark (`learned`).

Counts of corrected errors are no precursor: 460 million of them did not foretell uncorrected ones (Calchas,
USENIX ATC'24).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analytics.fleet.columns import Floats
from analytics.signals.errors import (
    BANKS_WITHOUT_SPARE,
    BRAKE,
    NVLINK_DOWN,
    NVLINK_ERRORS,
    PAGES_PENDING,
    PCIE_REPLAYS,
    REMAP_FAILED,
    REMAP_PENDING,
    ROWS_REMAPPED,
    SRAM_WORN,
    XIDS,
    XIDS_CONTAINED,
    XIDS_DRIVER,
    XIDS_LINK,
    XIDS_LOST,
    XIDS_MEMORY,
    XIDS_REMAP_FAILED,
)

YEAR = 365.25 * 86400.0
PRIOR_PER_YEAR = 0.091
"""Failures of GPU or HBM for each GPU and year."""
WEEK = 7 * 86400.0
MOST = 0.95
"""No forecast is surer than this."""
REPEATS = 1.5
"""What repeated events of one kind count at most, in events."""
HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Precursor:
    """What one signal means. `ratio`: likelihood ratio of one event; `half_life`: seconds after which an
    event counts half; `floor`: events per second below which a counter means nothing (0: each event counts);
    `certain`: chance that the cause is right; `action`: what the vendor says to do; `source`: where the ratio
    comes from.
    """

    signal: str
    cause: str
    ratio: float
    half_life: float
    meaning: str
    action: str
    source: str
    flag: bool = False
    floor: float = 0.0
    certain: float = 0.8


_NVIDIA = "NVIDIA, GPU memory error management: qualifies for exchange; size of the ratio [judgement]"
_DELTA = "order after Delta (arXiv 2503.11901); size of the ratio [judgement]"
_OWN = "[judgement]"
TABLE = (
    Precursor(REMAP_FAILED.key, "memory", 3000, 30 * DAY, "a bad row could not be replaced",
              "drain, run the field diagnosis, exchange the GPU", _NVIDIA, flag=True, certain=0.95),
    Precursor(XIDS_REMAP_FAILED.key, "memory", 3000, 30 * DAY, "XID 64: a bad row could not be replaced",
              "drain, run the field diagnosis, exchange the GPU", _NVIDIA, certain=0.95),
    Precursor(SRAM_WORN.key, "memory", 1000, 30 * DAY, "on-chip memory beyond its threshold of errors",
              "drain at the next chance and exchange the GPU", _NVIDIA, flag=True, certain=0.95),
    Precursor(XIDS_MEMORY.key, "memory", 500, 3 * DAY, "uncorrected memory errors (XID 48, 95, 140)",
              "drain, reset the GPU, run the field diagnosis", _DELTA, certain=0.95),
    Precursor(BANKS_WITHOUT_SPARE.key, "memory", 100, 30 * DAY, "memory banks without spare rows",
              "order the exchange: the next bad row there cannot be replaced", _NVIDIA, flag=True,
              certain=0.95),
    Precursor(XIDS_CONTAINED.key, "memory", 30, 3 * DAY, "contained memory errors (XID 63, 94)",
              "reset the GPU at the next drain", _DELTA, certain=0.95),
    Precursor(ROWS_REMAPPED.key, "memory", 30, 7 * DAY, "rows replaced after uncorrected errors",
              "reset the GPU at the next drain", _OWN, certain=0.95),
    Precursor(REMAP_PENDING.key, "memory", 20, 3 * DAY, "a row waits to be replaced",
              "reset the GPU at the next drain; what runs may go on", _OWN, flag=True, certain=0.95),
    Precursor(PAGES_PENDING.key, "memory", 20, 3 * DAY, "a page waits to be retired",
              "reset the GPU at the next drain", _OWN, flag=True, certain=0.95),
    Precursor(XIDS_LOST.key, "link", 1e5, HOUR, "fell off the bus (XID 79)",
              "drain the node and cycle its power; check slot, riser and power cable", _OWN, certain=0.6),
    Precursor(XIDS_LINK.key, "link", 40, DAY, "NVLink errors (XID 74, 144 to 150)",
              "drain, check the NVLink's cable and far end, reset the node's GPUs",
              "often survived: Delta (arXiv 2503.11901); size of the ratio [judgement]"),
    Precursor(NVLINK_DOWN.key, "link", 100, DAY, "an NVLink is down",
              "drain and reset the node's GPUs; if it stays down, exchange", _OWN, flag=True),
    Precursor(NVLINK_ERRORS.key, "link", 15, DAY, "NVLink repeats and corrects packets",
              "watch it; reset at the next drain if it goes on", _OWN, floor=10 / 300),
    Precursor(PCIE_REPLAYS.key, "link", 8, DAY, "PCIe repeats packets",
              "reseat the GPU or its riser at the next service", _OWN, floor=1.0, certain=0.7),
    Precursor(XIDS_DRIVER.key, "driver", 200, DAY, "its system processor or driver hangs (XID 119, 120, 62)",
              "drain and reset the GPU; reboot the node if it returns; update the driver", _DELTA,
              certain=0.75),
    Precursor(XIDS.key, "driver", 100, DAY, "serious XIDs of a class that is not told",
              "look up the code in the kernel log; drain and reset the GPU", _OWN, certain=0.4),
    Precursor(BRAKE.key, "power_path", 5, DAY, "the power brake slows it down",
              "look at the node's supplies and the rack's PDUs", _OWN, floor=1 / 60, certain=0.6),
)  # fmt: skip
"""Every precursor of a GPU's failure, the gravest of each cause first."""


def prior(horizon: float) -> float:
    """Chance that a GPU fails within `horizon` seconds, nothing else known."""
    return float(-np.expm1(-PRIOR_PER_YEAR * horizon / YEAR))


def risk_within(log_ratio: Floats, horizon: float) -> Floats:
    """Chance of failure within `horizon` seconds after evidence of this natural log likelihood ratio."""
    first = prior(horizon)
    odds = np.exp(np.minimum(log_ratio, 40.0)) * first / (1 - first)
    risk: Floats = np.minimum(odds / (1 + odds), MOST)
    return risk


def weight_of(strength: Floats, table: Sequence[Precursor] = TABLE) -> Floats:
    """Log likelihood ratio of all evidence; `strength` has one row per precursor, in events that count.

    What speaks for the same cause mostly stems from the same event, so only the strongest of each cause
    counts; different causes add up.
    """
    each = np.log([row.ratio for row in table])[:, None] * np.minimum(strength, REPEATS)
    total = np.zeros(strength.shape[1:])
    for cause in dict.fromkeys(row.cause for row in table):
        total += each[[i for i, row in enumerate(table) if row.cause == cause]].max(axis=0)
    return total


def combine(thermal: Floats, precursor: Floats) -> Floats:
    """Chance that either happens, of two that do not depend on each other; NaN counts as nothing known."""
    none = np.isnan(thermal) & np.isnan(precursor)
    either = 1 - (1 - np.nan_to_num(thermal)) * (1 - np.nan_to_num(precursor))
    return np.where(none, np.nan, either)


def learned(
    table: Sequence[Precursor], right: Mapping[str, int], wrong: Mapping[str, int], weight: float = 20.0
) -> tuple[Precursor, ...]:
    """The table after findings that rested on a precursor (by its signal) turned out right or wrong.

    The stated ratio means a share of right findings within a week; it counts as `weight` marks, and the marks
    are added to it (Beta prior). Negative counts raise ValueError.
    """
    if min((*right.values(), *wrong.values()), default=0) < 0:
        raise ValueError("counts of marks must not be negative")
    first = prior(WEEK) / (1 - prior(WEEK))
    out = []
    for row in table:
        odds = row.ratio * first
        yes = weight * odds / (1 + odds) + right.get(row.signal, 0)
        no = weight / (1 + odds) + wrong.get(row.signal, 0)
        out.append(replace(row, ratio=max(yes / no / first, 1.0)))
    return tuple(out)
