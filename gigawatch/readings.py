"""The only thing that leaves a source."""

from __future__ import annotations

from typing import NamedTuple

from gigawatch.catalogue import Metric


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
