"""What a loss leads to and where things fit, on a site whose figures can be reckoned in the head."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigawatch.topology import Inventory, Kind, blueprint, load_inventory
from gigawatch.topology.flow import Draw, Flow, design_draw
from gigawatch.topology.placement import Placer, free_in
from gigawatch.topology.whatif import lose

TODAY = dt.date(2026, 1, 1)
SITE = """
version: 1
site: {name: s}
rows: [{name: a, hall: h, positions: 4}]
racks:
  - {name: "r[1-2]", hall: h, row: a, units: 20, power_watts: 20000, cooling: liquid, ports: 16,
     position: 1, position_step: 1}
loops:
  - {name: l1, hall: h, racks: ["r[1-2]"], flow_liters_per_minute: 60, supply_celsius: 30}
nodes:
  - {name: "r[1-2]-n1", rack: "r{1}", unit: 3, height: 8, gpus: 0, psus: 2, loop: l1,
     power_watts: 10000, ports: 8}
devices:
  - {name: utility-a, role: utility, hall: h, side: A, capacity_watts: 60000}
  - {name: utility-b, role: utility, hall: h, side: B, capacity_watts: 60000}
  - {name: ups-a, role: ups, hall: h, side: A, fed_by: utility-a, capacity_watts: 40000}
  - {name: ups-b, role: ups, hall: h, side: B, fed_by: utility-b, capacity_watts: 25000}
  - {name: "pdu-r[1-2]-a", role: rack_pdu, rack: "r{1}", side: A, fed_by: ups-a, capacity_watts: 18000}
  - {name: "pdu-r[1-2]-b", role: rack_pdu, rack: "r{1}", side: B, fed_by: ups-b, capacity_watts: 18000}
  - {name: "chiller-[1-2]", role: chiller, hall: h, fed_by: utility-a, capacity_watts: 30000}
  - {name: "cdu-[1-2]", role: cdu, hall: h, fed_by: utility-a, loop: l1, capacity_watts: 30000,
     cooled_by: [chiller-1, chiller-2]}
reservations:
  - {name: soon, rack: r2, power_watts: 4000, units: 4, ports: 4, until: "2026-06-30"}
"""
NODE = Kind("small", "node", 5000.0, "liquid", units=4, ports=4)


@pytest.fixture
def site(tmp_path: Path) -> Inventory:
    path = tmp_path / "s.yaml"
    path.write_text(SITE)
    return load_inventory(path)


def test_power_divides_over_the_supplies(site: Inventory) -> None:
    flow = Flow(site, design_draw(site))
    assert flow.load["pdu-r1-a"] == 5000
    assert flow.load["ups-a"] == 10_000
    assert flow.load["utility-b"] == 10_000
    alone = Flow(site, design_draw(site), frozenset({"utility-a"}))
    assert alone.load["pdu-r1-b"] == 10_000
    assert "ups-a" not in alone.load
    assert [node.name for node in alone.poorer] == ["r1-n1", "r2-n1"]


def test_the_loss_of_a_feed_that_carries_the_cooling(site: Inventory) -> None:
    outcome = lose(site, ["utility-a"], design_draw(site))
    assert outcome.dark_nodes == []
    assert outcome.poorer_racks == ["r1", "r2"]
    assert outcome.on_battery == ["ups-a"]
    assert outcome.overloads == []
    assert [(s.what, s.name, s.heat_watts, s.capacity_watts) for s in outcome.shortages] == [
        ("loop", "l1", 20_000, 0),
        ("chillers", "h", 20_000, 0),
    ]


def test_one_of_two_units_is_enough(site: Inventory) -> None:
    assert lose(site, ["cdu-1"], design_draw(site)).harmless
    assert lose(site, ["chiller-1"], design_draw(site)).harmless
    both = lose(site, ["chiller-1", "chiller-2"], design_draw(site))
    assert {s.what for s in both.shortages} == {"loop", "chillers"}


def test_what_is_left_may_be_too_weak(site: Inventory) -> None:
    outcome = lose(site, ["ups-a"], Draw({"r1": 15_000, "r2": 15_000}, "made up"))
    (over,) = outcome.overloads
    assert (over.device, over.watts, over.limit_watts, over.trips) == ("ups-b", 30_000, 25_000, True)


def test_both_feeds_gone_is_dark(site: Inventory) -> None:
    outcome = lose(site, ["utility-a", "ups-b"], design_draw(site))
    assert outcome.dark_racks == ["r1", "r2"]
    assert not outcome.harmless


def test_a_row_takes_its_racks_with_it(site: Inventory) -> None:
    assert lose(site, ["a"], design_draw(site)).dark_nodes == ["r1-n1", "r2-n1"]
    assert lose(site, ["r1"], design_draw(site)).dark_racks == ["r1"]


def test_what_racks_have_left(site: Inventory) -> None:
    first, second = free_in(site, design_draw(site), TODAY)
    assert (first.power_watts, first.units, first.largest_gap, first.ports) == (10_000, 12, 10, 8)
    assert (second.power_watts, second.units, second.ports) == (6000, 8, 4)
    later = free_in(site, design_draw(site), dt.date(2026, 7, 1))[1]
    assert (later.power_watts, later.units) == (10_000, 12)


def test_where_a_node_goes_and_why_no_more_do(site: Inventory) -> None:
    fits = {fit.place: fit for fit in Placer(site, design_draw(site), TODAY).fits(NODE)}
    # 5 kW more would be 29 kW with the promise, and ups-b carries 25 kW once the other feed is lost.
    assert fits["r1"].count == 0
    assert "ups-b would carry too much once utility-a is lost" in fits["r1"].limit
    later = {f.place: f for f in Placer(site, design_draw(site), dt.date(2026, 7, 1)).fits(NODE)}
    assert (later["r1"].count, later["r1"].unit) == (1, 11)
    by_air = Placer(site, design_draw(site), TODAY).fits(Kind("a", "node", 5000, "air", units=4))
    assert all(fit.count == 0 and "cooled by liquid" in fit.limit for fit in by_air)


def test_places_share_what_cools_and_feeds_them(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SITE.replace("capacity_watts: 25000", "capacity_watts: 28000"))
    site = load_inventory(tmp_path / "s.yaml")
    placer = Placer(site, design_draw(site), dt.date(2026, 7, 1))
    fits = placer.fits(Kind("k", "node", 4000, "liquid", units=1))
    # Either rack takes two, but ups-b, once alone, has 8 kW left for both.
    assert [fit.count for fit in fits] == [2, 2]
    assert placer.total(Kind("k", "node", 4000, "liquid", units=1), fits) == 2


def test_a_rack_needs_a_position_and_what_hangs_on_it(site: Inventory) -> None:
    (fit,) = Placer(site, design_draw(site), TODAY).fits(Kind("rack", "rack", 1000, "liquid"))
    # 25 kW at ups-b less 24 kW of load and promise.
    assert (fit.place, fit.count, fit.unit) == ("a", 1, 3)
    assert "ups-b once utility-a is lost" in fit.limit


def test_spare_units_do_not_count_as_room(tmp_path: Path) -> None:
    strong = SITE.replace("capacity_watts: 25000", "capacity_watts: 60000")
    (tmp_path / "s.yaml").write_text(strong.replace("power_watts: 20000", "power_watts: 30000"))
    site = load_inventory(tmp_path / "s.yaml")
    fits = Placer(site, design_draw(site), dt.date(2026, 7, 1)).fits(
        Kind("k", "node", 4000, "liquid", units=1)
    )
    # One unit of 30 kW may fail; the other carries 20 kW now.
    assert [(fit.count, fit.limit) for fit in fits] == [
        (2, "cooling: 10.0 kW left on l1, a spare unit kept")
    ] * 2


@pytest.mark.parametrize("name", ["starter", "mid-scale", "full-scale"])
def test_blueprints_keep_their_word(name: str) -> None:
    """Whatever single power device is lost, what is left of the power carries the site as designed."""
    site = blueprint(name)
    draw = design_draw(site)
    for device in site.devices:
        outcome = lose(site, [device.name], draw)
        assert outcome.overloads == [], (device.name, outcome)
        assert device.rack or not outcome.dark_nodes, device.name


@given(st.lists(st.sampled_from(["utility-a", "ups-b", "cdu-1", "chiller-2", "r01", "row-a"]), max_size=4))
def test_more_losses_never_help(names: list[str]) -> None:
    site = blueprint("starter")
    draw = design_draw(site)
    known = [n for n in names if n in {*site.device, *site.rack, *(r.row for r in site.racks)}]
    less = {*lose(site, known[:-1], draw).dark_nodes}
    assert less <= {*lose(site, known, draw).dark_nodes}
