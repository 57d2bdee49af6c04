"""What the service discovery says of a site: paths, room, promises, age; one place per thing at a time."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from exporters.inventory import Addresses, Keeper, agent_targets, facility_targets, site_readings
from gigawatch.catalogue import Metric, site
from gigawatch.readings import Reading
from gigawatch.topology import Inventory, Reservation, blueprint, load_inventory
from gigawatch.topology.export import to_yaml
from gigawatch.topology.history import read, stays

DAY = date(2027, 1, 1)


def rows(inventory: Inventory, metric: Metric, day: date = DAY) -> dict[tuple[str, ...], float]:
    return {r.labels: r.value for r in site_readings(inventory, 1, 0, day) if r.metric is metric}


def test_a_rack_is_told_unit_by_unit_with_what_is_promised() -> None:
    inventory = blueprint("starter")
    assert set(rows(inventory, site.RACK_SLOT_INFO)) == {
        ("r01", "10", "8", "both", "node", "r01-n01"),
        ("r01", "20", "8", "both", "node", "r01-n02"),
        ("r01", "41", "1", "rear", "switch", "switch-r01-1"),
        ("r01", "42", "1", "rear", "switch", "switch-r01-2"),
        ("r01", "1", "2", "both", "reserved", "shared-storage"),
    }
    here = ("r01", "hall-1")
    assert rows(inventory, site.RACK_UNITS)[here] == 42
    assert rows(inventory, site.RACK_UNITS_FREE)[here] == 42 - 2 * 8 - 2
    assert rows(inventory, site.RACK_PORTS_FREE)[here] == 64 - 2 * 10
    assert rows(inventory, site.RACK_COOLING)[here] == 34000
    assert rows(inventory, site.RACK_RESERVED_POWER)[here] == 900
    assert rows(inventory, site.RACK_RESERVED_UNITS)[here] == 2
    assert rows(inventory, site.NODE_DESIGN_POWER) == {("r01-n01", "r01"): 9000, ("r01-n02", "r01"): 9000}


def test_promises_end_with_their_day() -> None:
    inventory = blueprint("starter")
    promise = Reservation("trial", "r01", power_watts=5000, units=8, until="2027-01-01")
    inventory = replace(inventory, reservations=(*inventory.reservations, promise))
    assert rows(inventory, site.RACK_RESERVED_POWER)["r01", "hall-1"] == 5900
    assert rows(inventory, site.RACK_RESERVED_POWER, date(2027, 1, 2))["r01", "hall-1"] == 900
    now = [datetime(2027, 1, 1, 23, 59, 59, tzinfo=UTC).timestamp()]
    keeper = Keeper(inventory, None, Addresses(), clock=lambda: now[0])
    reserved = f'{site.RACK_RESERVED_POWER.name}{{rack="r01",hall="hall-1"}} '
    assert f"{reserved}5900.0" in keeper.exposition().decode()
    now[0] += 1
    keeper.check()
    assert f"{reserved}900.0" in keeper.exposition().decode()


def test_paths_of_power_and_heat() -> None:
    inventory = blueprint("full-scale")
    power = set(rows(inventory, site.POWER_PATH_INFO))
    assert ("pdu-r07-b", "busway-row-a-b", "B") in power
    assert ("switch-r07-2", "pdu-r07-b", "B") in power, "the side is that of what feeds it"
    assert ("ups-a", "utility-a", "A") in power
    cooling = set(rows(inventory, site.COOLING_PATH_INFO))
    assert {("manifold-r07", "cdu-04-a"), ("manifold-r07", "cdu-04-b"), ("cdu-04-a", "chiller-3")} <= cooling
    feeds = [labels for labels in rows(inventory, site.NODE_FEED_INFO) if labels[0] == "r07-n03"]
    assert feeds == [
        ("r07-n03", str(n + 1), f"pdu-r07-{'ab'[n % 2]}", str(7 + n // 2)) for n in range(6)
    ]  # fmt: skip
    zones = rows(inventory, site.LEAK_ZONE_INFO)
    assert ("leak-hall-1", "rope-04", "floor under r07 and r08, along the pipes", "r07, r08") in zones


def test_switches_of_nodes_and_air_of_racks_are_told_where_they_are_known() -> None:
    inventory = blueprint("starter")
    switches = ("switch-r01-1", "switch-r01-2")
    rack = {(node, switch): 1.0 for node in ("r01-n01", "r01-n02") for switch in switches}
    assert rows(inventory, site.NODE_SWITCH_INFO) == rack, "those of its rack, where a node does not say"
    assert rows(inventory, site.RACK_AIR_INFO) == {("r01", "crah-1", "hall-1"): 1.0}
    assert rows(blueprint("mid-scale"), site.RACK_AIR_INFO) == {}, "nothing is guessed"
    first, second = inventory.nodes
    said = replace(
        inventory,
        nodes=(replace(first, switches=("switch-r01-2",)), second),
        racks=tuple(replace(one, air_handler="crah-1") for one in inventory.racks),
    )
    assert rows(said, site.NODE_SWITCH_INFO) == {
        pair: 1.0 for pair in rack if pair != ("r01-n01", "switch-r01-1")
    }
    assert rows(said, site.RACK_AIR_INFO) == {("r01", "crah-1", "hall-1"): 1.0}


def test_nodes_that_do_not_say_are_plugged_in_in_turn() -> None:
    inventory = blueprint("starter")
    inventory = replace(inventory, nodes=tuple(replace(n, supplies=(), psus=3) for n in inventory.nodes))
    feeds = [labels for labels in rows(inventory, site.NODE_FEED_INFO) if labels[0] == "r01-n01"]
    assert feeds == [
        ("r01-n01", "1", "pdu-r01-a", ""),
        ("r01-n01", "2", "pdu-r01-b", ""),
        ("r01-n01", "3", "pdu-r01-a", ""),
    ]


def test_targets_are_the_same_bytes_whatever_the_order_of_the_inventory() -> None:
    inventory = blueprint("mid-scale")
    turned = replace(inventory, nodes=inventory.nodes[::-1], devices=inventory.devices[::-1])
    addresses = Addresses(facility="127.0.0.1:9611")
    for of in (agent_targets, facility_targets):
        assert json.dumps(of(inventory, addresses)) == json.dumps(of(turned, addresses))


def test_the_age_of_a_file_grows_while_it_cannot_be_used(tmp_path: Path) -> None:
    path, now = tmp_path / "site.yaml", [1000.0]
    path.write_text(to_yaml(blueprint("starter")))
    told: list[str] = []
    keeper = Keeper(
        load_inventory(path), path, Addresses(), accepted=lambda inventory: told.append(inventory.site),
        more=lambda: [Reading(site.MAINTENANCE_UNTIL, ("rack", "r01", "x"), 5.0)], clock=lambda: now[0],
    )  # fmt: skip

    def says(metric: Metric, labels: str, value: float) -> bool:
        return f"{metric.name}{labels} {value}" in keeper.exposition().decode()

    assert says(site.INVENTORY_AGE, "", 0.0)
    assert says(site.MAINTENANCE_UNTIL, '{scope="rack",place="r01",reason="x"}', 5.0)
    now[0] += 5
    assert not keeper.check()
    assert says(site.INVENTORY_AGE, "", 0.0), "it was looked at, and had not changed"
    path.write_text("nonsense: 1\n")
    for _ in range(3):
        now[0] += 5
        assert not keeper.check()
    assert says(site.INVENTORY_AGE, "", 15.0)
    assert says(site.INVENTORY_SOURCE_UP, '{source="file"}', 0.0)
    assert says(site.TOPOLOGY_LOAD_ERRORS, "", 1.0)
    path.write_text(to_yaml(replace(blueprint("starter"), site="again")))
    assert keeper.check()
    assert says(site.INVENTORY_SOURCE_UP, '{source="file"}', 1.0)
    assert told == ["starter", "again"]


@pytest.fixture
def discovery(run_served: Callable[..., Any], tmp_path: Path) -> tuple[Any, Path, Path]:
    path, history = tmp_path / "site.yaml", tmp_path / "history"
    path.write_text(to_yaml(blueprint("mid-scale")))
    return run_served("sd", "--inventory", str(path), "--history", str(history)), path, history


def test_a_move_never_shows_two_places_and_is_written_down(discovery: tuple[Any, Path, Path]) -> None:
    served, path, history = discovery
    inventory = blueprint("mid-scale")
    node = replace(inventory.node["s01-n02"], rack="r01", unit=1, loop="loop-1", supplies=())
    nodes = tuple(node if one.name == "s01-n02" else one for one in inventory.nodes)
    seen: list[list[dict[str, Any]]] = [json.loads(served.get("/sd/agents"))]
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(json.loads(served.get("/sd/agents")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    path.write_text(to_yaml(replace(inventory, nodes=nodes)))
    generation = (site.TOPOLOGY_GENERATION.name, frozenset())
    samples = served.wait_for(lambda s: s[generation] == 2)
    stop.set()
    watcher.join()
    seen.append(json.loads(served.get("/sd/agents")))
    for groups in seen:
        assert set(Counter(group["labels"]["node"] for group in groups).values()) == {1}
        assert len(groups) == len(inventory.nodes)
    racks = [next(g["labels"]["rack"] for g in groups if g["labels"]["node"] == "s01-n02") for groups in seen]
    assert (racks[0], racks[-1]) == ("s01", "r01")
    assert racks == sorted(racks, reverse=True), "once it has moved it has moved"
    places = [dict(labels) for name, labels in samples if name == site.NODE_INFO.name]
    assert [one["rack"] for one in places if one["node"] == "s01-n02"] == ["r01"]
    stood = [one for one in stays(read(history)) if one.name == "s01-n02"]
    assert [one.until is None for one in stood] == [False, True]
