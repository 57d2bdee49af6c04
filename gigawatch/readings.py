"""The only thing that leaves a source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gigawatch.catalogue import Kind, Metric


class Reading(NamedTuple):
    """One value of one series.

    `labels` are the label values in the order of `metric.labels` (target labels such as site, rack and
    node are not among them: Prometheus adds those from service discovery). `value` is in the metric's base
    unit. `timestamp` is Unix seconds, or None for "now".
    A source yields a reading only for what the device really answered: unsupported means absent.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: float
    timestamp: float | None = None


SUM, COUNT = "sum", "count"
"""The parts of a histogram beside its buckets."""


def histogram(
    metric: Metric, labels: tuple[str, ...], buckets: Iterable[tuple[str, float]], total: float
) -> Iterator[Reading]:
    """The readings of one histogram: a last label value says which part each is.

    `buckets` are (upper edge as text, observations up to it), edges rising, the last one `+Inf`, whose count
    is the number of all; `total` is the sum of all observations in the metric's unit.
    """
    count = 0.0
    for edge, count in buckets:
        yield Reading(metric, (*labels, edge), count)
    yield Reading(metric, (*labels, SUM), total)
    yield Reading(metric, (*labels, COUNT), count)


def sample(metric: Metric, labels: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Name and labels of a reading's series, as exposed. ValueError if the values are not as many as the
    labels."""
    name, names = metric.name, metric.labels
    if metric.kind is Kind.HISTOGRAM and labels:
        if labels[-1] in (SUM, COUNT):
            name, labels = f"{name}_{labels[-1]}", labels[:-1]
        else:
            name, names = f"{name}_bucket", (*names, "le")
    if len(labels) != len(names):
        raise ValueError(f"{metric.name} has labels {metric.labels}, got {len(labels)} values")
    return name, dict(zip(names, labels, strict=True))
