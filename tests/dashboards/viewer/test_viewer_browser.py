"""The viewer as a reader meets it: a real browser, a real Prometheus."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from gigawatch.serving import Running

ALL_KINDS = range(1, 8)


def test_a_board_shows_values_from_prometheus(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1")
    for number in ALL_KINDS:
        expect(watched.panel(number)).to_have_attribute("data-state", "ready")
    expect(watched.panel(1).locator(".stat-value")).to_have_text("11 kW")
    expect(watched.panel(2).locator(".dial-value")).to_have_text(re.compile("85.5"))
    expect(watched.panel(3).locator(".bar")).to_have_count(2)
    expect(watched.panel(4).locator("canvas")).to_have_count(1)
    expect(watched.panel(4).locator(".legend tbody tr")).to_have_text(["r14 kW", "r27 kW"])
    expect(watched.panel(6).locator(".band")).to_have_count(2)
    expect(watched.panel(6).locator(".legend-name")).to_have_text(["fine", "broken"])
    expect(watched.panel(7).locator("h2")).to_have_text("Site s1")
    expect(watched.panel(7).locator("li b")).to_have_count(0)
    expect(watched.panel(8).locator(".panel-state")).to_have_text("No data")
    expect(watched.panel(9)).to_have_attribute("data-state", "error")
    expect(watched.panel(9).locator(".panel-state")).to_contain_text("parse error")
    expect(watched.page.locator("#notice")).to_be_hidden()
    assert watched.errors == []


def test_nothing_is_asked_of_any_other_place(viewer: Running, watched: Any) -> None:
    watched.page.goto(viewer.url)
    watched.page.wait_for_selector(".state-tile")
    watched.open(f"{viewer.url}/d/site")
    assert len(watched.requests) > 20
    assert {urlsplit(url).netloc for url in watched.requests} == {f"127.0.0.1:{viewer.port}"}


def test_table_cells_are_coloured_and_sortable(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=off")
    table = watched.panel(5)
    expect(table.locator("th")).to_have_text(["Rack", "Temperature"])
    hot = table.locator("td", has_text="85.5 °C")
    expect(hot).to_have_css("background-color", "rgb(242, 73, 92)")
    table.get_by_role("button", name="Temperature").click()
    expect(table.locator("tbody td:first-child")).to_have_text(["r1", "r2"])
    table.get_by_role("button", name="Temperature").click()
    expect(table.locator("tbody td:first-child")).to_have_text(["r2", "r1"])
    expect(table.locator("th").nth(1)).to_have_attribute("aria-sort", "descending")


def test_a_variable_changes_the_queries_and_those_that_depend_on_it(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=off")
    assert 'sum(demo_power_watts{site="s1",rack=~".+"})' in watched.queries[-1]
    rack, site = (watched.page.locator(f"[data-variable={name}] button").first for name in ("rack", "site"))

    rack.click()
    watched.after_round(watched.page.get_by_role("menuitemradio", name="r2").click)
    assert 'sum(demo_power_watts{site="s1",rack=~"r2"})' in watched.queries[-1]
    expect(watched.panel(1).locator(".stat-value")).to_have_text("7 kW")
    assert parse_qs(urlsplit(watched.page.url).query)["var-rack"] == ["r2"]

    rack.click()
    watched.page.get_by_label("r1, together with others").check()
    watched.after_round(watched.page.get_by_role("button", name="Apply").click)
    assert 'sum(demo_power_watts{site="s1",rack=~"(r2|r1)"})' in watched.queries[-1]

    site.click()
    watched.after_round(watched.page.get_by_role("menuitemradio", name="s2").click)
    # r1 and r2 are not in s2: the chained variable goes back to All.
    assert 'sum(demo_power_watts{site="s2",rack=~".+"})' in watched.queries[-1]
    expect(watched.panel(1).locator(".stat-value")).to_have_text("90 W")

    rack.click()
    watched.after_round(watched.page.get_by_role("menuitemradio", name="r.9").click)
    assert 'sum(demo_power_watts{site="s2",rack=~"r\\\\.9"})' in watched.queries[-1]
    expect(watched.panel(1).locator(".stat-value")).to_have_text("90 W")

    watched.after_round(watched.page.go_back)
    expect(rack).to_contain_text("All")


def test_a_drill_down_carries_variables_and_time(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&from=now-30m&to=now")
    watched.panel(5).get_by_role("link", name="r2").click()
    expect(watched.page.locator("h1")).to_have_text("One rack")
    expect(watched.panel(1).locator(".stat-value")).to_have_text("7 kW")
    query = parse_qs(urlsplit(watched.page.url).query)
    assert query["var-site"] == ["s1"]
    assert query["var-rack"] == ["r2"]
    assert query["from"] == ["now-30m"]
    expect(watched.page.locator("#range")).to_have_text("Last 30 minutes")

    watched.page.get_by_role("navigation", name="Boards").get_by_role("link", name="Whole site").click()
    expect(watched.page.locator("h1")).to_have_text("Whole site")
    assert parse_qs(urlsplit(watched.page.url).query)["var-rack"] == ["r2"]


def test_the_theme_is_remembered(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?refresh=off")
    root, body = watched.page.locator("html"), watched.page.locator("body")
    expect(root).to_have_attribute("data-theme", "dark")
    watched.page.locator("#theme").click()
    expect(root).to_have_attribute("data-theme", "light")
    expect(body).to_have_css("background-color", "rgb(243, 244, 246)")
    watched.page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_time_range_and_refresh_are_set_from_the_bar(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=off")
    watched.page.locator("button:has(#range)").click()
    watched.after_round(watched.page.get_by_role("menuitemradio", name="Last 1 hour").click)
    assert "from=now-1h" in watched.page.url
    watched.page.locator("button:has(#range)").click()
    watched.page.locator("input[name=from]").fill("2030-01-02 00:00:00")
    watched.page.locator("input[name=to]").fill("2030-01-01 00:00:00")
    watched.page.get_by_role("button", name="Apply").click()
    expect(watched.page.get_by_role("alert")).to_contain_text("must lie before")
    watched.page.keyboard.press("Escape")
    expect(watched.page.locator(".menu")).to_have_count(0)
    watched.page.locator("button:has(#refresh)").click()
    watched.page.get_by_role("menuitemradio", name="1s", exact=True).click()
    before = watched.round()
    watched.await_round(before + 2)


def test_a_chart_that_is_drawn_again_keeps_its_thresholds_and_its_tooltip(
    viewer: Running, watched: Any
) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=1s")
    panel = watched.panel(4)
    panel.scroll_into_view_if_needed()
    watched.await_round(watched.round() + 3)
    purple = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 0 && data[i] > 150 && data[i + 1] < 60 && data[i + 2] > 150) found += 1;
      return found;
    }"""
    assert panel.locator("canvas").evaluate(purple) > 100
    box = panel.locator(".u-over").bounding_box()
    watched.page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2)
    expect(watched.page.locator(".tooltip.open")).to_contain_text("r2")
    assert watched.errors == []


def test_dragging_over_a_chart_zooms(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=off")
    chart = watched.panel(4).locator(".u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    middle = box["y"] + box["height"] / 2
    mouse = watched.page.mouse
    mouse.move(box["x"] + box["width"] * 0.98, middle)
    expect(watched.page.locator(".tooltip.open")).to_contain_text("r2")
    mouse.move(box["x"] + box["width"] * 0.5, middle)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    watched.after_round(mouse.up)
    query = parse_qs(urlsplit(watched.page.url).query)
    seconds = (int(query["to"][0]) - int(query["from"][0])) / 1000
    assert 75 < seconds < 105


def test_a_folded_row_asks_nothing_until_it_is_opened(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=off")
    counting = 'count(demo_power_watts{site="s1",rack=~".+"})'
    assert all(counting not in asked for asked in watched.queries)
    watched.after_round(watched.page.get_by_role("button", name="Folded").click)
    assert counting in watched.queries[-1]
    expect(watched.panel(10).locator(".stat-value")).to_have_text("3 W")


def test_kiosk_shows_panels_only(viewer: Running, watched: Any) -> None:
    watched.open(f"{viewer.url}/d/site?kiosk")
    expect(watched.page.locator("#bar")).to_be_hidden()
    expect(watched.panel(1)).to_be_visible()


def test_the_overview_shows_stack_alerts_and_boards(viewer: Running, watched: Any) -> None:
    watched.page.goto(viewer.url)
    page = watched.page
    expect(page.locator(".state-tile").nth(1)).to_contain_text("1 / 1")
    expect(page.get_by_text("Rack r2 is hot")).to_be_visible()
    expect(page.locator(".board-card strong")).to_have_text(["One rack", "Whole site"])
    page.locator(".board-card", has_text="Whole site").click()
    expect(page.locator("h1")).to_have_text("Whole site")
    assert watched.errors == []


def test_an_unknown_board_is_explained(viewer: Running, watched: Any) -> None:
    answer = watched.page.goto(f"{viewer.url}/d/nothing-here")
    assert answer.status == 404
    expect(watched.page.locator("h1")).to_have_text("No such board")


def test_prometheus_away_is_said_and_recovers_without_a_reload(
    viewer: Running, watched: Any, prometheus: Any
) -> None:
    watched.open(f"{viewer.url}/d/site?var-site=s1&refresh=1s")
    expect(watched.panel(1).locator(".stat-value")).to_have_text("11 kW")
    watched.page.evaluate("document.body.dataset.same = 'yes'")
    prometheus.stop()
    try:
        notice = watched.page.locator("#notice")
        expect(notice).to_contain_text("Prometheus at")
        expect(notice).to_contain_text("cannot be reached")
        # Figures that nobody vouches for any more are gone.
        expect(watched.panel(1)).to_have_attribute("data-state", "error")
        expect(watched.panel(1).locator(".stat-value")).to_be_hidden()
    finally:
        prometheus.start()
    expect(watched.panel(1)).to_have_attribute("data-state", "ready")
    expect(notice).to_be_hidden()
    expect(watched.page.locator("body")).to_have_attribute("data-same", "yes")


GENERATED = Path(__file__).parents[3] / "dashboards" / "generated"


@pytest.mark.parametrize("uid", sorted(file.stem for file in GENERATED.glob("*.json")))
def test_every_generated_board_is_drawn(uid: str, generated_viewer: Running, watched: Any) -> None:
    watched.open(f"{generated_viewer.url}/d/{uid}?refresh=off")
    panels = watched.page.locator(".panel")
    assert panels.count() > 3
    states = [panels.nth(at).get_attribute("data-state") for at in range(panels.count())]
    # Without data most are empty; a query that Prometheus refuses or a type that is not drawn shows here.
    wrong = [
        panels.nth(at).inner_text().replace("\n", ": ")
        for at, state in enumerate(states)
        if state not in ("ready", "empty")
    ]
    assert wrong == []
    assert watched.page.get_by_text("does not draw panels").count() == 0
    assert watched.errors == []
