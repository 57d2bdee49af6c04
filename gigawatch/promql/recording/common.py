"""What the recording rules of all levels share: spans of time and sets of labels."""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.catalogue import gpu
from gigawatch.promql.expr import Expr, many_to_one, max_by, on, series, sum_by
from gigawatch.promql.rule import Recorded

WINDOW = "1m"
"""Four scrapes at 15 s, and right soon after a start, where a longer span would read low until it has filled.
Figures of money over longer times are averages of these."""
LONG_WINDOW = "5m"
"""For what comes in jumps: tokens of engines that count when a request ends, steps of a training job; and for
ratios of a few events."""
HOURS_PER_YEAR = 8766
NODE = ("site", "rack", "node")
RACK = ("site", "rack")
LOOP = ("site", "loop")
DEVICE = ("site", "hall", "rack", "device")
SITE = ("site",)
MODEL = ("site", "model")
PAIR = ("site", "engine", "model", "replica")
"""A model on a replica of an engine: what tokens are counted for."""

gpu_power = max_by(series(gpu.GPU_POWER, scope="gpu"), *NODE, "gpu", "uuid")


@dataclass(frozen=True, slots=True)
class Scopes:
    """One figure at the scope of the GPUs, of their nodes, and of the facility."""

    gpu: Recorded
    node: Recorded
    facility: Recorded


@dataclass(frozen=True, slots=True)
class Quantiles:
    """One distribution: its median, and what one in twenty and one in a hundred exceed."""

    buckets: Recorded
    """What they rest on: observations per second up to each edge."""
    p50: Recorded
    p95: Recorded
    p99: Recorded


def complete(shares: Expr, values: Expr, *by: str) -> Expr:
    """A figure of each GPU (labels `site`, `uuid`) by the shares in it, summed; absent for those of whose
    GPUs one does not tell it."""
    device = ("site", "uuid")
    told = sum_by(many_to_one(shares, "*", values, device), *by).in_unit(values.unit)
    silent = on(shares, "unless", values, *device)
    return on(told, "unless", silent, *by)
