"""Runbooks in the viewer: drawn for a reader, linked with each other, and nothing else from the disk."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import expect

from dashboards.viewer import Settings, build_app
from gigawatch.serving import App, Request, Running, serve

SECRET = "what lies beside the folder"
PUMP = """<!-- Generated; change it elsewhere. -->

# PumpStopped

**A pump of loop *loop* stands still**

| severity | owner |
|---|---|
| critical: page now | cooling |

## First steps

1. Look at the *other* pump; see [CoolantFlowLow](CoolantFlowLow.md).
2. Call the plant room.

Words <b>in brackets</b> stay words.

```promql
sum by (loop) (
  aif_pump_running == 0

) > 0
```
"""
NAMES = pytest.mark.parametrize(
    "name",
    [
        "Nothing.md",
        "Nothing",
        "",
        ".md",
        "..",
        "../secret.md",
        "../secret",
        "%2e%2e/secret.md",
        "..%2fsecret.md",
        "%2e%2e%2fsecret",
        "..%5csecret.md",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "PumpStopped/../../secret.md",
        "PumpStopped.md/../../secret.md",
        "PumpStopped%00.md",
        "PumpStopped.md%0a",
        "PumpStopped.txt",
        "notes.txt",
        "inner/Deep.md",
        "inner",
        "Latin",
    ],
)


@pytest.fixture(scope="module")
def runbooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "runbooks"
    (folder / "inner").mkdir(parents=True)
    (folder.parent / "secret.md").write_text(SECRET)
    (folder / "PumpStopped.md").write_text(PUMP)
    (folder / "CoolantFlowLow.md").write_text("# CoolantFlowLow\n\nBack to [the pump](PumpStopped.md).\n")
    (folder / "notes.txt").write_text("no runbook")
    (folder / "inner" / "Deep.md").write_text("no runbook")
    (folder / "Latin.md").write_bytes(b"\xff\xfe not UTF-8")
    return folder


@pytest.fixture(scope="module")
def app(board_folder: Path, runbooks: Path) -> App:
    return build_app(Settings(board_folder, "http://127.0.0.1:9", runbooks=runbooks))


@pytest.fixture(scope="module")
def reader(app: App) -> Iterator[Running]:
    running = serve(app, "127.0.0.1:0")
    yield running
    running.close()


def ask(viewer: Running, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("name", ["PumpStopped.md", "PumpStopped"])
def test_a_runbook_is_a_page_and_a_text(reader: Running, name: str) -> None:
    status, body = ask(reader, f"/runbooks/{name}")
    assert status == 200
    assert b"<html" in body
    status, body = ask(reader, f"/api/runbooks/{name}")
    assert status == 200
    assert json.loads(body) == {"name": "PumpStopped", "text": PUMP}


@NAMES
def test_what_is_no_runbook_is_404(reader: Running, name: str) -> None:
    status, body = ask(reader, f"/api/runbooks/{name}")
    assert status == 404
    assert "error" in json.loads(body)
    assert ask(reader, f"/runbooks/{name}")[0] == 404


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["..", ".", "/", "\\", "secret", ".md", "inner", "\0", "~", "Deep"])).map(
        "".join
    )
)
@example("../secret.md")
def test_no_name_leads_out_of_the_folder(app: App, name: str) -> None:
    for path in (f"/api/runbooks/{name}", f"/runbooks/{name}"):
        answer = app(Request("GET", path, {}, {}, b""))
        assert answer.status == 404
        assert SECRET.encode() not in answer.body


def test_without_a_folder_there_are_none(viewer: Running) -> None:
    assert ask(viewer, "/runbooks/PumpStopped.md")[0] == 404
    assert ask(viewer, "/api/runbooks/PumpStopped")[0] == 404


def test_a_reader_sees_title_steps_table_code_and_the_next_runbook(reader: Running, watched: Any) -> None:
    page = watched.page
    page.goto(f"{reader.url}/runbooks/PumpStopped.md")
    article = page.locator("article.runbook")
    expect(page).to_have_title("PumpStopped · runbook")
    expect(article.locator("h2").first).to_have_text("PumpStopped")
    expect(article.locator("strong").first).to_have_text("A pump of loop loop stands still")
    expect(article.locator("th")).to_have_text(["severity", "owner"])
    expect(article.locator("tbody td")).to_have_text(["critical: page now", "cooling"])
    expect(article.locator("ol > li")).to_have_count(2)
    expect(article.locator("ol em")).to_have_text("other")
    expect(article.locator("pre code")).to_have_text("sum by (loop) (\n  aif_pump_running == 0\n\n) > 0")
    expect(article.locator("b")).to_have_count(0)
    expect(article).not_to_contain_text("Generated")

    article.get_by_role("link", name="CoolantFlowLow").click()
    expect(page).to_have_url(f"{reader.url}/runbooks/CoolantFlowLow.md")
    expect(article.locator("h2")).to_have_text("CoolantFlowLow")
    article.get_by_role("link", name="the pump").click()
    expect(article.locator("h2").first).to_have_text("PumpStopped")
    assert watched.errors == []


def test_an_unknown_runbook_is_explained(reader: Running, watched: Any) -> None:
    answer = watched.page.goto(f"{reader.url}/runbooks/Nothing.md")
    assert answer.status == 404
    expect(watched.page.locator("h1")).to_have_text("No such runbook")


def test_every_runbook_that_ships_is_drawn_and_its_links_lead_somewhere(
    board_folder: Path, checkout: Path, watched: Any
) -> None:
    folder = checkout / "docs" / "runbooks"
    names = {file.name for file in folder.glob("*.md")}
    assert len(names) > 50
    running = serve(build_app(Settings(board_folder, "http://127.0.0.1:9", runbooks=folder)), "127.0.0.1:0")
    try:
        page = watched.page
        page.goto(f"{running.url}/runbooks/NodeDown.md")
        expect(page.locator("article.runbook h2").first).to_have_text("NodeDown")
        found = page.evaluate(
            """async (names) => {
              const { markdown } = await import('/static/js/markdown.js');
              return Promise.all(names.map(async (name) => {
                const answer = await fetch(`/api/runbooks/${name}`);
                const drawn = document.createElement('article');
                drawn.append(...markdown((await answer.json()).text));
                const hrefs = [...drawn.querySelectorAll('a')].map((a) => a.getAttribute('href'));
                const prose = drawn.cloneNode(true);
                prose.querySelectorAll('pre, code').forEach((code) => code.remove());
                return [name, drawn.querySelector('h2').textContent, hrefs, prose.textContent];
              }));
            }""",
            sorted(names),
        )
    finally:
        running.close()
    assert len(found) == len(names)
    for name, title, hrefs, prose in found:
        assert title == name.removesuffix(".md")
        assert {href for href in hrefs if "://" not in href} <= names, name
        assert "```" not in prose, f"{name}: a code block was not recognised"
        assert "|---" not in prose, f"{name}: a table was not recognised"
        assert "<!--" not in prose, name
    assert watched.errors == []
