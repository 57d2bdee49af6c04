"""Drawings of places for the viewer, and the nearest that Grafana's own panels come to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from dashboards.model import Drawing, Figure, Panel, Query
from dashboards.panels import PLAIN, PanelError, States, Steps, field_defaults
from dashboards.titles import KEY_TITLES
from gigawatch.promql import Expr, max_by


def figure(
    ref: str,
    title: str,
    expr: Expr,
    by: str,
    *,
    decimals: int | None = None,
    steps: Steps = PLAIN,
    states: States | None = None,
    low: float | None = None,
    high: float | None = None,
    scheme: str = "",
    unit: str = "",
) -> Figure:
    """A figure of a drawing. `scheme` colours by a scale from `low` to `high`, on which steps are marks."""
    if by not in (expr.labels or ()):
        raise PanelError(f"{title}: '{expr.text}' has no label '{by}'")
    if scheme and (low is None or high is None):
        raise PanelError(f"{title}: a colour scale needs its two ends")
    config: dict[str, Any] = {**field_defaults(steps, decimals, states), "unit": unit or expr.unit.grafana}
    config |= {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    if scheme:
        config["color"] = {"mode": scheme}
    return Figure(ref, title, expr, by, config)


def drawn(
    panel: Panel,
    kind: str,
    things: Mapping[str, Expr],
    figures: Iterable[Figure],
    *,
    measures: Iterable[Figure] = (),
    links: Mapping[str, str],
    extra: Mapping[str, Any] | None = None,
) -> Panel:
    """A panel that the viewer draws as a picture of the place; Grafana shows the panel itself."""
    drawing = Drawing(kind, dict(things), tuple(figures), tuple(measures), dict(links), dict(extra or {}))
    names = [ref for ref, _ in drawing.queries()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise PanelError(f"{panel.title}: {', '.join(sorted(twice))} stands for two things")
    return replace(panel, drawing=drawing)


def matrix(
    title: str,
    description: str,
    expr: Expr,
    *,
    rows: str,
    columns: str,
    steps: Steps = PLAIN,
    decimals: int | None = None,
    states: States | None = None,
    low: float | None = None,
    high: float | None = None,
    scheme: str = "",
    width: int = 24,
    height: int = 9,
    link: str = "",
) -> Panel:
    """A coloured cell for each pair of two labels, the highest of `rows` (numbers) on top, all values now."""
    row, column = KEY_TITLES[rows], KEY_TITLES[columns]
    kept = max_by(expr, rows, columns)
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {rows: 0, columns: 1, "Value": 2},
        "renameByName": {rows: row, columns: column, "Value": "Cell"},
    }

    def turned(kind: str) -> dict[str, Any]:
        conversions = [{"targetField": row, "destinationType": kind}]
        return {"id": "convertFieldType", "options": {"fields": {}, "conversions": conversions}}

    steps_to_matrix: tuple[dict[str, Any], ...] = (
        {"id": "merge", "options": {}},
        {"id": "organize", "options": organize},
        turned("number"),
        {"id": "sortBy", "options": {"sort": [{"field": column}]}},
        {"id": "sortBy", "options": {"sort": [{"field": row, "desc": True}]}},
        turned("string"),
        {
            "id": "groupingToMatrix",
            "options": {"columnField": column, "rowField": row, "valueField": "Cell", "emptyValue": "null"},
        },
    )
    defaults: dict[str, Any] = {
        **field_defaults(steps, decimals, states),
        "custom": {
            "align": "center",
            "cellOptions": {"type": "color-background", "mode": "basic"},
            "filterable": False,
        },
    }
    if scheme:
        defaults["color"] = {"mode": scheme}
    defaults |= {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    if link:
        defaults["links"] = [
            {
                "title": f"Open this {columns}",
                "url": f"/d/{link}?${{site:queryparam}}&var-{columns}=${{__field.name}}"
                "&${datasource:queryparam}&${__url_time_range}",
            }
        ]
    head = {
        "matcher": {"id": "byName", "options": f"{row}\\{column}"},
        "properties": [
            {"id": "custom.cellOptions", "value": {"type": "auto"}},
            {"id": "custom.align", "value": "left"},
            {"id": "custom.width", "value": 70},
            {"id": "links", "value": []},
        ],
    }
    return Panel(
        "table",
        title,
        description,
        (Query(kept, instant=True, table=True),),
        width,
        height,
        kept.unit.grafana,
        {"showHeader": True, "cellHeight": "sm"},
        defaults,
        (head,),
        steps_to_matrix,
    )


def graph(title: str, description: str, edges: Expr, *, height: int, width: int = 24) -> Panel:
    """What hangs on what, as Grafana's node graph: from edges alone, so that none can miss its nodes.

    `edges` carries the labels id, source and target.
    """
    organize = {
        "excludeByName": {"Time": True, "Value": True},
        "indexByName": {"id": 0, "source": 1, "target": 2},
        "renameByName": {},
    }
    return Panel(
        "nodeGraph",
        title,
        description,
        (Query(max_by(edges, "id", "source", "target"), instant=True, table=True),),
        width,
        height,
        "short",
        {"zoomMode": "cooperative"},
        field_defaults(PLAIN, None, None),
        (),
        ({"id": "organize", "options": organize},),
    )
