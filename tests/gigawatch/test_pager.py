"""The pager: one incident is one page, silence of the pipeline is a page, nothing is lost on disk."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch.errors import UserError
from gigawatch.local.pager import Pager
from gigawatch.local.pager_app import build_app
from gigawatch.serving import Running, serve


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def alert(name: str, severity: str = "critical", status: str = "firing") -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "severity": severity},
        "annotations": {"summary": f"{name} happened", "dashboard_url": "http://x/d/gw-rack"},
        "startsAt": "2026-01-01T00:00:00Z",
    }


def payload(*alerts: dict[str, Any], key: str = "g1", status: str = "firing") -> dict[str, Any]:
    return {"version": "4", "groupKey": key, "status": status, "alerts": list(alerts)}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pager(tmp_path: Path, clock: Clock) -> Pager:
    return Pager(tmp_path / "pages.json", 20.0, clock)


def test_a_group_is_one_page_however_often_it_is_repeated(pager: Pager) -> None:
    for _ in range(3):
        pager.receive("page", payload(alert("A"), alert("B")))
    pager.receive("page", payload(alert("C"), key="g2"))
    assert [page["labels"]["alertname"] for page in pager.pages()] == ["A", "C"]
    assert len(pager.pages()[0]["alerts"]) == 2


def test_a_page_has_the_promised_fields(pager: Pager) -> None:
    pager.receive("page", payload(alert("A")))
    page = pager.pages()[0]
    assert {"received", "status", "labels", "annotations", "link"} <= page.keys()
    assert page["link"] == "http://x/d/gw-rack"
    assert page["received"].endswith("Z")


def test_the_gravest_alert_of_a_group_leads(pager: Pager) -> None:
    pager.receive("page", payload(alert("Minor", "warning"), alert("Major", "critical")))
    assert pager.pages()[0]["labels"]["alertname"] == "Major"


def test_the_alert_nearest_to_the_cause_is_the_headline_whenever_it_comes(pager: Pager) -> None:
    hung, xid, ecc = alert("Hung"), alert("Xid"), alert("Ecc")
    for each, place in ((hung, "06"), (xid, "04"), (ecc, "02")):
        each["annotations"]["headline"] = place
    pager.receive("page", payload(hung, xid))
    assert pager.pages()[0]["labels"]["alertname"] == "Xid"
    pager.receive("page", payload(hung, xid, ecc))
    (page,) = pager.pages()
    assert page["labels"]["alertname"] == "Ecc"
    assert [one["labels"]["alertname"] for one in page["alerts"]] == ["Ecc", "Xid", "Hung"]
    ecc["status"] = "resolved"
    pager.receive("page", payload(hung, xid, ecc))
    assert pager.pages()[0]["annotations"]["summary"] == "Ecc happened", "the cause stays what it was"


def test_resolving_and_coming_back(pager: Pager) -> None:
    pager.receive("page", payload(alert("A")))
    pager.receive("page", payload(alert("A", status="resolved"), status="resolved"))
    assert [p["status"] for p in pager.pages()] == ["resolved"]
    pager.receive("page", payload(alert("A")))
    assert [p["status"] for p in pager.pages()] == ["resolved", "firing"]


def test_pages_survive_a_restart(pager: Pager, tmp_path: Path, clock: Clock) -> None:
    pager.receive("ticket", payload(alert("A", "warning")))
    again = Pager(tmp_path / "pages.json", 20.0, clock)
    assert again.pages() == pager.pages()
    again.receive("ticket", payload(alert("A", "warning")))
    assert len(again.pages()) == 1


def test_a_broken_file_is_no_end(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "pages.json").write_text("{")
    assert Pager(tmp_path / "pages.json", 20.0, clock).pages() == []


def test_silence_pages_once_and_resolves(pager: Pager, clock: Clock) -> None:
    pager.beat()
    clock.now += 19
    pager.watch()
    assert pager.pages() == []
    clock.now += 5
    pager.watch()
    pager.watch()
    assert [p["labels"]["alertname"] for p in pager.pages()] == ["MonitoringSilent"]
    pager.beat()
    pager.watch()
    assert [p["status"] for p in pager.pages()] == ["resolved"]


def test_a_pipeline_that_never_spoke_is_silent_too(pager: Pager, clock: Clock) -> None:
    clock.now += 75
    pager.watch()
    assert pager.pages() == []
    clock.now += 10
    pager.watch()
    assert len(pager.pages()) == 1


@pytest.mark.parametrize("wrong", [None, [], {}, {"alerts": 3}, {"alerts": []}, {"alerts": ["x"]}])
def test_what_is_no_notification_is_refused(pager: Pager, wrong: object) -> None:
    with pytest.raises(UserError, match="not an Alertmanager webhook payload"):
        pager.receive("page", wrong)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["alerts", "labels", "annotations", "status", "groupKey"]), inner, max_size=5
            ),
        ),
        max_leaves=10,
    )
)
def test_no_payload_breaks_it(tmp_path_factory: pytest.TempPathFactory, body: object) -> None:
    pager = Pager(tmp_path_factory.mktemp("pager") / "pages.json", 20.0)
    try:
        pager.receive("page", body)
    except UserError:
        assert pager.pages() == []
    json.dumps(pager.pages())


@pytest.fixture
def server(pager: Pager) -> Iterator[Running]:
    running = serve(build_app(pager), "127.0.0.1:0")
    yield running
    running.close()


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_over_http(server: Running, pager: Pager) -> None:
    assert post(f"{server.url}/webhook/page", json.dumps(payload(alert("A"))).encode()) == 200
    assert (
        post(f"{server.url}/webhook/ticket", json.dumps(payload(alert("T", "warning"), key="t")).encode())
        == 200
    )
    assert post(f"{server.url}/webhook/page", b"not json") == 400
    assert post(f"{server.url}/webhook/heartbeat", b"{}") == 200
    with urllib.request.urlopen(f"{server.url}/api/pages", timeout=30) as answer:
        assert [p["urgency"] for p in json.load(answer)] == ["page", "ticket"]
    with urllib.request.urlopen(f"{server.url}/api/pages?urgency=page", timeout=30) as answer:
        assert len(json.load(answer)) == 1
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert 'aif_pager_pages_total{severity="critical"} 1.0' in text
    assert "aif_pager_heartbeat_timestamp_seconds 1000000.0" in text
