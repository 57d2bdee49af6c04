"""Findings in the viewer: real incidents behind a real desk, marked through the viewer as a person does."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from playwright.sync_api import Browser, expect

from analytics.detectors import Suspicion
from analytics.detectors.base import Evidence, Rival
from analytics.feedback.desk import Desk
from analytics.fleet import Fleet, Level
from analytics.incidents import Incidents
from dashboards.viewer import Settings, build_app
from gigawatch.catalogue import Unit
from gigawatch.serving import App, Running, load_web_config, serve

OURS = {"Content-Type": "application/json", "X-Gigawatch-Request": "mark"}
NASTY = "<img src=x onerror=alert(1)>"


class Plant:
    """Two findings: worn paste on one GPU, a loop that explains two nodes."""

    def __init__(self, folder: Path) -> None:
        self.fleet, self.incidents = Fleet(), Incidents()
        labels = [
            {
                "uuid": f"U{i}",
                "gpu": str(i % 4),
                "node": f"n{i // 4}",
                "rack": "r1",
                "loop": "loop-a",
                "job": "7",
            }
            for i in range(16)
        ]
        self.fleet[Level.GPU].rows([one["uuid"] for one in labels], labels)
        self.watch: dict[str, Any] = {}
        self.desk = Desk(lambda: (self.incidents, self.fleet), folder, time.time, watch=lambda: self.watch)
        self.desk.equip()
        worn = Suspicion(
            "thermal_interface", "gpu", "n3/gpu2", "U14", (14,), 0.8, 259200, 86400, 777600,
            time.time() - 518400, 0.83,
            (Evidence("temperature", 71.0, Unit.CELSIUS, 63.0, 64.0, 9.0, NASTY),),
            (Rival("cold_plate", 0.1, "the others did not move"),),
        )  # fmt: skip
        loop = Suspicion("coolant_loop", "loop", "loop-a", "loop-a", tuple(range(16)), 0.9)
        node = Suspicion("cold_plate", "node", "n0", "n0", (0, 1, 2, 3), 0.8)
        for ago in (30, 25, 20):
            self.incidents.update(time.time() - ago, [worn], self.fleet)
        for ago in (10, 5):
            self.incidents.update(time.time() - ago, [worn, loop, node], self.fleet)
        app = App()
        self.desk.routes(app)
        self.running = serve(app, "127.0.0.1:0")

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.incidents.open]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    made = Plant(tmp_path_factory.mktemp("state"))
    yield made
    made.running.close()


@pytest.fixture(scope="module")
def viewer(plant: Plant, board_folder: Path) -> Iterator[Running]:
    running = serve(
        build_app(Settings(board_folder, "http://127.0.0.1:9", analytics=plant.running.url)), "127.0.0.1:0"
    )
    yield running
    running.close()


def ask(
    running: Running, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, data, OURS if headers is None else headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_a_mark_goes_through_the_viewer_into_the_file(plant: Plant, viewer: Running) -> None:
    name = plant.names[0]
    assert ask(viewer, "/api/incidents")[1]["open_count"] == 2
    before = len(plant.desk.ledger.marks)
    status, found = ask(viewer, f"/api/incidents/{name}/mark", {"verdict": "right", "by": "ada"})
    assert (status, found["marked"]["by"]) == (200, "ada")
    assert len(plant.desk.ledger.marks) == before + 1
    assert ask(viewer, f"/api/incidents/{name}")[1]["marks"][-1]["verdict"] == "right"
    assert ask(viewer, "/api/feedback")[1]["causes"][0]["cause"] == "thermal_interface"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"X-Gigawatch-Request": None}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
def test_a_page_of_another_site_can_mark_nothing(
    plant: Plant, viewer: Running, change: dict[str, str | None], status: int
) -> None:
    headers = {key: value for key, value in {**OURS, **change}.items() if value is not None}
    before = len(plant.desk.ledger.marks)
    found = ask(viewer, f"/api/incidents/{plant.names[0]}/mark", {"verdict": "wrong"}, headers)
    assert found[0] == status
    assert len(plant.desk.ledger.marks) == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/incidents/nothing/mark", {"verdict": "right"}, 400),
        ("/api/incidents/../feedback/mark", {"verdict": "right"}, 404),
        ("/api/incidents/a/b/mark", {"verdict": "right"}, 404),
        ("/api/incidents/x", {"verdict": "right"}, 404),
        ("/api/incidents/x/mark", {"verdict": "perhaps"}, 400),
        ("/api/incidents/x/mark", {"verdict": "right", "admin": "yes"}, 400),
        ("/api/incidents/x/mark", b"{" * 9000, 400),
        ("/api/incidents/x/mark", b"[" * 8000, 400),
        ("/api/incidents/%0d%0ax/mark", {"verdict": "right"}, 404),
    ],
)
def test_what_is_no_mark_is_refused_in_one_line(
    plant: Plant, viewer: Running, path: str, body: object, status: int
) -> None:
    before = len(plant.desk.ledger.marks)
    found = ask(viewer, path, body)
    assert found[0] == status
    assert "\n" not in found[1]["error"]
    assert len(plant.desk.ledger.marks) == before


def test_without_analytics_the_page_says_what_to_do(board_folder: Path) -> None:
    app = build_app(Settings(board_folder, "http://127.0.0.1:9"))
    running = serve(app, "127.0.0.1:0")
    try:
        status, found = ask(running, "/api/incidents")
    finally:
        running.close()
    assert status == 404
    assert "--analytics URL" in found["error"]


def test_where_names_are_asked_for_a_mark_bears_the_name(
    plant: Plant, board_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hashed = bcrypt.hashpw(b"secret-word", bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users:\n  grace: {hashed}\n")
    web = load_web_config(file)
    assert not web.authorized("")
    settings = Settings(board_folder, "http://127.0.0.1:9", analytics=plant.running.url, trust_user=True)
    running = serve(build_app(settings), "127.0.0.1:0", web)
    path = f"/api/incidents/{plant.names[0]}/mark"
    login = {"Authorization": f"Basic {base64.b64encode(b'grace:secret-word').decode()}"}
    try:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        connection.request("POST", path, b'{"verdict": "right"}', OURS)
        assert connection.getresponse().status == 401
        connection.close()
        with caplog.at_level("INFO"):
            status, found = ask(running, path, {"verdict": "right", "by": "mallory"}, {**OURS, **login})
    finally:
        running.close()
    assert (status, found["marked"]["by"]) == (200, "grace")
    assert any("marked right by grace" in record.getMessage() for record in caplog.records)
    assert "secret-word" not in caplog.text


def test_a_person_reads_and_marks_with_the_keyboard_on_a_phone_too(
    plant: Plant, viewer: Running, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="light")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(viewer.url) else problems.append(one.url))
    name = plant.names[0]
    page.goto(f"{viewer.url}/findings#{name}")
    card = page.locator(f"article[id='{name}']")
    expect(card.locator("h3")).to_contain_text("GPU 2 of n3: its thermal paste or pad wears out")
    expect(card.locator("details")).to_have_attribute("open", "")
    expect(card).to_contain_text(NASTY)
    assert page.locator("article img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    button = card.get_by_role("button", name="Known: mark")
    button.focus()
    page.keyboard.press("Enter")
    expect(card.get_by_label("What is planned?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("paste is ordered")
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "known")
    expect(card.locator(".finding-facts")).to_contain_text("paste is ordered")
    assert plant.desk.ledger.marks[-1].note == "paste is ordered"
    expect(page.locator(".learned")).to_contain_text("thermal interface")
    card.get_by_role("button", name="Right: mark").click()
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "open")
    page.set_viewport_size({"width": 1400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1400
    assert problems == []
    context.close()


def test_an_empty_list_does_not_claim_that_all_is_well_while_analytics_learns_or_stands_still(
    tmp_path: Path, board_folder: Path, browser: Browser
) -> None:
    quiet = Plant(tmp_path)
    quiet.incidents = Incidents()
    settings = Settings(board_folder, "http://127.0.0.1:9", analytics=quiet.running.url)
    running = serve(build_app(settings), "127.0.0.1:0")
    part = {"detector": "thermal_resistance", "signal": "core temperature", "things": "gpu"}
    context = browser.new_context()
    page = context.new_page()
    try:
        quiet.watch = {"judged_at": None, "interval": 5.0, "learning": []}
        page.goto(f"{running.url}/findings")
        watch, nothing = page.locator(".watch"), page.locator(".nothing")
        expect(watch).to_contain_text("Analytics has judged nothing yet.")
        expect(nothing).to_contain_text("not known")
        quiet.watch = {
            "judged_at": time.time() + 60, "interval": 5.0, "learning": [{**part, "judged": 0, "watched": 16}]
        }  # fmt: skip
        expect(watch).not_to_contain_text("nothing yet", timeout=20_000)
        watch.locator("summary").click()
        expect(watch.locator("li")).to_have_text("core temperature: 0 of 16 GPUs (thermal resistance)")
        expect(nothing).to_contain_text("still learning")
        quiet.watch |= {"learning": []}
        expect(watch.locator("details")).to_have_count(0, timeout=20_000)
        expect(nothing).to_have_text("Nothing is wrong that analytics can see.")
        quiet.watch |= {"judged_at": time.time() - 600}
        expect(watch).to_contain_text("10 minutes ago", timeout=20_000)
        expect(nothing).to_contain_text("not known")
    finally:
        context.close()
        running.close()
        quiet.running.close()
