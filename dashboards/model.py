"""What a board is, before it becomes Grafana JSON: plain, frozen data that tests can question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gigawatch.promql import Expr

COLUMNS = 24
"""Width of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Query:
    """One Prometheus query of a panel."""

    expr: Expr
    legend: str = ""
    """Series name, with {{label}} places; empty lets the viewer choose."""
    instant: bool = False
    """Only the value now. Used wherever one number is shown, so that a dead series shows as no data and
    not as its last value."""
    table: bool = False
    """One row per series instead of one line."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture on a board. Built by the helpers in `dashboards.panels`, never by hand."""

    kind: str
    title: str
    description: str
    """The question it answers and what to do about the answer."""
    queries: tuple[Query, ...]
    width: int
    height: int
    unit: str = ""
    """Grafana unit of the values; tables give one per column instead."""
    options: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[Mapping[str, Any], ...] = ()
    transformations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A titled stretch of a board; its panels flow from left to right, line by line."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False
    """Closed until the reader opens it; its panels ask nothing until then."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that the reader picks at the top of a board."""

    name: str
    label: str
    query: str
    """`label_values(...)`, or the plugin name for the data source itself."""
    kind: str = "query"
    include_all: bool = False
    multi: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    variables: tuple[Variable, ...]
    sections: tuple[Section, ...]
    time_from: str = "now-15m"
    refresh: str = "10s"
    alert_annotations: bool = True

    def panels(self) -> Iterator[Panel]:
        """All panels, in reading order."""
        for section in self.sections:
            yield from section.panels


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands on the grid."""

    x: int
    y: int
    width: int
    height: int


def flow(section: Section, top: int) -> tuple[list[Place], int]:
    """Places of a section's panels below `top`, and the first free line after them.

    Panels fill a line until its width is used up; a line is as high as its highest panel.
    """
    places: list[Place] = []
    x, y, line_height = 0, top, 0
    for panel in section.panels:
        if x + panel.width > COLUMNS:
            x, y, line_height = 0, y + line_height, 0
        places.append(Place(x, y, panel.width, panel.height))
        x += panel.width
        line_height = max(line_height, panel.height)
    return places, y + line_height
