"""Maintenance, with a real Alertmanager: what depends on a place is silent there, and nothing else."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.inhibitions import INHIBITIONS
from alerts.maintenance.matchers import LOUD, silences
from alerts.rules import all_alerts
from exporters.inventory.maintenance import Maintenance, _places
from gigawatch.catalogue.site import MAINTENANCE_UNTIL
from gigawatch.cli import main
from gigawatch.errors import UserError
from gigawatch.topology import blueprint
from gigawatch.topology.maintenance import SCOPES, Work, parse_comment

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager") or "alertmanager"
CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"
HERE = {"site": "mid-scale"}
ALERTS = {
    "gpu in r01": {
        "alertname": "GpuNvlinkDown",
        "rack": "r01",
        "node": "r01-n01",
        "gpu": "3",
        "loop": "loop-1",
    },
    "gpu 4 there": {
        "alertname": "GpuNvlinkDown",
        "rack": "r01",
        "node": "r01-n01",
        "gpu": "4",
        "loop": "loop-1",
    },
    "hot gpu in r01": {
        "alertname": "GpuTemperatureMarginLow",
        "rack": "r01",
        "node": "r01-n01",
        "gpu": "3",
        "loop": "loop-1",
    },
    "node in r02": {"alertname": "NodeDown", "rack": "r02", "node": "r02-n01", "loop": "loop-1"},
    "leak in r01": {"alertname": "LeakInNode", "rack": "r01", "node": "r01-n01", "domain": "cooling"},
    "pdu of r01": {"alertname": "DeviceUnreachable", "rack": "r01", "device": "pdu-r01-a"},
    "pdu b of r01": {
        "alertname": "BreakerLoadHigh",
        "rack": "r01",
        "device": "pdu-r01-b",
        "feed": "utility-b",
    },
    "psu in r01": {"alertname": "PsuLost", "rack": "r01", "node": "r01-n01", "domain": "power"},
    "psu in r03": {"alertname": "PsuLost", "rack": "r03", "node": "r03-n01", "domain": "power"},
    "feed a": {"alertname": "FeedLost", "feed": "utility-a", "device": "utility-a", "domain": "power"},
    "ups a": {"alertname": "UpsOnBattery", "feed": "utility-a", "device": "ups-a", "domain": "power"},
    "flow of loop 1": {"alertname": "CoolantFlowLow", "loop": "loop-1", "domain": "cooling"},
    "flow of loop 2": {"alertname": "CoolantFlowLow", "loop": "loop-2", "domain": "cooling"},
    "pump of cdu 1": {"alertname": "PumpStopped", "loop": "loop-1", "device": "cdu-1", "domain": "cooling"},
    "pipeline": {"alertname": "Watchdog", "domain": "pipeline"},
    "another site": {"alertname": "NodeDown", "site": "elsewhere", "rack": "r01", "node": "r01-n01"},
}


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def gigawatch(*words: str) -> Done:
    """The command, as the program runs it."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = main(["maintenance", *words])
    return Done(status, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Door:
    url: str

    def get(self, path: str) -> list[dict[str, object]]:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return list(json.load(answer))

    def silenced(self) -> set[str]:
        """The alerts that are silenced now, once Alertmanager has looked at all of them."""
        deadline = time.monotonic() + 20
        found: list[dict[str, object]] = []
        while time.monotonic() < deadline:
            found = self.get("/api/v2/alerts")
            if len(found) == len(ALERTS):
                break
            time.sleep(0.1)
        names = {tuple(sorted(labels(name).items())): name for name in ALERTS}
        return {
            names[tuple(sorted(one["labels"].items()))]  # type: ignore[attr-defined] # JSON of Alertmanager
            for one in found
            if one["status"]["silencedBy"]  # type: ignore[index] # JSON of Alertmanager
        }

    def gigawatch(self, *words: str) -> Done:
        return gigawatch(*words, "--alertmanager", self.url)


def labels(name: str) -> dict[str, str]:
    return {**HERE, **ALERTS[name]}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("am")
    (folder / "am.yml").write_text(CONFIG)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen(
        [ALERTMANAGER, f"--config.file={folder / 'am.yml'}", f"--storage.path={folder / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    door = Door(f"http://127.0.0.1:{port}")
    for _ in range(200):
        try:
            door.get("/api/v2/alerts")
            break
        except OSError:
            time.sleep(0.1)
    body = json.dumps([{"labels": labels(name)} for name in ALERTS]).encode()
    request = urllib.request.Request(
        door.url + "/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()
    yield door
    process.terminate()
    process.wait(10)


CASES = {
    ("rack", "r01"): {
        "gpu in r01",
        "gpu 4 there",
        "hot gpu in r01",
        "pdu of r01",
        "pdu b of r01",
        "psu in r01",
    },
    ("gpu", "r01-n01/3"): {"gpu in r01", "hot gpu in r01"},
    ("node", "r02-n01"): {"node in r02"},
    ("loop", "loop-1"): {"hot gpu in r01", "flow of loop 1", "pump of cdu 1"},
    # One of two feeds: the racks lose redundancy, and the breakers of the other feed stay watched.
    ("device", "ups-a"): {"ups a", "pdu of r01", "psu in r01", "psu in r03"},
}


@pytest.mark.parametrize(("scope", "place"), CASES, ids=lambda text: str(text).replace("/", "-"))
def test_what_depends_on_a_place_is_silent_and_nothing_else(
    alertmanager: Door, scope: str, place: str
) -> None:
    done = alertmanager.gigawatch(
        scope, place, "--for", "1h", "--reason", "a new hose", "--blueprint", "mid-scale", "--by", "ada"
    )
    assert done.returncode == 0, done.stderr
    try:
        assert alertmanager.silenced() == CASES[scope, place]
        shown = alertmanager.gigawatch("list")
        assert f"{place}" in shown.stdout
        assert "a new hose (ada)" in shown.stdout
        told = Maintenance(alertmanager.url)
        told.refresh()
        (reading,) = [r for r in told.readings() if r.metric is MAINTENANCE_UNTIL]
        assert reading.labels == (scope, place, "a new hose")
        assert 3500 < reading.value - time.time() < 3700
    finally:
        ended = alertmanager.gigawatch("end", place)
    assert ended.returncode == 0, ended.stderr
    assert alertmanager.silenced() == set()
    told.refresh()
    assert MAINTENANCE_UNTIL not in {r.metric for r in told.readings()}


def test_leaks_are_silent_only_where_that_is_asked_for(alertmanager: Door) -> None:
    words = ("rack", "r01", "--for", "1h", "--reason", "drained", "--blueprint", "mid-scale")
    alertmanager.gigawatch(*words, "--everything")
    try:
        assert "leak in r01" in alertmanager.silenced()
    finally:
        alertmanager.gigawatch("end", "r01")


def test_a_dry_run_makes_nothing(alertmanager: Door) -> None:
    words = ("rack", "r01", "--for", "1h", "--reason", "x", "--blueprint", "mid-scale", "--dry-run")
    done = alertmanager.gigawatch(*words)
    assert 'rack="r01"' in done.stdout
    assert alertmanager.silenced() == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rack", "r99", "--for", "1h", "--reason", "x", "--blueprint", "starter"), "no rack 'r99'"),
        (("rack", "r01", "--reason", "x", "--blueprint", "starter"), "--for: say how long"),
        (("rack", "r01", "--for", "400d", "--reason", "x", "--blueprint", "starter"), "allowed: 1m to 30d"),
        (("rack", "r01", "--for", "1h", "--blueprint", "starter"), "--reason: say"),
        (("gpu", "r01-n01/9", "--for", "1h", "--reason", "x", "--blueprint", "starter"), "no GPU"),
        (("end", "r07"), "'r07' is not under maintenance"),
    ],
)
def test_mistakes_are_told_in_one_line(alertmanager: Door, words: tuple[str, ...], said: str) -> None:
    done = alertmanager.gigawatch(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_alertmanager_that_is_not_there_is_told() -> None:
    done = gigawatch("list", "--alertmanager", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "http://127.0.0.1:9: cannot be asked" in done.stderr
    told = Maintenance("http://127.0.0.1:9")
    told.refresh()
    assert not told.health().up
    assert told.health().errors == {"unreachable": 1}


def test_every_name_in_the_tables_is_an_alert() -> None:
    known = {alert.name for alert in all_alerts()}
    assert set(LOUD) <= known
    for scope, name in (
        ("device", "utility-a"),
        ("feed", "utility-a"),
        ("loop", "loop-1"),
        ("device", "cdu-1"),
    ):
        for silence in silences(blueprint("mid-scale"), scope, name):
            for matcher in silence:
                assert matcher.name != "alertname" or set(matcher.values) <= known
    assert {"loop-leak", "loop-unit", "loop-cooling"} <= {inhibition.name for inhibition in INHIBITIONS}


def test_places_that_do_not_exist() -> None:
    for scope in set(SCOPES) - {"site"}:
        with pytest.raises(UserError, match="nowhere"):
            silences(blueprint("starter"), scope, "nowhere")


@given(st.sampled_from(SCOPES), st.text("abc-_./019", min_size=1), st.text(max_size=200))
def test_a_comment_is_read_as_it_was_written(scope: str, place: str, reason: str) -> None:
    assert parse_comment(Work(scope, place, reason).comment) == Work(scope, place, reason)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
silence = st.fixed_dictionaries(
    {},
    optional={
        "comment": json_values | st.just("maintenance of rack r1: x"),
        "status": json_values | st.just({"state": "active"}),
        "endsAt": json_values | st.just(datetime(2100, 1, 1, tzinfo=UTC).isoformat()),
    },
)


@given(st.lists(silence | json_values))
def test_whatever_alertmanager_says_harms_nothing(answer: list[object]) -> None:
    for (scope, place, _), until in _places(answer).items():
        assert scope in SCOPES
        assert place
        assert until > 0 or until <= 0
