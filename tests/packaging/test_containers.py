"""The image's recipe and the compose file: read here, since building needs an engine."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from argparse import ArgumentParser
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_tools
import pytest
import yaml
from helm_tools import CHART, ROOT

from gigawatch.topology import load_inventory

RECIPE = ROOT / "deploy" / "containers" / "Containerfile"
COMPOSE = ROOT / "deploy" / "compose"


def _steps() -> list[tuple[str, str]]:
    """Instructions of the recipe: (name, rest), continued lines joined."""
    text = re.sub(r"\\\n\s*", "", RECIPE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def _services() -> dict[str, dict[str, Any]]:
    text = (COMPOSE / "compose.yaml").read_text()
    services: dict[str, dict[str, Any]] = helm_tools.objects(text)[0]["services"]
    return services


def test_base_images_are_pinned() -> None:
    arguments = dict(rest.split("=", 1) for name, rest in _steps() if name == "ARG")
    bases = [rest for name, rest in _steps() if name == "FROM"]
    assert len(bases) == 2
    for base in bases:
        image = base.split(" AS ")[0].replace("${PYTHON}", arguments["PYTHON"])
        assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+", image)


def test_the_last_stage_runs_as_nobody_in_particular_and_carries_no_sources() -> None:
    steps = _steps()
    last = steps[max(i for i, (name, _) in enumerate(steps) if name == "FROM") :]
    instructions = [name for name, _ in last]
    assert ("USER", "65532:65532") in last
    assert all("--from=build" in rest for name, rest in last if name == "COPY")
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")
    assert not any("pip" in rest for name, rest in last if name == "RUN")
    assert [json.loads(rest) for name, rest in last if name == "ENTRYPOINT"] == [["gigawatch"]]
    labels = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=\"([^\"]*)\"", dict(last)["LABEL"]))
    assert {"title", "source", "licenses", "version", "revision"} <= labels.keys()


def test_chart_runs_as_the_user_of_the_image() -> None:
    (user,) = [rest for name, rest in _steps() if name == "USER"]
    helper = (CHART / "templates" / "_pods.tpl").read_text()
    assert f'"runAsUser" {user.split(":")[0]} "runAsGroup" {user.split(":")[1]}' in helper


def test_everything_the_wheel_needs_is_copied_and_not_ignored() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = " ".join(rest for name, rest in _steps() if name == "COPY")
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert let_in[0] == "*"
    for package in packages:
        assert f"{package} {package}" in copied
        assert f"!{package}/**" in let_in
    for file in ("pyproject.toml", project["project"]["readme"], "LICENSE"):
        assert file in copied
        assert f"!{file}" in let_in


def test_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = RECIPE.read_text()
    for extra in [*re.findall(r"EXTRAS=([\w,]+)", text)]:
        assert set(extra.split(",")) <= extras.keys()


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
    assert f"gigawatch/gigawatch:{version}" in chart["annotations"]["artifacthub.io/images"]
    assert f"ARG VERSION={version}" in RECIPE.read_text()
    assert _services()["agent"]["image"] == f"gigawatch:{version}"
    values = yaml.safe_load((CHART / "values.yaml").read_text())["bundled"]
    for part in ("prometheus", "alertmanager", "grafana"):
        image = values[part]["image"]
        assert _services()[part]["image"] == f"{image['registry']}/{image['repository']}:{image['tag']}"


@pytest.mark.parametrize("name", _services())
def test_compose_service_is_confined(name: str) -> None:
    service = _services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "cap_add"} & service.keys()
    assert not service["image"].endswith(":latest")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_mounts_what_is_there() -> None:
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source == "/":
                assert (name, rest) == ("agent", "/host:ro,rslave")
            elif source.startswith("."):
                assert (COMPOSE / source).exists(), f"{name}: {source}"
            else:
                assert source in compose["volumes"]


def test_compose_commands_are_understood() -> None:
    commands = {point.name: point for point in entry_points(group="gigawatch.commands")}
    for service in _services().values():
        if service["image"].startswith("gigawatch"):
            name, *arguments = service["command"]
            parser = ArgumentParser(prog=name, exit_on_error=False)
            commands[name].load().configure(parser)
            parser.parse_args(arguments)


def test_compose_configuration_is_read_by_its_programs(tmp_path: Path) -> None:
    files = CHART / "files"
    config = (COMPOSE / "prometheus" / "prometheus.yml").read_text()
    path = tmp_path / "prometheus.yml"
    path.write_text(
        config.replace("/etc/prometheus-rules", str(files / "rules")).replace(
            "/etc/prometheus/", f"{COMPOSE}/prometheus/"
        )
    )
    for command in (
        ["promtool", "check", "config", str(path)],
        ["amtool", "check-config", str(files / "alertmanager.yaml")],
    ):
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr


def test_alertmanager_pages_a_service_of_the_compose_file() -> None:
    receivers = yaml.safe_load((CHART / "files" / "alertmanager.yaml").read_text())["receivers"]
    hosts = {urlsplit(hook["url"]).hostname for r in receivers for hook in r.get("webhook_configs", [])}
    assert hosts <= _services().keys()


def test_compose_site_and_targets_agree() -> None:
    inventory = load_inventory(COMPOSE / "site.yaml")
    (group,) = yaml.safe_load((COMPOSE / "prometheus" / "agents.yaml").read_text())
    node = inventory.node[group["labels"]["node"]]
    assert (group["labels"]["site"], group["labels"]["rack"]) == (inventory.site, node.rack)
    config = yaml.safe_load((COMPOSE / "prometheus" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for static in job.get("static_configs", []):
            assert static["labels"]["site"] == inventory.site
            host = static["targets"][0].split(":")[0]
            assert host in _services() or host == "localhost"
