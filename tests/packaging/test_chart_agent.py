"""The agent of the chart: its settings, its rights, and what it is given of the node."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import chart_render as chart
import pytest
from helm_tools import CHART

from gigawatch.config import load_file


def _agent(values: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pod and container of the agent."""
    (agent,) = chart.of_kind(chart.objects(values), "DaemonSet")
    spec = agent["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.mark.parametrize(
    ("values", "gpu", "kernel_log", "kubernetes", "root"),
    [
        ("ci/default-values.yaml", "auto", False, "auto", "/"),
        ("ci/minimal-values.yaml", "off", False, "auto", "/"),
        ("ci/everything-values.yaml", "auto", True, "on", "/host"),
        ("values-full-scale.yaml", "auto", False, "on", "/host"),
    ],
)
def test_agent_settings_are_understood_and_what_they_name_is_mounted(
    values: str, gpu: str, kernel_log: bool, kubernetes: str, root: str, tmp_path: Path
) -> None:
    from exporters.settings import AgentSettings

    spec, container = _agent(values)
    environment = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    maps = [o for o in chart.of_kind(chart.objects(values), "ConfigMap") if "agent.yaml" in o["data"]]
    (tmp_path / "agent.yaml").write_text(maps[0]["data"]["agent.yaml"] if maps else "")
    settings = load_file(tmp_path / "agent.yaml", AgentSettings, environment, "GIGAWATCH_AGENT")
    collectors = settings.collectors
    assert (collectors.gpu, collectors.kernel_log, collectors.kubernetes) == (gpu, kernel_log, kubernetes)
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert str(settings.root) == root
    assert root == "/" or mounts[root]["readOnly"]
    assert not mounts[str(settings.state_directory)].get("readOnly")
    if settings.textfile_directory:
        assert mounts[str(settings.textfile_directory)]["readOnly"]
    if collectors.kernel_log:
        assert str(settings.kernel_log) in mounts
    if kubernetes == "on":
        assert mounts[str(settings.kubernetes.socket.parent)]["readOnly"]
    if maps:
        assert settings.seconds == 1
        assert settings.gpu.processes
        assert settings.storage.tiers == {"/scratch*": "hot"}
    assert {m["name"] for m in mounts.values()} == {v["name"] for v in spec["volumes"]}


def test_settings_in_values_are_those_of_the_agent() -> None:
    """values.schema.json knows each section and field, so that a misspelt one stops the installation."""
    from exporters.sections import AgentPlan

    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["agent"]["properties"]["settings"]["properties"]
    for field in dataclasses.fields(AgentPlan):
        if dataclasses.is_dataclass(field.default):
            names = {inner.name for inner in dataclasses.fields(field.default)}
            assert known[field.name]["properties"].keys() == names, field.name
    plain = {f.name for f in dataclasses.fields(AgentPlan)} - {"listen", "web_config"}
    assert known.keys() == plain


def test_an_agent_behind_tls_is_probed_without_a_key_and_scraped_with_one() -> None:
    spec, container = _agent("ci/inventory-values.yaml")
    assert "--web-config=/etc/gigawatch-web/web.yaml" in container["args"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["tcpSocket"] == {"port": "http"}
        assert "httpGet" not in container[probe]
    (secret,) = [v["secret"] for v in spec["volumes"] if "secret" in v]
    assert (secret["secretName"], secret["defaultMode"]) == ("agent-web", 0o440)
    (monitor,) = chart.of_kind(chart.objects("ci/inventory-values.yaml"), "PodMonitor")
    assert monitor["spec"]["podMetricsEndpoints"][0]["scheme"] == "https"


def test_a_directory_of_the_node_is_given_to_the_agents_user() -> None:
    spec, _ = _agent("ci/inventory-values.yaml")
    state, training = spec["initContainers"]
    for owner in (state, training):
        assert "65532" in owner["command"][-1]
        assert owner["securityContext"]["runAsUser"] == 0
    spec, _ = _agent("ci/everything-values.yaml")
    (training,) = spec["initContainers"]
    assert training["name"] == "own-training", "root owns the state already"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize(
    ("values", "owner"), [("ci/inventory-values.yaml", 65532), ("ci/everything-values.yaml", 0)]
)
def test_jobs_may_leave_reports_that_only_the_agent_lists(values: str, owner: int, tmp_path: Path) -> None:
    spec, container = _agent(values)
    (init,) = [c for c in spec["initContainers"] if c["name"] == "own-training"]
    (mount,) = init["volumeMounts"]
    (told,) = [e["value"] for e in container["env"] if e["name"] == "GIGAWATCH_AGENT_TRAINING__DIRECTORY"]
    (shown,) = [m for m in container["volumeMounts"] if m["name"] == "training"]
    assert told == shown["mountPath"] == mount["mountPath"]
    assert shown["readOnly"]
    code = init["command"][-1].replace(mount["mountPath"], str(tmp_path))
    for _ in range(2):  # a pod that comes anew finds it as it should be
        # What kubelet grants: root, but without the rights that root has over others' files.
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all,+chown", "--inh-caps=-all", sys.executable, "-c", code],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = tmp_path.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (owner, 0o1733)


def test_liveness_asks_only_whether_the_server_answers() -> None:
    """A GPU that hangs must not get the agent restarted: /-/healthy never looks at a device."""
    _, container = _agent("ci/default-values.yaml")
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/healthy"
    (service,) = [
        o
        for o in chart.of_kind(chart.objects("ci/default-values.yaml"), "Service")
        if o["metadata"]["name"].endswith("-agent")
    ]
    assert service["spec"]["publishNotReadyAddresses"] is True
