"""Inventory files: the blueprints are sound, and each mistake gives one line that names place and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch.cli import main
from gigawatch.errors import FileError, UserError
from gigawatch.topology import Role, blueprint, blueprint_names, load_inventory

SOUND = """\
version: 1
site: {name: here}
racks:
  - {name: "r[01-02]", hall: h1, row: a, power_watts: 30000, cooling: liquid}
loops:
  - {name: loop-1, hall: h1, racks: ["r[01-02]"], flow_liters_per_minute: 60, supply_celsius: 30}
nodes:
  - {name: "r[01-02]-n[1-2]", rack: "r{1}", unit: 1, unit_step: 10, gpu_model: H100, loop: loop-1}
devices:
  - {name: utility-a, role: utility, hall: h1, side: A}
  - {name: ups-a, role: ups, hall: h1, side: A, fed_by: utility-a}
  - {name: "pdu-r[01-02]-a", role: rack_pdu, rack: "r{1}", side: A, fed_by: ups-a}
  - {name: cdu-1, role: cdu, hall: h1, loop: loop-1}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "racks", "gpu_nodes", "gpus"),
    [("starter", 1, 2, 16), ("mid-scale", 5, 16, 128), ("full-scale", 20, 160, 1280)],
)
def test_blueprints_have_the_promised_size(name: str, racks: int, gpu_nodes: int, gpus: int) -> None:
    inventory = blueprint(name)
    assert len(inventory.racks) == racks
    assert sum(1 for node in inventory.nodes if node.gpus) == gpu_nodes
    assert inventory.gpu_count == gpus


@pytest.mark.parametrize("name", blueprint_names())
def test_blueprints_feed_and_cool_every_rack(name: str) -> None:
    inventory = blueprint(name)
    for rack in inventory.racks:
        pdus = [d for d in inventory.devices_with(Role.RACK_PDU) if d.rack == rack.name]
        assert {inventory.feed_of(d) for d in pdus} == {"utility-a", "utility-b"}
        assert rack.power_watts <= min(d.capacity_watts for d in pdus), "one feed alone must carry the rack"
    for node in inventory.nodes:
        if inventory.rack[node.rack].cooling == "liquid":
            assert node.rack in inventory.loop[node.loop].racks
    for loop in inventory.loops:
        assert any(d.loop == loop.name for d in inventory.devices_with(Role.CDU))
    managed = {d.node for d in inventory.devices_with(Role.BMC)}
    assert managed == {node.name for node in inventory.nodes}


def test_ranges_expand_and_placeholders_follow(tmp_path: Path) -> None:
    inventory = load_inventory(write(tmp_path, SOUND))
    assert [n.name for n in inventory.nodes] == ["r01-n1", "r01-n2", "r02-n1", "r02-n2"]
    assert inventory.node["r02-n2"].rack == "r02"
    assert inventory.node["r02-n2"].unit == 11
    assert inventory.place_of("r02-n2") == "here › h1 › a › r02 › U11 › r02-n2"


def test_blast_radius_follows_power_and_coolant(tmp_path: Path) -> None:
    inventory = load_inventory(write(tmp_path, SOUND))
    assert {n.name for n in inventory.blast_radius("pdu-r01-a")} == {"r01-n1", "r01-n2"}
    assert len(inventory.blast_radius("utility-a")) == 4
    assert len(inventory.blast_radius("cdu-1")) == 4
    assert [n.name for n in inventory.blast_radius("r01-n1")] == ["r01-n1"]
    with pytest.raises(KeyError):
        inventory.blast_radius("nothing")


@pytest.mark.parametrize(
    ("before", "after", "field", "says"),
    [
        ("version: 1", "version: 2", "version", "allowed: 1"),
        ("power_watts: 30000", "power_watts: lots", "racks[0].power_watts", "number"),
        ("power_watts: 30000", "power_watts: -1", "racks[0].power_watts", "greater than 0"),
        ("power_watts: 30000", "power_watts: .nan", "racks[0].power_watts", "finite"),
        ("cooling: liquid", "cooling: ice", "racks[0].cooling", "'liquid' or 'air'"),
        (
            "cooling: liquid",
            "cooling: liquid, colour: red",
            "racks[0].colour",
            "known here: air_handler, cooling, cooling_watts",
        ),
        ('rack: "r{1}", unit', 'rack: "x{1}", unit', "nodes[0].rack", "does not exist"),
        ("loop: loop-1}\ndevices", "loop: lop-1}\ndevices", "nodes[0].loop", "did you mean loop-1?"),
        ("unit_step: 10", "unit_step: 2", "nodes[0].unit", "stands there"),
        ("unit: 1,", "unit: 40,", "nodes[0].unit", "has 48 units"),
        ('"r[01-02]", hall', '"r[02-01]", hall', "racks[0].name", "put the lower number first"),
        ('"r[01-02]", hall', '"R_[01-02]", hall', "racks[0].name", "allowed: a-z"),
        ("fed_by: ups-a", "fed_by: ups-b", "devices[2].fed_by", "did you mean ups-a?"),
        (
            "side: A}\n  - {name: ups-a",
            "side: A, fed_by: ups-a}\n  - {name: ups-a",
            "devices[0].fed_by",
            "circle",
        ),
        ("role: cdu, hall: h1, loop: loop-1", "role: cdu, hall: h1", "devices[3].loop", "name the loop"),
        ("role: cdu", "role: fridge", "devices[3].role", "allowed:"),
        ("name: utility-a", "name: ups-a", "devices[1].name", "is taken by devices[0]"),
        ("gpu_model: H100, ", "", "nodes[0].gpu_model", "set gpus: 0"),
        ('rack: "r{1}", unit', 'rack: "r{3}", unit', "nodes[0].rack", "has 2 bracket ranges"),
    ],
)
def test_each_mistake_names_file_line_field_and_remedy(
    tmp_path: Path, before: str, after: str, field: str, says: str
) -> None:
    assert before in SOUND
    path = write(tmp_path, SOUND.replace(before, after, 1))
    with pytest.raises(FileError) as caught:
        load_inventory(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}:"), message
    assert caught.value.line is not None
    assert caught.value.field == field, message
    assert says in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "version: is missing"),
        (b"- a\n- b\n", "holds a list at the top"),
        (b"a: [1\n", "not valid YAML"),
        (b"site: 1\nsite: 2\n", "stands twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: &x [*x]\n", "levels deep"),
        (b"a: !!python/object:os.system x\n", "not valid YAML"),
        (b"{" * 5000, "not valid YAML|levels deep"),
    ],
)
def test_files_that_are_no_inventory_at_all(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=says) as caught:
        load_inventory(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_blueprint() -> None:
    with pytest.raises(FileError, match="cannot be read"):
        load_inventory(Path("no-such-file.yaml"))
    with pytest.raises(UserError, match="starter, mid-scale, full-scale"):
        blueprint("huge")


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.just("r[1-3]")
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "rack", "unit", "x"]), inner, max_size=4),
    ),
    max_leaves=12,
)
SECTIONS = ["version", "site", "racks", "nodes", "loops", "devices", "economics", "workloads", "other"]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), values, max_size=9))
def test_no_file_brings_anything_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    whole = {**yaml.safe_load(SOUND), **data}
    path = write(tmp_path_factory.mktemp("inventory"), yaml.safe_dump(whole))
    try:
        load_inventory(path)
    except FileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - success is allowed as well


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_no_text_brings_anything_but_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("inventory") / "site.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(FileError) as caught:
        load_inventory(path)
    assert "\n" not in str(caught.value)


def test_the_command_prints_a_line_per_mistake_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, SOUND.replace("hall: h1, row", "row", 1))
    assert main(["inventory", "check", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"error: {path}:4: racks[0].hall: is missing; add it\n"
    assert captured.err == f"gigawatch: {path}: 1 error; such an inventory does not come into force\n"


def test_the_command_counts_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", "check", str(write(tmp_path, SOUND))]) == 0
    out = capsys.readouterr().out
    assert "2 racks, 4 nodes, 32 gpus" in out
    assert "rack 'r01' hangs on 1 feed" in out
