"""The chart lints, renders the same under both majors of Helm, and explains what it refuses."""

from __future__ import annotations

from pathlib import Path

import chart_render as chart
import helm_tools
import pytest
from helm_tools import CHART


@pytest.mark.parametrize("values", chart.FILES)
def test_lint(values: str) -> None:
    """Helm 3 lints every file, Helm 4 those that render the most."""
    _lint(3, values)
    if values in ("ci/everything-values.yaml", "values-full-scale.yaml"):
        _lint(4, values, "--kube-version", "1.34")


def _lint(major: int, values: str, *extra: str) -> None:
    result = helm_tools.run(major, "lint", "--strict", CHART, "-f", CHART / values, *extra)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout
    assert "[INFO]" not in result.stdout


@pytest.mark.parametrize("values", chart.FILES)
def test_same_bytes_whatever_renders(values: str) -> None:
    reference = chart.text(values)
    combinations = [(version, major) for version in chart.KUBERNETES for major in (3, 4)]
    # Nothing in the templates asks for the version: the two ends and both majors tell, all for one file.
    few = [("1.29", 3), ("1.35", 4)]
    asked = combinations if "everything" in values else few
    chart.render_ahead({"values": values, "kubernetes": k, "major": major} for k, major in asked)
    for kubernetes, major in asked:
        assert chart.text(values, kubernetes=kubernetes, major=major) == reference, (kubernetes, major)


def test_two_renders_are_identical() -> None:
    again = chart.render("ci/everything-values.yaml", "1.34", True, 4, "gw", str(CHART))
    assert again == chart.text("ci/everything-values.yaml")


@pytest.mark.parametrize("values", chart.FILES)
def test_no_operator_no_operator_objects(values: str) -> None:
    kinds = {o["kind"] for o in chart.objects(values, operator=False)}
    assert not kinds & chart.MONITORING


def test_the_operator_gets_its_objects() -> None:
    kinds = {o["kind"] for o in chart.objects("ci/everything-values.yaml")}
    assert kinds >= chart.MONITORING


def test_monitors_can_be_forced_and_forbidden() -> None:
    forced = chart.with_settings("monitors.enabled=true", "rules.enabled=true", operator=False)
    assert "kind: PodMonitor" in forced
    assert "kind: PrometheusRule" in forced
    assert "kind: PodMonitor" not in chart.with_settings("monitors.enabled=false")


def test_old_kubernetes_is_refused() -> None:
    result = helm_tools.run(4, "template", "gw", CHART, "--kube-version", "1.28")
    assert result.returncode == 1
    assert "1.28" in result.stderr


REFUSED = {
    "image.pullPolicy=Sometimes": ("image.pullPolicy", "/image/pullPolicy"),
    "image.digest=sha256:12": ("image.digest", "/image/digest"),
    "image.tag=latest": ("image.tag", "/image/tag"),
    "agent.intervall=5s": ("intervall", "/agent"),
    "servicemonitor.enabled=true": ("servicemonitor",),
    "monitors.interval=15x": ("monitors.interval", "/monitors/interval"),
    "monitors.enabled=maybe": ("monitors.enabled", "/monitors/enabled"),
    "rules.customRules.X.for=5 minutes": ("rules.customRules.X.for", "/rules/customRules/X/for"),
    "rules.customRules.X.severity=page": ("severity",),
    "monitors.relabelings[0].source_labels[0]=a": ("source_labels",),
    "inventory.blueprint=huge": ("inventory.blueprint", "/inventory/blueprint"),
    "prometheus.url=prometheus:9090": ("prometheus.url", "/prometheus/url"),
    "analytics.shards=0": ("analytics.shards", "/analytics/shards"),
    "analytics.persistence.size=lots": ("analytics.persistence.size", "/analytics/persistence/size"),
    "agent.gpuAccess=privileged": ("agent.gpuAccess", "/agent/gpuAccess"),
    "agent.features.kernellog=true": ("kernellog",),
    "agent.settings.storage.tier.x=hot": ("agent.settings.storage", "/agent/settings/storage"),
    "agent.settings.interval=5": ("agent.settings.interval", "/agent/settings/interval"),
    "agent.textfile.hostPath=metrics": ("agent.textfile.hostPath", "/agent/textfile/hostPath"),
    "workload.replicas=2": ("replicas",),
    "workload.namespaces[0]=Serving": ("workload.namespaces", "/workload/namespaces"),
    "workload.settings.engine.interval=5s": ("workload.settings", "/workload/settings"),
    "workload.settings.engines.targets[0].adress=a:1": (
        "workload.settings.engines.targets",
        "/workload/settings/engines/targets",
    ),
    "workload.settings.queues.slurm=maybe": (
        "workload.settings.queues.slurm",
        "/workload/settings/queues/slurm",
    ),
    "agent.training.hostPath=training": ("agent.training.hostPath", "/agent/training/hostPath"),
    "sd.tolerations[0].effekt=NoSchedule": ("effekt",),
    "bundled.prometheus.retentionSize=40": ("retentionSize",),
    "demo.replicas=2": ("replicas",),
}


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("setting", REFUSED)
def test_wrong_value_names_its_key(setting: str, major: int) -> None:
    result = helm_tools.run(major, "template", "gw", CHART, "--set", setting)
    assert result.returncode == 1
    assert any(path in result.stderr for path in REFUSED[setting]), result.stderr


CONTRADICTIONS = {
    ("sd.enabled=true",): "sd.enabled: the service discovery needs an inventory",
    ("facility.enabled=true",): "facility.enabled: the facility exporter needs an inventory",
    ("demo.enabled=true",): "demo.enabled: the simulated site needs an inventory",
    ("inventory.blueprint=starter", "inventory.existingConfigMap=x"): "inventory: set only one",
    ("inventory.existingConfigMap=x",): "site.name: needed",
    ("inventory.content=racks: []",): "inventory.content: site.name is missing",
    ("inventory.content=a: [",): "inventory.content: not valid YAML",
    (
        "inventory.blueprint=starter",
        "facility.enabled=true",
        "facility.replicas=2",
    ): "facility.replicas: several",
    (
        "facility.endpoints.content=a: []",
        "facility.endpoints.existingConfigMap=x",
    ): "facility.endpoints: set either",
    (
        "inventory.blueprint=starter",
        "demo.enabled=true",
        "facility.enabled=true",
        "facility.simulate=true",
    ): "set facility.enabled=false",
    ("inventory.blueprint=starter", "demo.enabled=true", "sd.enabled=false"): "set sd.enabled=auto",
    ("analytics.enabled=true",): "analytics.enabled: analytics queries a Prometheus",
    ("viewer.enabled=true",): "viewer.enabled: the viewer queries a Prometheus",
    ("bundled.enabled=true", "bundled.prometheus.enabled=false"): "prometheus.url must name",
    ("serviceAccount.create=false",): "serviceAccount.name: needed",
    ("agent.config=a: 1", "agent.existingConfigMap=x"): "agent.config: set either",
    ("agent.config=a: 1", "agent.settings.interval=1s"): "agent.config: set either",
    ("workload.config=a: 1", "workload.existingConfigMap=x"): "workload.config: set either",
    ("workload.web.existingSecret=x", "bundled.enabled=true"): "has no certificate or password for it",
    ("agent.web.existingSecret=x", "bundled.enabled=true"): "has no certificate or password for the agents",
}


@pytest.mark.parametrize("settings", CONTRADICTIONS, ids=" ".join)
def test_contradiction_names_key_and_remedy(settings: tuple[str, ...]) -> None:
    arguments = [a for setting in settings for a in ("--set", setting)]
    result = helm_tools.run(3, "template", "gw", CHART, *arguments)
    assert result.returncode == 1
    assert CONTRADICTIONS[settings] in result.stderr


def test_a_parent_chart_may_pass_globals() -> None:
    assert "registry.example.com/gigawatch/gigawatch" in chart.with_settings(
        "global.imageRegistry=registry.example.com", "global.storageClass=fast"
    )


def test_notes_of_a_bare_installation() -> None:
    notes = chart.with_settings(notes=True)
    assert "gw-gigawatch-agent      one on each of the nodes" in notes
    assert "helm -n watch test gw" in notes
    assert "No inventory is set" in notes
    assert "Analytics is off" in notes
    assert "workload.enabled=true, which takes the right to list pods" in notes
    assert "No ServiceMonitors and PodMonitors" in notes


def test_notes_of_a_complete_installation() -> None:
    notes = chart.with_settings(
        "inventory.blueprint=starter",
        "demo.enabled=true",
        "agent.enabled=false",
        "bundled.enabled=true",
        notes=True,
    ).partition("NOTES:")[2]
    assert "Site: starter" in notes
    assert "svc/gw-gigawatch-grafana 3000" in notes
    assert "only as long as its pod lives" in notes
    assert "No inventory" not in notes
    assert "ServiceMonitors" not in notes


@pytest.mark.parametrize("major", [3, 4])
def test_package_renders_as_the_source(tmp_path: Path, major: int) -> None:
    result = helm_tools.run(major, "package", CHART, "-d", tmp_path)
    assert result.returncode == 0, result.stderr
    (package,) = tmp_path.glob("gigawatch-*.tgz")
    for values in ("ci/everything-values.yaml", "values-starter.yaml"):
        assert chart.text(values, major=major, chart=str(package)) == chart.text(values)
    assert package.stat().st_size < 1_000_000, (
        "a release is kept in a Secret, which holds one megabyte at most"
    )
