"""NetBox as the source of an inventory: what a real 4.7.3 said, in pages; outages, half answers, changes.

The server is `tests/support/netbox_pages.py`; a real NetBox is asked by `make test-netbox`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from netbox_pages import OLD_TOKEN, TOKEN, NetBoxPages

from exporters.inventory import Addresses, Keeper
from exporters.inventory.netbox.draft import draft_of
from exporters.inventory.netbox.settings import NetBoxSettings, load_settings
from exporters.inventory.netbox.snapshot import Snapshot
from exporters.inventory.netbox.source import NetBoxSource, examine_netbox
from exporters.inventory.source import SourceDownError
from gigawatch.catalogue import site
from gigawatch.cli import main
from gigawatch.errors import FileError, UserError
from gigawatch.topology import Inventory, Role, load_inventory
from gigawatch.topology.load import examine


@pytest.fixture
def pages() -> Iterator[NetBoxPages]:
    served = NetBoxPages()
    yield served
    served.close()


@pytest.fixture
def wired(pages: NetBoxPages, tmp_path: Path) -> Callable[..., Path]:
    """Writes settings for that server; further ones are given."""

    def write(**more: Any) -> Path:
        (tmp_path / "token").write_text(more.pop("token", TOKEN) + "\n")
        path = tmp_path / "netbox.yaml"
        plain = {"url": pages.url, "token_file": "token", "site": "hq", "cache": "kept.json", "timeout": "5s"}
        path.write_text(yaml.safe_dump({**plain, **more}))
        return path

    return write


def source(path: Path, clock: Callable[[], float] = lambda: 1000.0) -> NetBoxSource:
    return NetBoxSource(load_settings(path), clock)


def paths_of(inventory: Inventory, node: str) -> list[list[str]]:
    """Devices from each power supply up to the intake."""
    found = []
    for supply in inventory.supplies_of(inventory.node[node]):
        device = inventory.device[supply.pdu]
        path = [f"{device.name}/{supply.outlet}"]
        while device.fed_by:
            device = inventory.device[device.fed_by]
            path.append(device.name)
        found.append(path)
    return found


def test_the_recorded_site_becomes_an_inventory(wired: Callable[..., Path]) -> None:
    found = examine_netbox(wired())
    assert found.problems == []
    inventory = found.inventory
    assert [rack.name for rack in inventory.racks] == ["r01", "r02"]
    rack = inventory.rack["r01"]
    assert (rack.hall, rack.row, rack.cooling, rack.cooling_watts) == ("hall-1", "row-a", "liquid", 34000)
    assert (rack.ports, rack.max_weight_kg, rack.power_watts) == (64, 1200, 30000)
    node = inventory.node["r01-n02"]
    assert (node.rack, node.unit, node.height, node.gpus, node.serial) == ("r01", 20, 8, 8, "SRV2")
    assert (node.gpu_model, node.loop, node.power_watts) == ("H100-SXM5-80GB", "loop-1", 9000)
    # Panel, feed, PDU, outlet, power supply, as the cables run.
    assert paths_of(inventory, "r01-n02") == [["pdu-r01-a/2", "panel-a"], ["pdu-r01-b/2", "panel-b"]]
    pdu = inventory.device["pdu-r01-b"]
    assert (pdu.side, pdu.phases, pdu.breaker_amperes, pdu.serial) == ("B", 3, 63, "PDUB")
    assert pdu.voltage == pytest.approx(230.9), "NetBox says 400 V between conductors"
    assert pdu.capacity_watts == pytest.approx(3**0.5 * 400 * 63 * 0.8, rel=1e-3)
    assert inventory.feed_of(pdu) == "panel-b"
    assert inventory.device["panel-a"].role is Role.UTILITY, "nothing feeds it: the power comes in there"
    unit = inventory.device["cdu-1"]
    assert (unit.loop, unit.cooled_by, unit.rack, unit.unit) == (
        "loop-1",
        ("chiller-1", "chiller-2"),
        "r01",
        1,
    )
    assert inventory.device["chiller-2"].capacity_watts == 60000
    assert inventory.loop["loop-1"].flow_cubic_meters_per_second == pytest.approx(45 / 60000)
    assert "patch-1" not in inventory.device, "a patch panel is of no concern here"


def test_pages_are_followed_and_both_kinds_of_token_are_understood(
    pages: NetBoxPages, wired: Callable[..., Path]
) -> None:
    whole = examine_netbox(wired()).accept()
    pages.largest_page = 3
    assert examine_netbox(wired(token=OLD_TOKEN)).accept() == whole
    assert pages.asked["dcim/power-outlets"] == 1 + 6


def test_an_older_netbox_without_cooling_takes_loops_from_a_field(
    pages: NetBoxPages, wired: Callable[..., Path], tmp_path: Path
) -> None:
    for path in [path for path in pages.objects if "cooling" in path]:
        del pages.objects[path]
    (tmp_path / "more.yaml").write_text("loops: [{name: loop-1, flow_liters_per_minute: 50}]\n")
    inventory = examine_netbox(wired(overlay="more.yaml")).accept()
    assert inventory.node["r01-n01"].loop == "loop-1"
    assert inventory.loop["loop-1"].racks == ("r01",)
    assert inventory.device["cdu-1"].cooled_by == ()


def test_without_the_field_the_loop_is_that_of_the_unit_that_cools_the_node(
    pages: NetBoxPages, wired: Callable[..., Path]
) -> None:
    pages.one("dcim/racks", "R01")["custom_fields"]["cooling_loop"] = None
    inventory = examine_netbox(wired()).accept()
    assert {node.loop for node in inventory.nodes} == {inventory.device["cdu-1"].loop} == {"loop-cdu-1"}
    assert inventory.loop["loop-cdu-1"].racks == ("r01",)


def test_an_overlay_adds_what_netbox_does_not_know(wired: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(
        """\
version: 1
economics: {energy_usd_per_kwh: 0.11}
kinds: [{name: server, what: node, power_watts: 9000, cooling: liquid}]
nodes: [{name: "r01-n[01-02]", kind: server}]
devices:
  - {name: "utility-[1-2]", role: utility, hall: hall-1}
  - {name: panel-a, fed_by: utility-1}
  - {name: panel-b, fed_by: utility-2}
  - {name: cdu-1, zones: [{name: tray, endangers: [r01]}]}
  - {name: pdu-r01-a, endpoints: [{protocol: snmp, address: 10.0.0.9, credentials: pdu}]}
"""
    )
    inventory = examine_netbox(wired(overlay="more.yaml")).accept()
    assert paths_of(inventory, "r01-n01")[1] == ["pdu-r01-b/1", "panel-b", "utility-2"]
    assert inventory.device["panel-a"].role is Role.FLOOR_PDU
    assert inventory.economics.energy_usd_per_kwh == 0.11
    assert inventory.device["cdu-1"].zones[0].endangers == ("r01",)
    assert inventory.node["r01-n02"].kind == "server"


def test_addresses_inventory_items_and_reservations(pages: NetBoxPages, wired: Callable[..., Path]) -> None:
    node = pages.one("dcim/devices", "R01-N01")
    node["custom_fields"]["gpu_model"] = node["custom_fields"]["gpus"] = None
    node["primary_ip"] = {"id": 1, "family": {"value": 4}, "address": "10.2.0.1/24"}
    node["oob_ip"] = {"id": 2, "address": "fd00::7/64"}
    pages.one("dcim/devices", "PDU R01 A")["primary_ip"] = {"id": 3, "address": "10.2.0.9/24"}
    role = {"id": 1, "name": "GPU", "slug": "gpu"}
    pages.objects["dcim/inventory-items"] = [
        {"id": n, "device": {"id": node["id"]}, "name": f"GPU {n}", "part_id": "H200-141GB", "role": role}
        for n in range(1, 5)
    ] + [{"id": 9, "device": {"id": node["id"]}, "name": "NIC", "role": {"slug": "nic"}}]
    rack = pages.one("dcim/racks", "R02")
    pages.objects["dcim/rack-reservations"] = [
        {"id": 1, "rack": {"id": rack["id"]}, "units": [1, 2, 3], "description": "For Phase 2"}
    ]
    endpoints = {
        "bmc": {"protocol": "redfish", "credentials": "bmc"},
        "rack_pdu": {"protocol": "snmp", "credentials": "pdu", "port": 1161},
    }
    inventory = examine_netbox(wired(endpoints=endpoints)).accept()
    assert (inventory.node["r01-n01"].gpus, inventory.node["r01-n01"].gpu_model) == (4, "H200-141GB")
    assert inventory.node["r01-n01"].address == "10.2.0.1:9610"
    assert inventory.device["bmc-r01-n01"].endpoints[0].address == "https://[fd00::7]"
    assert inventory.device["bmc-r01-n01"].node == "r01-n01"
    assert inventory.device["pdu-r01-a"].endpoints[0].address == "10.2.0.9:1161"
    (reservation,) = inventory.reservations
    assert (reservation.name, reservation.rack, reservation.units) == ("for-phase-2", "r02", 3)


def test_contradictions_name_the_page_of_the_object(pages: NetBoxPages, wired: Callable[..., Path]) -> None:
    pages.one("dcim/devices", "R01-N02")["position"] = 12.0
    pages.one("dcim/devices", "R01-N01")["custom_fields"]["gpu_model"] = None
    pages.one("dcim/devices", "leaf-1")["position"] = None
    found = examine_netbox(wired())
    told = {(one.place, one.field, one.code) for one in found.errors}
    assert told == {
        (f"{pages.url}/dcim/devices/2/", "R01-N02.unit", "unit-overlap"),
        (f"{pages.url}/dcim/devices/1/", "R01-N01.gpu_model", "gpu-model"),
    }
    pages.one("dcim/devices", "R01-N02")["position"] = None
    (warning,) = [one for one in examine_netbox(wired()).problems if one.code == "unplaced"]
    assert warning.severity.value == "warning", "a half-entered device does not stop the others"


BREAKS: list[tuple[str, Callable[[NetBoxPages], object], str]] = [
    ("rights", lambda p: p.status.update({"dcim/devices": 403}), "view permission"),
    ("error", lambda p: p.status.update({"dcim/power-feeds": 500}), "answers 500"),
    ("gone", lambda p: p.objects.pop("dcim/racks"), "is this the address of a NetBox"),
    ("slug", lambda p: p.status.update({"dcim/locations": 400}), "does it have a site of this slug"),
    (
        "half",
        lambda p: p.broken.update({"dcim/devices": b'{"count": 8, "next": null, "results": [{"id"'}),
        "devices",
    ),
    ("no json", lambda p: p.broken.update({"dcim/devices": b"<html>" + b" " * 99_999 + b"\n"}), "no JSON"),
    (
        "no page",
        lambda p: p.broken.update({"dcim/devices": b'{"detail": "x"}' + b" " * 99_999 + b"\n"}),
        "no page",
    ),
    (
        "fewer than said",
        lambda p: p.broken.update(
            {"dcim/racks": b'{"count": 2, "next": null, "results": []}' + b" " * 9999 + b"\n"}
        ),
        "gave 0 objects and says there are 2",
    ),
    (
        "another host",
        lambda p: (setattr(p, "largest_page", 2), setattr(p, "next_host", "http://192.0.2.1")),
        "another address",
    ),
    ("no change log and dead", lambda p: p.close(), "refuses the connection"),
]


@pytest.mark.parametrize(("what", "break_it", "says"), BREAKS, ids=[what for what, _, _ in BREAKS])
def test_an_answer_that_is_not_whole_changes_nothing(
    pages: NetBoxPages,
    wired: Callable[..., Path],
    what: str,
    break_it: Callable[[NetBoxPages], object],
    says: str,
) -> None:
    path = wired()
    now = [1000.0]
    kept = source(path, lambda: now[0])
    inventory = kept.begin()
    keeper = Keeper(inventory, kept, Addresses(), clock=lambda: now[0])
    agents = keeper._agents
    now[0], pages.asked = 1700.0, type(pages.asked)()
    pages.touch()
    break_it(pages)
    assert not keeper.check()
    assert keeper.inventory is inventory
    assert keeper._agents == agents
    text = keeper.exposition().decode()
    assert f'{site.INVENTORY_SOURCE_UP.name}{{source="netbox"}} 0.0' in text
    assert f"{site.INVENTORY_AGE.name} 700.0" in text
    assert f"{site.TOPOLOGY_LOAD_ERRORS.name} 0.0" in text, "nothing is known against the inventory"
    with pytest.raises(SourceDownError) as caught:
        kept.read()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    # A process that starts now goes on with what was kept; its age is the age of what was kept.
    again = source(path, lambda: now[0])
    assert again.begin() == inventory
    assert again.read_at == 1000.0


def test_nothing_changed_costs_one_question(pages: NetBoxPages, wired: Callable[..., Path]) -> None:
    now = [1000.0]
    kept = source(wired(full_every="10m"), lambda: now[0])
    inventory = kept.begin()
    pages.asked.clear()
    now[0] += 300
    assert kept.read() is inventory
    assert dict(pages.asked) == {"core/object-changes": 1}
    assert kept.read_at == 1300.0
    now[0] += 301
    assert kept.read() is inventory, "all is read now and then, and it is the same"
    assert pages.asked["dcim/devices"] == 1
    pages.status["core/object-changes"] = 403
    pages.asked.clear()
    now[0] += 601
    assert kept.read() is inventory
    assert kept.read() is inventory
    assert pages.asked["dcim/devices"] == 2, "without the change log all is read each time"


def test_renamed_moved_and_removed_things(
    pages: NetBoxPages, wired: Callable[..., Path], tmp_path: Path
) -> None:
    from gigawatch.topology.history import History, read, stays

    kept, history = source(wired()), tmp_path / "history"
    keeper = Keeper(kept.begin(), kept, Addresses(), history=History(history), clock=lambda: 1000.0)
    first = json.loads(keeper._agents)
    node = pages.one("dcim/devices", "R01-N02")
    node["rack"] = {"id": pages.one("dcim/racks", "R02")["id"], "name": "R02"}
    pages.one("dcim/racks", "R02")["cooling_capability"] = {"value": "liquid-only"}
    pages.one("dcim/racks", "R02")["custom_fields"]["cooling_loop"] = "loop-1"
    for port in pages.objects["dcim/power-ports"]:
        if port["device"]["id"] == node["id"]:
            port["connected_endpoints"], port["connected_endpoints_type"] = None, None
    pages.objects["dcim/devices"].remove(pages.one("dcim/devices", "leaf-1"))
    pages.one("dcim/devices", "CDU 1")["name"] = "CDU 9"
    pages.touch()
    assert keeper.check()
    second = json.loads(keeper._agents)
    places = [
        [(one["labels"]["node"], one["labels"]["rack"]) for one in groups] for groups in (first, second)
    ]
    assert places == [[("r01-n01", "r01"), ("r01-n02", "r01")], [("r01-n01", "r01"), ("r01-n02", "r02")]]
    ended = {(one.name, one.until is None) for one in stays(read(history)) if one.kind in ("node", "device")}
    assert {
        ("leaf-1", False),
        ("cdu-1", False),
        ("cdu-9", True),
        ("r01-n02", False),
        ("r01-n02", True),
    } <= ended


def test_a_site_that_shrinks_to_less_than_half_has_to_say_so_three_times(
    pages: NetBoxPages, wired: Callable[..., Path]
) -> None:
    kept = source(wired())
    kept.begin()
    pages.objects["dcim/devices"] = [pages.one("dcim/devices", "R01-N01")]
    pages.objects["dcim/power-ports"] = []
    pages.touch()
    for _ in range(2):
        with pytest.raises(SourceDownError, match="shows 1 devices where it showed 8"):
            kept.read()
    assert [node.name for node in kept.read().nodes] == ["r01-n01"]


def test_a_contradiction_is_counted_once_and_a_damaged_copy_is_not_used(
    pages: NetBoxPages, wired: Callable[..., Path], tmp_path: Path
) -> None:
    path = wired()
    kept = source(path)
    keeper = Keeper(kept.begin(), kept, Addresses(), clock=lambda: 1000.0)
    pages.one("dcim/devices", "R01-N02")["position"] = 12.0
    pages.touch()
    for _ in range(3):
        assert not keeper.check()
    assert f"{site.TOPOLOGY_LOAD_ERRORS.name} 1.0" in keeper.exposition().decode()
    copy = tmp_path / "kept.json"
    copy.write_text(copy.read_text().replace("R01-N01", "R01-N09", 1))
    pages.close()
    with pytest.raises(SourceDownError):
        source(path).begin()


def test_the_commands_read_netbox(
    pages: NetBoxPages, wired: Callable[..., Path], tmp_path: Path, run_served: Callable[..., Any]
) -> None:
    served = run_served("sd", "--netbox", str(wired(every="5s")), "--write", str(tmp_path / "site.yaml"))
    assert [one["labels"]["rack"] for one in json.loads(served.get("/sd/agents"))] == ["r01", "r01"]
    written = load_inventory(tmp_path / "site.yaml")
    assert written.nodes == examine_netbox(wired()).accept().nodes


def test_export_check_and_wrong_settings(
    pages: NetBoxPages, wired: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["inventory", "export", "--netbox", str(wired())]) == 0
    path = tmp_path / "site.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_inventory(path).devices == examine_netbox(wired()).accept().devices
    assert main(["inventory", "check", "--netbox", str(wired())]) == 0
    assert "site 'hq' with 2 racks, 2 nodes, 16 gpus" in capsys.readouterr().out
    for wrong, says in (
        ({"url": "netbox.example"}, "allowed: https://HOST"),
        ({"roles": {"x": "fridge"}}, "allowed: node, ignore"),
        ({"every": "1s"}, "5s to 1d"),
        ({"colour": "red"}, "not a known field"),
    ):
        with pytest.raises(FileError, match=says):
            load_settings(wired(**wrong))
    assert main(["inventory", "check", "--netbox", str(wired(token_file="missing"))]) == 1
    assert "missing: cannot be read" in capsys.readouterr().err


_RECORDED = json.loads((Path(__file__).parent / "fixtures" / "netbox" / "netbox-4.7.3.json").read_text())
_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "name", "slug"]), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_field_of_an_object_brings_more_than_a_problem(data: st.DataObject) -> None:
    objects = json.loads(json.dumps(_RECORDED))
    for _ in range(data.draw(st.integers(1, 6))):
        path = data.draw(st.sampled_from([path for path, found in objects.items() if found]))
        one = data.draw(st.sampled_from(objects[path]))
        one[data.draw(st.sampled_from([name for name in one if name != "id"]))] = data.draw(_anything)
    found = examine(draft_of(Snapshot(objects), NetBoxSettings(url="http://netbox", site="hq")))
    try:
        found.accept()
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 - success is allowed as well
