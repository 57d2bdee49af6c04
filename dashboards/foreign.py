"""Metrics that other programs expose and our boards query: Prometheus, Alertmanager and what scraping adds.

The only place of this room where such names stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from gigawatch.catalogue import Unit
from gigawatch.promql import Expr, Match, PromQLError

_TARGET = ("job", "instance", "site", "hall", "rack", "node", "device")
_ALERT = ("alertname", "severity", "domain", "scope", "place", "site", "hall", "row", "rack", "node", "gpu",
          "uuid", "loop", "feed")  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForeignMetric:
    """A metric that is not ours: its name, the labels we may rely on, what its values mean."""

    name: str
    labels: tuple[str, ...]
    unit: Unit = Unit.COUNT
    counter: bool = False


UP = ForeignMetric("up", _TARGET, Unit.FLAG)
SCRAPE_DURATION = ForeignMetric("scrape_duration_seconds", _TARGET, Unit.SECONDS)
SCRAPE_SAMPLES = ForeignMetric("scrape_samples_scraped", _TARGET)
ALERTS = ForeignMetric("ALERTS", (*_ALERT, "alertstate"), Unit.FLAG)
ALERTS_SINCE = ForeignMetric("ALERTS_FOR_STATE", _ALERT, Unit.TIMESTAMP)
_PROMETHEUS = ("job", "instance")
RULE_GROUP_DURATION = ForeignMetric(
    "prometheus_rule_group_last_duration_seconds", (*_PROMETHEUS, "rule_group"), Unit.SECONDS
)
RULE_GROUP_INTERVAL = ForeignMetric(
    "prometheus_rule_group_interval_seconds", (*_PROMETHEUS, "rule_group"), Unit.SECONDS
)
RULE_FAILURES = ForeignMetric(
    "prometheus_rule_evaluation_failures_total", (*_PROMETHEUS, "rule_group"), counter=True
)
NOTIFICATION_QUEUE = ForeignMetric("prometheus_notifications_queue_length", _PROMETHEUS)
NOTIFICATIONS_DROPPED = ForeignMetric("prometheus_notifications_dropped_total", _PROMETHEUS, counter=True)
HEAD_SERIES = ForeignMetric("prometheus_tsdb_head_series", _PROMETHEUS)
SAMPLES_APPENDED = ForeignMetric("prometheus_tsdb_head_samples_appended_total", _PROMETHEUS, counter=True)
NOTIFICATIONS = ForeignMetric("alertmanager_notifications_total", (*_PROMETHEUS, "integration"), counter=True)
NOTIFICATIONS_FAILED = ForeignMetric(
    "alertmanager_notifications_failed_total", (*_PROMETHEUS, "integration"), counter=True
)


def all_foreign() -> tuple[ForeignMetric, ...]:
    """Every foreign metric of this table."""
    return tuple(value for value in globals().values() if isinstance(value, ForeignMetric))


def _selector(metric: ForeignMetric, labels: dict[str, str | Match]) -> str:
    parts = []
    for label, wanted in labels.items():
        if label not in metric.labels:
            raise PromQLError(f"{metric.name} has no label '{label}'; it has {', '.join(metric.labels)}")
        match = wanted if isinstance(wanted, Match) else Match("=", wanted)
        parts.append(f'{label}{match.operator}"{match.value}"')
    return f"{metric.name}{{{','.join(parts)}}}" if parts else metric.name


def pick(metric: ForeignMetric, **labels: str | Match) -> Expr:
    """Series of a foreign metric; refuses labels outside the table."""
    return Expr(_selector(metric, labels), frozenset(metric.labels), metric.unit)


def rise(metric: ForeignMetric, window: str, **labels: str | Match) -> Expr:
    """Rise per second of a foreign counter."""
    return Expr(f"rate({_counted(metric, labels)}[{window}])", frozenset(metric.labels), metric.unit)


def growth(metric: ForeignMetric, window: str, **labels: str | Match) -> Expr:
    """Rise of a foreign counter over a window."""
    return Expr(f"increase({_counted(metric, labels)}[{window}])", frozenset(metric.labels), metric.unit)


def changed(metric: ForeignMetric, window: str, **labels: str | Match) -> Expr:
    """How often the value of a foreign gauge changed within the window."""
    return Expr(f"changes({_selector(metric, labels)}[{window}])", frozenset(metric.labels))


def appeared(metric: ForeignMetric, window: str, **labels: str | Match) -> Expr:
    """Series that had a sample within the window and none at its start."""
    chosen = _selector(metric, labels)
    text = f"count_over_time({chosen}[{window}]) unless {chosen} offset {window}"
    return Expr(text, frozenset(metric.labels), atom=False)


def nothing() -> Expr:
    """0 without labels: what a count shows when there is nothing to count."""
    return Expr("vector(0)", frozenset())


def _counted(metric: ForeignMetric, labels: dict[str, str | Match]) -> str:
    if not metric.counter:
        raise PromQLError(f"{metric.name} is no counter")
    return _selector(metric, labels)
