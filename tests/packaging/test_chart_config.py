"""The files that the chart hands to programs are read by those programs."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from argparse import ArgumentParser
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import chart_render as chart
import helm_tools
import pytest
import yaml
from helm_tools import CHART

from gigawatch.config import load_file
from gigawatch.topology import load_inventory

BUNDLED = [name for name in chart.FILES if "bundled" in (CHART / name).read_text()]


def _data(values: str, name: str) -> dict[str, str]:
    (found,) = [o for o in chart.of_kind(chart.objects(values), "ConfigMap") if o["metadata"]["name"] == name]
    data: dict[str, str] = found["data"]
    return data


def _check(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{shlex.join(map(str, command))}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.parametrize("values", chart.FILES)
def test_every_command_line_is_understood_by_the_real_command(values: str) -> None:
    commands = {point.name: point for point in entry_points(group="gigawatch.commands")}
    seen = set()
    for workload in chart.of_kind(chart.objects(values), *chart.WORKLOADS):
        for container in chart.containers(workload):
            if "gigawatch/gigawatch" not in container["image"] or "command" in container:
                continue
            name, *arguments = (text.replace("$(POD_INDEX)", "0") for text in container["args"])
            parser = ArgumentParser(prog=name, exit_on_error=False)
            commands[name].load().configure(parser)
            parser.parse_args(arguments)
            listen = [a.rpartition(":")[2] for a in arguments if a.startswith("--listen=")]
            assert listen == [str(p["containerPort"]) for p in container["ports"]]
            seen.add(name)
    assert seen >= (
        {"sd", "plant", "agent", "facility", "viewer", "pager", "analytics"}
        if "starter" in values
        else {"agent"}
    )


@pytest.mark.parametrize("values", BUNDLED)
def test_prometheus_reads_its_configuration(values: str, tmp_path: Path) -> None:
    text = _data(values, "gw-gigawatch-prometheus")["prometheus.yml"]
    rules = _data(values, "gw-gigawatch-prometheus-rules")
    assert set(rules) == {"recording.yaml", "alerts.yaml"}
    for file, content in rules.items():
        (tmp_path / file).write_text(content)
    parsed = yaml.safe_load(text.replace("/etc/prometheus/rules", str(tmp_path)))
    for job in parsed["scrape_configs"]:
        # Distributions build Prometheus without Kubernetes; test_discovery_of_agents looks at this part.
        if job.pop("kubernetes_sd_configs", None):
            job["file_sd_configs"] = [{"files": [str(tmp_path / "none.yaml")]}]
    for target in parsed.get("remote_write", []):
        target["basic_auth"]["password_file"] = str(tmp_path / "password")
    (tmp_path / "password").write_text("secret")
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(parsed))
    assert "SUCCESS" in _check("promtool", "check", "config", config)


@pytest.mark.parametrize("values", BUNDLED)
def test_what_is_scraped_exists(values: str) -> None:
    """Every address in the configuration is a Service of the release with that port."""
    everything = chart.objects(values)
    services = {
        f"{s['metadata']['name']}:{p['port']}"
        for s in chart.of_kind(everything, "Service")
        for p in s["spec"]["ports"]
    }
    config = yaml.safe_load(_data(values, "gw-gigawatch-prometheus")["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    own = {name: job for name, job in jobs.items() if name not in ("vllm", "prometheus")}
    for name, job in own.items():
        for group in job.get("static_configs", []):
            assert set(group["targets"]) <= services, name
        for discovery in job.get("http_sd_configs", []):
            assert discovery["url"].removeprefix("http://").partition("/")[0] in services
        for discovery in job.get("dns_sd_configs", []):
            assert {f"{n}:{discovery['port']}" for n in discovery["names"]} <= services
    assert jobs["gigawatch-sd"]["honor_labels"] is True
    assert jobs["gigawatch-analytics"]["honor_labels"] is True
    assert "gigawatch-agent" in jobs
    for alertmanager in config["alerting"]["alertmanagers"]:
        assert set(alertmanager["static_configs"][0]["targets"]) <= services


def test_agents_carry_node_rack_and_site_however_they_are_found() -> None:
    config = yaml.safe_load(_data("ci/bundled-values.yaml", "gw-gigawatch-prometheus")["prometheus.yml"])
    (job,) = [j for j in config["scrape_configs"] if j["job_name"] == "gigawatch-agent"]
    bundled = {
        r["target_label"]: r.get("source_labels", r.get("replacement")) for r in job["relabel_configs"]
    }
    (monitor,) = chart.of_kind(chart.objects("ci/inventory-values.yaml"), "PodMonitor")
    rules = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"]
    operator = {r["targetLabel"]: r.get("sourceLabels", r.get("replacement")) for r in rules}
    assert (bundled.pop("site"), operator.pop("site")) == ("starter", "plant-7")
    assert bundled == operator
    assert bundled["node"] == bundled["instance"] == ["__meta_kubernetes_pod_node_name"]
    assert bundled["rack"] == ["__meta_kubernetes_node_label_gigawatch_io_rack"]
    assert bundled["job"] == "gigawatch-agent"


def test_discovery_of_agents_stays_in_the_release() -> None:
    config = yaml.safe_load(_data("ci/bundled-values.yaml", "gw-gigawatch-prometheus")["prometheus.yml"])
    (job,) = [j for j in config["scrape_configs"] if "kubernetes_sd_configs" in j]
    (discovery,) = job["kubernetes_sd_configs"]
    assert discovery["role"] == "pod"
    assert discovery["namespaces"] == {"names": ["watch"]}
    assert discovery["attach_metadata"] == {"node": True}
    (selector,) = discovery["selectors"]
    chosen = dict(pair.split("=") for pair in selector["label"].split(","))
    (agent,) = chart.of_kind(chart.objects("ci/bundled-values.yaml"), "DaemonSet")
    assert chosen.items() <= chart.pod_of(agent)["metadata"]["labels"].items()


def test_devices_are_found_through_the_service_discovery() -> None:
    found = chart.of_kind(chart.objects("values-starter.yaml"), "ScrapeConfig")
    by_job = {s["spec"]["relabelings"][0]["replacement"]: s["spec"]["httpSDConfigs"][0]["url"] for s in found}
    base = "http://gw-gigawatch-sd.watch.svc:9613/sd"
    assert by_job == {"gigawatch-facility": f"{base}/facility", "gigawatch-agent": f"{base}/agents"}


@pytest.mark.parametrize("values", [v for v in BUNDLED if v != "ci/bundled-values.yaml"])
def test_alertmanager_reads_its_configuration(values: str, tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yaml"
    config.write_text(_data(values, "gw-gigawatch-alertmanager")["alertmanager.yaml"])
    assert "SUCCESS" in _check("amtool", "check-config", config)
    assert "127.0.0.1" not in config.read_text()
    assert "http://gw-gigawatch-pager:9615" in config.read_text()


def test_rules_reach_the_operator_whole(tmp_path: Path) -> None:
    found = chart.of_kind(chart.objects("ci/default-values.yaml"), "PrometheusRule")
    assert {o["metadata"]["name"] for o in found} == {"gw-gigawatch-recording", "gw-gigawatch-alerts"}
    for rule in found:
        name = rule["metadata"]["name"].removeprefix("gw-gigawatch-")
        source = yaml.safe_load((CHART / "files" / "rules" / f"{name}.yaml").read_text())
        moved = json.dumps(source).replace("//gigawatch-viewer:9614", "//gw-gigawatch-viewer:9614")
        assert rule["spec"] == json.loads(moved)
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(rule["spec"]))
        _check("promtool", "check", "rules", file)


RULES = """
groups:
  - name: gpu
    rules:
      - {alert: Hot, expr: up == 0, for: 5m, labels: {severity: warning},
         annotations: {dashboard_url: "http://gigawatch-viewer:9614/d/gw-node?var-node={{ $labels.node }}",
                       runbook_url: https://x.example/runbooks/Hot}}
      - {alert: Noisy, expr: up == 0, labels: {severity: info}}
  - name: plain
    rules:
      - {record: "a:b", expr: sum(up)}
"""


def _custom(tmp_path: Path, **rules: Any) -> list[dict[str, Any]]:
    """Groups that a chart with the rules above gives the operator, with these values."""
    folder = tmp_path / "chart"
    shutil.copytree(CHART, folder, ignore=lambda *_: ["dashboards-of-this-run"])
    for old in (folder / "files" / "rules").glob("*.yaml"):
        old.unlink()
    (folder / "files" / "rules").mkdir(exist_ok=True)
    (folder / "files" / "rules" / "alerts.yaml").write_text(RULES)
    (tmp_path / "values.json").write_text(json.dumps({"rules": {"enabled": True, **rules}}))
    result = helm_tools.run(4, "template", "gw", folder, "-f", tmp_path / "values.json")
    assert result.returncode == 0, result.stderr
    (found,) = chart.of_kind(helm_tools.objects(result.stdout), "PrometheusRule")
    groups: list[dict[str, Any]] = found["spec"]["groups"]
    return groups


def test_an_alert_can_be_changed(tmp_path: Path) -> None:
    groups = _custom(
        tmp_path,
        disabled={"Noisy": True},
        disabledGroups={"plain": True},
        customRules={"Hot": {"for": "10m", "keepFiringFor": "1m", "severity": "critical"}},
        additionalRuleLabels={"cluster": "east"},
        additionalRuleAnnotations={"contact": "ops"},
        dashboardUrl="https://grafana.example.com/",
        runbookUrl="https://wiki.example.com/gpu",
    )
    assert [g["name"] for g in groups] == ["gpu"]
    (hot,) = groups[0]["rules"]
    assert (hot["for"], hot["keep_firing_for"]) == ("10m", "1m")
    assert hot["labels"] == {"severity": "critical", "cluster": "east"}
    assert hot["annotations"] == {
        "contact": "ops",
        "dashboard_url": "https://grafana.example.com/d/gw-node?var-node={{ $labels.node }}",
        "runbook_url": "https://wiki.example.com/gpu/Hot",
    }


def test_untouched_alerts_stay_as_they_are(tmp_path: Path) -> None:
    rules = {r.get("alert") or r["record"]: r for g in _custom(tmp_path) for r in g["rules"]}
    assert rules.keys() == {"Hot", "Noisy", "a:b"}
    assert rules["Hot"]["for"] == "5m"
    assert rules["a:b"] == {"record": "a:b", "expr": "sum(up)"}


@pytest.mark.parametrize(
    "values", ["values-starter.yaml", "values-mid-scale.yaml", "ci/inventory-values.yaml"]
)
def test_the_inventory_arrives_and_is_accepted(values: str, tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text(_data(values, "gw-gigawatch-inventory")["inventory.yaml"])
    inventory = load_inventory(file)
    config = [
        o
        for o in chart.objects(values)
        if o["metadata"]["name"] == "gw-gigawatch-sd" and o["kind"] == "ServiceMonitor"
    ]
    (site,) = [
        r["replacement"]
        for r in config[0]["spec"]["endpoints"][0]["relabelings"]
        if r["targetLabel"] == "site"
    ]
    assert inventory.site == site


def test_settings_of_the_facility_exporter_are_accepted(tmp_path: Path) -> None:
    from exporters.facility.settings import FacilitySettings

    file = tmp_path / "facility.yaml"
    file.write_text(_data("ci/inventory-values.yaml", "gw-gigawatch-facility")["facility.yaml"])
    assert load_file(file, FacilitySettings).seconds == 10


def test_grafana_provisioning_names_what_is_mounted() -> None:
    data = _data("values-starter.yaml", "gw-gigawatch-grafana")
    sources = yaml.safe_load(data["datasources.yaml"])["datasources"]
    assert sources[0]["url"] == "http://gw-gigawatch-prometheus:9090"
    assert sources[0]["uid"] == "prometheus"
    (provider,) = yaml.safe_load(data["providers.yaml"])["providers"]
    (grafana,) = [
        o
        for o in chart.of_kind(chart.objects("values-starter.yaml"), "Deployment")
        if o["metadata"]["name"].endswith("-grafana")
    ]
    spec = grafana["spec"]["template"]["spec"]
    assert provider["options"]["path"] in {m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
    boards = {
        s["configMap"]["name"] for v in spec["volumes"] if "projected" in v for s in v["projected"]["sources"]
    }
    assert len(boards) == len(list((CHART / "files" / "dashboards").glob("*.json"))) >= 9
    environment = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name
    assert (CHART / "files" / "dashboards" / home).exists()
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
