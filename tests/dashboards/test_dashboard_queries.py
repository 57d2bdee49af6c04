"""Every query of every board: valid for Prometheus and for a second parser, over series that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from board_json import every_panel

from dashboards.foreign import all_foreign
from gigawatch.catalogue import Metric, all_metrics
from gigawatch.promql import Recorded
from gigawatch.promql.recording import all_rules

VALUES = {
    "__rate_interval": "1m", "__interval": "15s", "__range": "15m", "datasource": "prometheus",
    "site": ".+", "rack": "r01", "node": "r01-n01", "gpu": ".+", "job_id": ".+", "loop": ".+",
    "model": "(a|b)", "engine": ".+",
    "hall": "h1", "row": ".+",
}  # fmt: skip


def fill(text: str) -> str:
    """The text with every variable replaced, as Grafana would before asking."""
    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", lambda m: VALUES[m[1] or m[2]], text)


def queries(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, expression) of panels, annotations and variables of a board."""
    for panel in every_panel(document):
        for target in panel.get("targets", []):
            yield f"{document['uid']} / {panel['title']} / {target['refId']}", target["expr"]
        for target in panel.get("gigawatch", {}).get("targets", []):
            yield f"{document['uid']} / {panel['title']} / {target['refId']}", target["expr"]
    for annotation in document["annotations"]["list"]:
        yield f"{document['uid']} / annotation {annotation['name']}", annotation["expr"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found, f"{document['uid']} / ${variable['name']}: {variable['query']}"
            yield f"{document['uid']} / ${variable['name']}", found[1]


@pytest.fixture(scope="module")
def asked(documents: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [pair for document in documents.values() for pair in queries(document)]


def test_prometheus_accepts_every_query(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    rules = [{"record": f"q{i}", "expr": fill(text)} for i, (_, text) in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
    assert len(asked) > 250


def test_a_second_parser_accepts_every_query(asked: list[tuple[str, str]]) -> None:
    for where, text in asked:
        try:
            promql_parser.parse(fill(text))
        except ValueError as error:
            pytest.fail(f"{where}: {error}")


def selectors(node: Any) -> Iterator[Any]:
    """All vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


def test_every_series_and_label_exists(asked: list[tuple[str, str]]) -> None:
    known: dict[str, frozenset[str]] = {}
    for thing in (*all_metrics(), *all_rules()):
        assert isinstance(thing, Metric | Recorded)
        for name in thing.sample_names if isinstance(thing, Metric) else (thing.name,):
            known[name] = thing.queried_labels
    known |= {metric.name: frozenset(metric.labels) for metric in all_foreign()}
    seen = 0
    for where, text in asked:
        for selector in selectors(promql_parser.parse(fill(text))):
            seen += 1
            assert selector.name in known, f"{where}: nothing exposes {selector.name}"
            for matcher in selector.matchers.matchers:
                assert matcher.name in known[selector.name], f"{where}: {selector.name} has no {matcher.name}"
    assert seen > 350


def test_variables_ask_for_labels_that_exist(documents: dict[str, dict[str, Any]]) -> None:
    labels = {metric.name: metric.queried_labels for metric in all_metrics()}
    for document in documents.values():
        for variable in document["templating"]["list"]:
            if variable["type"] == "query":
                name, label = re.fullmatch(
                    r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]
                ).groups()  # type: ignore[union-attr] # a mismatch fails the test
                assert label in labels[name]
                assert label == variable["name"]


def test_every_variable_used_is_declared_before(documents: dict[str, dict[str, Any]]) -> None:
    for document in documents.values():
        declared: set[str] = set()
        for variable in document["templating"]["list"]:
            used = set(re.findall(r"\$(\w+)", variable["query"]))
            assert used <= declared, f"{document['uid']}: ${variable['name']} uses {used - declared}"
            declared.add(variable["name"])
        for where, text in queries(document):
            used = {a or b for a, b in re.findall(r"\$(?:\{(\w+)|(\w+))", text)} - {"__rate_interval"}
            assert used <= declared, f"{where} uses {used - declared}"


def test_legends_name_labels_that_the_result_has(documents: dict[str, dict[str, Any]]) -> None:
    from dashboards.boards import all_boards

    for board in all_boards():
        for panel in board.panels():
            for query in panel.queries:
                wanted = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                assert wanted <= (query.expr.labels or frozenset()), f"{board.uid} / {panel.title}: {wanted}"
