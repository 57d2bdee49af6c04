"""The service against a real Prometheus: findings, incidents, restarts, an outage."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest

from analytics.serving.serve import build_service
from analytics.serving.settings import PrometheusSettings, Settings
from analytics.serving.state import FILE
from gigawatch.catalogue import findings, gpu, own, site, workload
from gigawatch.promql import recording
from gigawatch.readings import Reading
from gigawatch.serving import CONTENT_TYPE, App, Request, Response, render, serve

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


class Exporter:
    """Four GPUs of one node as a page; the power and the temperatures may be changed."""

    def __init__(self) -> None:
        self.temperature = [58.0, 59.0, 57.0, 58.0]
        app = App()
        app.route("GET", "/metrics", lambda _: Response(self.page(), CONTENT_TYPE))
        self.running = serve(app, "127.0.0.1:0")

    def page(self) -> bytes:
        rows = [Reading(site.NODE_INFO, ("n1", "r1", "a", "h", "U1", "loop-1", "", ""), 1.0)]
        for i, celsius in enumerate(self.temperature):
            key = (str(i), f"GPU-{i}")
            rows += [
                Reading(gpu.GPU_POWER, (*key, "gpu"), 600.0 + i),
                Reading(gpu.GPU_TEMPERATURE, (*key, "core"), celsius),
                Reading(gpu.GPU_TEMPERATURE_MARGIN, key, 87 - celsius),
                Reading(
                    workload.GPU_ALLOCATION_INFO,
                    (*key, "slurm", "", "", "", "job-7", "ada", "", "training", ""),
                    1.0,
                ),
            ]
        # The recording rules of the stack are not loaded here: their result stands in for them.
        text = render(rows).decode()
        return f'{text}{recording.LOOP_SUPPLY.name}{{loop="loop-1"}} 30\n'.encode()


def scraped(url):
    question = f"{url}/api/v1/query?query=count_over_time({gpu.GPU_POWER.name}[1m])>2"
    try:
        with urllib.request.urlopen(question, timeout=10) as answer:
            return bool(json.load(answer)["data"]["result"])
    except OSError:
        return False


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    exporter = Exporter()
    folder = tmp_path_factory.mktemp("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        "- job_name: gigawatch-agent\n"
        "  static_configs:\n"
        f"  - targets: ['127.0.0.1:{exporter.running.port}']\n"
        "    labels: {site: s, rack: r1, node: n1}\n"
        "  honor_labels: true\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        # The service asks for jobs only now and then: what it is to find is there before it begins.
        end = time.monotonic() + 60
        while not scraped(url):
            assert process.poll() is None, "Prometheus ended"
            assert time.monotonic() < end, "Prometheus has no samples"
            time.sleep(0.1)
        yield url, exporter
    finally:
        process.kill()
        process.wait()
        exporter.running.close()


def service(url, state, **more):
    settings = Settings(prometheus=PrometheusSettings(url=url, timeout=30), state=state, interval=1, **more)
    return build_service(settings)


def until(step, wanted, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        step()
        if wanted():
            return
        time.sleep(0.1)
    raise AssertionError("did not happen in time")


def value(page: bytes, metric, **labels):
    for line in page.decode().splitlines():
        if line.startswith(metric.name) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(re.search(r" ([^ ]+)$", line)[1])
    return None


def test_reads_scores_exposes_and_remembers(prometheus, tmp_path):
    url, _ = prometheus
    one = service(url, tmp_path)
    one.start()
    assert one._engine.latest > time.time() - 60, "no history"
    until(one.step, lambda: one.own.series.get("temperature") == 4)
    gpus = one._engine.fleet["gpu"]
    assert gpus.labels["loop"] == ["loop-1"] * 4
    assert gpus.labels["rack"] == ["r1"] * 4
    until(one.step, lambda: gpus.labels["job"] == ["job-7"] * 4)
    page = one.exposition()
    assert value(page, own.EXPORTER_BUILD_INFO, program="analytics") == 1
    assert value(page, findings.ANALYTICS_SERIES, signal="power") == 4
    assert value(page, findings.ANALYTICS_ERRORS, reason="query") == 0
    # Watched from the first run on, judged once it is known; the page of findings says which.
    labels = {"detector": "thermal_resistance", "signal": "temperature"}
    assert value(page, findings.ANALYTICS_WATCHED, **labels) == 4
    assert value(page, findings.ANALYTICS_JUDGED, **labels) == 0
    told = json.loads(one.app()(Request("GET", "/api/incidents", {}, {}, b"")).body)
    assert told["judged_at"] == one.own.last_success
    assert {"detector": "thermal_resistance", "signal": "core temperature", "things": "gpu", "judged": 0,
            "watched": 4} in told["learning"]  # fmt: skip
    assert one.app()(Request("GET", "/-/ready", {}, {}, b"")).status == 200
    check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True)
    assert check.returncode in (0, 3), check.stdout + check.stderr
    assert b"error" not in check.stderr.lower()
    one.save()
    assert one.own.state_saved
    _, arrays = one._store.load()
    for detector in one._engine.detectors:
        for key, kept in detector.state().items():
            np.testing.assert_array_equal(arrays[f"{detector.name}/{key}"], kept)
    two = service(url, tmp_path)
    two.start()
    assert two.own.errors["state"] == 0
    assert two._engine.latest >= one._engine.latest
    assert two._engine.fleet["gpu"].keys == gpus.keys


def test_an_outage_drops_the_findings_and_is_counted(prometheus, tmp_path):
    url, _ = prometheus
    one = service(url, tmp_path)
    one.start()
    until(one.step, lambda: one.own.last_success is not None)
    one._findings = b"aif_anomaly_score 0.5\n"
    one._source._prometheus.url = "http://127.0.0.1:9"
    assert one.step() is None
    page = one.exposition()
    assert findings.ANOMALY_SCORE.name.encode() not in page
    assert value(page, findings.ANALYTICS_ERRORS, reason="query") >= 1
    assert value(page, findings.ANALYTICS_JUDGED) is None
    one._source._prometheus.url = url
    assert one.step() is not None


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 40])
def test_damaged_state_is_one_line_and_a_fresh_start(prometheus, tmp_path, caplog, content):
    url, _ = prometheus
    (tmp_path / FILE).write_bytes(content)
    one = service(url, tmp_path)
    one.start()
    assert one.own.errors["state"] == 1
    lines = [record.getMessage() for record in caplog.records if "state" in record.getMessage()]
    assert len(lines) == 1
    assert "starting afresh" in lines[0]
    assert "\n" not in lines[0]
    until(one.step, lambda: one.own.last_success is not None)


def test_state_of_another_version_or_shape_is_refused(prometheus, tmp_path):
    url, _ = prometheus
    one = service(url, tmp_path)
    one.start()
    until(one.step, lambda: one.own.last_success is not None)
    one.save()  # none is being written any more
    header, arrays = one._engine.dump()
    arrays.pop(next(key for key in arrays if key.startswith("peers")))
    one._store.save(header, arrays)
    two = service(url, tmp_path)
    two.start()
    assert two.own.errors["state"] == 1
    until(two.step, lambda: two.own.last_success is not None)


def test_shards_split_the_nodes_and_lose_none(prometheus, tmp_path):
    url, _ = prometheus
    counts = []
    for i in range(2):
        one = service(url, tmp_path / str(i), shard=f"{i}/2")
        until(one.step, lambda one=one: one.own.last_success is not None)
        counts.append(len(one._engine.fleet["gpu"]))
        assert one.own.errors["query"] == 0
    assert sorted(counts) == [0, 4]
