"""What a dialect is: how another exporter says what our catalogue says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gigawatch.catalogue import Metric, Target

_LABEL = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
FIRST = ";*([^;]*).*"
"""Takes the first label that is not empty out of several joined by semicolons."""
HOST_PART = ";*([^;:]*).*"
"""The same, without a port."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A metric of another exporter: its names (a field that was renamed has two), its kind, what it means.

    `checked` is False for a name that only some versions know: an exporter may refuse to start with it.
    """

    names: tuple[str, ...]
    kind: str = "gauge"
    meaning: str = ""
    checked: bool = True

    def selector(self, *matchers: str) -> str:
        """The series as PromQL; `matchers` as they stand in braces."""
        if len(self.names) == 1:
            return self.names[0] + (f"{{{','.join(matchers)}}}" if matchers else "")
        names = f'__name__=~"{"|".join(self.names)}"'
        return f"{{{','.join((names, *matchers))}}}"


@dataclass(frozen=True, slots=True)
class Taken:
    """Our `label` is the first of the foreign labels that is not empty; `pattern` picks a part of it."""

    label: str
    foreign: tuple[str, ...]
    pattern: str = FIRST

    def __post_init__(self) -> None:
        for name in (self.label, *self.foreign):
            if not _LABEL.match(name):
                raise ValueError(f"'{name}' is no label name")

    def over(self, vector: str) -> str:
        """The vector with the label written on it."""
        if self.foreign == (self.label,) and self.pattern == FIRST:
            return vector
        if len(self.foreign) == 1:
            pattern = self.pattern.removeprefix(";*")
            return f'label_replace({vector}, "{self.label}", "$1", "{self.foreign[0]}", "{pattern}")'
        joined = ", ".join(f'"{name}"' for name in self.foreign)
        vector = f'label_join({vector}, "{self.label}", ";", {joined})'
        return f'label_replace({vector}, "{self.label}", "$1", "{self.label}", "{self.pattern}")'


@dataclass(frozen=True, slots=True)
class Pick:
    """A foreign metric in our unit: value times `factor`, of the series that match `where`.

    Values beyond `low` and `high` (foreign unit, None: as the unit of our metric allows) mean nothing and are
    left out.
    """

    foreign: Foreign
    factor: float = 1.0
    where: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An expression that already has our labels and unit, and the foreign metrics that it is made of."""

    text: str
    of: tuple[Foreign, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of ours, from the first of the `origins` that a thing has.

    `fixed` are labels that the rule sets; all others of the metric come from the series, those in `taken`
    from labels of another name. Where several foreign series say the same, `combine` makes one of them.
    """

    metric: Metric
    origins: tuple[Pick | Made, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    taken: tuple[Taken, ...] = ()
    combine: str = "max"
    absent: tuple[str, ...] = ()
    """Labels of the metric that the foreign exporter does not know: its series lack them."""
    extra: tuple[str, ...] = ()
    """Target labels to keep besides the place, where alerts need them."""

    def __post_init__(self) -> None:
        if self.metric.target is not Target.NODE:
            raise ValueError(f"{self.metric.name}: a dialect speaks of nodes")
        for label, value in self.fixed.items():
            allowed = self.metric.values.get(label)
            if label not in self.metric.labels:
                raise ValueError(f"{self.metric.name} has no label '{label}'")
            if allowed and value not in allowed and label != "source":
                raise ValueError(f"{self.metric.name}: {label}='{value}' never occurs")
        for label in (*(one.label for one in self.taken), *self.absent):
            if label not in self.metric.labels:
                raise ValueError(f"{self.metric.name} has no label '{label}'")

    @property
    def by(self) -> tuple[str, ...]:
        """Labels that the series bring, place first."""
        own = (x for x in self.metric.labels if x not in self.fixed and x not in self.absent)
        return (*self.metric.target.value, *self.extra, *own)

    @property
    def foreign(self) -> tuple[Foreign, ...]:
        """Every foreign metric that the row uses."""
        found: list[Foreign] = []
        for origin in self.origins:
            found += [origin.foreign] if isinstance(origin, Pick) else origin.of
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Step:
    """A series that other rows of the dialect are made of, worked out once."""

    name: str
    text: str
    of: tuple[Foreign, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """All that another exporter tells us. `name` goes into file names, `source` into the label `source`.

    `taken` are labels that every row takes: who and where.
    """

    name: str
    source: str
    title: str
    taken: tuple[Taken, ...]
    groups: Mapping[str, tuple[Row | Step, ...]]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row, group by group."""
        return tuple(one for group in self.groups.values() for one in group if isinstance(one, Row))

    @property
    def foreign(self) -> tuple[Foreign, ...]:
        """Every foreign metric, in the order of first use."""
        found: list[Foreign] = []
        for group in self.groups.values():
            for one in group:
                found += one.foreign if isinstance(one, Row) else one.of
        return tuple(dict.fromkeys(found))
