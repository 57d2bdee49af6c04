"""Routing, grouping and muting, judged by the real amtool and a real Alertmanager that posts to a webhook."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from alerts.alertmanager import configuration
from alerts.inhibitions import INHIBITIONS
from alerts.rules import all_alerts
from gigawatch.artifacts import BuildOptions

AMTOOL = shutil.which("amtool") or "amtool"
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("am") / "alertmanager.yml"
    path.write_text(configuration(BuildOptions()))
    return path


def test_amtool_accepts_the_configuration(config: Path) -> None:
    done = subprocess.run([AMTOOL, "check-config", str(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=Watchdog", "severity=none"), "dead-mans-switch"),
        (("alertname=CduFailed", "severity=critical", "scope=loop"), "pager"),
        (("alertname=ProcessDown", "severity=critical", "scope=process"), "pager"),
        (("alertname=PsuLost", "severity=warning", "scope=node"), "tickets"),
        (("alertname=StorageSlow", "severity=warning", "scope=site"), "tickets"),
        (("alertname=NodeRebooted", "severity=info", "scope=node"), "digest"),
        (("alertname=FromSomebodyElse",), "tickets"),
    ],
)
def test_each_class_of_alert_reaches_its_receiver(
    config: Path, labels: tuple[str, ...], receiver: str
) -> None:
    done = subprocess.run(
        [AMTOOL, "config", "routes", "test", f"--config.file={config}",
         f"--verify.receivers={receiver}", *labels],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_inhibition_has_alerts_that_carry_its_labels() -> None:
    alerts = {alert.name: alert for alert in all_alerts()}
    named = {name for alert in all_alerts() for name in alert.symptom_of}
    assert named == {inhibition.name for inhibition in INHIBITIONS}
    for inhibition in INHIBITIONS:
        assert inhibition.equal
        for name in (*inhibition.sources, *inhibition.targets):
            missing = [label for label in inhibition.equal if label not in alerts[name].labels]
            assert not missing, (inhibition.name, name, missing)
        assert not set(inhibition.sources) & set(inhibition.targets), inhibition.name


class Listener:
    """Collects what Alertmanager posts."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def pages(self, site: str) -> list[dict]:
        return [
            body
            for path, body in self.received
            if path == "/webhook/page" and body["commonLabels"].get("site") == site
        ]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Listener, str]]:
    """One Alertmanager for all tests: each plays on a site of its own."""
    tmp_path = tmp_path_factory.mktemp("alertmanager")
    if ALERTMANAGER is None:
        pytest.skip("Alertmanager is not installed")
    listener, port = Listener(), free_port()
    config = yaml.safe_load(configuration(BuildOptions(pace=0.2, pager_url=listener.url)))
    # The rules as they are; only the waiting is shortened, so that the test takes seconds.
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"], route["group_interval"] = "1s", "1s"
    (tmp_path / "am.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [ALERTMANAGER, f"--config.file={tmp_path / 'am.yml'}", f"--storage.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait(lambda: answers(f"{url}/-/ready"))
        yield listener, url
    finally:
        process.terminate()
        process.wait(10)
        listener.server.shutdown()
        listener.server.server_close()


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


def wait(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def post(url: str, alerts: list[dict[str, str]], ended: bool = False) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    body = [{"labels": labels, **({"endsAt": stamp} if ended else {})} for labels in alerts]
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    assert urllib.request.urlopen(request, timeout=5).status == 200


def labels(name: str, place: str, site: str, **more: str) -> dict[str, str]:
    alert = next(a for a in all_alerts() if a.name == name)
    return {"alertname": name, "severity": alert.severity, "domain": alert.domain, "scope": alert.scope,
            "site": site, "place": place, **more}  # fmt: skip


def hot_gpus(site: str, loop: str, node: str) -> list[dict[str, str]]:
    more = {"rack": "r1", "node": node, "loop": loop, "hall": "h1"}
    return [labels("GpuThermalSlowdown", f"{node}/gpu{i}", site, gpu=str(i), **more) for i in range(8)]


def failed_unit(site: str) -> dict[str, str]:
    return labels("CduFailed", "loop-1", site, loop="loop-1", device="cdu-1", hall="h1", feed="utility-a")


def test_a_failed_coolant_unit_is_one_page_and_ends_as_one(stack: tuple[Listener, str]) -> None:
    listener, url = stack
    slow = labels("CoolantFlowLow", "loop-1", "s1", loop="loop-1", hall="h1", feed="utility-a")
    alerts = [failed_unit("s1"), *hot_gpus("s1", "loop-1", "n1"), *hot_gpus("s1", "loop-1", "n2"), slow]
    post(url, alerts)
    wait(lambda: listener.pages("s1"))
    time.sleep(2.5)
    assert [page["commonLabels"]["alertname"] for page in listener.pages("s1")] == ["CduFailed"]
    post(url, alerts, ended=True)
    wait(lambda: any(page["status"] == "resolved" for page in listener.pages("s1")))


def test_gpus_of_another_loop_and_of_one_node(stack: tuple[Listener, str]) -> None:
    listener, url = stack
    post(url, [failed_unit("s2"), *hot_gpus("s2", "loop-2", "n9")])
    wait(lambda: len(listener.pages("s2")) >= 2)
    time.sleep(2.5)
    sizes = {page["commonLabels"]["alertname"]: len(page["alerts"]) for page in listener.pages("s2")}
    assert sizes == {"CduFailed": 1, "GpuThermalSlowdown": 8}


def test_warnings_about_the_same_thing_and_the_heartbeat(stack: tuple[Listener, str]) -> None:
    listener, url = stack
    post(url, [labels("BreakerNearLimit", "r1", "s3", rack="r1"),
               labels("BreakerLoadHigh", "r1", "s3", rack="r1"),
               labels("BreakerLoadHigh", "r2", "s3", rack="r2"),
               {**labels("Watchdog", "monitoring", "s3"), "severity": "none"}])  # fmt: skip
    wait(lambda: {path for path, _ in listener.received}
         >= {"/webhook/page", "/webhook/ticket", "/webhook/heartbeat"})  # fmt: skip
    time.sleep(2)
    tickets = [body["commonLabels"]["place"] for path, body in listener.received if path == "/webhook/ticket"]
    assert tickets == ["r2"]
