"""One kind of series that analytics looks at, and the words in which it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.fleet import Level
from gigawatch.catalogue import Metric, Unit
from gigawatch.promql import Expr, Match, max_by, recorded, series
from gigawatch.promql.rule import Recorded

PER_GPU = ("rack", "node", "gpu", "uuid")
PER_NODE = ("rack", "node")


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of series.

    `noise` is how far apart healthy peers may lie without it meaning anything (in `unit`); `column` names it
    in files for backtests; `novel` says whether the novelty detector looks at it, `peers` whether GPUs are
    compared by it. `every` is how many seconds may pass between two questions: a tick in between simply lacks
    the signal. A `sparse` signal is only there where it is not 0 (errors, flags), so that a healthy fleet
    costs nothing; a thing that answers otherwise and lacks it stands at 0.
    """

    key: str
    level: Level
    unit: Unit
    query: Expr
    noise: float
    column: str
    novel: bool = True
    peers: bool = True
    every: float = 0.0
    sparse: bool = False


def own(metric: Metric, **labels: str | Match) -> Expr:
    """A metric per GPU, free of any other label."""
    return max_by(series(metric, **labels), *PER_GPU)


def rule(recording: Recorded, *labels: str) -> Expr:
    """A recording rule, by these labels alone."""
    return max_by(recorded(recording), *labels)
