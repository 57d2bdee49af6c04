"""A real NetBox as the source of an inventory. Opt-in: `make test-netbox`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netbox_pages import RECORDED
from netbox_server import NetBox
from netbox_site import make_site

from exporters.inventory.netbox import client
from exporters.inventory.netbox.draft import draft_of
from exporters.inventory.netbox.settings import NetBoxSettings, load_settings
from exporters.inventory.netbox.snapshot import Snapshot
from exporters.inventory.netbox.source import NetBoxSource, examine_netbox
from exporters.inventory.source import SourceDownError
from gigawatch.topology import Inventory
from gigawatch.topology.load import examine

pytestmark = pytest.mark.netbox
_HOME = Path(os.environ.get("GIGAWATCH_NETBOX", ".netbox")).resolve() / "netbox-4.7.3"


@pytest.fixture(scope="module")
def box() -> Iterator[NetBox]:
    if not (_HOME / "netbox.dump").exists():
        pytest.fail(f"no NetBox in {_HOME}; run: make test-netbox")
    running = NetBox(_HOME)
    try:
        running.serve()
        running.ids = make_site(running)
        yield running
    finally:
        running.stop()


@pytest.fixture
def wired(box: NetBox, tmp_path: Path) -> Callable[..., Path]:
    def write(kind: str = "v2", **more: object) -> Path:
        (tmp_path / "token").write_text(box.tokens[kind])
        path = tmp_path / "netbox.yaml"
        plain = {"url": box.url, "token_file": "token", "site": "hq", "cache": "kept.json", "timeout": "8s"}
        path.write_text(json.dumps({**plain, **more}))
        return path

    return write


def same(one: Inventory, other: Inventory) -> None:
    for field in ("site", "racks", "nodes", "devices", "loops", "rows", "reservations"):
        assert getattr(one, field) == getattr(other, field), field


def test_it_says_what_was_recorded(wired: Callable[..., Path]) -> None:
    recorded = Snapshot(json.loads(RECORDED.read_text()))
    plain = NetBoxSettings(url="http://netbox", site="hq")
    same(examine_netbox(wired()).accept(), examine(draft_of(recorded, plain)).accept())


def test_pages_tokens_and_rights(wired: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = examine_netbox(wired("v1")).accept()
    monkeypatch.setattr(client, "PAGE", 3)
    same(examine_netbox(wired("v2")).accept(), whole)
    with pytest.raises(SourceDownError, match="view permission"):
        examine_netbox(wired("powerless"))
    with pytest.raises(SourceDownError, match="a site of this slug"):
        examine_netbox(wired(site="nowhere"))


def test_changes_show_at_the_next_reading_and_outages_do_not(box: NetBox, wired: Callable[..., Path]) -> None:
    ids = box.ids
    kept = NetBoxSource(load_settings(wired()))
    inventory = kept.begin()
    assert kept.read() is inventory
    node = f"/api/dcim/devices/{ids['R01-N02']}/"
    box.call("PATCH", node, {"position": 22})
    moved = kept.read()
    assert (moved.node["r01-n02"].unit, moved.node["r01-n01"]) == (22, inventory.node["r01-n01"])
    box.call("PATCH", node, {"name": "R01-N03"})
    box.call("DELETE", f"/api/dcim/devices/{ids['leaf-1']}/")
    renamed = kept.read()
    assert [one.name for one in renamed.nodes] == ["r01-n01", "r01-n03"]
    assert "leaf-1" not in renamed.device
    box.pause()
    try:
        with pytest.raises(SourceDownError, match="no whole answer within 8 s"):
            kept.read()
        same(NetBoxSource(load_settings(wired())).begin(), renamed)
    finally:
        box.resume()
    assert kept.read() is renamed
