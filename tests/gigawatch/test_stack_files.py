"""What `up` writes: a configuration Prometheus accepts, a plan that survives the disk, free ports."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from gigawatch.errors import UserError
from gigawatch.local import grafana, stack, tools
from gigawatch.local.plan import PORTS, Layout, load_plan, save_plan
from gigawatch.topology import blueprint, load_inventory

FOUND = {"prometheus": "/usr/bin/prometheus", "alertmanager": "/usr/bin/prometheus-alertmanager"}


def wanted(name: str = "starter", simulated: bool = True) -> stack.Wanted:
    inventory = blueprint(name)
    return stack.Wanted(inventory, Path(inventory.source), simulated, 1, None, False, FOUND)


@pytest.mark.parametrize("simulated", [True, False])
def test_prometheus_accepts_the_configuration_and_its_rules(tmp_path: Path, simulated: bool) -> None:
    asked = wanted(simulated=simulated)
    ports = {name: PORTS[name] for name in [*stack.part_names(asked), "supervisor"]}
    layout = Layout(tmp_path)
    stack.write_files(asked, layout, ports)
    done = subprocess.run(
        ["promtool", "check", "config", layout.etc / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "rules found" in done.stdout
    checked = subprocess.run(
        ["amtool", "check-config", layout.etc / "alertmanager.yml"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    jobs = {
        job["job_name"]
        for job in yaml.safe_load((layout.etc / "prometheus.yml").read_text())["scrape_configs"]
    }
    assert ("gigawatch-plant" in jobs) is simulated


def test_the_plan_survives_the_disk(tmp_path: Path) -> None:
    asked = wanted()
    layout = Layout(tmp_path)
    plan = stack.make_plan(
        asked, layout, {name: PORTS[name] for name in [*stack.part_names(asked), "supervisor"]}
    )
    save_plan(plan, layout)
    assert load_plan(layout) == plan


def test_a_taken_port_moves_and_says_so() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Where a stack runs on this machine, the port is taken already.
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", PORTS["sd"]))
            taken.listen()
        ports, notes = stack.choose_ports(["sd", "viewer"])
    assert ports["sd"] != PORTS["sd"]
    assert len(set(ports.values())) == 2
    assert any(note.startswith(f"port {PORTS['sd']} is taken: sd listens on") for note in notes)


def test_large_sites_are_scraped_less_often() -> None:
    assert stack.scrape_interval(wanted("starter")) == 5
    assert stack.scrape_interval(wanted("full-scale")) == 15


def test_looking_at_a_machine(tmp_path: Path) -> None:
    assert not tools.look(tmp_path).has_gpus
    driver = tmp_path / "proc/driver/nvidia"
    for index in range(2):
        (driver / f"gpus/0000:0{index}:00.0").mkdir(parents=True)
    (driver / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.03  Tue Sep 1\n")
    assert tools.look(tmp_path) == tools.Machine("580.159.03", 2)


def test_the_inventory_of_this_machine_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(stack.this_machine(tools.Machine("580.1", 8), "GPU_Box.example.org", 9610))
    inventory = load_inventory(path)
    assert [(n.name, n.gpus, n.address) for n in inventory.nodes] == [
        ("gpu_box.example.org", 8, "127.0.0.1:9610")
    ]


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(UserError, match="no-such-program not found on PATH; install with: apt-get install"):
        tools.require("no-such-program")


def test_grafana_is_given_source_and_boards() -> None:
    files = grafana.provisioning(9090, "/boards")
    source = yaml.safe_load(files["grafana/datasources/prometheus.yaml"])["datasources"][0]
    provider = yaml.safe_load(files["grafana/dashboards/gigawatch.yaml"])["providers"][0]
    assert source["url"] == "http://127.0.0.1:9090"
    assert source["isDefault"]
    assert provider["options"]["path"] == "/boards"


def test_grafana_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    try:
        part, _ = grafana.part(Layout(tmp_path), 3000)
    except UserError as error:
        assert "use the built-in viewer" in str(error)  # noqa: PT017 - a machine may have Grafana
    else:
        assert part.health == "http://127.0.0.1:3000/api/health"
