"""values.yaml, its schema, its table in the README and the chart's copies agree with each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helm_tools import CHART

from gigawatch.artifacts import BuildOptions
from gigawatch.chart import artifacts, documented
from gigawatch.errors import FileError

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SHARED = set(VALUES["defaults"])


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        place: Any = SCHEMA
        for step in schema["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        schema = place
    return schema


def _pairs(schema: dict[str, Any], value: object, path: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """(path, keys of the schema, keys of the defaults) of every closed object."""
    schema = _resolve(schema)
    if isinstance(value, dict) and "properties" in schema:
        yield path, set(schema["properties"]), set(value)
        for key, child in value.items():
            if key in schema["properties"]:
                yield from _pairs(schema["properties"][key], child, f"{path}.{key}".lstrip("."))


def test_schema_is_a_draft_7_both_helms_understand() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    text = json.dumps(SCHEMA)
    for keyword in ("format", "dependentRequired", "unevaluatedProperties", "prefixItems", "$defs"):
        assert f'"{keyword}":' not in text


def test_schema_is_closed_everywhere_but_for_globals_and_kubernetes_objects() -> None:
    def walk(schema: dict[str, Any], path: str) -> Iterator[str]:
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield path
        for key, child in schema.get("properties", {}).items():
            yield from walk(child, f"{path}/{key}")
        for key, child in schema.get("definitions", {}).items():
            yield from walk(child, f"{path}#{key}")

    assert list(walk(SCHEMA, "")) == ["/global"]


def test_every_default_is_in_the_schema_and_every_key_has_a_default() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)
    optional = {"resources", "toleration", "claims", "requests", "limits"}
    for path, allowed, given in _pairs(SCHEMA, VALUES, ""):
        assert given <= allowed, path
        if path in ("agent.settings", "workload.settings"):
            continue  # the programs have their own defaults
        leaf = path.rpartition(".")[2]
        if leaf in optional or leaf in ("startup", "liveness", "readiness", "rollingUpdate"):
            continue
        # What all parts share has its default once, under defaults.
        assert allowed - given <= (SHARED if path != "defaults" else set()), path


def test_readme_and_blueprints_are_fresh() -> None:
    made = artifacts(BuildOptions())
    assert len(made) == 4
    for name, text in made.items():
        assert (CHART.parents[1] / name).read_text() == text, f"{name}: run gigawatch build"


def test_every_value_is_explained() -> None:
    explained = {value.key for value in documented(CHART / "values.yaml")}
    for key in (
        "bundled.prometheus.retention",
        "agent.features.kernelLog",
        "extraManifests",
        "defaults.probes.liveness",
        "workload.web.endpoint",
    ):
        assert key in explained


def test_an_unexplained_value_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# -- group\na:\n  # -- yes\n  b: 1\n  c: 2\n")
    with pytest.raises(FileError, match=r"values.yaml:5: a\.c: is not explained"):
        documented(file)


def test_documented_values_keep_order_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# -- group\na:\n  # -- one\n  b: 1\n# -- map\nd: {x: [1]}\n# -- whole\ne:\n  f: 1\n")
    assert [(v.key, v.default, v.text) for v in documented(file)] == [
        ("a", "", "group"),
        ("a.b", "1", "one"),
        ("d", '{"x": [1]}', "map"),
        ("e", '{"f": 1}', "whole"),
    ]
