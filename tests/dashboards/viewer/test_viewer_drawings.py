"""Elevation, one-line diagram and cooling loops as a reader meets them: real browser, real Prometheus."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from gigawatch.serving import Running


def test_an_elevation_shows_what_stands_where_and_how_it_fares(
    generated_viewer: Running, watched: Any
) -> None:
    watched.open(f"{generated_viewer.url}/d/gw-elevation?refresh=off")
    racks = watched.page.locator(".rack")
    expect(racks).to_have_count(3)
    expect(racks.locator(".rack-head a")).to_have_text(["r01", "r02", "r03"])
    expect(racks.nth(0).locator(".slot.kind-node")).to_have_count(2)
    expect(racks.nth(1).locator(".slot.reserved")).to_have_text("next")
    expect(racks.nth(0).locator(".rack-foot")).to_contain_text("new manifold")
    expect(racks.nth(1).locator(".rack-foot")).to_have_text("3 U free")
    # Two upright PDUs hang beside the units; the switch at the rear has nothing before it.
    expect(racks.nth(0).locator(".rail")).to_have_count(2)
    expect(racks.nth(0).locator(".kind-switch")).to_contain_text("sw (rear)")
    hot = racks.nth(2).locator('[data-key*="r03-n02"]')
    expect(hot).to_contain_text("▲ 33.4 °C")
    expect(hot).to_have_attribute("aria-label", re.compile(r"r03-n02, node, U13 to U21: Inlet air 33.4 °C"))
    link = urlsplit(hot.get_attribute("href") or "")
    assert link.path == "/d/gw-node"
    assert parse_qs(link.query)["var-node"] == ["r03-n02"]
    assert parse_qs(link.query)["var-rack"] == ["r03"]
    assert watched.errors == []


def test_the_reader_picks_what_colours_an_elevation(generated_viewer: Running, watched: Any) -> None:
    watched.open(f"{generated_viewer.url}/d/gw-elevation?refresh=off")
    slot = watched.page.locator('[data-key*="r01-n01"]')
    expect(slot).to_contain_text("20.6 °C")
    hot = watched.page.locator(".slot", has=watched.page.locator('[data-key*="r03-n02"]'))
    expect(hot).to_have_class(re.compile("bad"))
    watched.page.get_by_role("radio", name="GPU margin").check(force=True)
    expect(slot).to_contain_text("28.0 K")
    expect(watched.page.locator(".ribbon-mark small")).to_have_text(["3 K", "10 K"])
    expect(hot).not_to_have_class(re.compile("bad"))
    watched.page.get_by_role("radio", name="Power against limit").check(force=True)
    expect(slot).to_contain_text("73%")
    expect(watched.page.locator(".rail").first).to_have_attribute("aria-label", re.compile("31%"))
    watched.page.get_by_role("radio", name="Alerts").check(force=True)
    expect(watched.page.locator(".scale")).to_contain_text("critical")
    expect(slot).to_contain_text("no alert")
    # The choice is kept for the next visit.
    watched.open(f"{generated_viewer.url}/d/gw-elevation?refresh=off")
    expect(watched.page.get_by_role("radio", name="Alerts")).to_be_checked()


def test_arrows_lead_through_racks(generated_viewer: Running, watched: Any) -> None:
    watched.open(f"{generated_viewer.url}/d/gw-elevation?refresh=off")
    page = watched.page
    expect(page.locator('.slot [tabindex="0"]')).to_have_count(3)
    page.locator('[data-key*="r01-n02"]').focus()
    expect(page.locator(".tooltip.open")).to_contain_text("GPU margin: 26.5 K")
    for key, there in (
        ("ArrowDown", "r01-n01"),
        ("ArrowRight", "r02-n01"),
        ("ArrowUp", "r02-n02"),
        ("ArrowLeft", "r01-n02"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f'[data-key*="{there}"]')).to_be_focused()


def test_a_one_line_diagram_shows_both_sides_and_what_is_wrong(
    generated_viewer: Running, watched: Any
) -> None:
    watched.open(f"{generated_viewer.url}/d/gw-power?refresh=off")
    drawing = watched.page.locator(".panel-power")

    def box(key: str) -> Any:
        return drawing.locator(f'[data-key="{key}"]')

    expect(drawing.locator(".diagram-title")).to_have_text(
        ["utility A", "UPS A", "rack PDU A", "utility B", "UPS B", "rack PDU B", "rack · if a side fails"]
    )
    expect(box("ups-a")).to_have_class(re.compile("bad"))
    expect(box("ups-a")).to_contain_text("on battery")
    expect(box("ups-b")).not_to_have_class(re.compile("bad|poor"))
    expect(box("pdu-r02-b")).to_contain_text("tripped")
    expect(box("pdu-r03-a")).to_contain_text("silent")
    expect(box("rack/r01")).to_contain_text("57%")
    expect(box("rack/r02")).to_contain_text("one side")
    expect(box("rack/r03")).to_have_class(re.compile("bad"))
    # UPS, three PDUs and three racks on either side, and the chiller that hangs on each intake.
    expect(drawing.locator(".line")).to_have_count(16)
    expect(drawing.locator(".line.dead")).to_have_count(2)
    left, middle, right = (box(key).bounding_box()["x"] for key in ("pdu-r01-a", "rack/r01", "pdu-r01-b"))
    assert left < middle < right
    box("rack/r01").focus()
    expect(drawing.locator(".box.lit")).to_have_count(7)
    assert (box("rack/r01").get_attribute("href") or "").startswith("/d/gw-rack?var-site=s&var-rack=r01&")
    assert watched.errors == []


def test_cooling_loops_are_drawn_from_chiller_to_rack(generated_viewer: Running, watched: Any) -> None:
    watched.open(f"{generated_viewer.url}/d/gw-cooling?refresh=off")
    drawing = watched.page.locator(".panel-cooling")
    expect(drawing.locator(".box")).to_have_count(2 + 4 + 2 + 3)
    expect(drawing.locator(".line")).to_have_count(8 + 4 + 3)
    loop = drawing.locator('[data-key="loop/loop-01"]')
    expect(loop).to_contain_text("throttles in 11 min")
    expect(loop).to_contain_text("no unit to spare")
    expect(loop).to_have_class(re.compile("bad"))
    expect(drawing.locator('[data-key="device/cdu-01-b"]')).to_contain_text("stands")
    expect(drawing.locator(".line.dead")).to_have_count(1)
    expect(drawing.locator('[data-key="loop/loop-02"]')).to_contain_text("30.2 °C → 39.9 °C")
    assert watched.errors == []


@pytest.fixture(scope="module")
def scripts(browser: Browser, generated_viewer: Running) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(generated_viewer.url)
    yield page
    context.close()


def call(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Evaluate `body` with the module's exports as `m` and the argument as `a`."""
    return page.evaluate(
        f"async (a) => {{ const m = await import('/static/js/{module}.js'); {body} }}", argument
    )


def row(**labels: str) -> dict[str, Any]:
    return {"labels": {"site": "s", **labels}, "value": 1}


def test_free_units_are_found_between_what_stands(scripts: Page) -> None:
    slots = [
        {"bottom": 2, "top": 3, "height": 2},
        {"bottom": 3, "top": 3, "height": 1},
        {"bottom": 6, "top": 6, "height": 1},
    ]
    body = "return m.gaps(a).map((gap) => [gap.bottom, gap.height])"
    assert call(scripts, "drawings/elevation", body, {"units": 8, "slots": slots}) == [[1, 1], [4, 2], [7, 2]]
    assert call(scripts, "drawings/elevation", body, {"units": 3, "slots": []}) == [[1, 3]]


def test_slots_outside_of_a_rack_are_not_drawn(scripts: Page) -> None:
    place = {"rack": "r1", "face": "front", "kind": "node"}
    samples = {
        "racks": [{"labels": {"site": "s", "rack": "r1"}, "value": 10}],
        "slots": [
            row(**place, unit="1", height="2", name="in"),
            row(**place, unit="10", height="2", name="sticks out"),
            row(**place, unit="0", height="1", name="beside"),
            row(**place, unit="", height="", name="nowhere"),
        ],
    }
    body = "return m.racksOf(a)[0].slots.map((slot) => slot.name)"
    assert call(scripts, "drawings/elevation", body, samples) == ["in"]


def test_a_chain_of_one_side_and_of_unequal_length(scripts: Page) -> None:
    samples = {
        "devices": [
            row(device="u", role="utility"),
            row(device="ups", role="ups"),
            row(device="floor", role="floor_pdu"),
            row(device="p1", role="rack_pdu", rack="r1"),
            row(device="p2", role="rack_pdu", rack="r10"),
            row(device="p3", role="rack_pdu", rack="r2"),
            row(device="c1", role="chiller"),
            row(device="c2", role="chiller"),
        ],
        "path": [
            row(device="ups", fed_by="u"),
            row(device="floor", fed_by="ups"),
            row(device="p1", fed_by="floor"),
            row(device="p2", fed_by="floor"),
            row(device="p3", fed_by="u"),
            row(device="c1", fed_by="u"),
            row(device="c2", fed_by="u"),
            row(device="sw", fed_by="p1"),
        ],
    }
    made = call(scripts, "drawings/power", "return m.chainOf(a)", samples)
    assert made["sides"]["left"]["columns"] == [["u"], ["ups"], ["floor"], ["p1", "p2", "p3"]]
    assert made["sides"]["right"]["columns"] == []
    assert [rack["name"] for rack in made["racks"]] == ["r1", "r2", "r10"]
    assert [other["names"] for other in made["others"]] == [["c1", "c2"]]


def test_a_chain_that_bites_its_tail_still_ends(scripts: Page) -> None:
    samples = {
        "devices": [row(device="a", role="ups"), row(device="p", role="rack_pdu", rack="r1")],
        "path": [row(device="a", fed_by="b"), row(device="b", fed_by="a"), row(device="p", fed_by="a")],
    }
    made = call(scripts, "drawings/power", "return m.chainOf(a).sides.left.columns", samples)
    assert made[-1] == ["p"]


def test_racks_without_a_loop_hang_on_the_air_handlers_of_their_hall(scripts: Page) -> None:
    samples = {
        "devices": [
            row(device="crah-1", role="crah", hall="h1"),
            row(device="crah-2", role="crah", hall="h2"),
            row(device="door", role="rear_door", rack="r3", hall="h1"),
        ],
        "racks": [row(rack="r1", hall="h1"), row(rack="r2", hall="h2"), row(rack="r3", hall="h1")],
    }
    body = "return m.loopsOf(a).edges.map(({ from, to }) => [from, to])"
    assert sorted(call(scripts, "drawings/cooling", body, samples)) == [
        ["device/crah-1", "rack/r1"],
        ["device/crah-2", "rack/r2"],
        ["device/door", "rack/r3"],
    ]


def test_boxes_of_a_column_never_overlap_and_stay_inside(scripts: Page) -> None:
    body = "return m.spread(a.map((wish) => ({ wish, h: 20 })), 10, 130, 5).map((item) => item.y)"
    for wishes in ([120, 120, 120], [0, 0, 200], [70], [15, 60, 61, 62]):
        tops = call(scripts, "drawings/diagram", body, wishes)
        assert all(later - earlier >= 25 for earlier, later in pairwise(tops))
        assert tops[0] >= 10
        assert tops[-1] + 20 <= 130


def test_one_site_is_drawn_and_the_others_are_named(scripts: Page) -> None:
    samples = {
        "racks": [{"labels": {"site": site}, "value": 1} for site in ("b", "a", "b")],
        "slots": [{"labels": {"site": "b"}, "value": 2}],
    }
    kept, others = call(scripts, "drawings/data", "return m.oneSite(a, 'racks')", samples)
    assert others == ["b"]
    assert [one["labels"]["site"] for one in kept["racks"]] == ["a"]
    assert kept["slots"] == []


def test_rows_become_a_matrix_as_in_grafana(scripts: Page) -> None:
    def column(name: str, kind: str, values: list[Any]) -> dict[str, Any]:
        return {"name": name, "type": kind, "values": values, "labels": {}, "refId": "A"}

    frame = {
        "refId": "A",
        "table": True,
        "fields": [
            column("U", "string", ["3", "12", "12"]),
            column("Rack", "string", ["r1", "r2", "r1"]),
            column("Cell", "number", [20.5, 21, 22]),
        ],
    }

    def turned(kind: str) -> dict[str, Any]:
        conversions = [{"targetField": "U", "destinationType": kind}]
        return {"id": "convertFieldType", "options": {"conversions": conversions}}

    steps = [
        turned("number"),
        {"id": "sortBy", "options": {"sort": [{"field": "Rack"}]}},
        {"id": "sortBy", "options": {"sort": [{"field": "U", "desc": True}]}},
        turned("string"),
        {"id": "groupingToMatrix", "options": {
            "columnField": "Rack", "rowField": "U", "valueField": "Cell", "emptyValue": "null"}},
    ]  # fmt: skip
    body = """const [frame] = m.transform([a[0]], a[1])[0];
      return frame.fields.map((f) => [f.display ?? f.name, f.values])"""
    assert call(scripts, "transforms", body, [frame, steps]) == [
        ["U\\Rack", ["12", "3"]],
        ["r1", [22, 20.5]],
        ["r2", [21, None]],
    ]
