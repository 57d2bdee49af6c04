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
from alerts.headline import ANNOTATION, ENGINES_FROM_DEAD_TO_SILENT, FROM_CAUSE_TO_SYMPTOM, headline, template
from alerts.inhibitions import INHIBITIONS
from alerts.model import Scope, Severity
from alerts.rules import all_alerts
from gigawatch.artifacts import BuildOptions
from gigawatch.local.pager import Pager

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
    assert named == {inhibition.name for inhibition in INHIBITIONS if not inhibition.one_gpu}
    for inhibition in INHIBITIONS:
        assert inhibition.equal
        for name in (*inhibition.sources, *inhibition.targets):
            missing = [label for label in inhibition.equal if label not in alerts[name].labels]
            assert not missing, (inhibition.name, name, missing)
        assert inhibition.targets, inhibition.name
        assert not set(inhibition.sources) & set(inhibition.targets), inhibition.name


def test_no_two_alerts_mute_each_other() -> None:
    """Both would be silent. Labels of `only` and `equal` may keep two apart; none of ours need that."""
    mutes = {(source, target) for i in INHIBITIONS for source in i.sources for target in i.targets}
    assert not {pair for pair in mutes if pair[::-1] in mutes}


def test_every_page_about_one_gpu_has_its_place_between_cause_and_symptom() -> None:
    pages = {
        alert.name
        for alert in all_alerts()
        if alert.severity is Severity.CRITICAL and alert.scope is Scope.GPU and not alert.together
    }
    assert pages == set(FROM_CAUSE_TO_SYMPTOM), "order them in alerts/headline.py"
    assert len(FROM_CAUSE_TO_SYMPTOM) == len(pages)


def test_every_page_about_an_engine_has_its_place_too() -> None:
    engines = {a.name for a in all_alerts() if a.severity is Severity.CRITICAL and "replica" in a.labels}
    assert engines == set(ENGINES_FROM_DEAD_TO_SILENT), "order them in alerts/headline.py"


def _notified(*alerts: tuple[str, str, str]) -> dict[str, object]:
    """What a receiver's templates are given; alerts as (name, place between cause and symptom, status)."""
    made = [
        {"status": status, "labels": {"alertname": name}, "annotations": {"summary": name, ANNOTATION: place}}
        for name, place, status in alerts
    ]
    names = {name for name, _, _ in alerts}
    common = {"alertname": names.pop()} if len(names) == 1 else {}
    status = "firing" if any(status == "firing" for _, _, status in alerts) else "resolved"
    return {"status": status, "alerts": made, "commonLabels": common}


@pytest.mark.parametrize(
    ("alerts", "title"),
    [
        ((("Hung", "06", "firing"), ("Xid", "04", "firing"), ("Ecc", "02", "firing")), "Ecc"),
        ((("Hung", "06", "firing"), ("Xid", "04", "resolved")), "Hung"),
        ((("Hung", "06", "resolved"), ("Xid", "04", "resolved")), "Xid"),
        ((("Disk", "99", "firing"), ("Fan", "99", "firing")), "Disk"),
        ((("FromSomebodyElse", "", "firing"),), "FromSomebodyElse"),
    ],
)
def test_the_title_of_a_page_is_the_alert_nearest_to_the_cause(
    alerts: tuple[tuple[str, str, str], ...], title: str, tmp_path: Path
) -> None:
    (tmp_path / "am.tmpl").write_text(template())
    (tmp_path / "data.json").write_text(json.dumps(_notified(*alerts)))
    done = subprocess.run(
        [AMTOOL, "template", "render", f"--template.glob={tmp_path}/am.tmpl",
         f"--template.data={tmp_path}/data.json", '--template.text={{ template "gigawatch.title" . }}'],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == title


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
    body = [
        {"labels": labels, "annotations": spoken(labels), **({"endsAt": stamp} if ended else {})}
        for labels in alerts
    ]
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    assert urllib.request.urlopen(request, timeout=5).status == 200


def spoken(labels: dict[str, str]) -> dict[str, str]:
    """The annotations of the alert that matter here, as its rule gives them."""
    alert = next(a for a in all_alerts() if a.name == labels["alertname"])
    return {ANNOTATION: headline(alert), "summary": f"{alert.name} at {labels['place']}"}


def labels(name: str, place: str, site: str, **more: str) -> dict[str, str]:
    alert = next(a for a in all_alerts() if a.name == name)
    return {"alertname": name, "severity": alert.severity, "domain": alert.domain, "scope": alert.scope,
            "site": site, "place": place, **more}  # fmt: skip


def hot_gpus(site: str, loop: str, node: str) -> list[dict[str, str]]:
    more = {"rack": "r1", "node": node, "loop": loop, "hall": "h1"}
    return [labels("GpuThermalSlowdown", f"{node}/gpu{i}", site, gpu=str(i), **more) for i in range(8)]


def failed_unit(site: str) -> dict[str, str]:
    return labels("CduFailed", "loop-1", site, loop="loop-1", device="cdu-1", hall="h1", feed="utility-a")


def test_a_failed_coolant_unit_is_one_page_until_what_it_heated_has_had_time(
    stack: tuple[Listener, str],
) -> None:
    listener, url = stack
    slow = labels("CoolantFlowLow", "loop-1", "s1", loop="loop-1", hall="h1", feed="utility-a")
    alerts = [failed_unit("s1"), *hot_gpus("s1", "loop-1", "n1"), *hot_gpus("s1", "loop-1", "n2"), slow]
    post(url, alerts)
    wait(lambda: listener.pages("s1"))
    time.sleep(2.5)
    assert [page["commonLabels"]["alertname"] for page in listener.pages("s1")] == ["CduFailed"]
    # The unit is back; its GPUs are still hot.
    after = labels("LoopHeatExplained", "loop-1", "s1", loop="loop-1")
    post(url, [after])
    post(url, [failed_unit("s1"), slow], ended=True)
    wait(lambda: any(page["status"] == "resolved" for page in listener.pages("s1")))
    time.sleep(1.5)
    assert {page["commonLabels"]["alertname"] for page in listener.pages("s1")} == {"CduFailed"}
    # One of them stays hot: nothing explains that any more.
    post(url, hot_gpus("s1", "loop-1", "n1")[1:] + hot_gpus("s1", "loop-1", "n2"), ended=True)
    post(url, [after], ended=True)
    wait(lambda: len({page["commonLabels"]["alertname"] for page in listener.pages("s1")}) == 2)
    hot = [one for page in listener.pages("s1") for one in page["alerts"]
           if (one["labels"]["alertname"], one["status"]) == ("GpuThermalSlowdown", "firing")]  # fmt: skip
    assert [one["labels"]["place"] for one in hot] == ["n1/gpu0"]


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


def test_a_wet_tray_and_devices_without_their_feed_are_one_page_each(stack: tuple[Listener, str]) -> None:
    """The tray explains level, flow and the unit that stops; the feed the devices that are silent with it."""
    listener, url = stack
    loop = {"loop": "loop-1", "hall": "h1"}
    tray = labels("LeakInTray", "manifold-1", "s8", rack="r1", device="manifold-1", zone="tray", **loop)
    flow = labels("CoolantFlowLow", "loop-1", "s8", feed="utility-a", **loop)
    silent = labels("CoolingUnobserved", "cdu-2", "s9", device="cdu-2", role="cdu", feed="", **loop)
    feed = labels("FeedLost", "utility-a", "s9", feed="utility-a", hall="h1")
    many = labels("FacilityDevicesLost", "s9", "s9")
    post(url, [tray, failed_unit("s8"), flow, *hot_gpus("s8", "loop-1", "n1"), silent, many, feed])
    wait(lambda: listener.pages("s8") and listener.pages("s9"))
    time.sleep(2)
    assert {page["commonLabels"]["alertname"] for page in listener.pages("s8")} == {"LeakInTray"}
    assert {page["commonLabels"]["alertname"] for page in listener.pages("s9")} == {"FeedLost"}


def sick_gpu(name: str, site: str, gpu: int, node: str = "n1", **more: str) -> dict[str, str]:
    at = {"rack": "r1", "node": node, "gpu": str(gpu), "uuid": f"U{gpu}", "loop": "loop-1", "hall": "h1"}
    return labels(name, f"{node}/gpu{gpu}", site, **at, **more)


STORM = ("GpuHung", "GpuXidHardware", "GpuXidReset", "GpuEccUncorrected")


def test_all_that_is_wrong_with_one_gpu_is_one_page_with_the_cause_on_top(
    stack: tuple[Listener, str], tmp_path: Path
) -> None:
    listener, url = stack
    post(url, [sick_gpu("GpuHung", "s4", 3)])
    wait(lambda: listener.pages("s4"))
    post(url, [sick_gpu(name, "s4", 3) for name in STORM])
    wait(lambda: len(listener.pages("s4")[-1]["alerts"]) == len(STORM))
    assert len({page["groupKey"] for page in listener.pages("s4")}) == 1
    # What the person sees: the pager that Alertmanager's own notifications are given to.
    pager = Pager(tmp_path / "pages.json", 1e9)
    for page in listener.pages("s4"):
        pager.receive("page", page)
    (shown,) = pager.pages()
    assert shown["labels"]["alertname"] == "GpuEccUncorrected"
    assert [alert["labels"]["alertname"] for alert in shown["alerts"]] == [
        "GpuEccUncorrected", "GpuXidHardware", "GpuXidReset", "GpuHung"
    ]  # fmt: skip


def test_another_gpu_is_another_page_and_so_is_another_node(stack: tuple[Listener, str]) -> None:
    listener, url = stack
    sick = [("GpuXidReset", 3, "n1"), ("GpuNvlinkDown", 5, "n1"), ("GpuXidReset", 3, "n2")]
    post(url, [sick_gpu(name, "s5", gpu, node) for name, gpu, node in sick])
    wait(lambda: len(listener.pages("s5")) >= 3)
    time.sleep(1.5)
    places = sorted(page["groupLabels"]["place"] for page in listener.pages("s5"))
    assert places == ["n1/gpu3", "n1/gpu5", "n2/gpu3"]


def sick_engine(name: str, site: str, replica: str, node: str = "n1") -> dict[str, str]:
    at = {"rack": "r1", "node": node, "loop": "loop-1", "hall": "h1", "row": "a"}
    return labels(name, node, site, engine="vllm", model="llama", replica=replica, **at)


def test_an_engine_that_dies_is_one_page_and_mutes_what_its_users_feel(
    stack: tuple[Listener, str], tmp_path: Path
) -> None:
    listener, url = stack
    burns = {"engine": "vllm", "objective": "time_to_first_token"}
    felt = [labels("InferenceLatencyBudgetBurnsFast", model, "s7", model=model, **burns)
            for model in ("llama", "mistral")]  # fmt: skip
    post(url, [sick_engine("InferenceEngineUnhealthy", "s7", "a"), *felt])
    wait(lambda: len(listener.pages("s7")) >= 2)
    post(url, [sick_engine("InferenceEngineDown", "s7", "a"), sick_engine("InferenceEngineHung", "s7", "b")])
    post(url, [sick_engine("InferenceEngineHung", "s7", "c", "n2")])
    wait(lambda: any(len(page["alerts"]) == 3 for page in listener.pages("s7")))
    wait(lambda: len({page["groupKey"] for page in listener.pages("s7")}) == 3)
    pager = Pager(tmp_path / "pages.json", 1e9)
    for page in listener.pages("s7"):
        pager.receive("page", page)
    shown = sorted(page["labels"]["alertname"] + " " + page["labels"]["place"] for page in pager.pages())
    assert shown == [
        "InferenceEngineDown n1", "InferenceEngineHung n2", "InferenceLatencyBudgetBurnsFast mistral"
    ]  # fmt: skip


def test_many_gpus_of_one_node_at_once_are_one_page(stack: tuple[Listener, str]) -> None:
    listener, url = stack
    node = {"rack": "r1", "node": "n1", "loop": "loop-1", "hall": "h1", "row": "a"}
    alone = sick_gpu("GpuNvlinkDown", "s6", 0, "n2")
    post(url, [*(sick_gpu("GpuNvlinkDown", "s6", gpu) for gpu in range(8)), alone,
               labels("GpusFailTogether", "n1", "s6", **node)])  # fmt: skip
    wait(lambda: len(listener.pages("s6")) >= 2)
    time.sleep(2)
    assert sorted(page["commonLabels"]["place"] for page in listener.pages("s6")) == ["n1", "n2/gpu0"]
