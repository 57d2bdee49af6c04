"""What is generated: complete, stable, small, understood by Grafana's models, the same as committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from board_json import every_panel
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.build import CHART, GENERATED, PAGE, artifacts
from dashboards.grafana import prune
from gigawatch.artifacts import BuildOptions

UIDS = {
    "fleet",
    "rack",
    "node",
    "job",
    "serving",
    "training",
    "tokens",
    "facility",
    "elevation",
    "power",
    "cooling",
    "rooms",
    "capacity",
    "efficiency",
    "predict",
    "alarms",
    "pipeline",
}


def test_every_board_stands_in_both_places_and_on_the_page(files: dict[str, str]) -> None:
    names = {f"gw-{uid}" for uid in UIDS}
    assert {path for path in files if path.startswith(GENERATED)} == {f"{GENERATED}/{n}.json" for n in names}
    assert {path for path in files if path.startswith(CHART)} == {f"{CHART}/{n}.json" for n in names}
    for name in names:
        pretty, small = files[f"{GENERATED}/{name}.json"], files[f"{CHART}/{name}.json"]
        assert json.loads(pretty) == json.loads(small)
        assert len(small) < len(pretty)
        assert len(small.splitlines()) == 1
        assert f"(`{name}`)" in files[PAGE]
    for document in (json.loads(files[f"{GENERATED}/{name}.json"]) for name in names):
        for panel in every_panel(document):
            assert panel["type"] == "row" or f"| {panel['title']} |" in files[PAGE]


def test_generating_twice_gives_the_same_bytes(files: dict[str, str]) -> None:
    assert artifacts(BuildOptions(viewer_url="http://elsewhere:1")) == files
    for path, text in files.items():
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        if path.startswith(GENERATED):
            assert text == json.dumps(json.loads(text), sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def test_what_is_committed_is_what_is_generated(files: dict[str, str], checkout: Path) -> None:
    for path, text in files.items():
        assert (checkout / path).read_text(encoding="utf-8") == text, f"{path}: run gigawatch build"
    left = {str(p.relative_to(checkout)) for p in (checkout / GENERATED).glob("*")}
    assert left == {path for path in files if path.startswith(GENERATED)}


def test_a_board_fits_a_config_map(files: dict[str, str]) -> None:
    for path, text in files.items():
        if path.startswith(CHART):
            assert len(text.encode()) < 250_000, path


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from _differences(value, theirs[key], f"{path}.{key}")
            else:
                yield f"lost: {path}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"lost: {path} had {len(ours)} entries, has {len(theirs)}"
        for index, (left, right) in enumerate(zip(ours, theirs, strict=False)):
            yield from _differences(left, right, f"{path}[{index}]")
    elif ours != theirs:
        yield f"changed: {path}: {ours!r} became {theirs!r}"


def _round_trip(document: dict[str, Any]) -> dict[str, Any]:
    plugins.register_default_plugins()
    back: dict[str, Any] = json.loads(
        json.dumps(Dashboard.from_json(json.loads(json.dumps(document))), cls=encoder.JSONEncoder)
    )
    return back


def test_grafanas_own_models_keep_everything(documents: dict[str, dict[str, Any]]) -> None:
    drawn = 0
    for uid, document in documents.items():
        plain = json.loads(json.dumps(document))
        for panel in every_panel(plain):
            drawn += panel.pop("gigawatch", None) is not None
        assert list(_differences(plain, _round_trip(plain), uid)) == []
    assert drawn == 3


def test_what_only_the_viewer_reads_is_one_key_that_grafana_passes_over(
    documents: dict[str, dict[str, Any]],
) -> None:
    document = documents["gw-power"]
    lost = list(_differences(document, _round_trip(document), ""))
    assert [line.split("]")[-1] for line in lost] == [".gigawatch"]


def test_the_round_trip_notices_what_grafana_does_not_know(documents: dict[str, dict[str, Any]]) -> None:
    document = json.loads(json.dumps(documents["gw-fleet"]))
    document["panels"][1]["options"]["fieldOptions"] = {"calcs": ["mean"]}
    assert list(_differences(document, _round_trip(document), "")) == [
        "lost: .panels[1].options.fieldOptions"
    ]


def test_pruning_keeps_the_null_of_the_base_threshold() -> None:
    raw = {"a": None, "steps": [{"color": "green", "value": None}], "list": [{"b": None, "c": 1}]}
    assert prune(raw) == {"steps": [{"color": "green", "value": None}], "list": [{"c": 1}]}


def test_nothing_else_is_null(documents: dict[str, dict[str, Any]]) -> None:
    def nulls(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from nulls(value, f"{path}.{key}")
        elif isinstance(node, list):
            for value in node:
                yield from nulls(value, path)
        elif node is None:
            yield path

    for document in documents.values():
        assert all(path.endswith(".steps.value") for path in nulls(document, ""))
