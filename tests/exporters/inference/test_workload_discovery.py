"""Engines found by HTTP service discovery and in a cluster's pods; TLS on the way; a real Prometheus."""

from __future__ import annotations

import json
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_server import LLAMACPP, VLLM, EngineServer, answers
from kube_server import PODS, KubeServer, certificate
from prometheus_run import Prometheus

UP, POD = "aif_inference_engine_up", "aif_inference_pod_info"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
OFF = {"kubernetes": "off", "slurm": "off"}


def values(samples: Samples, name: str, **labels: str) -> list[float]:
    """Values of the series of this name that bear these labels."""
    wanted = set(labels.items())
    return [value for (found, have), value in samples.items() if found == name and wanted <= have]


@pytest.fixture
def workload(run_served: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Start the program with this section engines; scraped twice a second."""

    def start(engines: dict[str, Any], **further: Any) -> Any:
        given = {"interval": "500ms", "deadline": "500ms", **engines}
        settings = {"interval": "500ms", "queues": OFF, "engines": given, **further}
        (tmp_path / "workload.yaml").write_text(yaml.safe_dump(settings))
        return run_served("workload", "--config", str(tmp_path / "workload.yaml"))

    return start


def group(address: str, **labels: str) -> dict[str, Any]:
    return {"targets": [address], "labels": labels}


def as_json(value: object) -> Any:
    return answers(json.dumps(value).encode(), kind="application/json")


def test_engines_of_a_list_come_and_go_with_it(workload: Callable[..., Any]) -> None:
    with EngineServer() as one, EngineServer(LLAMACPP, path="/m") as two, EngineServer() as listing:
        groups = [
            group(one.address, node="n1", replica="chat", __meta_datacenter="x", job="prometheus-name"),
            group(
                two.address,
                node="n2",
                engine="llamacpp",
                model="small",
                __metrics_path__="/m",
                __param_a="b c",
            ),
            group("nonsense", node="n3"),
        ]
        listing.paths["/sd"] = as_json(groups)
        served = workload({"http_sd": [{"url": f"http://{listing.address}/sd?key=hidden", "every": "1s"}]})
        served.wait_for(lambda _: nodes(served) == {"n1", "n2"})
        served.wait_for(
            lambda s: values(s, UP, replica="chat", model="tiny") == [1], path="/nodes/n1/metrics"
        )
        served.wait_for(
            lambda s: values(s, UP, engine="llamacpp", model="small") == [1], path="/nodes/n2/metrics"
        )
        assert any(path == "/m?a=b%20c" for path, _, _ in two.asked)
        # While the list cannot be had, what it named goes on.
        listing.paths["/sd"] = answers(b"", 500)
        name = f"http_sd {listing.address}"
        served.wait_for(lambda s: values(s, "aif_collector_up", collector=name) == [0])
        assert values(served.samples("/nodes/n2/metrics"), UP) == [1]
        listing.paths["/sd"] = as_json(groups[:1])
        wait_gone(served, "n2")
        assert values(served.samples("/nodes/n1/metrics"), UP) == [1]
        log = served.log.read_text()
    assert log.count("'nonsense' passed over") == 1
    assert "hidden" not in log + served.get()


def nodes(served: Any) -> set[str]:
    """Nodes that have a page."""
    return {g["labels"]["node"] for g in json.loads(served.get("/targets")) if "node" in g["labels"]}


def wait_gone(served: Any, node: str) -> None:
    served.wait_for(lambda _: node not in nodes(served))


def test_two_sources_name_one_engine(workload: Callable[..., Any]) -> None:
    with EngineServer() as engine, EngineServer() as listing:
        listing.paths["/sd"] = as_json([group(engine.address, node="n7", replica="theirs", model="wrong")])
        served = workload(
            {
                "targets": [{"address": engine.address, "replica": "ours"}],
                "http_sd": [{"url": f"http://{listing.address}/sd", "every": "1s"}],
            }
        )
        served.wait_for(lambda _: nodes(served) == {"n7"})
        # The settings count; what they leave open is taken over.
        found = served.wait_for(lambda s: values(s, UP) == [1], path="/nodes/n7/metrics")
        assert values(found, UP, replica="ours", model="tiny") == [1]
        log = served.log.read_text()
    assert log.count(f"{engine.address} is named by config and http_sd: config counts") == 1


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[EngineServer]:
    """An engine that asks for a client's certificate."""
    for name in ("server", "client"):
        certificate(tmp_path, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "client.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with EngineServer(context=context) as server:
        yield server


def test_tls_is_as_strict_as_it_is_set(
    workload: Callable[..., Any], secured: EngineServer, tmp_path: Path
) -> None:
    pair = {"cert_file": "client.crt", "key_file": "client.key"}
    (tmp_path / "password").write_text("open sesame\n")
    basic = {"username": "scraper", "password_file": "password"}
    ways: dict[str, dict[str, Any]] = {
        "right": {"tls": {"ca_file": "server.crt", **pair}, "basic_auth": basic},
        "blind": {"tls": {"insecure_skip_verify": True, **pair}},
        "stranger": {"tls": pair},
        "nameless": {"tls": {"ca_file": "server.crt", "server_name": "another.example", **pair}},
        "bare": {"tls": {"ca_file": "server.crt"}},
        "no-file": {"tls": {"ca_file": "nothing.crt"}},
        "plain": {},
    }
    # An address each: the same one twice would be one engine.
    listed = [
        {
            "address": secured.address,
            "path": f"/{name}",
            "node": "n1",
            "replica": name,
            "engine": "vllm",
            **way,
        }
        for name, way in ways.items()
    ]
    for name in ways:
        secured.paths[f"/{name}"] = answers(VLLM)
    served = workload({"targets": listed, "interval": "2s", "deadline": "2s"})
    found = served.wait_for(
        lambda s: {dict(labels)["replica"] for name, labels in s if name == UP} == set(ways),
        path="/nodes/n1/metrics",
    )
    up = {name: values(found, UP, replica=name) for name in ways}
    assert up == {name: [1] if name in ("right", "blind") else [0] for name in ways}
    errors = {
        dict(labels)["replica"]: dict(labels)["error"]
        for (name, labels), count in found.items()
        if name == "aif_inference_scrape_errors_total" and count
    }
    assert errors.pop("bare") in ("tls", "disconnected")  # TLS 1.3 refuses after the handshake
    plain = errors.pop("plain")
    assert plain in ("disconnected", "protocol")
    assert errors == {"stranger": "tls", "nameless": "tls", "no-file": "credentials"}
    sent = [headers.get("Authorization") for path, headers, _ in secured.asked if path == "/right"]
    assert sent[0] == "Basic c2NyYXBlcjpvcGVuIHNlc2FtZQ=="
    assert "sesame" not in served.log.read_text() + served.get("/nodes/n1/metrics")


def pod(
    name: str, ip: str, port: int, *, node: str = "gpu-1", ready: bool = True, **metadata: Any
) -> dict[str, Any]:
    own = {"namespace": "serving", "name": name, "uid": name, "creationTimestamp": "2026-11-22T10:00:00Z"}
    container = {"name": "c", "ports": [{"name": "web", "containerPort": port}]}
    return {
        "metadata": own | metadata,
        "spec": {"nodeName": node, "containers": [container]},
        "status": {
            "phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubeServer]:
    server = KubeServer(tmp_path / "pki")
    server.start()
    (tmp_path / "token").write_text(server.token)
    yield server
    server.stop()


def test_engines_of_a_cluster_by_annotation_and_by_label(
    workload: Callable[..., Any], cluster: KubeServer, tmp_path: Path
) -> None:
    lws = {"leaderworkerset.sigs.k8s.io/group-key": "abc"}
    with (
        EngineServer(host="127.0.3.1") as alone,
        EngineServer(LLAMACPP, host="127.0.3.2") as labelled,
        EngineServer(host="127.0.3.3") as leader,
    ):
        auto = {"gigawatch.io/engine": "auto", "gigawatch.io/port": "web"}
        spread = {"gigawatch.io/engine": "vllm", "gigawatch.io/port": str(leader.port)}
        cluster.lists[PODS] = [
            pod("alone", "127.0.3.1", alone.port, annotations=auto),
            pod("labelled", "127.0.3.2", labelled.port, node="gpu-2", labels={"app": "llama"}),
            pod("big-1", "127.0.3.4", leader.port, node="gpu-4", annotations=spread,
                labels={**lws, "leaderworkerset.sigs.k8s.io/worker-index": "1"}),
            pod("big-0", "127.0.3.3", leader.port, node="gpu-3", annotations=spread,
                labels={**lws, "leaderworkerset.sigs.k8s.io/worker-index": "0"}),
            pod("bad", "127.0.3.5", 1, annotations={**auto, "gigawatch.io/port": "no-such-port"}),
            pod("other", "127.0.3.6", 1),
            pod("loads", "127.0.3.7", 1, node="gpu-7", ready=False, annotations=auto,
                creationTimestamp=now()),
        ]  # fmt: skip
        rules = [{"selector": "app=llama", "engine": "llamacpp", "model": "small", "port": labelled.port}]
        served = workload(
            {"kubernetes": {"every": "1s", "rules": rules}},
            kubernetes={
                "url": cluster.url,
                "token_file": str(tmp_path / "token"),
                "ca_file": str(cluster.ca),
            },
        )
        served.wait_for(lambda _: nodes(served) == {"gpu-1", "gpu-2", "gpu-3", "gpu-7"})
        one = served.wait_for(lambda s: values(s, UP) == [1], path="/nodes/gpu-1/metrics")
        two = served.wait_for(lambda s: values(s, UP) == [1], path="/nodes/gpu-2/metrics")
        big = served.wait_for(lambda s: values(s, UP) == [1], path="/nodes/gpu-3/metrics")
        loads = served.wait_for(
            lambda s: bool(values(s, "aif_inference_scrape_errors_total")), path="/nodes/gpu-7/metrics"
        )
        assert values(one, UP, replica="serving/alone", model="tiny") == [1]
        assert values(one, POD, replica="serving/alone", namespace="serving", pod="alone") == [1]
        # A pod's port is not its node's.
        assert not values(one, "aif_inference_port_info")
        assert values(two, UP, engine="llamacpp", replica="serving/labelled", model="small") == [1]
        assert values(big, UP, replica="serving/big-0") == [1]
        assert values(big, POD, replica="serving/big-0", pod="big-0") == [1]
        assert values(big, POD, replica="serving/big-0", pod="big-1") == [1]
        # What loads its model is not down.
        assert not values(loads, UP)
        log = served.log.read_text()
        assert log.count("pod serving/bad passed over: gigawatch.io/port is 'no-such-port'") == 1
        cluster.forbidden.add(PODS)
        served.wait_for(lambda s: values(s, "aif_collector_up", collector="kubernetes_engines") == [0])
        assert values(served.samples("/nodes/gpu-1/metrics"), UP) == [1]
        cluster.forbidden.clear()
        cluster.lists[PODS] = cluster.lists[PODS][1:]
        wait_gone(served, "gpu-1")


def now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the program prometheus")
def test_a_real_prometheus_finds_every_page(
    workload: Callable[..., Any], checkout: Path, tmp_path: Path
) -> None:
    blueprint = checkout / "gigawatch/topology/blueprints/starter.yaml"
    with EngineServer() as engine, EngineServer(LLAMACPP) as other:
        served = workload(
            {
                "targets": [
                    {"address": engine.address, "node": "r01-n01"},
                    {"address": other.address, "model": "small"},
                ]
            },
            inventory=str(blueprint),
        )
        served.wait_for(lambda s: values(s, UP) == [1])
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": "workload", "http_sd_configs": [{"url": f"{served.url}/targets"}]},
            ],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        with Prometheus(tmp_path) as prometheus:
            placed = prometheus.until(f'{UP}{{node!=""}} == 1', 90)
            unplaced = prometheus.until(f'{UP}{{node=""}} == 1', 90)
            assert prometheus.value("count(up == 1)") == 2
            tokens = prometheus.value('aif_inference_tokens_total{kind="generation", engine="vllm"}')
    labels, _ = placed[0]
    labels.pop("__name__")
    assert labels == {
        "engine": "vllm", "model": "tiny", "replica": engine.address, "job": "workload",
        "site": "starter", "rack": "r01", "node": "r01-n01", "instance": "r01-n01",
    }  # fmt: skip
    assert unplaced[0][0]["site"] == "starter"
    assert tokens == 657
