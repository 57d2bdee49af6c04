"""A real Prometheus that scrapes a small exporter, a viewer in front of it, and a real browser."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from facility_series import Facility
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboards.viewer import Settings, build_app
from gigawatch.serving import App, Response, Running, serve

EXPOSITION = b"""# TYPE demo_power_watts gauge
demo_power_watts{site="s1",rack="r1",node="n1"} 1500
demo_power_watts{site="s1",rack="r1",node="n2"} 2500
demo_power_watts{site="s1",rack="r2",node="n3"} 7000
demo_power_watts{site="s2",rack="r.9",node="n4"} 90
# TYPE demo_temperature_celsius gauge
demo_temperature_celsius{site="s1",rack="r1"} 41
demo_temperature_celsius{site="s1",rack="r2"} 85.5
# TYPE demo_state gauge
demo_state{site="s1",rack="r1"} 0
demo_state{site="s1",rack="r2"} 2
"""
STEPS = {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": "red", "value": 80}]}
PLANT = Facility(racks=3, nodes=2, units=24)
PLANT.override = {
    PLANT.name("aif_ups_status", device="ups-a", state="online"): 0,
    PLANT.name("aif_ups_status", device="ups-a", state="on_battery"): 1,
    PLANT.name("aif_breaker_state", device="pdu-r02-b", id="main", state="tripped"): 1,
    PLANT.name("aif_breaker_state", device="pdu-r02-b", id="main", state="off"): 0,
    PLANT.name("device:aif_power_active_watts:inlet", device="pdu-r02-b", side="B", rack="r02"): 0,
    PLANT.name("rack:aif_power_sides:live", rack="r02"): 1,
    PLANT.name("rack:aif_power_failover:ratio", rack="r03"): 1.12,
    PLANT.name("aif_poll_up", device="pdu-r03-a"): 0,
    PLANT.name(
        "aif_air_temperature_celsius", rack="r03", node="r03-n02", position="inlet", device="bmc-r03-n02"
    ): 33.4,
    PLANT.name(
        "aif_maintenance_until_timestamp_seconds", scope="rack", place="r01", reason="new manifold"
    ): 4_000_000_000,
    PLANT.name("aif_pump_running", device="cdu-01-b", pump="1"): 0,
    PLANT.name("aif_pump_running", device="cdu-01-b", pump="2"): 0,
    PLANT.name("loop:aif_cooling_redundancy:ratio", loop="loop-01"): 1.3,
    PLANT.name("loop:aif_time_to_throttle_seconds:trend", loop="loop-01"): 640,
}
"""A small facility with something wrong in each chain."""
GENERATED = Path(__file__).parents[3] / "dashboards" / "generated"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def until(check: Callable[[], object], seconds: float = 60.0, what: str = "condition") -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.1)


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Prometheus:
    """A Prometheus process that can be stopped and started again with its data."""

    folder: Path
    target: str
    port: int = field(default_factory=free_tcp_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        rules = {
            "groups": [
                {
                    "name": "demo",
                    "interval": "1s",
                    "rules": [
                        {
                            "alert": "RackHot",
                            "expr": "demo_temperature_celsius > 80",
                            "labels": {"severity": "critical", "place": "{{ $labels.rack }}"},
                            "annotations": {"summary": "Rack {{ $labels.rack }} is hot"},
                        }
                    ],
                }
            ]
        }
        (self.folder / "rules.json").write_text(json.dumps(rules))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.json"],
            "scrape_configs": [{"job_name": "demo", "static_configs": [{"targets": [self.target]}]}],
        }
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: self.has("ALERTS"), what="first samples and alert")

    def has(self, query: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?query={query}", timeout=10) as answer:
                return bool(json.load(answer)["data"]["result"])
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    app = App()
    exposition = EXPOSITION + PLANT.text()
    app.route("GET", "/metrics", lambda _: Response(exposition, "text/plain; version=0.0.4"))
    exporter = serve(app, "127.0.0.1:0")
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), f"127.0.0.1:{exporter.port}")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        exporter.close()


def panel(number: int, kind: str, expr: str, x: int, y: int, w: int = 8, **more: Any) -> dict[str, Any]:
    """A panel with one query; instant for everything that shows one figure."""
    target = {
        "refId": "A",
        "datasource": SOURCE,
        "expr": expr,
        "legendFormat": more.pop("legend", "{{rack}}"),
        "instant": kind in ("stat", "gauge", "bargauge", "table"),
        "range": kind in ("timeseries", "state-timeline"),
        "format": "table" if kind == "table" else "time_series",
    }
    return {
        "id": number,
        "type": kind,
        "title": f"{kind} {number}",
        "description": "What is it?",
        "gridPos": {"x": x, "y": y, "w": w, "h": more.pop("h", 6)},
        "datasource": SOURCE,
        "targets": [target],
        "options": more.pop("options", {}),
        "fieldConfig": more.pop("fieldConfig", {"defaults": {"unit": "watt", "thresholds": STEPS}}),
        **more,
    }


def _variable(name: str, query: str, multi: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.title(),
        "type": "query",
        "query": query,
        "multi": multi,
        "includeAll": multi,
        "refresh": 2,
        "sort": 7,
        **({"allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}} if multi else {}),
    }


def boards() -> list[dict[str, Any]]:
    """Two boards that use every panel type: the whole site, and one rack."""
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        _variable("site", "label_values(demo_power_watts, site)"),
        _variable("rack", 'label_values(demo_power_watts{site="$site"}, rack)', multi=True),
    ]
    link = {
        "title": "Open this rack",
        "url": "/d/rack/one-rack?var-site=${site}&var-rack=${__data.fields.Rack}&${__url_time_range}",
    }
    selector = '{site="$site",rack=~"$rack"}'
    table = panel(
        5,
        "table",
        f"demo_temperature_celsius{selector}",
        0,
        14,
        fieldConfig={
            "defaults": {"custom": {"cellOptions": {"type": "auto"}}},
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": "Rack"},
                    "properties": [{"id": "links", "value": [link]}],
                },
                {
                    "matcher": {"id": "byName", "options": "Temperature"},
                    "properties": [
                        {"id": "unit", "value": "celsius"},
                        {"id": "thresholds", "value": STEPS},
                        {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
                    ],
                },
            ],
        },
        transformations=[
            {
                "id": "organize",
                "options": {
                    "excludeByName": {
                        "Time": True,
                        "__name__": True,
                        "instance": True,
                        "job": True,
                        "site": True,
                    },
                    "renameByName": {"rack": "Rack", "Value": "Temperature"},
                },
            }
        ],
    )
    states = {"0": {"text": "fine", "color": "green"}, "2": {"text": "broken", "color": "red"}}
    mapping = {"defaults": {"mappings": [{"type": "value", "options": states}]}}
    site = {
        "uid": "site",
        "title": "Whole site",
        "description": "All of it",
        "tags": ["demo"],
        "timezone": "utc",
        "time": {"from": "now-5m", "to": "now"},
        "refresh": "5s",
        "timepicker": {"refresh_intervals": ["1s"]},
        "templating": {"list": variables},
        "annotations": {
            "list": [{"name": "Alerts", "expr": "ALERTS", "enable": True, "titleFormat": "{{alertname}}"}]
        },
        "panels": [
            {"id": 90, "type": "row", "title": "Now", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
            panel(1, "stat", f"sum(demo_power_watts{selector})", 0, 1, legend="all"),
            panel(2, "gauge", f"max(demo_temperature_celsius{selector})", 8, 1),
            panel(3, "bargauge", f"sum by (rack) (demo_power_watts{selector})", 16, 1),
            panel(
                4,
                "timeseries",
                f"sum by (rack) (rate(demo_power_watts{selector}[$__rate_interval])) * 0 + "
                f"sum by (rack) (demo_power_watts{selector})",
                0,
                7,
                w=12,
                h=7,
                options={
                    "legend": {"displayMode": "table", "calcs": ["lastNotNull"], "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                },
                fieldConfig={
                    "defaults": {
                        "unit": "watt",
                        "thresholds": {
                            **STEPS,
                            "steps": [*STEPS["steps"][:1], {"color": "#ff00ff", "value": 5000}],
                        },
                        "custom": {"thresholdsStyle": {"mode": "line"}},
                    }
                },
            ),
            panel(6, "state-timeline", f"demo_state{selector}", 12, 7, w=12, h=7, fieldConfig=mapping),
            table,
            {
                "id": 7,
                "type": "text",
                "title": "Words",
                "gridPos": {"x": 8, "y": 14, "w": 8, "h": 6},
                "options": {"mode": "markdown", "content": "# Site $site\n\n- **bold** <b>not markup</b>"},
            },
            panel(8, "stat", 'demo_power_watts{rack="nowhere"}', 16, 14),
            panel(9, "stat", "sum(((", 20, 14, w=4),
            {
                "id": 91,
                "type": "row",
                "title": "Folded",
                "collapsed": True,
                "gridPos": {"x": 0, "y": 20, "w": 24, "h": 1},
                "panels": [panel(10, "stat", f"count(demo_power_watts{selector})", 0, 21)],
            },
        ],
    }
    rack = {
        "uid": "rack",
        "title": "One rack",
        "tags": ["demo"],
        "timezone": "utc",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": [panel(1, "stat", f"sum(demo_power_watts{selector})", 0, 0)],
    }
    return [site, rack]


@contextmanager
def viewer_for(folder: Path, prometheus_url: str, **more: Any) -> Iterator[Running]:
    running = serve(build_app(Settings(folder, prometheus_url, scrape_interval=1.0, **more)), "127.0.0.1:0")
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def board_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boards")
    for board in boards():
        (folder / f"{board['uid']}.json").write_text(json.dumps(board))
    return folder


@pytest.fixture(scope="session")
def viewer(board_folder: Path, prometheus: Prometheus) -> Iterator[Running]:
    with viewer_for(board_folder, prometheus.url) as running:
        yield running


@pytest.fixture(scope="session")
def generated_viewer(prometheus: Prometheus) -> Iterator[Running]:
    """The viewer with the boards that Gigawatch ships."""
    with viewer_for(GENERATED, prometheus.url) as running:
        yield running


# For one file: while it lives, Playwright keeps an event loop in this thread, and other tests want their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    # Generous, for machines that do much else; what comes sooner is taken sooner.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield started
        started.close()


@dataclass
class Watched:
    """A page, and everything it did that a reader would not see."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    queries: list[list[str]] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("html[data-round]", timeout=60_000)

    def round(self) -> int:
        return int(self.page.locator("html").get_attribute("data-round") or 0)

    def after_round(self, act: Callable[[], object]) -> None:
        """Do something that asks Prometheus anew, and wait for the answers."""
        before = self.round()
        act()
        self.await_round(before + 1)

    def await_round(self, number: int) -> None:
        until(lambda: self.round() >= number, what=f"round {number} of queries")

    def panel(self, number: int) -> Any:
        return self.page.locator(f"#panel-{number}")


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    seen = Watched(page)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console", lambda line: seen.errors.append(line.text) if line.type in ("error", "warning") else None
    )

    def note(request: Any) -> None:
        seen.requests.append(request.url)
        if request.url.endswith("/api/prom/batch"):
            seen.queries.append([query["query"] for query in json.loads(request.post_data)["queries"]])

    page.on("request", note)
    yield seen
    context.close()
