"""Service discovery: targets, site metrics, and an inventory that changes for better and for worse."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporters.inventory import Addresses, Keeper, agent_targets, facility_targets, site_readings
from gigawatch.catalogue import Metric, all_metrics, by_name, site
from gigawatch.catalogue.model import Origin
from gigawatch.topology import Role, blueprint, blueprint_names, load_inventory

STARTER = Path(blueprint("starter").source)


@pytest.mark.parametrize("name", blueprint_names())
def test_every_site_metric_is_emitted_with_its_labels(name: str) -> None:
    inventory = blueprint(name)
    readings = list(site_readings(inventory, 1, 0))
    elsewhere = {site.MAINTENANCE_UNTIL, site.INVENTORY_SOURCE_UP, site.INVENTORY_AGE}
    if not any(rack.air_handler for rack in inventory.racks):
        elsewhere.add(site.RACK_AIR_INFO)  # air handlers that stand in for each other serve no rack alone
    assert {r.metric for r in readings} | elsewhere == {
        m for m in vars(site).values() if isinstance(m, Metric) and m.origin is Origin.SD
    }
    assert all(len(r.labels) == len(r.metric.labels) for r in readings)
    assert len({(r.metric, r.labels) for r in readings}) == len(readings)
    planned = {r.labels: r.value for r in readings if r.metric is site.LOOP_SUPPLY_SETPOINT}
    assert planned == {(loop.name, loop.hall): loop.supply_celsius for loop in inventory.loops}
    meters = {r.labels for r in readings if r.metric is site.METER_INFO}
    assert {role for _, role in meters} == {"facility", "it"}
    for device, role in meters:
        assert inventory.device[device].role is (Role.UTILITY if role == "facility" else Role.RACK_PDU)


def test_simulated_targets_lead_to_one_page_per_thing() -> None:
    inventory = blueprint("starter")
    addresses = Addresses("127.0.0.1:9610", "127.0.0.1:9611", "127.0.0.1:9620", "laptop")
    agents = agent_targets(inventory, addresses)
    assert agents[0] == {
        "targets": ["127.0.0.1:9610"],
        "labels": {
            "site": "starter", "rack": "r01", "node": "r01-n01", "instance": "r01-n01",
            "__metrics_path__": "/nodes/r01-n01/metrics",
        },
    }  # fmt: skip
    assert agents[-1]["labels"] == {"site": "starter", "node": "laptop", "instance": "laptop"}
    devices = {group["labels"]["device"]: group["labels"] for group in facility_targets(inventory, addresses)}
    assert set(devices) == set(inventory.device)
    assert devices["bmc-r01-n02"]["node"] == "r01-n02"
    assert devices["utility-a"] == {
        "site": "starter", "hall": "hall-1", "device": "utility-a", "instance": "utility-a",
        "__metrics_path__": "/devices/utility-a/metrics",
    }  # fmt: skip


def test_real_targets_are_the_nodes_own_agents() -> None:
    inventory = blueprint("starter")
    assert [group["targets"] for group in agent_targets(inventory, Addresses())] == [
        ["r01-n01:9610"], ["r01-n02:9610"],
    ]  # fmt: skip
    assert facility_targets(inventory, Addresses()) == []


def test_a_broken_file_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    shutil.copy(STARTER, path)
    keeper = Keeper(load_inventory(path), path, Addresses())
    assert not keeper.check()
    generation, errors = f"{site.TOPOLOGY_GENERATION.name} ", f"{site.TOPOLOGY_LOAD_ERRORS.name} "
    path.write_text(STARTER.read_text().replace("name: starter", "name: renamed"))
    assert keeper.check()
    assert keeper.inventory.site == "renamed"
    for broken in ("racks: [", "version: 1\nsite: {name: x}\nracks: []\n", None):
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken)
        assert not keeper.check()
        assert keeper.inventory.site == "renamed"
    text = keeper.exposition().decode()
    assert f"{generation}2.0" in text
    assert f"{errors}3.0" in text
    shutil.copy(STARTER, path)
    assert keeper.check()
    assert f"{generation}3.0" in keeper.exposition().decode()


def test_the_command_serves_and_follows_the_file(run_served: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    shutil.copy(STARTER, path)
    served = run_served("sd", "--inventory", str(path), "--agent", "127.0.0.1:1", "--facility", "127.0.0.1:2")
    assert len(json.loads(served.get("/sd/agents"))) == 2
    assert len(json.loads(served.get("/sd/facility"))) == len(blueprint("starter").devices)
    samples = served.samples()
    names = {name for name, _ in samples if name.startswith("aif_")}
    assert all(by_name(name) in all_metrics() for name in names)
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=served.get(), text=True, capture_output=True, timeout=30
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    path.write_text("site: nonsense\n")
    key = (site.TOPOLOGY_LOAD_ERRORS.name, frozenset())
    served.wait_for(lambda s: s[key] == 1)
    assert len(json.loads(served.get("/sd/agents"))) == 2
    complaints = [line for line in served.log.read_text().splitlines() if "refused" in line]
    assert len(complaints) == 1
    assert "site.yaml" in complaints[0]


def test_a_missing_site_is_explained_in_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        ["gigawatch", "sd"], capture_output=True, text=True, timeout=30, cwd=tmp_path, env=_environment()
    )
    assert run.returncode == 1
    assert run.stderr.strip() == (
        "gigawatch: name a site with --inventory FILE, --netbox FILE or --blueprint NAME"
    )


def _environment() -> dict[str, str]:
    import os
    import sys

    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
