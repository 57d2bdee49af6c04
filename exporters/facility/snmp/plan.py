"""From a profile and what a device has to a plan: which OIDs to ask for, and what each answer means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exporters.facility.snmp.client import Key, Value
from exporters.facility.snmp.profile import SIDE, Choice, Profile, ReadingSpec, Table, filled
from exporters.facility.snmp.values import text, whole
from gigawatch.catalogue import Metric

Found = Mapping[str, Mapping[Key, Value]]
"""Columns of a device: values by index, by the column's OID. A scalar has the empty index."""
MOST_DIGITS = 9


@dataclass(slots=True)
class Planned:
    """One value of the device, and what it means."""

    oid: str
    metric: Metric
    labels: tuple[str, ...]
    """Without the state, for state sets."""
    factor: float
    spec: ReadingSpec
    sentinels: frozenset[int]
    valid: tuple[tuple[str, tuple[int, ...]], ...]
    """OIDs, and the numbers that they must have."""
    zero_needs: str = ""
    """OID that must be zero for a zero to count."""


@dataclass(slots=True)
class Plan:
    """All that is asked of one device, until it is looked over again."""

    values: list[Planned] = field(default_factory=list)
    oids: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Values that are left out in every poll, by reason."""

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def columns_of(profiles: Iterable[Profile]) -> tuple[list[str], list[str]]:
    """OIDs of columns to walk, and of scalars to get."""
    walks: dict[str, None] = {}
    scalars: dict[str, None] = {}
    for profile in profiles:
        for table in profile.tables:
            for column in table.columns.values():
                scalar = column.index == () or (column.index is None and not table.index)
                (scalars if scalar else walks)[column.oid] = None
    return list(walks), list(scalars)


def make_plan(profiles: Iterable[Profile], found: Found, side: str) -> Plan:
    """What to ask from now on. `side` is the device's side in the inventory."""
    plan = Plan()
    for profile in profiles:
        for table in profile.tables:
            for spec in table.readings:
                plan.values += _rows(table, spec, found, side, plan)
    plan.values = _first_of_each(plan)
    wanted: dict[str, None] = {}
    for one in plan.values:
        wanted[one.oid] = None
        wanted.update((oid, None) for oid, _ in one.valid)
        if one.zero_needs:
            wanted[one.zero_needs] = None
    plan.oids = list(wanted)
    return plan


def _first_of_each(plan: Plan) -> list[Planned]:
    """Two values for one series: the first wins, as where two profiles know the same."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    kept = []
    for one in plan.values:
        series = (one.metric.key, one.labels)
        if one.spec.combine:
            kept.append(one)
        elif series in seen:
            plan.drop("error")
        else:
            seen.add(series)
            kept.append(one)
    return kept


def _rows(table: Table, spec: ReadingSpec, found: Found, side: str, plan: Plan) -> Iterator[Planned]:
    column = table.columns[table.value_of(spec)].oid
    labels = table.labels_of(spec)
    rows = [
        row
        for key in found.get(column, ())
        if len(key) == len(table.index) and _applies(table, spec, row := _Row(table, key, found))
    ]
    alone = {
        name
        for name, label in labels.items()
        if label.alone is not None and len({row.fill(label) for row in rows}) == 1
    }
    for row in rows:
        values = _label_values(spec, labels, row, alone, side)
        if values is None:
            continue
        factor = _factor(table, spec, row)
        if factor is None:
            plan.drop("unit")
            continue
        yield Planned(
            row.oid(table.value_of(spec)),
            spec.what,
            values,
            factor,
            spec,
            frozenset((*table.sentinels, *spec.sentinels)),
            tuple((row.oid(name), allowed) for name, allowed in table.valid.items()),
            row.oid(spec.zero_needs) if spec.zero_needs else "",
        )


class _Row:
    """One row of a table as the device had it when it was looked over."""

    def __init__(self, table: Table, key: Key, found: Found) -> None:
        self._table, self._key, self._found = table, key, found
        self._parts = dict(zip(table.index, key, strict=True))

    @property
    def last(self) -> int:
        """The last part of the index: the number of the row."""
        return self._key[-1] if self._key else 0

    def _index(self, name: str) -> Key:
        own = self._table.columns[name].index
        return self._key if own is None else tuple(self._parts[part] for part in own)

    def oid(self, name: str) -> str:
        """The OID of a column's value in this row."""
        return ".".join((self._table.columns[name].oid, *map(str, self._index(name))))

    def value(self, name: str) -> Value:
        """An index part, or what a column had."""
        if name in self._parts:
            return self._parts[name]
        return self._found.get(self._table.columns[name].oid, {}).get(self._index(name))

    def fill(self, label: Choice) -> str:
        """A label's template with this row's values."""
        names = {*self._parts, *self._table.columns}
        return filled(label.of, {name: text(self.value(name)) for name in names if name in label.of})


def _applies(table: Table, spec: ReadingSpec, row: _Row) -> bool:
    count = whole(row.value(table.rows)) if table.rows else None
    if count and row.last > count:
        return False
    return all(whole(row.value(name)) in allowed for name, allowed in spec.where.items()) and all(
        re.search(pattern, text(row.value(name))) for name, pattern in spec.match.items()
    )


def _label_values(
    spec: ReadingSpec, labels: Mapping[str, Choice], row: _Row, alone: set[str], side: str
) -> tuple[str, ...] | None:
    """Label values in the metric's order; None if a label says that the row does not count."""
    values = {SIDE: side}
    for name, label in labels.items():
        value = row.fill(label)
        if name in alone and label.alone is not None:
            value = label.alone
        elif label.pattern:
            hit = re.search(label.pattern, value)
            if hit is None:
                return None
            value = hit[1] or ""
        if label.map:
            if value not in label.map:
                return None
            value = label.map[value]
        values[name] = value
    names = spec.what.labels[:-1] if spec.states else spec.what.labels
    return tuple(values.get(name, "") for name in names)


def _factor(table: Table, spec: ReadingSpec, row: _Row) -> float | None:
    """Factor to base units; None if the device does not say what it needs."""
    factor = spec.scale
    column = table.digits_of(spec)
    if column:
        digits = whole(row.value(column))
        if digits is None or digits > MOST_DIGITS:
            return None
        # A negative number counts significant digits (RFC 3433): it says nothing about the scale.
        factor /= 10 ** max(digits, 0)
    if spec.factor:
        chosen = spec.factor.map.get(whole(row.value(spec.factor.column)) or 0)
        if chosen is None:
            return None
        factor *= chosen
    return factor
