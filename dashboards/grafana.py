"""From a board to Grafana's classic dashboard JSON. The only file of this room that knows grafanalib.

grafanalib supplies frame, variables, rows and ids; panels and queries are written by two classes of our own,
because many of its panel classes still speak the dialect of Grafana 6, which newer versions no longer migrate
once `schemaVersion` is current.
"""

from __future__ import annotations

import json
from typing import Any

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from dashboards.model import COLUMNS, Board, Drawing, Figure, Panel, Place, Query, Variable, flow

SCHEMA_VERSION = 41
ROW_HEIGHT = 1

_DEAD_DASHBOARD_KEYS = ("style", "hideControls", "sharedCrosshair", "gnetId", "rows", "__inputs")
_DEAD_PANEL_KEYS = ("editable", "error", "hideTimeOverride", "maxDataPoints", "repeat", "cacheTimeout",
                    "span", "minSpan", "transparent", "height")  # fmt: skip


def datasource() -> dict[str, str]:
    """The data source that the reader picked; a fresh object each time, since JSON must not share them."""
    return {"type": "prometheus", "uid": "${datasource}"}


class PromQuery(core.Target):  # type: ignore[misc] # grafanalib has no annotations
    """A Prometheus query in today's shape."""

    def __init__(self, query: Query, index: int) -> None:
        super().__init__(refId=chr(ord("A") + index), expr=query.expr.text)
        self.query = query

    def to_json_data(self) -> dict[str, Any]:
        return {
            "refId": self.refId,
            "datasource": datasource(),
            "expr": self.expr,
            "legendFormat": self.query.legend or "__auto",
            "format": "table" if self.query.table else "time_series",
            "instant": self.query.instant,
            "range": not self.query.instant,
            "exemplar": False,
            "editorMode": "code",
        }


class ModernPanel(core.Panel):  # type: ignore[misc] # grafanalib has no annotations
    """A panel of any modern type: options and field configuration are given, nothing is guessed."""

    def __init__(self, panel: Panel, place: Place, number: int) -> None:
        super().__init__(
            id=number,
            title=panel.title,
            description=panel.description,
            dataSource=None if panel.kind == "text" else datasource(),
            targets=[PromQuery(query, index) for index, query in enumerate(panel.queries)],
            gridPos=_grid(place),
            # None lets Grafana ask for one point per pixel; grafanalib's 100 would hide spikes.
            maxDataPoints=None,
            transformations=[dict(step) for step in panel.transformations],
        )
        self.panel = panel

    def to_json_data(self) -> dict[str, Any]:
        unit = {"unit": self.panel.unit} if self.panel.unit else {}
        made: dict[str, Any] = self.panel_json({"type": self.panel.kind, "options": dict(self.panel.options)})
        made["fieldConfig"] = {
            "defaults": {**self.panel.defaults, **unit},
            "overrides": [dict(override) for override in self.panel.overrides],
        }
        if self.panel.drawing:
            made["gigawatch"] = drawing_json(self.panel.drawing)
        return _without(made, _DEAD_PANEL_KEYS)


class Row(core.Panel):  # type: ignore[misc] # grafanalib has no annotations
    """A row header, without the data source that grafanalib's own would carry."""

    def __init__(self, title: str, place: Place, number: int, folded: tuple[core.Panel, ...] = ()) -> None:
        super().__init__(id=number, title=title, gridPos=_grid(place))
        self.folded = folded

    def to_json_data(self) -> dict[str, Any]:
        return {
            "type": "row",
            "id": self.id,
            "title": self.title,
            "gridPos": self.gridPos,
            "collapsed": bool(self.folded),
            "panels": [panel.to_json_data() for panel in self.folded],
        }


class PickedVariable(core.Template):  # type: ignore[misc] # grafanalib has no annotations
    """A variable without grafanalib's null and string defaults."""

    def __init__(self, variable: Variable) -> None:
        super().__init__(name=variable.name, query=variable.query)
        self.variable = variable

    def to_json_data(self) -> dict[str, Any]:
        given = self.variable
        made: dict[str, Any] = {
            "name": given.name,
            "label": given.label,
            "type": given.kind,
            "query": given.query,
            "hide": 0,
            "skipUrlSync": False,
            "multi": given.multi,
            "includeAll": given.include_all,
            "refresh": 2 if given.kind == "query" else 1,
            "regex": "",
            "options": [],
            "current": {},
        }
        if given.kind == "query":
            made |= {"datasource": datasource(), "definition": given.query, "sort": 7}
        if given.include_all:
            made["current"] = _all_chosen(given.multi)
        if given.include_all and not given.listed:
            # .+ and not .*: a series that lacks the label is not one of "all racks".
            made["allValue"] = ".+"
        return made


def dashboard_json(board: Board, links: list[dict[str, Any]]) -> dict[str, Any]:
    """A board as Grafana reads it, ids and grid positions filled in, nothing null but base thresholds."""
    panels = _panels(board)
    frame = core.Dashboard(
        uid=board.uid,
        title=board.title,
        description=board.description,
        tags=list(board.tags),
        editable=False,
        schemaVersion=SCHEMA_VERSION,
        timezone="utc",
        time=core.Time(board.time_from, "now"),
        refresh=board.refresh,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        templating=core.Templating(list=[PickedVariable(variable) for variable in board.variables]),
        annotations=core.Annotations(list=[_alert_annotation()] if board.alert_annotations else []),
        links=links,
        panels=panels,
    )
    made = _without(json.loads(json.dumps(frame.to_json_data(), cls=DashboardEncoder)), _DEAD_DASHBOARD_KEYS)
    made["timepicker"] = {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m"]}
    made["fiscalYearStartMonth"] = 0
    pruned: dict[str, Any] = prune(made)
    return pruned


def drawing_json(drawing: Drawing) -> dict[str, Any]:
    """What the viewer needs for a drawing of its own: Grafana knows no such key and leaves it alone."""

    def figures(given: tuple[Figure, ...]) -> list[dict[str, Any]]:
        return [
            {"refId": one.ref, "title": one.title, "by": one.by, "config": dict(one.config)} for one in given
        ]

    return {
        "draw": drawing.kind,
        "targets": [{"refId": ref, "expr": expr.text} for ref, expr in drawing.queries()],
        "figures": figures(drawing.figures),
        "measures": figures(drawing.measures),
        "links": dict(drawing.links),
        **drawing.extra,
    }


def _panels(board: Board) -> list[core.Panel]:
    """Rows and panels with their places; the panels of a folded section lie inside of its row."""
    made: list[core.Panel] = []
    top = number = 0
    for section in board.sections:
        row = Place(0, top, COLUMNS, ROW_HEIGHT)
        places, end = flow(section, top + ROW_HEIGHT)
        inside = tuple(
            ModernPanel(panel, place, number + count)
            for count, (panel, place) in enumerate(zip(section.panels, places, strict=True), 2)
        )
        if section.folded:
            made.append(Row(section.title, row, number + 1, inside))
            top += ROW_HEIGHT
        else:
            made += [Row(section.title, row, number + 1), *inside]
            top = end
        number += 1 + len(inside)
    return made


def pretty(document: dict[str, Any]) -> str:
    """The text that is committed: sorted, indented, one final newline."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def minified(document: dict[str, Any]) -> str:
    """The text for a ConfigMap, which has a size limit."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def prune(node: Any, in_steps: bool = False) -> Any:
    """Without nulls, which Grafana's models refuse; the base threshold keeps its null: minus infinity."""
    if isinstance(node, dict):
        return {
            key: prune(value, in_steps or key == "steps")
            for key, value in node.items()
            if value is not None or (in_steps and key == "value")
        }
    return [prune(value, in_steps) for value in node] if isinstance(node, list) else node


def _without(node: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in keys}


def _grid(place: Place) -> core.GridPos:
    return core.GridPos(h=place.height, w=place.width, x=place.x, y=place.y)


def _all_chosen(multi: bool) -> dict[str, Any]:
    return {"text": ["All"], "value": ["$__all"]} if multi else {"text": "All", "value": "$__all"}


def _alert_annotation() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": datasource(),
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing",severity=~"critical|warning",site=~"$site|"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{place}}",
        "tagKeys": "severity,domain",
        "step": "10s",
        "useValueForTime": False,
    }
