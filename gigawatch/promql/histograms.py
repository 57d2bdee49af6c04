"""Histograms: their parts, quantiles and means."""

from __future__ import annotations

from gigawatch.catalogue import Kind, Metric, Unit
from gigawatch.promql.expr import Expr, Match, PromQLError, Selector, matchers, number, rate, sum_by


def buckets(metric: Metric, **labels: str | Match) -> Selector:
    """Buckets of a histogram: observations up to the edge `le`; for rate() and quantile()."""
    return _part(metric, "bucket", labels, metric.queried_labels, Unit.COUNT)


def sums(metric: Metric, **labels: str | Match) -> Selector:
    """Sum of all observations of a histogram, in its unit."""
    return _part(metric, "sum", labels, metric.queried_labels - {"le"}, metric.unit)


def counts(metric: Metric, **labels: str | Match) -> Selector:
    """Number of observations of a histogram."""
    return _part(metric, "count", labels, metric.queried_labels - {"le"}, Unit.COUNT)


def _part(
    metric: Metric, part: str, given: dict[str, str | Match], allowed: frozenset[str], unit: Unit
) -> Selector:
    if metric.kind is not Kind.HISTOGRAM:
        raise PromQLError(f"{metric.name} is a {metric.kind.value}, not a histogram")
    name = f"{metric.name}_{part}"
    return Selector(name + matchers(given, allowed, name), allowed, unit, metric=metric, over=name)


def quantile(share: float, metric: Metric, window: str, *by: str, **labels: str | Match) -> Expr:
    """Quantile of a histogram's observations in the window, for each group of `by`.

    Buckets of different engines differ: keep the label that tells them apart among `by`.
    """
    return quantile_of(share, sum_by(rate(buckets(metric, **labels), window), *by, "le")).in_unit(metric.unit)


def quantile_of(share: float, rates: Expr) -> Expr:
    """Quantile of observations whose rates up to each edge `le` are given."""
    if rates.labels is None or "le" not in rates.labels:
        raise PromQLError(f"'{rates.text}' has no label 'le'")
    return Expr(f"histogram_quantile({number(share)}, {rates.text})", rates.labels - {"le"}, rates.unit)


def mean(metric: Metric, window: str, *by: str, **labels: str | Match) -> Expr:
    """Mean of a histogram's observations in the window, for each group of `by`; absent without any."""
    total = sum_by(rate(sums(metric, **labels), window), *by)
    observed = sum_by(rate(counts(metric, **labels), window), *by)
    return (total / (observed > 0)).in_unit(metric.unit)
