"""Latency objectives: how many requests (or gaps between tokens) there were, and how many met them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporters.inference.outputs import Constant, Histogram, Output, Scalar
from gigawatch.catalogue import Metric
from gigawatch.catalogue.inference import (
    INFERENCE_ITL,
    INFERENCE_MET,
    INFERENCE_OBJECTIVE,
    INFERENCE_OBJECTIVE_SHARE,
    INFERENCE_OBSERVED,
    INFERENCE_REQUEST_DURATION,
    INFERENCE_TTFT,
)

OBJECTIVE_OF: dict[Metric, str] = {
    INFERENCE_TTFT: "time_to_first_token",
    INFERENCE_ITL: "inter_token_latency",
    INFERENCE_REQUEST_DURATION: "request_duration",
}
"""The histogram that each objective is about. The mean per token of a request is not the gap between two, so
it stands in for none."""


@dataclass(frozen=True, slots=True)
class Objective:
    """No more than `seconds`, for this share of them (0 to 1)."""

    seconds: float
    share: float


def follow(histogram: Histogram, labels: tuple[str, ...], name: str, objective: Objective) -> list[Output]:
    """What is told of an objective; renewed whenever the histogram is, absent while it is refused."""
    of = (*labels, name)
    observed, met = Scalar(INFERENCE_OBSERVED, of), Scalar(INFERENCE_MET, of)

    def renew(counts: Sequence[float]) -> None:
        if counts:
            observed.show(counts[-1])
            met.show(within(objective.seconds, histogram.edges, counts))
        else:
            observed.refuse("")
            met.refuse("")

    histogram.followers.append(renew)
    histogram.touches += (*observed.touches, *met.touches)
    return [
        observed,
        met,
        Constant(INFERENCE_OBJECTIVE, of, objective.seconds),
        Constant(INFERENCE_OBJECTIVE_SHARE, of, objective.share),
    ]


def within(seconds: float, edges: Sequence[float], counts: Sequence[float]) -> float:
    """How many observations took no longer than `seconds`, by rising edges and cumulative counts.

    Evenly spread within a bucket; of those beyond the last finite edge none is taken to have met it. Never
    falls while the counts do not: it adds counts with weights that do not change.
    """
    below, lower = 0.0, 0.0
    for edge, count in zip(edges, counts, strict=True):
        if seconds < edge:
            if edge == float("inf") or edge <= lower:
                return below
            weight = (seconds - lower) / (edge - lower)
            return min((1.0 - weight) * below + weight * count, counts[-1])
        below, lower = count, edge
    return below
