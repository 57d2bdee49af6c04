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
class Figure:
    """A figure of a drawing: what a thing's reading means and how it looks."""

    ref: str
    """What the drawing calls it."""
    title: str
    expr: Expr
    by: str
    """Label that names the thing."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Grafana's field configuration: unit, thresholds, colours."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a place that Grafana has no panel for. The built-in viewer draws it instead of the panel
    that carries it; Grafana passes over the key under which it stands in the JSON."""

    kind: str
    """elevation, power or cooling: see dashboards/viewer/static/js/drawings."""
    things: Mapping[str, Expr]
    """Name -> what is drawn and how it hangs together. Without the first one there is nothing to draw."""
    figures: tuple[Figure, ...]
    measures: tuple[Figure, ...] = ()
    """Figures of which the reader picks one to colour by."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Kind of thing -> board it leads to."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def queries(self) -> Iterator[tuple[str, Expr]]:
        """Everything it asks, by the name it has for it."""
        yield from self.things.items()
        for figure in (*self.figures, *self.measures):
            yield figure.ref, figure.expr


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
    drawing: Drawing | None = None

    def expressions(self) -> Iterator[Expr]:
        """Everything that is asked for it, in Grafana or in the viewer."""
        yield from (query.expr for query in self.queries)
        if self.drawing:
            yield from (expr for _, expr in self.drawing.queries())


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
    listed: bool = False
    """All means every value that is offered, where the variables before it narrow them down."""


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
