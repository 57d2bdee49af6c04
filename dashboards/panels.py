"""The few kinds of panels that boards are made of; each takes typed expressions and their unit with them.

Every helper asks for a title and a description: the description says which question the panel answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.model import Panel, Query
from dashboards.places import drill_down, lead
from dashboards.titles import KEY_TITLES, WORD_COLOURS
from gigawatch.catalogue import Unit
from gigawatch.promql import Expr, PromQLError, Selector, max_by

Steps = tuple[tuple[str, float | None], ...]
"""Threshold steps: colour and the value from which it counts; the first one has None, minus infinity."""
States = Mapping[int, tuple[str, str]]
"""What a coded value means: text and colour."""

PLAIN: Steps = (("blue", None),)
OK_OR_NOT: States = {0: ("no", "red"), 1: ("yes", "green")}
_AGGREGATED = re.compile(r"^(sum|avg|min|max|count) by \(")


class PanelError(ValueError):
    """A panel that could not be read the way its author meant."""


def rising(warning: float, critical: float) -> Steps:
    """Green, then orange, then red as the value rises."""
    return (("green", None), ("orange", warning), ("red", critical))


def falling(warning: float, critical: float) -> Steps:
    """Red below `critical`, orange below `warning`, green above."""
    return (("red", None), ("orange", critical), ("green", warning))


def alarm(colour: str = "red", at: float = 1) -> Steps:
    """Green at nothing, and a colour from the first one on."""
    return (("green", None), (colour, at))


@dataclass(frozen=True, slots=True)
class Line:
    """A line (or a family of lines) of a time series panel; dashed for limits and set points."""

    expr: Expr
    legend: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A value column of a table; `cell` is text, color-text, color-background or gauge."""

    title: str
    expr: Expr
    decimals: int | None = None
    steps: Steps = ()
    cell: str = "color-text"
    states: States | None = None
    unit: str = ""
    """Only where the expression was scaled away from its base unit."""
    low: float | None = None
    high: float | None = None
    leads: str = ""
    """The board that shows how the figure came about (see `dashboards.places.lead`)."""


def stat(
    title: str,
    description: str,
    expr: Expr,
    *,
    legend: str = "",
    width: int = 3,
    height: int = 4,
    steps: Steps = PLAIN,
    decimals: int | None = None,
    states: States | None = None,
    unit: str = "",
    filled: bool = False,
) -> Panel:
    """One number (or one per series), now. `filled` colours the whole tile, for what must catch the eye."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if filled else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
    }
    defaults = field_defaults(steps, decimals, states)
    queries = (Query(expr, legend, instant=True),)
    return Panel(
        "stat", title, description, queries, width, height, unit or expr.unit.grafana, options, defaults
    )


def gauge(
    title: str,
    description: str,
    expr: Expr,
    *,
    legend: str = "",
    width: int = 4,
    height: int = 6,
    steps: Steps = PLAIN,
    low: float = 0,
    high: float = 1,
    decimals: int | None = None,
) -> Panel:
    """A value on its scale, now."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
    }
    defaults = {**field_defaults(steps, decimals, None), "min": low, "max": high}
    queries = (Query(expr, legend, instant=True),)
    return Panel("gauge", title, description, queries, width, height, expr.unit.grafana, options, defaults)


def bars(
    title: str,
    description: str,
    expr: Expr,
    *,
    legend: str,
    width: int = 8,
    height: int = 8,
    steps: Steps = PLAIN,
    low: float | None = 0,
    high: float | None = None,
    decimals: int | None = None,
    unit: str = "",
) -> Panel:
    """Values side by side, now, to compare few things."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "auto",
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
    }
    limits = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    defaults = {**field_defaults(steps, decimals, None), **limits}
    queries = (Query(expr, legend, instant=True),)
    return Panel(
        "bargauge", title, description, queries, width, height, unit or expr.unit.grafana, options, defaults
    )


def timeseries(
    title: str,
    description: str,
    *lines: Line,
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    steps: Steps = (),
    low: float | None = None,
    high: float | None = None,
    decimals: int | None = None,
    unit: str = "",
) -> Panel:
    """Values over time. All lines share one unit; thresholds, where given, are drawn as dashed lines."""
    units = {line.expr.unit.grafana for line in lines}
    if len(units) > 1 and not unit:
        raise PanelError(f"{title}: lines have different units: {', '.join(sorted(units))}")
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 5,
        "gradientMode": "none",
        "showPoints": "never",
        "pointSize": 5,
        "spanNulls": False,
        "axisPlacement": "auto",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    limits = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    options = {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = {
        **field_defaults(steps or (("green", None),), decimals, None),
        **limits,
        "color": {"mode": "palette-classic"},
        "custom": custom,
    }
    dashed = tuple(
        _override(
            "byFrameRefID",
            chr(ord("A") + index),
            {"custom.lineStyle": {"fill": "dash", "dash": [8, 6]}, "custom.fillOpacity": 0},
        )
        for index, line in enumerate(lines)
        if line.dashed
    )
    queries = tuple(Query(line.expr, line.legend) for line in lines)
    chosen = unit or lines[0].expr.unit.grafana
    return Panel("timeseries", title, description, queries, width, height, chosen, options, defaults, dashed)


def state_timeline(
    title: str,
    description: str,
    expr: Expr,
    states: States,
    *,
    legend: str,
    width: int = 12,
    height: int = 7,
) -> Panel:
    """Coded states over time, one band per series."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = {
        **field_defaults((("green", None),), None, states),
        "custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False},
    }
    queries = (Query(expr, legend),)
    return Panel("state-timeline", title, description, queries, width, height, "short", options, defaults)


def table(
    title: str,
    description: str,
    keys: Iterable[str],
    *columns: Column,
    width: int = 24,
    height: int = 8,
    sort: str = "",
    descending: bool = False,
    hide: Iterable[str] = (),
    nothing: str = "",
) -> Panel:
    """One row per combination of `keys`, one column per expression, all values now.

    Every expression is first brought to exactly the labels `keys`, so that the rows of different queries
    meet; keys that name a place link to its board. `hide` names keys that identify a row but need no column;
    `nothing` is what an empty table says where that is good news.
    """
    kept = tuple(keys)
    hidden = set(hide)
    queries = tuple(Query(_keyed(column.expr, kept, title), instant=True, table=True) for column in columns)
    renamed = {key: KEY_TITLES[key] for key in kept if key not in hidden}
    order = [*renamed]
    for index, column in enumerate(columns):
        value = "Value" if len(columns) == 1 else f"Value #{chr(ord('A') + index)}"
        renamed[value] = column.title
        order.append(value)
    organize = {
        "excludeByName": {"Time": True, **{key: True for key in kept if key in hidden}},
        "indexByName": {name: index for index, name in enumerate(order)},
        "renameByName": renamed,
    }
    shown = [key for key in kept if key not in hidden]
    fields = {key: KEY_TITLES[key] for key in shown}
    overrides = [*_key_overrides(shown), *(_column_override(column, fields) for column in columns)]
    options: dict[str, Any] = {"showHeader": True, "cellHeight": "sm"}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": descending}]
    defaults = {
        **field_defaults((("text", None),), None, None),
        "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
    }
    if nothing:
        defaults["noValue"] = nothing
        # The words are for the table as a whole; a single empty cell keeps its dash.
        titles = [*(KEY_TITLES[key] for key in shown), *(column.title for column in columns)]
        overrides += [_override("byName", title, {"noValue": "–"}) for title in titles]
    return Panel(
        "table",
        title,
        description,
        queries,
        width,
        height,
        "short",
        options,
        defaults,
        tuple(overrides),
        ({"id": "merge", "options": {}}, {"id": "organize", "options": organize}),
    )


def text(title: str, description: str, markdown: str, *, width: int = 24, height: int = 3) -> Panel:
    """Words on the board."""
    return Panel(
        "text", title, description, (), width, height, options={"mode": "markdown", "content": markdown}
    )


def _keyed(expr: Expr, keys: tuple[str, ...], title: str) -> Expr:
    missing = [key for key in keys if key not in (expr.labels or ())]
    if missing:
        raise PromQLError(
            f"{title}: '{expr.text}' has no {', '.join(missing)}, by which the rows are told apart"
        )
    already = expr.labels == frozenset(keys) and _AGGREGATED.match(expr.text)
    return expr if already and expr.atom and not isinstance(expr, Selector) else max_by(expr, *keys)


def field_defaults(steps: Steps, decimals: int | None, states: States | None) -> dict[str, Any]:
    if steps[0][1] is not None:
        raise PanelError("the first threshold step is the base and has no value")
    made: dict[str, Any] = {
        "thresholds": thresholds(steps),
        "mappings": [_mapping(states)] if states else [],
        "color": {"mode": "thresholds"},
    }
    return made if decimals is None else {**made, "decimals": decimals}


def thresholds(steps: Steps) -> dict[str, Any]:
    """Grafana's form of threshold steps."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}


def _mapping(states: States) -> dict[str, Any]:
    options = {
        str(value): {"text": words, "color": colour, "index": index}
        for index, (value, (words, colour)) in enumerate(states.items())
    }
    return {"type": "value", "options": options}


def _words(colours: Mapping[str, str]) -> dict[str, Any]:
    options = {
        word: {"text": word, "color": colour, "index": index}
        for index, (word, colour) in enumerate(colours.items())
    }
    return {"type": "value", "options": options}


def _override(matcher: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": name}, "properties": listed}


def _key_overrides(keys: list[str]) -> list[dict[str, Any]]:
    fields = {key: KEY_TITLES[key] for key in keys}
    made = []
    for key in keys:
        link = drill_down(key, fields)
        if link:
            made.append(_override("byName", KEY_TITLES[key], {"links": [link]}))
        if key in WORD_COLOURS:
            properties = {
                "mappings": [_words(WORD_COLOURS[key])],
                "custom.cellOptions": {"type": "color-text"},
            }
            made.append(_override("byName", KEY_TITLES[key], properties))
    return made


def _column_override(column: Column, fields: Mapping[str, str]) -> dict[str, Any]:
    unit = column.unit or column.expr.unit.grafana
    properties: dict[str, Any] = {"unit": unit}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.steps or column.states:
        properties["thresholds"] = thresholds(column.steps or (("text", None),))
        cell = {"type": column.cell}
        properties["custom.cellOptions"] = {**cell, "mode": "basic"} if column.cell == "gauge" else cell
    if column.states:
        properties["mappings"] = [_mapping(column.states)]
    if column.low is not None:
        properties["min"] = column.low
    if column.high is not None:
        properties["max"] = column.high
    if column.leads:
        properties["links"] = [lead(column.leads, fields)]
    return _override("byName", column.title, properties)


def per_minute(expr: Expr) -> Expr:
    """A rate per second, shown per minute."""
    return (expr * 60).in_unit(Unit.COUNT)
