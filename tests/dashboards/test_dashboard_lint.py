"""The rules of Grafana's dashboard-linter, and our own. Each rule is shown to notice what it forbids."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser
import pytest
from board_json import every_panel, open_parts

from gigawatch.catalogue import Kind, Unit, all_metrics
from gigawatch.promql.recording import all_rules

Document = dict[str, Any]
Finding = tuple[str, str]
"""Where (panel title, variable, or empty for the board) and what is wrong."""

PANEL_KINDS = {
    "timeseries",
    "stat",
    "gauge",
    "bargauge",
    "table",
    "state-timeline",
    "text",
    "nodeGraph",
    "row",
}
GRAFANA_UNITS = {
    "watt", "joule", "celsius", "percentunit", "bytes", "binBps", "hertz", "s", "dateTimeAsIso", "amp",
    "volt", "pressurepa", "currencyUSD", "none", "short", "bool", "bool_yes_no", "flowlpm",
    "kelvin", "watth", "m3", "voltamp", "rotrpm",
}  # fmt: skip
"""Unit ids of Grafana that we use (packages/grafana-data/src/valueFormats/categories.ts)."""

EXCLUSIONS: dict[tuple[str, str, str], str] = {
    (
        "template-job",
        "*",
        "*",
    ): "the job label of a target says which program, not which thing; we choose places",
    ("template-instance", "*", "*"): "places are named by site, rack, node and gpu, never by host and port",
    ("target-job", "*", "*"): "recorded series have no job; a metric name belongs to one program already",
    ("target-instance", "*", "*"): "series are chosen by place; instance is an address",
    (
        "target-counter-agg",
        "gw-node",
        "Uncorrected ECC",
    ): "the total since the driver was loaded is asked",
    ("target-counter-agg", "gw-cooling", "Pumps one by one"): "how long a pump has run so far is asked",
    ("target-counter-agg", "gw-node", "Memory repair"): "rows replaced over the life of the GPU are asked",
    (
        "target-counter-agg",
        "gw-pipeline",
        "Processes of the local stack",
    ): "restarts since the start are asked",
}
"""(rule, board or *, panel or *) -> reason."""


def panels(document: Document) -> Iterator[dict[str, Any]]:
    for panel in every_panel(document):
        if panel["type"] != "row":
            yield panel


def fill(text: str) -> str:
    fixed = {"__rate_interval": "1m", "__interval": "15s"}
    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", lambda m: fixed.get(m[1] or m[2], "x"), text)


def tree(node: Any, inside: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """All nodes of an expression, each with the functions around it."""
    yield node, inside
    around = (*inside, node.func.name) if isinstance(node, promql_parser.Call) else inside
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from tree(child, around)
    for child in getattr(node, "args", None) or []:
        yield from tree(child, around)


def targets(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of panels, and of the drawings that the viewer makes of them."""
    for panel in panels(document):
        for target in (*panel.get("targets", []), *panel.get("gigawatch", {}).get("targets", [])):
            yield panel["title"], target


# The linter's rules


def template_datasource(document: Document) -> Iterator[Finding]:
    found = [v for v in document["templating"]["list"] if v["type"] == "datasource"]
    if [(v["name"], v["label"], v["query"]) for v in found] != [("datasource", "Data source", "prometheus")]:
        yield "", "needs one data source variable, named datasource and labelled Data source"


def _needs_variable(name: str) -> Callable[[Document], Iterator[Finding]]:
    def rule(document: Document) -> Iterator[Finding]:
        if name not in {v["name"] for v in document["templating"]["list"]}:
            yield "", f"has no variable {name}"

    return rule


def template_label_promql(document: Document) -> Iterator[Finding]:
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"])
            try:
                promql_parser.parse(fill(found[1] if found else ")"))
            except ValueError as error:
                yield variable["name"], f"query is no label_values over PromQL: {error}"


def template_refresh(document: Document) -> Iterator[Finding]:
    for variable in document["templating"]["list"]:
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield variable["name"], "must reload when the time range changes (refresh 2)"


def panel_datasource(document: Document) -> Iterator[Finding]:
    wanted = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(document):
        if panel["type"] == "text":
            if "datasource" in panel:
                yield panel["title"], "words need no data source"
        elif any(holder.get("datasource") != wanted for holder in (panel, *panel["targets"])):
            yield panel["title"], "must use ${datasource}"


def panel_title_description(document: Document) -> Iterator[Finding]:
    for panel in panels(document):
        if not panel.get("title") or len(panel.get("description", "")) < 15:
            yield panel.get("title", ""), "needs a title and a description"


def panel_units(document: Document) -> Iterator[Finding]:
    for panel in panels(document):
        if panel["type"] == "text":
            continue
        given = [panel["fieldConfig"]["defaults"].get("unit", "")]
        for override in panel["fieldConfig"]["overrides"]:
            given += [p["value"] for p in override["properties"] if p["id"] == "unit"]
        drawing = panel.get("gigawatch", {"figures": [], "measures": []})
        given += [figure["config"]["unit"] for figure in (*drawing["figures"], *drawing["measures"])]
        for unit in given:
            if unit not in GRAFANA_UNITS and not re.fullmatch(r"suffix: ([a-zA-Z]+/[a-zA-Z/]+)", unit):
                yield panel["title"], f"'{unit}' is no unit of Grafana"


def panel_no_targets(document: Document) -> Iterator[Finding]:
    for panel in panels(document):
        if panel["type"] != "text" and not panel.get("targets"):
            yield panel["title"], "has no query"


def target_promql(document: Document) -> Iterator[Finding]:
    for title, target in targets(document):
        try:
            promql_parser.parse(fill(target["expr"]))
        except ValueError as error:
            yield title, str(error)


def target_rate_interval(document: Document) -> Iterator[Finding]:
    for title, target in targets(document):
        for window in re.findall(r"\bi?rate\([^\[\]]*\[([^\]]+)\]", target["expr"]):
            if window != "$__rate_interval":
                yield title, f"rate over {window}"


def _needs_matcher(label: str) -> Callable[[Document], Iterator[Finding]]:
    def rule(document: Document) -> Iterator[Finding]:
        for title, target in targets(document):
            if f'{label}=~"${label}"' not in target["expr"]:
                yield title, f"no matcher on {label}"

    return rule


def target_counter_agg(document: Document) -> Iterator[Finding]:
    for title, target in targets(document):
        for node, inside in tree(promql_parser.parse(fill(target["expr"]))):
            counts = isinstance(node, promql_parser.VectorSelector) and (node.name or "").endswith("_total")
            if counts and not {"rate", "irate", "increase"} & set(inside):
                yield title, f"{node.name} outside rate() and increase()"


def uneditable(document: Document) -> Iterator[Finding]:
    if document.get("editable") is not False:
        yield "", "must not be editable"


# Our own rules


def grid(document: Document) -> Iterator[Finding]:
    ids: set[int] = set()
    for panel in every_panel(document):
        place = panel["gridPos"]
        if panel["id"] in ids:
            yield panel["title"], f"id {panel['id']} stands twice"
        ids.add(panel["id"])
        if place["x"] < 0 or place["x"] + place["w"] > 24 or place["w"] < 3 or place["h"] < 1:
            yield panel["title"], f"does not fit the grid: {place}"
    for part in open_parts(document):
        yield from _overlaps(part)


def _overlaps(part: list[dict[str, Any]]) -> Iterator[Finding]:
    taken: dict[tuple[int, int], str] = {}
    for panel in part:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield panel["title"], f"overlaps {taken[(x, y)]}"
                    return
                taken[(x, y)] = panel["title"]


def folded(document: Document) -> Iterator[Finding]:
    """A folded row holds its panels, below itself; an open one holds none."""
    for panel in document["panels"]:
        inside = panel.get("panels", [])
        if panel["type"] == "row" and panel["collapsed"] is not bool(inside):
            yield panel["title"], "a row is folded if, and only if, panels lie in it"
        if any(one["gridPos"]["y"] <= panel["gridPos"]["y"] for one in inside):
            yield panel["title"], "panels of a folded row lie below it"


def full_lines(document: Document) -> Iterator[Finding]:
    """Every line of panels is as wide as the grid, and its panels are equally high: no ragged edges."""
    for part in open_parts(document):
        lines: dict[int, list[dict[str, Any]]] = {}
        for panel in part:
            if panel["type"] != "row":
                lines.setdefault(panel["gridPos"]["y"], []).append(panel)
        for line in lines.values():
            if sum(p["gridPos"]["w"] for p in line) != 24:
                yield line[0]["title"], f"line is {sum(p['gridPos']['w'] for p in line)} of 24 wide"
            if len({p["gridPos"]["h"] for p in line}) > 1:
                yield line[0]["title"], "panels of one line have different heights"


def frame(document: Document) -> Iterator[Finding]:
    if not re.fullmatch(r"gw-[a-z]{1,37}", document["uid"]):
        yield "", "uid is not of the form gw-name"
    if document["schemaVersion"] < 39:
        yield "", "schemaVersion is older than the panels' shapes"
    dead = {"style", "hideControls", "sharedCrosshair", "gnetId", "rows"} & document.keys()
    if dead:
        yield "", f"dead keys: {sorted(dead)}"
    if document["time"]["from"] != "now-15m" or document["refresh"] != "10s":
        yield "", "opens with another time range or refresh than the other boards"
    titles = [panel["title"] for panel in panels(document)]
    for title in {t for t in titles if titles.count(t) > 1}:
        yield title, "title stands twice"


def kinds(document: Document) -> Iterator[Finding]:
    for panel in every_panel(document):
        if panel["type"] not in PANEL_KINDS:
            yield panel["title"], f"type {panel['type']} is not one that the viewer draws"
        if {"editable", "error", "maxDataPoints"} & panel.keys():
            yield panel["title"], "carries a key of an older Grafana"
        legend = panel.get("options", {}).get("legend")
        if legend is not None and "showLegend" not in legend:
            yield panel["title"], "legend without showLegend"
        references = [target["refId"] for target in panel.get("targets", [])]
        if len(references) != len(set(references)):
            yield panel["title"], "refId stands twice"
        for target in panel.get("targets", []):
            momentary = panel["type"] in {"stat", "gauge", "bargauge", "table", "nodeGraph"}
            if target["instant"] is not momentary or target["range"] is momentary:
                yield panel["title"], "single values are asked for now, lines over the range"
            if (target["format"] == "table") is not (panel["type"] in {"table", "nodeGraph"}):
                yield panel["title"], "tables and graphs, and only they, take table format"


def base_threshold(document: Document) -> Iterator[Finding]:
    for panel in panels(document):
        if panel["type"] == "text":
            continue
        given = [panel["fieldConfig"]["defaults"]["thresholds"]]
        for override in panel["fieldConfig"]["overrides"]:
            given += [p["value"] for p in override["properties"] if p["id"] == "thresholds"]
        for thresholds in given:
            values = [step["value"] for step in thresholds["steps"]]
            if not values or values[0] is not None or None in values[1:] or values[1:] != sorted(values[1:]):
                yield panel["title"], f"threshold steps must rise from a base of null: {values}"


UNITS = {m.name: (m.unit, m.kind) for m in all_metrics()} | {
    r.name: (r.unit, Kind.GAUGE) for r in all_rules()
}


def plain_metric(expression: str) -> tuple[str, str] | None:
    """(metric, function around it) of an expression that keeps the unit of one metric, or None."""
    node = promql_parser.parse(fill(expression))
    function = ""
    while not isinstance(node, promql_parser.VectorSelector):
        if isinstance(node, promql_parser.AggregateExpr) and str(node.op) not in ("count", "group"):
            function = "sum" if str(node.op) == "sum" and not function else function
            node = node.expr
        elif isinstance(node, promql_parser.ParenExpr):
            node = node.expr
        elif isinstance(node, promql_parser.Call) and node.func.name in ("rate", "increase"):
            function = node.func.name
            node = node.args[0].vector_selector
        else:
            return None
    return (node.name, function) if node.name in UNITS else None


def unit_of(name: str, function: str) -> str:
    unit, _ = UNITS[name]
    if function == "rate":
        unit = {
            Unit.JOULES: Unit.WATTS,
            Unit.SECONDS: Unit.RATIO,
            Unit.BYTES: Unit.BYTES_PER_SECOND,
            Unit.TOKENS: Unit.TOKENS_PER_SECOND,
        }.get(unit, unit)
    return Unit.COUNT.grafana if unit is Unit.FLAG and function == "sum" else unit.grafana


def unit_fits(document: Document) -> Iterator[Finding]:
    for panel in panels(document):
        units = {t["refId"]: panel["fieldConfig"]["defaults"].get("unit") for t in panel.get("targets", [])}
        if panel["type"] == "table":
            renamed = panel["transformations"][1]["options"]["renameByName"]
            by_title = {
                override["matcher"]["options"]: p["value"]
                for override in panel["fieldConfig"]["overrides"]
                for p in override["properties"]
                if p["id"] == "unit"
            }
            units = {
                ref: by_title.get(renamed.get(f"Value #{ref}", renamed.get("Value")), units[ref])
                for ref in units
            }
        mapped = panel["type"] in {"state-timeline", "nodeGraph"}
        for target in panel.get("targets", []):
            found = plain_metric(target["expr"])
            if not found or mapped:
                continue
            shown, meant = units[target["refId"]], unit_of(*found)
            # A number of things may be shown with the name of the thing; any other unit is what it is.
            if shown != meant and not (meant == Unit.COUNT.grafana and shown.startswith("suffix: ")):
                yield panel["title"], f"{found[0]} is in {unit_of(*found)}, shown as {units[target['refId']]}"


def annotations(document: Document) -> Iterator[Finding]:
    if not any("ALERTS{" in a["expr"] for a in document["annotations"]["list"]):
        yield "", "does not mark alerts on its time series"


RULES: dict[str, Callable[[Document], Iterator[Finding]]] = {
    "template-datasource": template_datasource,
    "template-job": _needs_variable("job"),
    "template-instance": _needs_variable("instance"),
    "template-label-promql": template_label_promql,
    "template-on-time-change-reload": template_refresh,
    "panel-datasource": panel_datasource,
    "panel-title-description": panel_title_description,
    "panel-units": panel_units,
    "panel-no-targets": panel_no_targets,
    "target-promql": target_promql,
    "target-rate-interval": target_rate_interval,
    "target-job": _needs_matcher("job"),
    "target-instance": _needs_matcher("instance"),
    "target-counter-agg": target_counter_agg,
    "uneditable-dashboard": uneditable,
    "grid": grid,
    "folded": folded,
    "full-lines": full_lines,
    "frame": frame,
    "kinds": kinds,
    "base-threshold": base_threshold,
    "unit-fits": unit_fits,
    "annotations": annotations,
}
"""All rules of dashboard-linter 4d0844b that speak of Prometheus (two are about Loki), then ours."""


def excluded(rule: str, uid: str, where: str) -> tuple[str, str, str] | None:
    keys = ((rule, uid, where), (rule, uid, "*"), (rule, "*", "*"))
    return next((key for key in keys if key in EXCLUSIONS), None)


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str, documents: dict[str, Document]) -> None:
    found = [
        f"{uid} / {where}: {text}"
        for uid, document in documents.items()
        for where, text in RULES[rule](document)
        if not excluded(rule, uid, where)
    ]
    assert found == []


def test_every_exclusion_is_needed(documents: dict[str, Document]) -> None:
    used = {
        excluded(rule, uid, where)
        for rule, check in RULES.items()
        for uid, document in documents.items()
        for where, _ in check(document)
    }
    assert set(EXCLUSIONS) <= used
    assert all(len(reason) > 20 for reason in EXCLUSIONS.values())


def _set(path: str, value: Any) -> Callable[[Document], None]:
    """Change one thing of a board: a path such as panels.1.title."""

    def change(document: Document) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node: Any = document
        for part in way:
            node = node[part]
        node[last] = value

    return change


BROKEN: list[tuple[str, Callable[[Document], None]]] = [
    ("template-datasource", _set("templating.list.0.name", "ds")),
    ("template-label-promql", _set("templating.list.1.query", "label_values(x{, site)")),
    ("template-on-time-change-reload", _set("templating.list.1.refresh", 1)),
    ("panel-datasource", _set("panels.1.datasource", {"type": "prometheus", "uid": "abc"})),
    ("panel-datasource", _set("panels.1.targets.0.datasource", "Prometheus")),
    ("panel-title-description", _set("panels.1.description", "")),
    ("panel-units", _set("panels.1.fieldConfig.defaults.unit", "watts")),
    ("panel-no-targets", _set("panels.1.targets", [])),
    ("target-promql", _set("panels.1.targets.0.expr", "sum by (")),
    ("target-rate-interval", _set("panels.1.targets.0.expr", "rate(aif_gpu_energy_joules_total[5m])")),
    ("target-counter-agg", _set("panels.1.targets.0.expr", "sum(aif_gpu_energy_joules_total)")),
    ("uneditable-dashboard", _set("editable", True)),
    ("grid", _set("panels.2.gridPos.x", 2)),
    ("grid", _set("panels.2.gridPos.x", 22)),
    ("grid", _set("panels.2.id", 1)),
    ("folded", _set("panels.0.collapsed", True)),
    ("full-lines", _set("panels.2.gridPos.w", 2)),
    ("full-lines", _set("panels.2.gridPos.h", 3)),
    ("frame", _set("uid", "Fleet board")),
    ("frame", _set("schemaVersion", 12)),
    ("frame", _set("gnetId", None)),
    ("frame", _set("panels.1.title", "PUE")),
    ("kinds", _set("panels.1.type", "graph")),
    ("kinds", _set("panels.1.maxDataPoints", 100)),
    ("kinds", _set("panels.1.targets.0.instant", False)),
    ("base-threshold", _set("panels.1.fieldConfig.defaults.thresholds.steps", [])),
    ("base-threshold", _set("panels.1.fieldConfig.defaults.thresholds.steps.0.value", 0)),
    ("unit-fits", _set("panels.9.fieldConfig.defaults.unit", "watt")),
    ("annotations", _set("annotations.list", [])),
]


@pytest.mark.parametrize(("rule", "change"), BROKEN, ids=[f"{r}-{i}" for i, (r, _) in enumerate(BROKEN)])
def test_rule_notices(rule: str, change: Callable[[Document], None], documents: dict[str, Document]) -> None:
    document = copy.deepcopy(documents["gw-fleet"])
    assert list(RULES[rule](document)) == []
    change(document)
    assert list(RULES[rule](document)) != []
