"""In what words the tables say which property of a resource is which metric."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from gigawatch.catalogue import Metric

Body: TypeAlias = Mapping[str, object]
"""A JSON object."""

NOW, HEALTH, SLOW = 0.0, 60.0, 180.0
"""How old a value may be before it is read again: every poll, every minute, every three minutes."""

FLOW, HEAT = 1 / 60_000, 1000.0
"""From litres per minute to cubic metres per second; from kW to W."""
KWH, KPA, PERCENT, HOURS = 3.6e6, 1000.0, 0.01, 3600.0


class Join(Enum):
    """What becomes of several resources that say the same series."""

    FIRST = "first"
    SUM = "sum"
    """Unknown where one of them is silent: a part is no sum."""
    MEAN = "mean"
    LOWEST = "lowest"
    BY_FLOW = "by flow"
    """Mean weighted by the flow of each connector."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The device that the resources belong to."""

    side: str
    role: str
    zones: frozenset[str]
    """Names of leak zones in the inventory."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number. `path` leads to it from the resource; an excerpt (`{"Reading": 1}`) is its Reading."""

    path: str
    metric: Metric
    scale: float = 1.0
    labels: tuple[str, ...] = ()
    """Texts with `{side}`, `{id}` and other names that the way to the resource gave."""
    join: Join = Join.FIRST
    rank: int = 0
    """Where several say the same series, the lowest rank that knows it speaks."""
    every: float = NOW
    unless: str = ""
    """Not read where this property has a number."""
    above: float | None = None
    """The metric is 1 where the number is above this, else 0."""
    standby: float | None = None
    """What the metric is while the resource stands by."""
    roles: tuple[str, ...] = ()
    """Only for devices of these roles."""


@dataclass(frozen=True, slots=True)
class State:
    """A word. Gives one series per state; a word that is not listed is not exported."""

    path: str
    metric: Metric
    words: Mapping[str, str]
    labels: tuple[str, ...] = ()
    every: float = NOW
    always: bool = False
    """Read whatever the resource's Status.State is, except Absent: a dead part tells its health, too."""


@dataclass(frozen=True, slots=True)
class Link:
    """Another resource, a collection of them, or objects within this one."""

    path: str
    table: str
    fields: Mapping[str, str] = field(default_factory=dict)
    many: bool = False
    """It is a collection: worth an attempt to have it expanded."""
    unless: tuple[str, ...] = ()
    """Not followed where the resource has one of these properties with something in it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value that is found by code, not by a row: where it stands and how it is read."""

    value: Value
    labels: tuple[str, ...]
    alone: bool = False
    """The last label is only needed where there are several."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource, and how one came to it."""

    body: Body
    uri: str
    known: Mapping[str, str]
    """Names that the way to it gave."""
    index: int
    """Among those that stand beside it."""
    count: int
    """How many stand there."""
    subject: Subject


Name: TypeAlias = Callable[[Seen], Mapping[str, str]]
"""Names for the labels of a resource."""
Extra: TypeAlias = Callable[[Body, Subject], Iterable[Found | str]]
"""Values that need more than a row; a text is the reason for which one is dropped."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is read of one kind of resource."""

    values: tuple[Value, ...] = ()
    states: tuple[State, ...] = ()
    links: tuple[Link, ...] = ()
    name: Name | None = None
    more: Extra | None = None
