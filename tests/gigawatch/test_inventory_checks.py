"""Contradictions of an inventory: all are found in one run, with their places; what is sound passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigawatch.cli import main
from gigawatch.errors import FileError
from gigawatch.topology import Inventory, Role, blueprint, blueprint_names, load_inventory
from gigawatch.topology.draft import draft_of, draft_of_file
from gigawatch.topology.export import to_yaml
from gigawatch.topology.load import Examined, examine
from gigawatch.topology.problems import Origin, Severity

SITE = """\
version: 1
site: {name: here}
rows:
  - {name: row, hall: hall, positions: 3}
kinds:
  - {name: server, what: node, power_watts: 9000, cooling: liquid, units: 8}
  - {name: cabinet, what: rack, power_watts: 30000, cooling: liquid}
racks:
  - {name: "r[1-2]", hall: hall, row: row, position: 1, position_step: 1, power_watts: 30000,
     cooling: liquid, ports: 32}
loops:
  - {name: loop, hall: hall, racks: ["r[1-2]"], flow_liters_per_minute: 90, supply_celsius: 30}
nodes:
  - name: "r[1-2]-n[1-2]"
    rack: "r{1}"
    unit: 10
    unit_step: 10
    gpu_model: H100-SXM5-80GB
    loop: loop
    kind: server
    power_watts: 9000
    ports: 10
    psus: 2
    serial: "SN{1}{2}"
    address: "10.0.{1}.{2:+10}:9610"
    supplies: [{psu: 1, pdu: "pdu-r{1}-a", outlet: "{2}"}, {psu: 2, pdu: "pdu-r{1}-b", outlet: "{2}"}]
devices:
  - {name: "utility-[1-2]", role: utility, hall: hall, capacity_watts: 100000}
  - {name: "pdu-r[1-2]-a", role: rack_pdu, rack: "r{1}", side: A, fed_by: utility-1, breaker_amperes: 63,
     capacity_watts: 34776, endpoints: [{protocol: snmp, address: "10.1.{1:d}.{1:*2+8}", credentials: pdu}]}
  - {name: "pdu-r[1-2]-b", role: rack_pdu, rack: "r{1}", side: B, fed_by: utility-2, breaker_amperes: 63,
     capacity_watts: 34776}
  - {name: "chiller-[1-2]", role: chiller, hall: hall, capacity_watts: 60000, group: chillers, spare: 1}
  - {name: "cdu-[1-2]", role: cdu, hall: hall, loop: loop, capacity_watts: 60000,
     cooled_by: ["chiller-[1-2]"], zones: [{name: tray, endangers: ["r[1-2]", "r1-n[1-2]"]}]}
  - {name: leaf, role: switch, rack: r1, unit: 42, face: rear, fed_by: pdu-r1-a}
  - {name: panel, role: sensor, rack: r1, unit: 42, face: front}
reservations:
  - {name: soon, rack: r1, power_watts: 9000, units: 8, ports: 10}
"""


def site() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(SITE)
    return data


def row(data: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in data[section] if one["name"] == name)
    return found


def examined(data: dict[str, Any]) -> Examined:
    return examine(draft_of(data, Origin("site.yaml")))


def test_a_sound_site_brings_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    assert [str(problem) for problem in examine(draft_of_file(path)).problems] == []


def test_the_example_of_the_documentation_is_sound(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "inventory.md").read_text()
    path = tmp_path / "site.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0])
    found = examine(draft_of_file(path))
    assert found.problems == []
    assert found.inventory.node["r01-n01"].address == "10.0.1.101:9610"


@pytest.mark.parametrize("name", blueprint_names())
def test_blueprints_have_no_contradiction_and_no_warning(name: str) -> None:
    found = examine(draft_of_file(Path(blueprint(name).source)))
    assert [problem for problem in found.problems if problem.severity is not Severity.NOTE] == []
    # Losing a coolant unit of the smaller sites takes its racks down, and that is said.
    assert [problem.code for problem in found.problems] == {
        "starter": ["no-spare"], "mid-scale": ["no-spare", "no-spare"], "full-scale": [],
    }[name]  # fmt: skip


def test_numbers_of_names_go_into_addresses_with_offsets_and_factors() -> None:
    inventory = examined(site()).accept()
    assert [node.address for node in inventory.nodes] == [
        "10.0.1.11:9610", "10.0.1.12:9610", "10.0.2.11:9610", "10.0.2.12:9610",
    ]  # fmt: skip
    assert inventory.device["pdu-r2-a"].endpoints[0].address == "10.1.2.12"
    assert inventory.node["r2-n1"].supplies[1].pdu == "pdu-r2-b"
    assert inventory.device["cdu-1"].zones[0].endangers == ("r1", "r2", "r1-n1", "r1-n2")
    assert [rack.position for rack in inventory.racks] == [1, 2]


@pytest.mark.parametrize(
    ("form", "number"),
    [("", "007"), (":d", "7"), (":+100", "107"), (":-7", "0"), (":*4", "28"), (":*4-3", "25")],
)
def test_every_form_of_a_number(form: str, number: str) -> None:
    data = site()
    data["devices"].append({"name": "door-[007-007]", "role": "door", "hall": f"h{{1{form}}}"})
    assert examined(data).accept().device["door-007"].hall == f"h{number}"


CONTRADICTIONS: list[tuple[str, str, str, dict[str, Any], str, str]] = [
    # section, row, field, value, where it is told, words
    ("devices", "utility-[1-2]", "fed_by", "pdu-r1-a", "devices[0].fed_by", "circle"),
    ("devices", "pdu-r[1-2]-a", "fed_by", "chiller-1", "devices[1].fed_by", "distributes no power"),
    (
        "devices",
        "utility-[1-2]",
        "phases",
        1,
        "devices[1].phases",
        "is 3, and 'utility-1' that feeds it has 1",
    ),
    ("devices", "chiller-[1-2]", "cooled_by", ["cdu-1"], "devices[3].cooled_by", "cools itself"),
    ("devices", "cdu-[1-2]", "cooled_by", ["leaf"], "devices[4].cooled_by[0]", "carries no heat away"),
    ("devices", "panel", "face", "both", "devices[6].unit", "'leaf' stands there"),
    ("devices", "leaf", "unit", 12, "devices[5].unit", "'r1-n1' stands there"),
    ("devices", "leaf", "unit", 49, "devices[5].unit", "rack 'r1' has 48 units"),
    ("devices", "leaf", "rack", "", "devices[5].unit", "of no rack"),
    ("nodes", "r[1-2]-n[1-2]", "serial", "SN{1}", "nodes[0].serial", "serial of 'r1-n1' as well"),
    (
        "nodes",
        "r[1-2]-n[1-2]",
        "address",
        "10.0.0.{2}:9610",
        "nodes[0].address",
        "address of 'r1-n1' as well",
    ),
    ("nodes", "r[1-2]-n[1-2]", "kind", "cabinet", "nodes[0].kind", "a kind of rack"),
    ("nodes", "r[1-2]-n[1-2]", "kind", "serve", "nodes[0].kind", "did you mean server?"),
    ("racks", "r[1-2]", "position", 3, "racks[0].position", "row 'row' has 3"),
    ("racks", "r[1-2]", "position_step", 0, "racks[0].position", "'r1' stands there"),
    ("racks", "r[1-2]", "row", "rowe", "racks[0].row", "names the row 'rowe'"),
    ("loops", "loop", "racks", ["r1"], "nodes[0].loop", "does not serve rack 'r2'"),
    (
        "devices",
        "cdu-[1-2]",
        "zones",
        [{"name": "a", "endangers": ["r3"]}],
        "devices[4].zones[0].endangers[0]",
        "'r3'",
    ),
    (
        "devices",
        "cdu-[1-2]",
        "zones",
        [{"name": "a"}, {"name": "a"}],
        "devices[4].zones[1].name",
        "stands twice",
    ),
    ("devices", "chiller-[1-2]", "spare", 2, "devices[3].spare", "has 2 members"),
    ("devices", "leaf", "spare", 1, "devices[5].spare", "without a group"),
    ("devices", "leaf", "group", "chillers", "devices[5].group", "as of 'chiller-1'"),
    ("racks", "r[1-2]", "air_handler", "crah-9", "racks[0].air_handler", "names the device 'crah-9'"),
    ("racks", "r[1-2]", "air_handler", "chiller-1", "racks[0].air_handler", "the role crah"),
    ("racks", "r[1-2]", "air_handler", "wall", "racks[0].air_handler", "'wall' in attic, and the rack"),
    ("nodes", "r[1-2]-n[1-2]", "switches", ["leaf", "spine"], "nodes[0].switches[1]", "does not exist"),
    ("nodes", "r[1-2]-n[1-2]", "switches", ["leaf", "panel"], "nodes[0].switches[1]", "the role switch"),
    ("reservations", "soon", "until", "2027-02-30", "reservations[0].until", "a date such as"),
    ("reservations", "soon", "rack", "r9", "reservations[0].rack", "does not exist"),
    ("devices", "leaf", "loop", "{1:*}", "devices[5].loop", "allowed: {1}, {1:d}, {1:+100}"),
    ("nodes", "r[1-2]-n[1-2]", "name", "r[1-99999]-n[1-99999]", "nodes[0].name", "at most 100000 names"),
    (
        "devices",
        "cdu-[1-2]",
        "cooled_by",
        ["chiller-[2-1]"],
        "devices[4].cooled_by[0]",
        "the lower number first",
    ),
]


@pytest.mark.parametrize(("section", "name", "field", "value", "at", "says"), CONTRADICTIONS)
def test_each_contradiction_is_told_with_its_field(
    section: str, name: str, field: str, value: object, at: str, says: str
) -> None:
    data = site()
    if says.startswith("allowed: {1}"):
        row(data, section, name)["name"] = "leaf-[1-1]"
        name = "leaf-[1-1]"
    if value == "wall":
        data["devices"].append({"name": "wall", "role": "crah", "hall": "attic"})
    row(data, section, name)[field] = value
    errors = examined(data).errors
    assert any(one.field == at and says in str(one) for one in errors), [str(one) for one in errors]


SUPPLIES = [
    ([{"psu": 3, "pdu": "pdu-r{1}-a"}], "supplies[0].psu", "more than the node has (2)"),
    ([{"psu": 1, "pdu": "pdu-r{1}-a"}, {"psu": 1, "pdu": "pdu-r{1}-b"}], "supplies[1].psu", "stands twice"),
    ([{"psu": 1, "pdu": "pdu-r1-a"}], "supplies[0].pdu", "hangs in rack 'r1'"),
    (
        [{"psu": 1, "pdu": "pdu-r{1}-a", "outlet": "4"}],
        "supplies[0].outlet",
        "supply 1 of 'r1-n1' is plugged in",
    ),
    ([{"psu": 1, "pdu": "leaf"}], "supplies[0].pdu", "a switch"),
    ([{"psu": 1, "pdu": "pdu-r{1}-c"}], "supplies[0].pdu", "did you mean"),
]


@pytest.mark.parametrize(("supplies", "at", "says"), SUPPLIES)
def test_supplies_go_into_outlets_of_their_own_rack(
    supplies: list[dict[str, Any]], at: str, says: str
) -> None:
    data = site()
    data["nodes"][0]["supplies"] = supplies
    errors = examined(data).errors
    assert any(one.field == f"nodes[0].{at}" and says in str(one) for one in errors), [
        str(one) for one in errors
    ]


ENDPOINTS = [
    ({"protocol": "redfish", "address": "10.0.0.1"}, "address", "https://HOST"),
    ({"protocol": "redfish", "address": "https://10.0.0.1/redfish/v1"}, "address", "goes into `path`"),
    (
        {"protocol": "redfish", "address": "https://root:secret@10.0.0.1"},
        "address",
        "secrets go by `credentials`",
    ),
    (
        {"protocol": "redfish", "address": "https://10.0.0.1", "path": "Chassis/1"},
        "path",
        "begins with /redfish/",
    ),
    ({"protocol": "snmp", "address": "https://10.0.0.1"}, "address", "HOST or HOST:PORT"),
    ({"protocol": "snmp", "address": "10.0.0.1:99999"}, "address", "HOST or HOST:PORT"),
    ({"protocol": "snmp", "address": "10.0.0.1", "unit": 3}, "unit", "it belongs to modbus"),
    ({"protocol": "modbus", "address": "10.0.0.1"}, "profile", "name the profile"),
    (
        {"protocol": "modbus", "address": "10.0.0.1", "profile": "x", "object": "y"},
        "object",
        "it belongs to mqtt",
    ),
    ({"protocol": "mqtt", "address": "broker:1883"}, "address", "mqtts://HOST"),
    ({"protocol": "snmp", "address": "10.0.0.1", "interval": "5"}, "interval", "is not a duration"),
    ({"protocol": "snmp", "address": "10.0.0.1", "interval": "2h"}, "interval", "500ms to 1h"),
    (
        {"protocol": "snmp", "address": "10.1.1.10", "credentials": "x"},
        "address",
        "asked for 'pdu-r1-a' as well",
    ),
    ({"protocol": "bacnet", "address": "x"}, "protocol", "allowed:"),
]


@pytest.mark.parametrize(("endpoint", "at", "says"), ENDPOINTS)
def test_endpoints_have_the_form_of_their_protocol(endpoint: dict[str, Any], at: str, says: str) -> None:
    data = site()
    row(data, "devices", "leaf")["endpoints"] = [endpoint]
    errors = examined(data).errors
    told = [str(one) for one in errors if one.field == f"devices[5].endpoints[0].{at}"]
    assert len(told) == 1, [str(one) for one in errors]
    assert says in told[0]
    assert "secret@" not in told[0]


REMARKS = [
    ("devices", "pdu-r[1-2]-a", {"voltage": 120}, "warning", "voltage"),
    ("devices", "utility-[1-2]", {"breaker_amperes": 32}, "warning", "breaker"),
    ("devices", "pdu-r[1-2]-a", {"capacity_watts": 43470}, "note", "breaker"),
    ("devices", "utility-[1-2]", {"side": "B"}, "warning", "side"),
    ("devices", "utility-[1-2]", {"capacity_watts": 30000}, "warning", "oversubscribed"),
    ("racks", "r[1-2]", {"power_watts": 17000}, "warning", "oversubscribed"),
    ("racks", "r[1-2]", {"cooling_watts": 17000}, "warning", "oversubscribed"),
    ("racks", "r[1-2]", {"ports": 19}, "warning", "ports"),
    ("devices", "cdu-[1-2]", {"capacity_watts": 15000}, "warning", "oversubscribed"),
    ("devices", "cdu-[1-2]", {"capacity_watts": 30000}, "note", "no-spare"),
    ("devices", "cdu-[1-2]", {"cooled_by": []}, "note", "no-source"),
    ("nodes", "r[1-2]-n[1-2]", {"psus": 1, "supplies": []}, "note", "single-corded"),
    ("devices", "pdu-r[1-2]-b", {"fed_by": "utility-1"}, "note", "single-corded"),
    ("reservations", "soon", {"until": "2020-01-01"}, "note", "expired"),
    ("reservations", "soon", {"units": 40}, "warning", "reservation"),
    ("reservations", "soon", {"power_watts": 12001}, "warning", "reservation"),
    ("reservations", "soon", {"ports": 13}, "warning", "reservation"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "name", "changes", "severity", "code"), REMARKS)
def test_what_is_legal_but_dangerous_is_told_and_not_refused(
    section: str, name: str, changes: dict[str, Any], severity: str, code: str
) -> None:
    data = site()
    row(data, section, name).update(changes)
    found = examined(data)
    assert found.errors == []
    assert (severity, code) in {(one.severity.value, one.code) for one in found.problems}, found.problems


def test_a_gpu_model_spelled_in_two_ways_and_a_second_controller_are_told() -> None:
    data = site()
    data["nodes"].append(
        {"name": "x", "rack": "r1", "unit": 1, "height": 2, "gpu_model": "h100 SXM5 80gb", "loop": "loop"}
    )
    data["devices"] += [{"name": f"bmc-{n}", "role": "bmc", "node": "x"} for n in (1, 2)]
    assert {"gpu-model", "bmc"} <= {one.code for one in examined(data).problems}


def test_all_contradictions_come_in_one_run_and_rows_of_many_things_count_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "site.yaml"
    text = SITE.replace("kind: server\n", "kind: nothing\n").replace("fed_by: utility-2", "fed_by: utility-3")
    text = text.replace("rack: r1, power_watts: 9000", "rack: r1, until: soon").replace(
        "unit: 42, face: rear", "unit: 10"
    )
    path.write_text(text)
    assert main(["inventory", "check", str(path)]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"error: {path}:") for line in lines)
    assert "nodes[0].kind: names the kind 'nothing'" in lines[0]
    assert "(3 more from this row)" not in lines[0], "the same words are told once"
    assert captured.err.endswith("4 errors; such an inventory does not come into force\n")
    with pytest.raises(FileError, match=r"nodes\[0\].kind: .*\(and 3 more\)"):
        load_inventory(path)
    assert main(["inventory", "check", str(path), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"]
    assert {one["code"] for one in answer["errors"]} == {"unknown-reference", "date", "unit-overlap"}
    assert all(one["line"] and one["place"] == str(path) for one in answer["errors"])


def test_one_wrong_row_does_not_make_others_wrong() -> None:
    data = site()
    row(data, "racks", "r[1-2]")["cooling"] = "ice"
    row(data, "devices", "utility-[1-2]")["role"] = "utilities"
    errors = examined(data).errors
    assert {one.field for one in errors} == {"racks[0].cooling", "devices[0].role"}


def test_an_overlay_adds_and_wins_and_keeps_its_own_place() -> None:
    below = draft_of(site(), Origin("below"))
    above = draft_of(
        {
            "version": 1, "economics": {"energy_usd_per_kwh": 0.2},
            "nodes": [{"name": "r[1-2]-n[1-2]", "power_watts": 8000}],
            "devices": [{"name": "leaf", "unit": 60}, {"name": "door", "role": "door", "rack": "r2"}],
        },
        Origin("above"),
    )  # fmt: skip
    below.lay_over(above)
    found = examine(below)
    assert [(one.place, one.field) for one in found.errors] == [("above", "devices[0].unit")]
    assert found.inventory.node["r2-n2"].power_watts == 8000
    assert found.inventory.node["r2-n2"].serial == "SN22"
    assert found.inventory.device["door"].rack == "r2"
    assert found.inventory.economics.energy_usd_per_kwh == 0.2


@pytest.mark.parametrize("name", blueprint_names())
def test_what_is_exported_is_the_same_inventory(name: str, tmp_path: Path) -> None:
    inventory = blueprint(name)
    path = tmp_path / "site.yaml"
    path.write_text(to_yaml(inventory))
    again = load_inventory(path)
    for field in ("site", "racks", "nodes", "devices", "loops", "economics", "rows", "kinds", "reservations"):
        assert getattr(again, field) == getattr(inventory, field), field


def test_a_manifold_touches_its_rack_and_supplies_go_in_turn_by_default() -> None:
    inventory = blueprint("mid-scale")
    assert {node.rack for node in inventory.blast_radius("manifold-r03")} == {"r03"}
    assert {node.rack for node in inventory.blast_radius("cdu-2")} == {"r03", "r04"}
    data = site()
    del data["nodes"][0]["supplies"]
    plain: Inventory = examined(data).accept()
    assert [supply.pdu for supply in plain.supplies_of(plain.node["r1-n1"])] == ["pdu-r1-a", "pdu-r1-b"]
    assert plain.side_of(plain.device["leaf"]) == "A"
    assert plain.devices_with(Role.SWITCH)[0].name == "leaf"


def test_a_switch_touches_the_nodes_that_name_it_and_an_air_handler_its_racks(tmp_path: Path) -> None:
    data = site()
    data["devices"] += [
        {"name": "rail-[1-2]", "role": "switch"},
        {"name": "wall-[1-2]", "role": "crah", "hall": "hall", "cooled_by": ["chiller-1"]},
    ]
    row(data, "nodes", "r[1-2]-n[1-2]")["switches"] = ["rail-{2}"]
    row(data, "racks", "r[1-2]")["air_handler"] = "wall-{1}"
    inventory = examined(data).accept()
    assert [node.name for node in inventory.blast_radius("rail-2")] == ["r1-n2", "r2-n2"]
    assert inventory.blast_radius("leaf") == (), "the nodes of its rack say that they hang on others"
    assert [node.name for node in inventory.blast_radius("wall-1")] == ["r1-n1", "r1-n2"]
    (tmp_path / "again.yaml").write_text(to_yaml(inventory))
    again = load_inventory(tmp_path / "again.yaml")
    assert (again.nodes, again.racks) == (inventory.nodes, inventory.racks)
    row(data, "nodes", "r[1-2]-n[1-2]")["switches"] = []
    assert [node.name for node in examined(data).accept().blast_radius("leaf")] == ["r1-n1", "r1-n2"]
