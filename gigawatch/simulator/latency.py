"""How long requests take: histograms with the bucket edges that the engines themselves use.

Durations spread log-logistically around their present mean: close to log-normal, and one tanh per edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi
from typing import Any

import numpy as np
import numpy.typing as npt

from gigawatch.catalogue import Metric, inference

_Array = npt.NDArray[Any]

HISTOGRAMS: tuple[Metric, ...] = (
    inference.INFERENCE_TTFT,
    inference.INFERENCE_ITL,
    inference.INFERENCE_TPOT,
    inference.INFERENCE_QUEUE_TIME,
    inference.INFERENCE_REQUEST_DURATION,
)
SPREAD = (0.45, 0.30, 0.22, 0.60, 0.45)
"""Of the logarithm, as the standard deviation of a log-normal would be."""
OBJECTIVES: dict[str, tuple[Metric, float, float]] = {
    "time_to_first_token": (inference.INFERENCE_TTFT, 1.0, 0.99),
    "inter_token_latency": (inference.INFERENCE_ITL, 0.1, 0.99),
    "request_duration": (inference.INFERENCE_REQUEST_DURATION, 40.0, 0.99),
}
"""Objective: its histogram, the seconds, the share that should meet them."""

Edges = tuple[float, ...]
_VLLM_STEPS: Edges = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
                      20.0, 40.0, 80.0)  # fmt: skip
_VLLM_REQUESTS: Edges = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
                         120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)  # fmt: skip
_SGLANG_STEPS: Edges = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08,
                        0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0)  # fmt: skip
_SGLANG_FIRST: Edges = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0,
                        200.0, 400.0)  # fmt: skip
EDGES: dict[str, tuple[Edges, ...]] = {
    # Recorded from vLLM 0.32.0.
    "vllm": (
        (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
         40.0, 80.0, 160.0, 640.0, 2560.0),
        _VLLM_STEPS, _VLLM_STEPS, _VLLM_REQUESTS, _VLLM_REQUESTS,
    ),
    # Defaults of SGLang's metrics collector.
    "sglang": (
        _SGLANG_FIRST, _SGLANG_STEPS, _SGLANG_STEPS,
        (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0,
         90.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0, 1200.0, 1400.0, 1600.0,
         1800.0, 2000.0, 2500.0, 3000.0),
        (*_SGLANG_FIRST, 600.0, 1200.0, 1800.0, 2400.0),
    ),
}  # fmt: skip
"""By engine, then by histogram; engines that are not here are taken to count like vLLM."""

_LONGEST = [max(len(edges[h]) for edges in EDGES.values()) for h in range(len(HISTOGRAMS))]
_FIRST_ROW = np.concatenate([[0], np.cumsum([length + 1 for length in _LONGEST])]).tolist()
ROWS: int = _FIRST_ROW[-1] + len(OBJECTIVES)
"""Cumulative counts per engine: every histogram's buckets, the last of them its +Inf, and then how many
observations met each objective."""
_LOG_LOGISTIC = 1.702
"""A logistic distribution of this steepness is nearest to the normal one."""


def family(engine: str) -> str:
    """The engine whose edges an engine has."""
    return engine if engine in EDGES else "vllm"


def rows_of(engine: str, histogram: int) -> Iterator[tuple[str, int]]:
    """The buckets of an engine's histogram: upper edge as text, and the row of its count."""
    first = _FIRST_ROW[histogram]
    for number, edge in enumerate(EDGES[family(engine)][histogram]):
        yield repr(edge), first + number
    yield "+Inf", _FIRST_ROW[histogram + 1] - 1


def objective_row(objective: str) -> int:
    """The row in which observations that met the objective are counted."""
    return _FIRST_ROW[-1] + list(OBJECTIVES).index(objective)  # type: ignore[no-any-return] # a list of int


def count_row(metric: Metric) -> int:
    """The row in which all observations of a histogram are counted."""
    return _FIRST_ROW[HISTOGRAMS.index(metric) + 1] - 1  # type: ignore[no-any-return] # a list of int


class Latency:
    """The edges of a site's engines as arrays: one column per group of GPUs."""

    def __init__(self, engines: Sequence[str]) -> None:
        edges = np.full((ROWS, len(engines)), np.inf)
        self._histogram = np.zeros(ROWS, dtype=np.int64)
        for h in range(len(HISTOGRAMS)):
            self._histogram[_FIRST_ROW[h] : _FIRST_ROW[h + 1]] = h
            for column, engine in enumerate(engines):
                own = EDGES[family(engine)][h]
                edges[_FIRST_ROW[h] : _FIRST_ROW[h] + len(own), column] = own
        for objective, (metric, seconds, _) in OBJECTIVES.items():
            self._histogram[objective_row(objective)] = HISTOGRAMS.index(metric)
            edges[objective_row(objective)] = seconds
        slope = _LOG_LOGISTIC / np.array(SPREAD)
        # The middle lies below the mean, the more so the wider the spread.
        self._middle = np.log(np.sin(pi / slope) / (pi / slope))[:, None]
        with np.errstate(divide="ignore"):
            self._scaled = 0.5 * slope[self._histogram][:, None] * np.log(edges)
        self._half_slope = 0.5 * slope[:, None]

    def observe(self, counts: _Array, sums: _Array, numbers: _Array, totals: _Array) -> None:
        """Add so many observations with such a total (by histogram and group) to counts and sums in place."""
        means = np.divide(totals, numbers, out=np.ones_like(totals), where=numbers > 0)
        middle = self._half_slope * (np.log(np.maximum(means, 1e-4)) + self._middle)
        share = np.tanh(self._scaled - middle[self._histogram])
        share += 1.0
        share *= (0.5 * numbers)[self._histogram]
        counts += share
        sums += totals
