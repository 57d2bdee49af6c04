"""Typed PromQL: expressions that know their labels and refuse what PromQL would silently get wrong.

Everything here builds text; nothing is evaluated. Supported by Prometheus 2.42 and later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gigawatch.catalogue import Kind, Metric, Unit


class PromQLError(ValueError):
    """An expression that could not mean what its author wanted."""


@dataclass(frozen=True, slots=True)
class Match:
    """How a label is compared: `=`, `!=`, `=~` or `!~`. Values may hold Grafana variables such as $node."""

    operator: str
    value: str


def matches(pattern: str) -> Match:
    """The label matches the (anchored) regular expression."""
    return Match("=~", pattern)


def differs(value: str) -> Match:
    """The label has another value."""
    return Match("!=", value)


def lacks(pattern: str) -> Match:
    """The label does not match the (anchored) regular expression."""
    return Match("!~", pattern)


@dataclass(frozen=True, slots=True)
class Expr:
    """An instant vector (or a scalar, when `labels` is None) as text, with what is known about it.

    `labels` are the labels that its series can carry; `unit` what its values mean; `atom` is True while the
    text needs no brackets inside a larger expression.
    """

    text: str
    labels: frozenset[str] | None
    unit: Unit = Unit.COUNT
    atom: bool = True

    def __str__(self) -> str:
        return self.text

    @property
    def inner(self) -> str:
        """The text, bracketed where a surrounding operator would tear it apart."""
        return self.text if self.atom else f"({self.text})"

    # Arithmetic and comparison; vector to vector matches on all labels, which must then be the same.
    def __add__(self, other: Operand) -> Expr:
        return _binary(self, "+", other, self.unit)

    def __sub__(self, other: Operand) -> Expr:
        return _binary(self, "-", other, self.unit)

    def __mul__(self, other: Operand) -> Expr:
        return _binary(self, "*", other, self.unit)

    def __truediv__(self, other: Operand) -> Expr:
        return _binary(self, "/", other, Unit.RATIO if isinstance(other, Expr) else self.unit)

    def __gt__(self, other: Operand) -> Expr:
        return _binary(self, ">", other, self.unit)

    def __ge__(self, other: Operand) -> Expr:
        return _binary(self, ">=", other, self.unit)

    def __lt__(self, other: Operand) -> Expr:
        return _binary(self, "<", other, self.unit)

    def __le__(self, other: Operand) -> Expr:
        return _binary(self, "<=", other, self.unit)

    def equals(self, other: Operand) -> Expr:
        """Keep the series whose value equals `other`."""
        return _binary(self, "==", other, self.unit)

    def not_equals(self, other: Operand) -> Expr:
        """Keep the series whose value differs from `other`."""
        return _binary(self, "!=", other, self.unit)

    def or_(self, other: Expr) -> Expr:
        """These series, and those of `other` whose labels are not among them."""
        labels = _known(self) | _known(other)
        return Expr(f"{self.inner} or {other.inner}", labels, self.unit, atom=False)

    def in_unit(self, unit: Unit) -> Expr:
        """The same expression, its values meaning something else (after arithmetic)."""
        return Expr(self.text, self.labels, unit, self.atom)


Operand = Expr | float | int


@dataclass(frozen=True, slots=True)
class Selector(Expr):
    """Series of one metric (or recorded rule), chosen by labels."""

    metric: Metric | None = None
    over: str = ""
    """Name of what is selected."""


def _known(expr: Expr) -> frozenset[str]:
    if expr.labels is None:
        raise PromQLError(f"'{expr.text}' is a scalar and has no labels")
    return expr.labels


def number(value: float) -> str:
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _binary(left: Expr, operator: str, right: Operand, unit: Unit) -> Expr:
    if not isinstance(right, Expr):
        return Expr(f"{left.inner} {operator} {number(right)}", left.labels, unit, atom=False)
    if left.labels is not None and right.labels is not None and left.labels != right.labels:
        only = sorted(left.labels ^ right.labels)
        raise PromQLError(
            f"'{left.text}' {operator} '{right.text}': labels differ in {', '.join(only)}; "
            "aggregate both sides to the same labels, or use on() / join()"
        )
    labels = right.labels if left.labels is None else left.labels
    return Expr(f"{left.inner} {operator} {right.inner}", labels, unit, atom=False)


def matchers(given: dict[str, str | Match], allowed: frozenset[str], name: str) -> str:
    parts = []
    for label, wanted in given.items():
        if label not in allowed:
            raise PromQLError(f"{name} has no label '{label}'; it has {', '.join(sorted(allowed))}")
        match = wanted if isinstance(wanted, Match) else Match("=", wanted)
        if match.operator in ("=~", "!~") and "$" not in match.value:
            re.compile(match.value)
        value = match.value.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'{label}{match.operator}"{value}"')
    return f"{{{','.join(parts)}}}" if parts else ""


def series(metric: Metric, **labels: str | Match) -> Selector:
    """Series of a metric. Refuses labels that it does not have and values outside a closed set.

    >>> from gigawatch.catalogue.gpu import GPU_POWER
    >>> str(series(GPU_POWER, scope="gpu", node=matches("$node")))
    'aif_gpu_power_watts{scope="gpu",node=~"$node"}'
    """
    for label, wanted in labels.items():
        allowed = metric.values.get(label)
        if allowed and isinstance(wanted, str) and "$" not in wanted and wanted not in allowed:
            raise PromQLError(f"{metric.name}: {label}='{wanted}' never occurs; values: {', '.join(allowed)}")
    if metric.kind is Kind.HISTOGRAM:
        raise PromQLError(f"{metric.name} is a histogram: use buckets(), sums() or counts()")
    text = metric.name + matchers(labels, metric.queried_labels, metric.name)
    return Selector(text, metric.queried_labels, metric.unit, metric=metric, over=metric.name)


def _require_counter(selector: Selector, function: str) -> None:
    if selector.metric is None:
        raise PromQLError(f"{function}() takes series of a metric, not '{selector}'")
    if selector.metric.kind not in (Kind.COUNTER, Kind.HISTOGRAM):
        raise PromQLError(f"{function}() of {selector.metric.name}: it is a {selector.metric.kind.value}")


_RATE_UNITS = {Unit.JOULES: Unit.WATTS, Unit.SECONDS: Unit.RATIO, Unit.BYTES: Unit.BYTES_PER_SECOND,
               Unit.TOKENS: Unit.TOKENS_PER_SECOND}  # fmt: skip


def rate(selector: Selector, window: str) -> Expr:
    """Rise per second of a counter over the window; joules become watts, tokens tokens per second."""
    _require_counter(selector, "rate")
    unit = _RATE_UNITS.get(selector.unit, selector.unit)
    return Expr(f"rate({selector.text}[{window}])", selector.labels, unit)


def increase(selector: Selector, window: str) -> Expr:
    """Rise of a counter over the window (extrapolated: never compare it for equality)."""
    _require_counter(selector, "increase")
    return Expr(f"increase({selector.text}[{window}])", selector.labels, selector.unit)


def changes(selector: Selector, window: str) -> Expr:
    """How often the value changed within the window."""
    return Expr(f"changes({selector.text}[{window}])", selector.labels)


def _over_time(function: str, selector: Selector, window: str, lead: str = "") -> Expr:
    if selector.metric is not None and selector.metric.kind is Kind.COUNTER:
        raise PromQLError(f"{function}() of {selector.metric.name}: use rate() on a counter first")
    return Expr(f"{function}({lead}{selector.text}[{window}])", selector.labels, selector.unit)


def avg_over_time(selector: Selector, window: str) -> Expr:
    """Mean of a gauge over the window."""
    return _over_time("avg_over_time", selector, window)


def max_over_time(selector: Selector, window: str) -> Expr:
    """Highest value of a gauge in the window."""
    return _over_time("max_over_time", selector, window)


def min_over_time(selector: Selector, window: str) -> Expr:
    """Lowest value of a gauge in the window."""
    return _over_time("min_over_time", selector, window)


def sum_over_time(selector: Selector, window: str) -> Expr:
    """Sum of the samples of a gauge in the window; of use where two such sums are divided."""
    return _over_time("sum_over_time", selector, window)


def quantile_over_time(quantile: float, selector: Selector, window: str) -> Expr:
    """Quantile of a gauge over the window."""
    return _over_time("quantile_over_time", selector, window, f"{number(quantile)}, ")


def slope(selector: Selector, window: str) -> Expr:
    """Change per second of a gauge over the window (least squares)."""
    return _over_time("deriv", selector, window)


def _by(function: str, expr: Expr, labels: Iterable[str], lead: str = "", unit: Unit | None = None) -> Expr:
    kept = tuple(labels)
    missing = [label for label in kept if label not in _known(expr)]
    if missing:
        raise PromQLError(
            f"{function} by ({', '.join(kept)}): '{expr.text}' has no {', '.join(missing)}; "
            f"it has {', '.join(sorted(_known(expr)))}"
        )
    by = f" by ({', '.join(kept)}) " if kept else " "
    text = f"{function}{by}({lead}{expr.text})".replace(f"{function} (", f"{function}(")
    return Expr(text, frozenset(kept), unit or expr.unit)


def sum_by(expr: Expr, *labels: str) -> Expr:
    """Sum over series with equal `labels`; the sum of flags is a count."""
    return _by("sum", expr, labels, unit=Unit.COUNT if expr.unit is Unit.FLAG else None)


def avg_by(expr: Expr, *labels: str) -> Expr:
    """Mean over series with equal `labels`."""
    return _by("avg", expr, labels)


def max_by(expr: Expr, *labels: str) -> Expr:
    """Highest of the series with equal `labels`."""
    return _by("max", expr, labels)


def min_by(expr: Expr, *labels: str) -> Expr:
    """Lowest of the series with equal `labels`."""
    return _by("min", expr, labels)


def count_by(expr: Expr, *labels: str) -> Expr:
    """Number of series with equal `labels`."""
    return _by("count", expr, labels, unit=Unit.COUNT)


def quantile_by(quantile: float, expr: Expr, *labels: str) -> Expr:
    """Quantile over series with equal `labels`."""
    return _by("quantile", expr, labels, f"{number(quantile)}, ")


def topk(count: int, expr: Expr) -> Expr:
    """The `count` highest series, labels kept."""
    return Expr(f"topk({count}, {expr.text})", expr.labels, expr.unit)


def bottomk(count: int, expr: Expr) -> Expr:
    """The `count` lowest series, labels kept."""
    return Expr(f"bottomk({count}, {expr.text})", expr.labels, expr.unit)


def on(left: Expr, operator: str, right: Expr, *labels: str, unit: Unit | None = None) -> Expr:
    """`left operator on (labels) right`: one to one, the result carries only `labels` (and, for the filters
    and, unless, and comparisons, what `left` carries)."""
    for side in (left, right):
        missing = [label for label in labels if label not in _known(side)]
        if missing:
            raise PromQLError(f"on ({', '.join(labels)}): '{side.text}' has no {', '.join(missing)}")
    filters = operator in ("and", "unless", ">", "<", ">=", "<=", "==", "!=")
    # Comparisons one to one keep the left metric but only the matching labels; and/unless keep all.
    kept = _known(left) if operator in ("and", "unless") else frozenset(labels)
    text = f"{left.inner} {operator} on ({', '.join(labels)}) {right.inner}"
    chosen = unit or (left.unit if filters or operator in ("+", "-") else Unit.RATIO)
    return Expr(text, kept, chosen, atom=False)


def many_to_one(
    left: Expr, operator: str, right: Expr, labels: Iterable[str], bring: Iterable[str] = ()
) -> Expr:
    """`left operator on (labels) group_left (bring) right`: many series on the left, one match on the right.

    The result keeps all labels of the left side plus `bring`.
    """
    keys, extra = tuple(labels), tuple(bring)
    for side, wanted in ((left, keys), (right, keys + extra)):
        missing = [label for label in wanted if label not in _known(side)]
        if missing:
            raise PromQLError(f"on ({', '.join(keys)}): '{side.text}' has no {', '.join(missing)}")
    text = f"{left.inner} {operator} on ({', '.join(keys)}) group_left ({', '.join(extra)}) {right.inner}"
    return Expr(text, _known(left) | frozenset(extra), left.unit, atom=False)


def join(left: Expr, info: Metric, by: Iterable[str], bring: Iterable[str], **labels: str | Match) -> Expr:
    """Bring labels of an info metric to `left`, safely when the info series stands twice for a moment."""
    if info.kind is not Kind.INFO:
        raise PromQLError(f"join() takes an info metric; {info.name} is a {info.kind.value}")
    keys, extra = tuple(by), tuple(bring)
    return many_to_one(left, "*", max_by(series(info, **labels), *keys, *extra), keys, extra)


def absent(selector: Selector) -> Expr:
    """1 when there is no such series at all."""
    return Expr(f"absent({selector.text})", frozenset(), Unit.FLAG)


def clamp_min(expr: Expr, floor: float) -> Expr:
    """Values below `floor` become `floor`."""
    return Expr(f"clamp_min({expr.text}, {number(floor)})", expr.labels, expr.unit)


def clamp_max(expr: Expr, ceiling: float) -> Expr:
    """Values above `ceiling` become `ceiling`."""
    return Expr(f"clamp_max({expr.text}, {number(ceiling)})", expr.labels, expr.unit)


def one_minus(expr: Expr) -> Expr:
    """1 less a ratio."""
    return Expr(f"1 - {expr.inner}", expr.labels, expr.unit, atom=False)


def absolute(expr: Expr) -> Expr:
    """Value without its sign."""
    return Expr(f"abs({expr.text})", expr.labels, expr.unit)


def now() -> Expr:
    """Unix time of the evaluation."""
    return Expr("time()", None, Unit.SECONDS)


def age(selector: Selector) -> Expr:
    """Seconds since the moment that a timestamp metric holds."""
    if selector.unit is not Unit.TIMESTAMP:
        raise PromQLError(f"age() takes a timestamp metric, not {selector.over}")
    return Expr(f"time() - {selector.inner}", selector.labels, Unit.SECONDS, atom=False)


def before(selector: Selector, span: str) -> Expr:
    """The series as they were `span` ago."""
    return Expr(f"{selector.text} offset {span}", selector.labels, selector.unit, atom=False)


def below(expr: Expr, limit: float) -> Expr:
    """1 where a value lies below `limit`, 0 where it does not; no series is dropped."""
    return Expr(f"{expr.inner} < bool {number(limit)}", expr.labels, Unit.FLAG, atom=False)


def above(expr: Expr, limit: float) -> Expr:
    """1 where a value lies above `limit`, 0 where it does not; no series is dropped."""
    return Expr(f"{expr.inner} > bool {number(limit)}", expr.labels, Unit.FLAG, atom=False)


def foreign(text: str, labels: Iterable[str], unit: Unit = Unit.COUNT) -> Expr:
    """An expression over metrics that other programs expose (up, prometheus_*, alertmanager_*)."""
    return Expr(text, frozenset(labels), unit, atom=False)
