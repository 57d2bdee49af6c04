"""Hours that a real Prometheus keeps: models of them, an outage that is made up for, a mark on a finding."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from prometheus_run import Prometheus as Server
from prometheus_run import free_port

from analytics.detectors import Detector, Verdict
from analytics.engine import Engine
from analytics.fleet import Fleet, Level
from analytics.fleet.columns import Columns
from analytics.ingest.prometheus import Prometheus
from analytics.ingest.source import Source
from analytics.models.storage import load_model
from analytics.serving.service import Service
from analytics.serving.settings import Settings
from analytics.serving.state import StateStore
from gigawatch.catalogue import findings, gpu, site
from gigawatch.catalogue.model import Metric
from gigawatch.cli import main

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
STEP = 30.0
PAST, AHEAD = 4 * 3600.0, 1800.0
"""Seconds of history, and of time to come in which the tests live: nothing is scraped meanwhile."""
NODES, GPUS = ("n1", "n2"), 4
SICK = "GPU-n2-3"


def watts(index: int, sample: int) -> float:
    """Another power at every sample and GPU: which one an answer holds tells when it is from."""
    return 300.0 + index + 10.0 * (sample % 37)


@dataclass(frozen=True)
class Site:
    """A server that holds a small fleet's last hours; when they begin (Unix time)."""

    url: str
    begin: float

    def sample_at(self, now: float) -> int:
        return int((now - self.begin) // STEP)


def _lines(begin: float, samples: int) -> Iterator[str]:
    at = [begin + i * STEP for i in range(samples)]
    places = [(node, str(i)) for node in NODES for i in range(GPUS)]

    def series(metric: Metric, values: list[float], first: int = 0, **labels: str) -> Iterator[str]:
        text = ",".join(f'{name}="{value}"' for name, value in {"site": "s", "rack": "r1", **labels}.items())
        for when, value in list(zip(at, values, strict=True))[first:]:
            yield f"{metric.name}{{{text}}} {value} {when}"

    for node in NODES:
        yield from series(
            site.NODE_INFO, [1.0] * samples, node=node, row="a", hall="h", loop="loop-1", job="sd"
        )
    for index, (node, number) in enumerate(places):
        own = {"node": node, "gpu": number, "uuid": f"GPU-{node}-{number}"}
        power = [watts(index, i) for i in range(samples)]
        hot = [40.0 + 0.03 * value for value in power]
        yield from series(gpu.GPU_POWER, power, scope="gpu", **own)
        yield from series(gpu.GPU_TEMPERATURE, hot, sensor="core", **own)
        yield from series(gpu.GPU_TEMPERATURE_MARGIN, [87 - value for value in hot], **own)
        if own["uuid"] == SICK:
            yield from series(
                gpu.GPU_ROW_REMAP_FAILED, [1.0] * samples, first=int((PAST - 600.0) / STEP), **own
            )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("history")
    begin = (time.time() - PAST) // STEP * STEP
    lines = sorted(_lines(begin, int((PAST + AHEAD) / STEP)), key=lambda line: line.partition("{")[0])
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF\n"]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "history.txt", folder / "data"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 30s}\n")
    with Server(folder) as server:
        server.until(gpu.GPU_POWER.name, 20)
        yield Site(server.url, begin)


def test_models_are_trained_from_what_prometheus_keeps(
    history: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, end = history.begin + 600.0, history.begin + 3.5 * 3600.0
    asked = ["--from", str(begin), "--to", str(end), "--step", "60s", "--out", str(tmp_path), "--json"]
    assert main(["analytics", "train", "--history-from-prometheus", history.url, *asked]) == 0
    cards = {card["model"]: card for card in json.loads(capsys.readouterr().out)}
    for card in cards.values():
        assert card["data"]["from"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin))
        assert card["data"]["to"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end - 60.0))
    scores = cards["state"]["scores"]
    assert (scores["gpus"], scores["gpus_present_at_the_end"], scores["step_seconds"]) == (8, 8, 60.0)
    assert cards["nodes"]["nodes"] == list(NODES)
    _, about = load_model(tmp_path / "nodes" / cards["nodes"]["file"])
    assert (about.begin, about.end) == (begin, end - 60.0)
    engine = Engine()
    assert engine.load(*StateStore(tmp_path).load()) == [], "the service starts from it"
    assert engine.latest == end - 60.0
    gpus = engine.fleet[Level.GPU]
    assert set(gpus.labels["loop"]) == {"loop-1"}
    assert len(gpus) == 8


class Notes(Detector):
    """Notes the ticks it was shown."""

    name = "notes"

    def __init__(self) -> None:
        super().__init__()
        self.table("gpus", Level.GPU, Columns({"n": ()}))
        self.seen: list[tuple[float, np.ndarray]] = []

    def observe(self, tick):
        self.seen.append((tick.now, tick.value("power", Level.GPU).copy()))
        return Verdict()


def _noting(history: Site, state: Path) -> tuple[Service, Notes]:
    notes = Notes()
    engine = Engine([notes], Fleet())
    source = Source(Prometheus(history.url), engine.fleet)
    settings = Settings(interval=5.0, warm_up=5.0)
    return Service(source, engine, StateStore(state), settings), notes


def test_ten_minutes_that_were_lost_are_read_tick_by_tick(history: Site, tmp_path: Path) -> None:
    stopped = time.time() - 600.0
    before, _ = _noting(history, tmp_path)
    for tick in before._source.history(stopped - 60.0, stopped, 5.0):
        before._engine.run(tick)
    before.save()
    after, notes = _noting(history, tmp_path)
    after.start()
    assert notes.seen == [], "what is older than the warm-up is caught up with while it runs"
    while after.own.last_success is None:
        after.step()
    assert sum(after.own.errors.values()) == 0
    assert after.own.catch_up == 0
    times = np.array([now for now, _ in notes.seen])
    np.testing.assert_allclose(times[:-1], stopped + 5.0 * np.arange(1, len(times)), atol=0.01)
    assert times[-1] == pytest.approx(time.time(), abs=5.0)
    assert times[-1] - times[-2] < 10.0, "no gap between what was missed and now"
    uuids = after._engine.fleet[Level.GPU].keys
    order = [f"GPU-{node}-{i}" for node in NODES for i in range(GPUS)]
    for now, values in notes.seen:
        told = dict(zip(uuids, values, strict=True))
        assert [told[uuid] for uuid in order] == [watts(i, history.sample_at(now)) for i in range(8)]


@contextmanager
def serving(history: Site, state: Path) -> Iterator[str]:
    """The real command in a process of its own, ended as systemd does; its address."""
    url = f"http://127.0.0.1:{free_port()}"
    command = ["analytics", "serve", "--prometheus", history.url, "--state", str(state), "--interval", "1s"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gigawatch.cli", *command, "--listen", url.removeprefix("http://")],
        env={**os.environ, "GIGAWATCH_ANALYTICS_WARM_UP": "30s"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield url
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.wait()


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except ConnectionError:
        return ""
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):  # not up yet
            return ""
        raise


T = TypeVar("T")


def _soon(what: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + 300  # where nothing is compiled yet
    while True:
        found = what()
        if found is not None:
            return found
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def _only_incident(url: str) -> dict[str, Any]:
    def ask() -> dict[str, Any] | None:
        text = _get(f"{url}/api/incidents")
        found = json.loads(text)["open"] if text else []
        assert len(found) < 2, found
        return found[0] if found else None

    return _soon(ask)


def _page_with_findings(url: str) -> str:
    def ask() -> str | None:
        page = _get(f"{url}/metrics")
        return page if findings.INCIDENT_INFO.name in page else None

    return _soon(ask)


def test_a_mark_outlives_the_process(
    history: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(history, tmp_path) as url:
        found = _only_incident(url)
        assert (found["cause"], found["place"], found["state"]) == ("memory", "n2/gpu3", "open")
        marked = ["analytics", "mark", found["name"], "known", "--note", "a spare is ordered", "--by", "ada"]
        assert main([*marked, "--until", "2d", "--analytics", url]) == 0
        assert "is marked known" in capsys.readouterr().out
    with serving(history, tmp_path) as url:
        again = _only_incident(url)
        assert (again["name"], again["state"], again["opened"]) == (found["name"], "known", found["opened"])
        assert [(one["verdict"], one["by"], one["note"]) for one in again["marks"]] == [
            ("known", "ada", "a spare is ordered")
        ]
        assert [one["text"] for one in again["events"]][:2] == [
            "opened",
            "marked known by ada: a spare is ordered",
        ]
        page = _page_with_findings(url)
        for metric in (findings.INCIDENT_KNOWN_INFO, findings.KNOWN_GPU_INFO):
            told = [line for line in page.splitlines() if line.startswith(metric.name)]
            assert len(told) == 1, metric.name
            assert 'reason="marked_known"' in told[0]
