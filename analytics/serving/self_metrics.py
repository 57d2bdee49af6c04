"""How the analytics service itself is doing, as metrics of the catalogue."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from analytics.serving.coverage import Covered
from gigawatch import package_version
from gigawatch.catalogue import Metric, findings, own

REASONS = findings.ANALYTICS_ERRORS.values["reason"]


class SelfMetrics(Collector):
    """Figures that the service sets, collected by prometheus_client at each scrape; None is absent."""

    def __init__(self) -> None:
        self.errors = dict.fromkeys(REASONS, 0)
        self.durations: dict[str, float] = {}
        self.detectors: dict[str, float] = {}
        self.series: dict[str, int] = {}
        self.covered: list[Covered] = []
        self.skipped = 0
        self.catch_up = 0.0
        self.interval: float | None = None
        self.lag: float | None = None
        self.skew: float | None = None
        self.last_success: float | None = None
        self.state_saved: float | None = None

    def collect(self) -> Iterable[Family]:
        """Families named, explained and labelled as in the catalogue."""
        version = (("analytics", package_version(), platform.python_version()), 1.0)
        yield _family(own.EXPORTER_BUILD_INFO, [version])
        for metric, table in (
            (findings.ANALYTICS_ERRORS, self.errors),
            (findings.ANALYTICS_RUN_DURATION, self.durations),
            (findings.ANALYTICS_DETECTOR_DURATION, self.detectors),
            (findings.ANALYTICS_SERIES, self.series),
        ):
            yield _family(metric, [((label,), value) for label, value in dict(table).items()])
        covered = self.covered
        for metric, counts in (
            (findings.ANALYTICS_WATCHED, [one.watched for one in covered]),
            (findings.ANALYTICS_JUDGED, [one.judged for one in covered]),
        ):
            keys = [(one.detector, one.signal) for one in covered]
            yield _family(metric, zip(keys, counts, strict=True))
        for metric, value in (
            (findings.ANALYTICS_LAST_SUCCESS, self.last_success),
            (findings.ANALYTICS_STATE_SAVED, self.state_saved),
            (findings.ANALYTICS_TICKS_SKIPPED, self.skipped),
            (findings.ANALYTICS_CATCH_UP, self.catch_up),
            (findings.ANALYTICS_INTERVAL, self.interval),
            (findings.ANALYTICS_LAG, self.lag),
            (findings.ANALYTICS_CLOCK_SKEW, self.skew),
        ):
            if value is not None:
                yield _family(metric, [((), value)])


def _family(metric: Metric, rows: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    counter = metric.kind.exposed_as == "counter"
    family: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        if counter
        else GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    )
    for labels, value in rows:
        family.add_metric(labels, value)
    return family
