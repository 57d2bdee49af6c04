"""`gigawatch workload` as a process of its own, scraping recordings of real engines over real sockets."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from engine_server import (
    LLAMACPP,
    VLLM,
    EngineServer,
    answers,
    bomb,
    drips,
    floods,
    hangs,
    hangs_up,
    packed,
    recording,
    speaks_otherwise,
)

from gigawatch.cli import main

UP, ERRORS = "aif_inference_engine_up", "aif_inference_scrape_errors_total"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def engine() -> Iterator[EngineServer]:
    with EngineServer() as server:
        yield server


@pytest.fixture
def workload(run_served: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Start the program with these settings of engines; scraped twice a second."""

    def start(listed: list[dict[str, Any]], further: dict[str, Any] | None = None, **engines: Any) -> Any:
        write(tmp_path, listed, further, **engines)
        return run_served("workload", "--config", str(tmp_path / "workload.yaml"))

    return start


def write(
    tmp_path: Path, listed: list[dict[str, Any]], further: dict[str, Any] | None = None, **engines: Any
) -> None:
    given = {"interval": "500ms", "deadline": "500ms", "targets": listed, **engines}
    queues = {"kubernetes": "off", "slurm": "off"}
    settings = {"interval": "500ms", "queues": queues, "engines": given, **(further or {})}
    new = tmp_path / "workload.yaml.new"
    new.write_text(yaml.safe_dump(settings))
    new.replace(tmp_path / "workload.yaml")


def values(samples: Samples, name: str, **labels: str) -> list[float]:
    """Values of the series of this name that bear these labels."""
    wanted = set(labels.items())
    return [value for (found, have), value in samples.items() if found == name and wanted <= have]


def page(node: str) -> str:
    return f"/nodes/{node}/metrics"


def test_an_engine_is_on_the_page_of_its_node_and_prometheus_is_told_where(
    workload: Callable[..., Any], engine: EngineServer, tmp_path: Path
) -> None:
    with EngineServer(LLAMACPP) as other:
        served = workload(
            [
                {"address": engine.address, "node": "n 1", "gpus": ["GPU-a", "GPU-b"], "job": "4711"},
                {"address": other.address, "model": "small"},
            ],
            further={"advertise": "workload.example:9618"},
        )
        found = served.wait_for(lambda s: values(s, UP) == [1], path="/nodes/n%201/metrics")
        own = served.wait_for(lambda s: values(s, UP) == [1])
        targets = json.loads(served.get("/targets"))
    tokens = {"engine": "vllm", "model": "tiny", "replica": engine.address}
    name = "aif_inference_tokens_total"
    assert values(found, name, kind="generation", source="computed", **tokens) == [657]
    assert values(found, name, kind="prompt", source="computed", **tokens) == [592]
    for uuid in ("GPU-a", "GPU-b"):
        assert values(found, "aif_inference_gpu_info", uuid=uuid, **tokens) == [1]
    assert values(found, "aif_inference_job_info", job_id="4711", replica=engine.address) == [1]
    assert values(found, "aif_inference_port_info", port=str(engine.port)) == [1]
    info = {"source": "config", "dialect": "vLLM 0.32.0", "replica": engine.address}
    assert values(found, "aif_inference_engine_info", **info) == [1]
    # What places an engine comes from Prometheus' target labels, never from the page.
    assert not {key for _, labels in found for key, _ in labels} & {"node", "site", "rack", "instance"}
    # The other one's node is not known: it stands beside what the program says of itself.
    assert values(own, UP, engine="llamacpp", model="small", replica=other.address) == [1]
    assert values(own, "aif_collector_up", collector="engines") == [1]
    assert not values(own, UP, replica=engine.address)
    assert targets == [
        {"targets": ["workload.example:9618"], "labels": {}},
        {
            "targets": ["workload.example:9618"],
            "labels": {"node": "n 1", "instance": "n 1", "__metrics_path__": "/nodes/n%201/metrics"},
        },
    ]
    assert served.get("/-/ready") == "ready\n"


def test_a_dead_engine_leaves_only_the_word_that_it_is_down(
    workload: Callable[..., Any], engine: EngineServer
) -> None:
    served = workload([{"address": engine.address, "node": "n1", "replica": "chat"}])
    served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
    engine.close()
    found = served.wait_for(lambda s: values(s, UP) == [0], path=page("n1"))
    assert values(found, UP, engine="vllm", model="tiny", replica="chat") == [0]
    assert not values(found, "aif_inference_tokens_total")
    assert not values(found, "aif_inference_requests_running")
    assert sum(values(found, ERRORS, replica="chat")) >= 1
    with EngineServer(port=engine.port):
        found = served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
        assert values(found, "aif_inference_tokens_total", kind="generation") == [657]
    told = [line for line in served.log.read_text().splitlines() if "engine chat" in line]
    assert sum("answers: vLLM" in line for line in told) == 2
    # However often it failed, each problem is told when it begins.
    assert 1 <= sum("WARNING" in line for line in told) <= 3


BEHAVIOURS: dict[str, tuple[Any, str]] = {
    "hangs": (hangs, "timeout"),
    "drips": (drips, "timeout"),
    "floods": (floods, "too_large"),
    "bomb": (bomb, "too_large"),
    "web-page": (answers(b"<!doctype html><p>hello", kind="text/html"), "content_type"),
    "json": (answers(b'[{"iter": 1}]', kind="application/json"), "content_type"),
    "image": (answers(b"\x89PNG", kind="image/png"), "content_type"),
    "protobuf": (answers(b"\x0a\x03", kind="application/vnd.google.protobuf"), "content_type"),
    "noise": (answers(bytes(range(1, 256)) * 100), "unrecognised"),
    "empty": (answers(b""), "unrecognised"),
    "stranger": (answers(b"# TYPE apache_accesses_total counter\napache_accesses_total 5\n"), "unrecognised"),
    "moved": (answers(b"", 302, Location="http://127.0.0.1:1/metrics"), "redirect"),
    "locked": (answers(b"", 401), "permission"),
    "forbidden": (answers(b"", 403), "permission"),
    "missing": (answers(b"", 404), "status"),
    "broken": (answers(b"", 500), "status"),
    "cut-off": (answers(VLLM[:9000], length=len(VLLM)), "truncated"),
    "half-zip": (answers(gzip.compress(VLLM)[:4000], Content_Encoding="gzip"), "truncated"),
    "no-zip": (answers(VLLM, Content_Encoding="gzip"), "encoding"),
    "brotli": (answers(VLLM, Content_Encoding="br"), "encoding"),
    "hangs-up": (hangs_up, "disconnected"),
    "no-http": (speaks_otherwise, "protocol"),
}


def test_whatever_a_server_does_is_told_of_it_alone(
    workload: Callable[..., Any], engine: EngineServer
) -> None:
    servers = {name: EngineServer() for name in BEHAVIOURS}
    try:
        for name, server in servers.items():
            server.__enter__().paths = {"/metrics": BEHAVIOURS[name][0]}
        listed = [
            {"address": server.address, "node": "bad", "replica": name} for name, server in servers.items()
        ]
        served = workload(
            [*listed, {"address": engine.address, "node": "good"}], interval="3s", deadline="2500ms"
        )
        served.wait_for(lambda s: values(s, UP) == [1], path=page("good"))
        began = time.monotonic()
        while True:  # three rounds of it, and more where a crowded machine made one of them late
            asked = time.monotonic()
            assert served.get("/-/healthy") == "ok\n"
            assert values(served.samples(page("good")), UP) == [1]
            assert time.monotonic() - asked < 3
            found = served.samples(page("bad"))
            silent = [
                n
                for n, (_, told) in BEHAVIOURS.items()
                if not any(values(found, ERRORS, replica=n, error=told))
            ]
            if not silent and asked > began + 9:
                break
            assert asked < began + 180, f"not told of: {silent}"
            time.sleep(0.5)
        memory = psutil.Process(served.process.pid).memory_info().rss
        assert memory < 400 << 20, f"{memory >> 20} MiB"
        for name, (_, kind) in BEHAVIOURS.items():
            assert values(found, UP, replica=name) == [0], name
            assert set(values(found, ERRORS, replica=name, error=kind)), name
        kinds = {dict(labels)["error"] for (name, labels), count in found.items() if name == ERRORS and count}
        assert kinds == {kind for _, kind in BEHAVIOURS.values()}
        at = engine.times()
        gaps = [later - before for before, later in pairwise(at)]
        assert max(gaps) < 9, f"the good one had to wait: {gaps}"
    finally:
        for server in servers.values():
            server.close()
    log = served.log.read_text()
    assert "Traceback" not in log
    assert "answers JSON at /metrics" in log
    assert "redirects /metrics, which is not followed" in log


def test_a_router_and_its_engine_count_each_token_once(workload: Callable[..., Any], tmp_path: Path) -> None:
    frontend, worker = recording("dynamo-1.6.1-from-source/exposition.txt"), recording("vllm-0.32.0/mid.txt")
    worker = worker.replace(b'model_name="tiny"', b'model_name="Qwen3-32B"')
    with EngineServer(frontend) as router, EngineServer(worker) as engine:
        served = workload([{"address": router.address, "node": "n1"}])
        tokens = "aif_inference_tokens_total"
        alone = served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
        assert values(alone, tokens, engine="dynamo", kind="generation") == [51200]
        both = [{"address": router.address, "node": "n1"},
                {"address": engine.address, "node": "n1", "engine": "dynamo"}]  # fmt: skip
        write(tmp_path, both)
        found = served.wait_for(
            lambda s: values(s, UP) == [1, 1] and not values(s, tokens, engine="dynamo"), path=page("n1")
        )
    # Set to be Dynamo, and a worker of it: it speaks as the engine that it is.
    assert values(found, tokens, engine="vllm", kind="generation") == [657]
    assert values(found, "aif_inference_requests_running", engine="dynamo") == []
    assert values(found, "aif_inference_time_to_first_token_seconds_count", engine="dynamo")


def test_refusals_are_counted_from_the_start(workload: Callable[..., Any], engine: EngineServer) -> None:
    served = workload([{"address": engine.address, "node": "n1"}])
    found = served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
    assert values(found, ERRORS, error="refused") == [0]


def test_compressed_answers_and_metrics_elsewhere_are_understood(workload: Callable[..., Any]) -> None:
    large = VLLM + b"".join(b'vllm:lora_requests_info{number="%d"} 1\n' % number for number in range(20_000))
    with (
        EngineServer() as zipped,
        EngineServer(path="/v1/metrics") as elsewhere,
        EngineServer(large) as long,
    ):
        zipped.paths["/metrics"] = packed(VLLM)
        served = workload(
            [
                {"address": zipped.address, "node": "n1"},
                {"address": elsewhere.address, "node": "n1"},
                {"address": long.address, "node": "n1"},
                {"address": f"http://{elsewhere.address}/v1/metrics", "node": "n1", "replica": "by-path"},
            ]
        )
        found = served.wait_for(lambda s: values(s, UP).count(1.0) == 4, path=page("n1"))
        # Where it was found, it is asked again.
        asked = len(elsewhere.asked)
        while len(elsewhere.asked) <= asked + 6:
            time.sleep(0.1)
        assert values(served.samples(page("n1")), UP) == [1.0] * 4
    assert values(found, "aif_inference_tokens_total", kind="generation") == [657] * 4


def test_the_health_route_is_asked_apart_and_never_guessed(
    workload: Callable[..., Any], engine: EngineServer
) -> None:
    name = "aif_inference_engine_healthy"
    with EngineServer() as silent:
        engine.paths["/ill"] = answers(b"", 503)
        silent.paths["/health"] = hangs
        served = workload(
            [
                {"address": engine.address, "node": "n1", "replica": "ill", "health": "/ill"},
                {"address": engine.address.replace("127.0.0.1", "localhost"), "node": "n1", "health": "off"},
                {"address": silent.address, "node": "n1", "replica": "silent"},
            ]
        )
        found = served.wait_for(lambda s: bool(values(s, name)), path=page("n1"))
        deadline = time.monotonic() + 60
        while not silent.times("/health"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(2.5)
        found = served.samples(page("n1"))
    assert values(found, name, replica="ill") == [0]
    assert len(values(found, name)) == 1
    assert values(found, UP) == [1, 1, 1]


def test_settings_are_read_again_and_wrong_ones_change_nothing(
    workload: Callable[..., Any], engine: EngineServer, tmp_path: Path
) -> None:
    with EngineServer(LLAMACPP) as other:
        listed = [{"address": engine.address, "node": "n1"}]
        served = workload(listed)
        served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
        before = len(engine.times())
        write(tmp_path, [*listed, {"address": other.address, "node": "n2", "model": "m"}])
        os.kill(served.process.pid, signal.SIGHUP)
        wait(lambda: "n2" in served.get("/targets"))
        served.wait_for(lambda s: values(s, UP) == [1], path=page("n2"))
        # The one that stayed was neither dropped nor begun anew.
        assert "engine " + engine.address + " answers" in served.log.read_text()
        assert served.log.read_text().count(f"engine {engine.address} answers") == 1
        wait(lambda: len(engine.times()) > before)

        write(tmp_path, listed, interval="none of it")
        own = served.wait_for(lambda s: values(s, "aif_collector_up", collector="settings") == [0])
        assert values(own, "aif_collector_errors_total", collector="settings", error="reload") == [1]
        assert "workload.yaml:" in served.log.read_text()
        assert values(served.samples(page("n2")), UP) == [1]

        write(tmp_path, listed)
        served.wait_for(lambda s: values(s, "aif_collector_up", collector="settings") == [1])
        wait(lambda: "n2" not in served.get("/targets"))
    with pytest.raises(urllib.request.HTTPError, match="404"):
        served.get(page("n2"))


def test_secrets_are_shown_to_the_engine_and_to_nobody_else(
    workload: Callable[..., Any], engine: EngineServer, tmp_path: Path
) -> None:
    def guarded(ask: Any) -> None:
        allowed = ask.headers.get("Authorization") == "Bearer the-secret-token"
        answers(VLLM if allowed else b"", 200 if allowed else 401)(ask)

    engine.paths["/metrics"] = guarded
    (tmp_path / "token").write_text("the-secret-token\n")
    served = workload([{"address": engine.address, "node": "n1", "bearer_token_file": "token"}])
    found = served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
    (tmp_path / "token").write_text("the-secret-\ntoken\x00")
    served.wait_for(lambda s: bool(values(s, ERRORS, error="credentials")), path=page("n1"))
    (tmp_path / "token").write_text("another-secret-token")
    served.wait_for(lambda s: bool(values(s, ERRORS, error="permission")), path=page("n1"))
    everything = served.get() + served.get(page("n1")) + served.get("/targets") + served.log.read_text()
    assert "secret-" not in everything
    assert found


def test_it_ends_when_told_and_prints_once(
    engine: EngineServer, workload: Callable[..., Any], tmp_path: Path
) -> None:
    with EngineServer() as hanging:
        hanging.paths["/metrics"] = hangs
        listed = [{"address": engine.address, "node": "n1"}, {"address": hanging.address}]
        served = workload(listed, deadline="500ms")
        served.wait_for(lambda s: values(s, UP) == [1], path=page("n1"))
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
        assert time.monotonic() - began < 10
        assert "Traceback" not in served.log.read_text()
        done = run("--config", str(tmp_path / "workload.yaml"), "--once")
    assert done.returncode == 0, done.stderr
    assert (
        f'aif_inference_engine_up{{engine="vllm",model="tiny",replica="{engine.address}"}} 1.0' in done.stdout
    )
    assert (
        f'aif_inference_engine_up{{engine="unknown",model="",replica="{hanging.address}"}} 0.0' in done.stdout
    )
    heads = [line for line in done.stdout.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gigawatch.cli", "workload", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def wait(met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("engines: {targets: [{address: nowhere}]}", "engines.targets[0]: 'nowhere' names no port"),
        (
            "engines: {targets: [{address: 'http://u:hunter2@h:1'}]}",
            "engines.targets[0].address: holds a user",
        ),
        (
            "engines: {targets: [{address: 'h:1', engine: vlm}]}",
            "engine: 'vlm' is no engine that is known; allowed",
        ),
        ("engines: {targets: [{address: 'h:1', tls: {cert_file: a}}]}", "cert_file and key_file go together"),
        ("engines: {targets: [{address: 'h:1'}, {address: 'h:1'}]}", "are both 'h:1'"),
        (
            "engines: {targets: [{address: 'h:1', pathh: /m}]}",
            "pathh: is not a known field; known here: address,",
        ),
        ("engines: {deadline: 20s}", "deadline 20s is longer than interval 10s"),
        ("engines: {http_sd: [{url: 'file:///etc/passwd'}]}", "is no URL"),
        ("engines: {objectives: [{time_to_first_token: {seconds: 1, share: 2}}]}", "share"),
        ("queues: {slurm: maybe}", "allowed: 'auto', 'on' or 'off'"),
        ("listen: nowhere", "listen"),
    ],
)
def test_wrong_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    config = tmp_path / "w.yaml"
    config.write_text(text)
    assert main(["workload", "--config", str(config), "--once"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert str(config) in said
    assert told in said
    assert "hunter2" not in said
