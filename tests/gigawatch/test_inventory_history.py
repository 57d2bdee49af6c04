"""Where things stood: a file that only grows, survives a torn end, and tells moves as intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch.cli import main
from gigawatch.errors import FileError
from gigawatch.topology import Inventory, blueprint
from gigawatch.topology.history import History, read, stays


def moved(inventory: Inventory, name: str, unit: int) -> Inventory:
    nodes = tuple(replace(node, unit=unit) if node.name == name else node for node in inventory.nodes)
    return replace(inventory, nodes=nodes)


def without(inventory: Inventory, name: str) -> Inventory:
    return replace(
        inventory,
        nodes=tuple(node for node in inventory.nodes if node.name != name),
        devices=tuple(device for device in inventory.devices if device.node != name),
    )


def test_appearing_moving_and_vanishing_are_intervals(tmp_path: Path) -> None:
    path, site = tmp_path / "state" / "history.jsonl", blueprint("starter")
    history = History(path)
    things = len(site.racks) + len(site.nodes) + len(site.devices) + len(site.loops)
    assert history.note(site, 100.0) == things
    assert history.note(site, 150.0) == 0
    assert history.note(moved(site, "r01-n02", 30), 200.0) == 1
    assert history.note(without(site, "r01-n02"), 300.0) == 2, "the node and its controller"
    before = path.read_bytes()
    assert History(path).note(site, 400.0) == 2, "a new process knows what stood where"
    assert path.read_bytes().startswith(before), "nothing written is ever changed"
    node = [one for one in stays(read(path)) if one.name == "r01-n02"]
    assert [(one.place.split(" › ")[-2], one.since, one.until) for one in node] == [
        ("U20", 100.0, 200.0), ("U30", 200.0, 300.0), ("U20", 400.0, None),
    ]  # fmt: skip
    assert {one.serial for one in node} == {"sn-r01-n02"}


def test_a_torn_line_is_set_aside_and_a_damaged_one_passed_over(tmp_path: Path) -> None:
    path, site = tmp_path / "history.jsonl", blueprint("starter")
    History(path).note(site, 100.0)
    lines = path.read_bytes().splitlines(keepends=True)
    whole = len(lines)
    lines[0] = b"\x00\x00\n"
    path.write_bytes(b"".join(lines) + b'{"at":200.0,"kind":"node","na')
    history = History(path)
    assert history.torn
    assert (tmp_path / "history.jsonl.torn").read_bytes() == b'{"at":200.0,"kind":"node","na\n'
    assert path.read_bytes() == b"".join(lines)
    assert history.note(site, 300.0) == 1, "what the damaged line said is said again"
    assert len(list(read(path))) == whole
    assert not History(path).torn


def test_what_cannot_be_written_is_told_and_noted_later(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where a folder should be")
    history = History(tmp_path / "history.jsonl")
    history._path = folder / "history.jsonl"
    with pytest.raises(FileError, match="cannot be written"):
        history.note(blueprint("starter"), 100.0)
    history._path = tmp_path / "history.jsonl"
    assert history.note(blueprint("starter"), 200.0) > 20


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_bring_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("history") / "h"
    path.write_bytes(content)
    history = History(path)
    assert history.note(blueprint("starter"), 1.0) > 0
    assert History(path).note(blueprint("starter"), 2.0) == 0


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, site = tmp_path / "history.jsonl", blueprint("starter")
    assert main(["inventory", "history", "--history", str(path)]) == 1
    assert "no history yet" in capsys.readouterr().err
    History(path).note(site, 0.0)
    History(path).note(without(site, "r01-n01"), 86400.0)
    assert main(["inventory", "history", "r01-n01", "--history", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["from", "until", "kind", "name", "place", "serial", "source"]
    assert lines[1].startswith("1970-01-01 00:00:00Z  1970-01-02 00:00:00Z  node  r01-n01")
    assert len(lines) == 2
    assert main(["inventory", "history", "sn-r01-n01", "--history", str(path), "--json"]) == 0
    (stay,) = json.loads(capsys.readouterr().out)
    assert (stay["name"], stay["until"]) == ("r01-n01", 86400.0)
    assert main(["inventory", "history", "ghost", "--history", str(path)]) == 1
    assert "'ghost'" in capsys.readouterr().err
