"""From a dialect's table to recording rules that write our metric names with exactly our label sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gigawatch.catalogue import Metric, Unit
from gigawatch.promql.dialects.model import Dialect, Made, Pick, Row, Step, Taken

PLACE = ("site", "rack", "node")
_HIGHEST: Mapping[Unit, float] = {
    Unit.RATIO: 1.0,
    Unit.FLAG: 1.0,
    Unit.CELSIUS: 150.0,
    Unit.WATTS: 5e3,
    Unit.HERTZ: 1e11,
}
"""In our units."""
_BLANK = 9e18
"""Just below 2^63, where the numbers begin by which DCGM says that it does not know."""


@dataclass(frozen=True, slots=True)
class DialectRule:
    """One recording rule. `metric` is None for a step between."""

    record: str
    expr: str
    labels: Mapping[str, str]
    help: str
    metric: Metric | None = None


def vector(pick: Pick, by: Iterable[str], taken: Iterable[Taken], unit: Unit, combine: str = "max") -> str:
    """Series of a foreign metric with our labels, one per thing, in our unit."""
    text = _bounded(pick, unit)
    keys = tuple(by)
    for one in taken:
        if one.label in keys:
            text = one.over(text)
    return scaled(f"{combine} by ({', '.join(keys)}) ({text})", pick.factor)


def scaled(text: str, factor: float) -> str:
    """The vector times a factor, written as a person would."""
    if factor == 1:
        return text
    if factor < 1:
        return f"{text} / {number(1 / factor)}"
    return f"{text} * {number(factor)}"


def number(value: float) -> str:
    """12, not 12.0; 0.5 as it is."""
    near = round(value)
    return str(near) if abs(value - near) < 1e-6 * abs(value) and abs(value) < 1e15 else repr(value)


def _bounded(pick: Pick, unit: Unit) -> str:
    high = (
        pick.high if pick.high is not None else _HIGHEST[unit] / pick.factor if unit in _HIGHEST else _BLANK
    )
    low = "" if pick.low is None else f" >= {number(pick.low)}"
    return f"({pick.foreign.selector(*pick.where)}{low} <= {number(high)})"


def _own(row: Row) -> str:
    """What our agent gives of the same metric: scraped series have a job, those of a rule have none."""
    apart = 'source=""' if "source" not in row.metric.labels else 'job!=""'
    matchers = [*(f'{label}="{value}"' for label, value in _told(row).items()), apart]
    return f"{row.metric.name}{{{','.join(matchers)}}}"


def _told(row: Row) -> Mapping[str, str]:
    """Fixed labels by which our series are told apart: not who told."""
    return {label: value for label, value in row.fixed.items() if label not in ("source", "xid", "scheduler")}


def rule(row: Row, dialect: Dialect) -> DialectRule:
    """The rule of one row: silent for nodes whose agent gives the metric itself."""
    parts = []
    for origin in row.origins:
        if isinstance(origin, Made):
            parts.append(origin.text)
        else:
            taken = (*row.taken, *dialect.taken)
            parts.append(vector(origin, row.by, taken, row.metric.unit, row.combine))
    text = parts[0] if len(parts) == 1 else " or ".join(f"({part})" for part in parts)
    expr = f"({text}) unless on (site, node) {_own(row)}"
    labels = {"source": dialect.source, **row.fixed}
    return DialectRule(row.metric.name, expr, labels, row.metric.help, row.metric)


def groups(dialect: Dialect) -> dict[str, tuple[DialectRule, ...]]:
    """All rules by evaluation group; groups run beside each other, the rules of one in order."""
    found = {}
    for name, members in dialect.groups.items():
        found[f"gigawatch-dialect-{dialect.name}-{name}"] = tuple(
            DialectRule(one.name, one.text, {}, one.help) if isinstance(one, Step) else rule(one, dialect)
            for one in members
        )
    return found
