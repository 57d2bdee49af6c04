"""The manifest of the counting proxy as a sidecar (docs/counting-proxy.md): valid, understood, found."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

import k8s_schemas
import yaml
from helm_tools import CHART, ROOT

from exporters.inference.kubernetes import pod_targets
from exporters.inference.proxy.settings import add_arguments, settings_of
from exporters.jobs.pods import parse_pod

PAGE = (ROOT / "docs" / "counting-proxy.md").read_text()


def _objects() -> tuple[dict[str, Any], dict[str, Any]]:
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "kind:" in block]
    deployment, service = yaml.safe_load_all(text)
    return deployment, service


def _containers() -> dict[str, dict[str, Any]]:
    return {c["name"]: c for c in _objects()[0]["spec"]["template"]["spec"]["containers"]}


def test_kubernetes_accepts_it() -> None:
    for thing in _objects():
        for version in ("1.29", "1.35"):
            k8s_schemas.validate(thing, version)


def test_the_proxy_understands_its_command_and_stands_between() -> None:
    engine, proxy = _containers()["ollama"], _containers()["proxy"]
    name, *arguments = proxy["args"]
    assert name == "proxy"
    parser = ArgumentParser()
    add_arguments(parser)
    settings = settings_of(parser.parse_args(arguments), {e["name"]: e["value"] for e in proxy["env"]})
    assert settings.host == "upstream"
    host, port = settings.address
    assert f"{host}:{port}" == engine["env"][0]["value"]
    ports = {p["name"]: p["containerPort"] for p in proxy["ports"]}
    assert (settings.listen, settings.metrics) == (f":{ports['http']}", f":{ports['counts']}")
    assert "ports" not in engine, "nobody goes past the proxy"
    assert {proxy[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"counts"}
    _, service = _objects()
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert _objects()[0]["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_workload_finds_the_port_with_the_counts() -> None:
    template = _objects()[0]["spec"]["template"]
    pod = {
        "metadata": {**template["metadata"], "name": "ollama-1", "namespace": "serving", "uid": "u"},
        "spec": {**template["spec"], "nodeName": "gpu-01"},
        "status": {"phase": "Running", "podIP": "10.0.0.9", "startTime": "2026-01-01T00:00:00Z"},
    }
    seen = parse_pod(pod)
    assert seen is not None
    (target,) = pod_targets([seen], {}).targets
    assert (target.host, target.port, target.engine, target.node) == ("10.0.0.9", 9620, "ollama", "gpu-01")


def test_its_image_is_the_charts() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    expected = f"{values['registry']}/{values['repository']}:{chart['appVersion']}"
    assert _containers()["proxy"]["image"] == expected
