"""The program that scrapes engines and queues, in the chart: its settings, its rights, how it is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import chart_render as chart
import helm_tools
import pytest
import yaml
from engine_server import EngineServer
from helm_tools import CHART
from pydantic import BaseModel

from exporters.workload_settings import WorkloadSettings, add_arguments, settings_of
from gigawatch.serving import free_port

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
PLACE = "/etc/gigawatch-workload/workload.yaml"


def _named(values: str, kind: str, name: str = "gw-gigawatch-workload") -> list[dict[str, Any]]:
    return [o for o in chart.of_kind(chart.objects(values), kind) if o["metadata"]["name"] == name]


def _container(values: str) -> dict[str, Any]:
    (deployment,) = _named(values, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _settings(values: str, tmp_path: Path) -> WorkloadSettings:
    """What the program makes of its command line, environment and file."""
    container = _container(values)
    (tmp_path / "workload.yaml").write_text(_named(values, "ConfigMap")[0]["data"]["workload.yaml"])
    parser = ArgumentParser()
    add_arguments(parser)
    arguments = [a.replace(PLACE, str(tmp_path / "workload.yaml")) for a in container["args"][1:]]
    environment = {e["name"]: e["value"] for e in container.get("env", [])}
    return settings_of(parser.parse_args(arguments), environment)


def test_it_understands_what_the_values_say(tmp_path: Path) -> None:
    settings = _settings("ci/everything-values.yaml", tmp_path)
    first, second = settings.engines.targets
    assert (first.engine, second.health) == ("vllm", "off")
    assert settings.engines.kubernetes.find == "on"
    assert settings.engines.kubernetes.rules[0].port == "8000"
    assert settings.queues.slurm == "off"
    assert settings.queues.partitions == {"train": "training"}
    # Namespaces are given once and hold for both that look.
    assert settings.engines.kubernetes.namespaces == settings.queues.namespaces == ("serving", "training")


def test_settings_as_text_and_as_a_configmap_of_ones_own(tmp_path: Path) -> None:
    assert _settings("ci/inventory-values.yaml", tmp_path).engines.deadline == "2s"
    (deployment,) = _named("ci/minimal-values.yaml", "Deployment")
    volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == "workload-settings"
    assert f"--config={PLACE}" in _container("ci/minimal-values.yaml")["args"]
    assert not [a for a in _container("ci/bundled-values.yaml")["args"] if a.startswith("--config")]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models that a field's type speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (tuple, dict, UnionType):
        for inner in get_args(annotation):
            yield from _models(inner)


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return found


def _compare(schema: dict[str, Any], model: type[BaseModel], path: str) -> int:
    """Hold a schema against a model; how many fields were compared."""
    schema = _resolve(schema)
    fields = model.model_fields.keys() - ({"listen", "web_config", "inventory"} if path == "" else set())
    assert schema["properties"].keys() == fields, path
    assert schema["additionalProperties"] is False, path
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert set(schema.get("required", [])) == required, path
    count = len(fields)
    for name in fields:
        for inner in _models(model.model_fields[name].annotation):
            below = _resolve(schema["properties"][name])
            count += _compare(below.get("items", below), inner, f"{path}.{name}")
    return count


def test_the_schema_knows_every_setting() -> None:
    """A misspelt one stops the installation, and none that the program knows does."""
    known = SCHEMA["properties"]["workload"]["properties"]["settings"]
    # The API of the cluster is a dataclass of its own.
    from exporters.jobs.queue_settings import KubernetesApiSection

    assert known["properties"]["kubernetes"]["properties"].keys() == set(KubernetesApiSection.__slots__)
    assert _compare(known, WorkloadSettings, "") > 60


def test_its_rights_follow_the_namespaces() -> None:
    everywhere, named = "values-full-scale.yaml", "ci/everything-values.yaml"
    name = "watch-gw-gigawatch-workload"
    assert len(_named(everywhere, "ClusterRole", name)) == 1
    assert not _named(everywhere, "Role", name)
    assert not _named(named, "ClusterRole", name)
    for kind in ("Role", "RoleBinding"):
        assert [o["metadata"]["namespace"] for o in _named(named, kind, name)] == ["serving", "training"]
    for binding in [*_named(everywhere, "ClusterRoleBinding", name), *_named(named, "RoleBinding", name)]:
        assert binding["roleRef"]["kind"] == binding["kind"].removesuffix("Binding")
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == ("gw-gigawatch-workload", "watch")
    for values in (everywhere, named):
        (deployment,) = _named(values, "Deployment")
        spec = deployment["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == "gw-gigawatch-workload"
        assert deployment["spec"]["replicas"] == 1, "two would tell two stories of how long an engine stands"


def test_rights_can_be_given_by_hand() -> None:
    objects = chart.objects("ci/minimal-values.yaml")
    assert not [o for o in objects if "Role" in o["kind"]]
    (deployment,) = _named("ci/minimal-values.yaml", "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "monitoring"


def test_the_operator_finds_engines_where_the_program_lists_them() -> None:
    (found,) = _named("ci/inventory-values.yaml", "ScrapeConfig")
    (discovery,) = found["spec"]["httpSDConfigs"]
    assert discovery["url"] == "https://gw-gigawatch-workload.watch.svc:9618/targets"
    assert discovery["basicAuth"] == found["spec"]["basicAuth"]
    assert discovery["tlsConfig"] == found["spec"]["tlsConfig"]
    assert "honorLabels" not in found["spec"], "node and site are those of the page"
    (found,) = _named("values-full-scale.yaml", "ScrapeConfig")
    (discovery,) = found["spec"]["httpSDConfigs"]
    assert discovery["url"] == "http://gw-gigawatch-workload.watch.svc:9618/targets"
    rules = {r["targetLabel"]: r for r in found["spec"]["relabelings"]}
    assert rules["job"]["replacement"] == "gigawatch-workload"
    assert (rules["site"]["sourceLabels"], rules["site"]["regex"]) == (["site"], "^$")


def test_without_the_operator_the_notes_name_the_job() -> None:
    notes = chart.with_settings("workload.enabled=true", notes=True)
    assert "gw-gigawatch-workload   1" in notes
    assert "http://gw-gigawatch-workload.watch.svc:9618/targets" in notes


def _until(what: Any, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@pytest.fixture
def engine() -> Iterator[EngineServer]:
    """The recording of a real vLLM, served."""
    with EngineServer() as server:
        yield server


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus")
@pytest.mark.parametrize("inventory", [True, False])
def test_the_bundled_prometheus_scrapes_a_real_one(
    tmp_path: Path, engine: EngineServer, inventory: bool
) -> None:
    """The chart's own job, a real workload, a real Prometheus: tokens come with node, site and rack."""
    port, prometheus = (free_port(start) for start in (28100, 28200))
    lines = [
        f"engines: {{targets: [{{address: '127.0.0.1:{engine.port}', engine: vllm, node: gpu-01}}]}}",
        f"listen: 127.0.0.1:{port}",
        "queues: {slurm: off}",
    ]
    if inventory:
        lines.append("inventory: site.yaml")
        everything = yaml.safe_load((CHART / "ci" / "inventory-values.yaml").read_text())
        (tmp_path / "site.yaml").write_text(everything["inventory"]["content"])
    (tmp_path / "workload.yaml").write_text("\n".join(lines))
    arguments = ["workload.enabled=true", "bundled.enabled=true", "site.name=by-hand"]
    given = [a for setting in arguments for a in ("--set", setting)]
    rendered = helm_tools.run(4, "template", "gw", CHART, "-n", "watch", *given)
    assert rendered.returncode == 0, rendered.stderr
    (config,) = [
        o["data"]["prometheus.yml"]
        for o in chart.of_kind(helm_tools.objects(rendered.stdout), "ConfigMap")
        if o["metadata"]["name"] == "gw-gigawatch-prometheus"
    ]
    (job,) = [j for j in yaml.safe_load(config)["scrape_configs"] if j["job_name"] == "gigawatch-workload"]
    (discovery,) = job["http_sd_configs"]
    assert discovery["url"] == "http://gw-gigawatch-workload:9618/targets"
    discovery.update(url=f"http://127.0.0.1:{port}/targets", refresh_interval="1s")
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]})
    )
    gigawatch = [sys.executable, "-m", "gigawatch.cli"]
    commands = [
        [*gigawatch, "workload", "--config", str(tmp_path / "workload.yaml")],
        ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}",
         f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{prometheus}"],
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KUBERNETES_")}
    with (tmp_path / "log").open("w") as log:
        started = [
            subprocess.Popen(line, stdout=log, stderr=log, cwd=tmp_path, env=environment) for line in commands
        ]
        try:
            query = f"http://127.0.0.1:{prometheus}/api/v1/query?query=aif_inference_tokens_total"
            series = _until(lambda: _json(query)["data"]["result"])
            both = f"http://127.0.0.1:{prometheus}/api/v1/query?query=up%20and%20on()%20(count(up)>1)"
            ups = _until(lambda: _json(both)["data"]["result"])
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)
    (found,) = [one for one in series if one["metric"]["kind"] == "generation"]
    labels = found["metric"]
    assert float(found["value"][1]) > 0
    assert (labels["job"], labels["node"], labels["engine"]) == ("gigawatch-workload", "gpu-01", "vllm")
    assert labels["instance"] == "gpu-01"
    # What the inventory says goes over what the values say; only without it these count.
    assert labels["site"] == ("plant-7" if inventory else "by-hand")
    assert labels.get("rack") == ("r01" if inventory else None)
    assert {up["metric"]["site"] for up in ups} == {labels["site"]}
    assert {up["metric"].get("node", "") for up in ups} == {"", "gpu-01"}
