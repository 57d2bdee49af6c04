"""What the chart renders is valid Kubernetes, keeps the pod security standards, and hangs together."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import chart_render as chart
import crd_schemas
import jsonschema
import k8s_schemas
import pytest

ALL = pytest.mark.parametrize("values", chart.FILES)
BUILT_IN = re.compile(r"^(v1|apps/v1|policy/v1|(networking|rbac\.authorization)\.k8s\.io/v1)$")
HOST_PATHS = {
    "gpus": {"/dev/null"},
    "kernel-log": {"/dev/kmsg"},
    "host": {"/"},
    "pod-resources": {"/var/lib/kubelet/pod-resources"},
    "state": {"/var/lib/gigawatch-agent"},
    "training": {"/run/gigawatch/training"},
    "textfile": {"/var/lib/node_exporter/textfile_collector"},
}
"""The only folders and devices of the host that any pod may see, all of them the agent's."""


@cache
def _distinct() -> tuple[dict[str, Any], ...]:
    """Every different object of all values files; dashboards apart, at which test_configmaps_fit looks."""
    found: dict[str, dict[str, Any]] = {}
    for values in chart.FILES:
        for thing in chart.objects(values):
            if thing["kind"] != "ConfigMap" or "dashboard" not in thing["metadata"]["name"]:
                found[json.dumps(thing, sort_keys=True)] = thing
    assert len(found) > 100
    return tuple(found.values())


@pytest.mark.parametrize("kubernetes", ["1.29", "1.35"])
def test_every_object_is_valid(kubernetes: str) -> None:
    for thing in _distinct():
        if BUILT_IN.match(thing["apiVersion"]):
            k8s_schemas.validate(thing, kubernetes)


def test_the_schemas_would_notice() -> None:
    (service,) = chart.of_kind(chart.objects("ci/default-values.yaml"), "Service")
    with pytest.raises(jsonschema.ValidationError):
        k8s_schemas.validate(service | {"specc": {}}, "1.35")
    with pytest.raises(FileNotFoundError):
        k8s_schemas.validate(
            service | {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget"}, "1.35"
        )


def test_every_custom_object_is_valid() -> None:
    for thing in _distinct():
        if not BUILT_IN.match(thing["apiVersion"]):
            jsonschema.Draft202012Validator(crd_schemas.schema_of(thing)).validate(thing)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "podMetricsEndpoints", 0, "intervall"), "5s"),
        (("spec", "podMetricsEndpoints", 0, "interval"), "15x"),
        (("spec", "podMetricsEndpoints", 0, "relabelings", 0, "source_labels"), ["a"]),
    ],
)
def test_the_operator_schemas_would_notice(path: tuple[Any, ...], value: object) -> None:
    monitor = copy.deepcopy(chart.of_kind(chart.objects("ci/default-values.yaml"), "PodMonitor")[0])
    place: Any = monitor
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(crd_schemas.schema_of(monitor)).validate(monitor)


@ALL
def test_pod_security(values: str) -> None:
    """Restricted for all but the agent, which may see named host paths, and the host's network if told to."""
    for workload in chart.of_kind(chart.objects(values), *chart.WORKLOADS):
        spec = chart.pod_of(workload)["spec"]
        agent = workload["kind"] == "DaemonSet"
        hosts = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
        assert agent or not hosts, workload["metadata"]["name"]
        assert all(path in HOST_PATHS[name] for name, path in hosts.items())
        assert not {"hostPID", "hostIPC"} & spec.keys()
        assert agent or "hostNetwork" not in spec
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        privileged = "kernel-log" in hosts
        as_root = privileged or "pod-resources" in hosts
        assert spec["securityContext"]["runAsNonRoot"] is (not as_root)
        assert (spec["securityContext"]["runAsUser"] == 0) is as_root
        for container in chart.containers(workload):
            security = container["securityContext"]
            if container["name"] in ("own-state", "own-training"):
                assert security["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
                continue
            if privileged:
                assert security["privileged"] is security["allowPrivilegeEscalation"] is True
                continue
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in security
            assert agent or all("hostPort" not in port for port in container.get("ports", []))


@ALL
def test_containers_say_what_they_need(values: str) -> None:
    for workload in chart.of_kind(chart.objects(values), *chart.WORKLOADS):
        for container in chart.containers(workload):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"])
            assert not container["image"].endswith(":latest")


@ALL
def test_servers_have_all_probes_on_a_named_port(values: str) -> None:
    for workload in chart.of_kind(chart.objects(values), "Deployment", "StatefulSet", "DaemonSet"):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            names = {port["name"] for port in container.get("ports", [])}
            if names:
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    (how,) = container[probe].keys() & {"httpGet", "tcpSocket"}
                    assert container[probe][how]["port"] in names
                start = container["startupProbe"]
                assert start["periodSeconds"] * start["failureThreshold"] >= 60


@ALL
def test_mounts_and_volumes_match(values: str) -> None:
    everything = chart.objects(values)
    own = {(o["kind"], o["metadata"]["name"]) for o in everything}
    for workload in chart.of_kind(everything, *chart.WORKLOADS):
        spec = chart.pod_of(workload)["spec"]
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        volumes = [v["name"] for v in spec["volumes"]]
        assert len(volumes) == len(set(volumes))
        mounted = {m["name"] for c in chart.containers(workload) for m in c.get("volumeMounts", [])}
        assert mounted == set(volumes) | claims, workload["metadata"]["name"]
        for volume in spec["volumes"]:
            sources = [volume, *volume.get("projected", {}).get("sources", [])]
            for name in (s["configMap"]["name"] for s in sources if "configMap" in s):
                if name.startswith("gw-"):
                    assert ("ConfigMap", name) in own
        if spec["serviceAccountName"] != "monitoring":
            assert ("ServiceAccount", spec["serviceAccountName"]) in own


@ALL
def test_selectors_find_exactly_their_pods(values: str) -> None:
    everything = chart.objects(values)
    workloads = chart.of_kind(everything, "Deployment", "StatefulSet", "DaemonSet")

    def chosen(labels: dict[str, str]) -> list[dict[str, Any]]:
        return [w for w in workloads if labels.items() <= chart.pod_of(w)["metadata"]["labels"].items()]

    for workload in workloads:
        assert chosen(workload["spec"]["selector"]["matchLabels"]) == [workload]
    for service in chart.of_kind(everything, "Service"):
        (workload,) = chosen(service["spec"]["selector"])
        ports = {p["name"] for c in chart.containers(workload) for p in c.get("ports", [])}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports
    for policy in chart.of_kind(everything, "NetworkPolicy"):
        (workload,) = chosen(policy["spec"]["podSelector"]["matchLabels"])
        ports = {p["name"] for c in chart.containers(workload) for p in c.get("ports", [])}
        assert {p["port"] for p in policy["spec"]["ingress"][0]["ports"]} == ports
    for budget in chart.of_kind(everything, "PodDisruptionBudget"):
        (workload,) = chosen(budget["spec"]["selector"]["matchLabels"])
        assert workload["kind"] == "Deployment"
    for monitor in chart.of_kind(everything, "PodMonitor"):
        (workload,) = chosen(monitor["spec"]["selector"]["matchLabels"])
    for monitor in chart.of_kind(everything, "ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [
            s
            for s in chart.of_kind(everything, "Service")
            if labels.items() <= s["metadata"]["labels"].items()
        ]
        assert {e["port"] for e in monitor["spec"]["endpoints"]} <= {
            p["name"] for p in service["spec"]["ports"]
        }


@ALL
def test_every_server_is_policed(values: str) -> None:
    everything = chart.objects(values)
    if values != "ci/minimal-values.yaml":
        servers = chart.of_kind(everything, "Deployment", "StatefulSet", "DaemonSet")
        assert len(chart.of_kind(everything, "NetworkPolicy")) == len(servers)


@ALL
def test_rights_are_narrow(values: str) -> None:
    everything = chart.objects(values)
    for role in chart.of_kind(everything, "Role", "ClusterRole"):
        for rule in role["rules"]:
            if role["metadata"]["name"].endswith("-workload"):
                assert rule["verbs"] == ["list"]
                (group,), (resource,) = rule["apiGroups"], rule["resources"]
                assert (group, resource) in (("", "pods"), ("kueue.x-k8s.io", "workloads"))
                continue
            assert set(rule["verbs"]) <= {"get", "list", "watch"}
            assert rule["apiGroups"] == [""]
            assert rule["resources"] == (["pods"] if role["kind"] == "Role" else ["nodes"])
    with_token = {
        w["metadata"]["name"]
        for w in chart.of_kind(everything, *chart.WORKLOADS)
        if chart.pod_of(w)["spec"]["automountServiceAccountToken"]
    }
    assert with_token <= {"gw-gigawatch-prometheus", "gw-gigawatch-workload"}
    assert not chart.of_kind(everything, "Secret"), (
        "the chart makes no secrets: they are named, never rendered"
    )


@ALL
def test_two_releases_share_no_names(values: str) -> None:
    def names(release: str) -> set[tuple[str, ...]]:
        return {
            (o["apiVersion"], o["kind"], o["metadata"]["name"], o["metadata"].get("namespace", ""))
            for o in chart.objects(values, release=release)
        }

    assert not names("gw") & names("b")
    assert len(names("gw")) == len(chart.objects(values))


def test_long_release_names_still_fit() -> None:
    for thing in chart.objects(
        "ci/everything-values.yaml", release="a-release-with-a-name-of-fifty-three-letters-exactly"
    ):
        if "Role" not in thing["kind"]:
            assert len(thing["metadata"]["name"]) <= 63
        for value in thing["metadata"].get("labels", {}).values():
            assert len(value) <= 63


@ALL
def test_labels_stand_everywhere(values: str) -> None:
    for thing in chart.objects(values):
        if not thing["metadata"]["name"].endswith(("-more", "-text")):
            labels = thing["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == "gw"
            # Rights stand where they hold; everything else in the release's namespace.
            elsewhere = ("Cluster", "Role") if "-workload" in thing["metadata"]["name"] else ("Cluster",)
            assert thing["kind"].startswith(elsewhere) or thing["metadata"]["namespace"] == "watch"
            if values == "ci/everything-values.yaml":
                assert labels["team"] == "dcim"


@ALL
def test_configmaps_fit(values: str) -> None:
    """1 MiB is the API's limit; a client-side apply keeps a copy in an annotation of at most 256 KiB."""
    for thing in chart.of_kind(chart.objects(values), "ConfigMap"):
        size = len(json.dumps(thing))
        dashboard = "dashboard" in thing["metadata"]["name"]
        assert size < (250_000 if dashboard else 1_000_000), thing["metadata"]["name"]
        if dashboard and values != "ci/everything-values.yaml":
            assert thing["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert thing["metadata"]["annotations"]["grafana_folder"] == "Gigawatch"
            (text,) = thing["data"].values()
            assert json.loads(text)["uid"].startswith("gw-")


def test_agents_bear_gpu_taints_and_reach_the_driver_without_privilege() -> None:
    (agent,) = chart.of_kind(chart.objects("ci/default-values.yaml"), "DaemonSet")
    spec = agent["spec"]["template"]["spec"]
    assert {t["key"] for t in spec["tolerations"]} == {"nvidia.com/gpu", "amd.com/gpu"}
    assert all(t["operator"] == "Exists" for t in spec["tolerations"])
    environment = {e["name"]: e.get("value") for e in spec["containers"][0]["env"]}
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    assert spec["priorityClassName"] == "system-node-critical"
    assert agent["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "10%"


def test_a_component_overrides_the_common_settings() -> None:
    (agent,) = chart.of_kind(chart.objects("ci/minimal-values.yaml"), "DaemonSet")
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert "NVIDIA_VISIBLE_DEVICES" not in {e["name"] for e in container["env"]}


def test_analytics_shards_know_their_number() -> None:
    (analytics,) = chart.of_kind(chart.objects("ci/inventory-values.yaml"), "StatefulSet")
    (container,) = analytics["spec"]["template"]["spec"]["containers"]
    assert analytics["spec"]["replicas"] == 3
    assert "--shard=$(POD_INDEX)/3" in container["args"]
    (index,) = [e for e in container["env"] if e["name"] == "POD_INDEX"]
    assert "pod-index" in index["valueFrom"]["fieldRef"]["fieldPath"]
    assert analytics["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "2Gi"
