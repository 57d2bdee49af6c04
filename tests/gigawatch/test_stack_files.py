"""What `up` writes: a configuration Prometheus accepts, a plan that survives the disk, free ports."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gigawatch.errors import UserError
from gigawatch.local import grafana, stack, supervisor, tools
from gigawatch.local.plan import PORTS, Layout, load_plan, save_plan
from gigawatch.local.simulated import broker_configuration
from gigawatch.local.supervisor import answers
from gigawatch.serving import free_port
from gigawatch.topology import Endpoint, blueprint, load_inventory

FOUND = {"prometheus": "/usr/bin/prometheus", "alertmanager": "/usr/bin/prometheus-alertmanager"}
BUS = {"mosquitto": "/usr/sbin/mosquitto"}


def wanted(name: str = "starter", simulated: bool = True) -> stack.Wanted:
    inventory = blueprint(name)
    found = FOUND | BUS if simulated else FOUND
    return stack.Wanted(inventory, Path(inventory.source), simulated, 1, None, False, found)


def ports_of(asked: stack.Wanted) -> dict[str, int]:
    return {name: PORTS[name] for name in stack.port_names(asked)}


@pytest.mark.parametrize("simulated", [True, False])
def test_prometheus_accepts_the_configuration_and_its_rules(tmp_path: Path, simulated: bool) -> None:
    asked = wanted(simulated=simulated)
    layout = Layout(tmp_path)
    stack.write_files(asked, layout, ports_of(asked))
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
    plan = stack.make_plan(asked, layout, ports_of(asked))
    save_plan(plan, layout)
    assert load_plan(layout) == plan


def test_a_simulated_site_is_asked_as_a_real_one_is(tmp_path: Path) -> None:
    asked, layout = wanted(), Layout(tmp_path)
    plan = stack.make_plan(asked, layout, ports_of(asked))
    names = [part.name for part in plan.parts]
    assert names[:3] == ["plant", "broker", "plant-devices"]
    poller, devices, sd = (plan.part(name).command for name in ("facility", "plant-devices", "sd"))
    assert "--simulate" not in poller
    file = str(tmp_path / "plant" / "endpoints.json")
    assert (
        option(poller, "--endpoints") == option(devices, "--endpoints") == option(sd, "--endpoints") == file
    )
    assert option(poller, "--interval") == "5s"
    listening = [option(devices, name) for name in ("--listen", "--snmp", "--modbus", "--mqtt")]
    assert listening == [
        f"127.0.0.1:{plan.ports[name]}" for name in ("plant-devices", "snmp", "modbus", "broker")
    ]
    assert option(sd, "--facility") == f"127.0.0.1:{plan.ports['facility']}"


def option(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def test_without_a_broker_there_is_none_in_the_plan(tmp_path: Path) -> None:
    asked = replace(wanted(), tools=FOUND)
    plan = stack.make_plan(asked, Layout(tmp_path), ports_of(asked))
    assert "broker" not in {part.name for part in plan.parts}
    assert "--mqtt" not in plan.part("plant-devices").command


def test_a_real_site_is_asked_where_it_says_how(tmp_path: Path) -> None:
    asked = wanted(simulated=False)
    assert "facility" not in stack.part_names(asked)
    told = Endpoint("snmp", "10.0.0.9", context="pdu-r01-a")
    devices = [replace(asked.inventory.devices[0], endpoints=(told,)), *asked.inventory.devices[1:]]
    asked = replace(asked, inventory=replace(asked.inventory, devices=tuple(devices)))
    plan = stack.make_plan(asked, Layout(tmp_path), ports_of(asked))
    poller, sd = plan.part("facility").command, plan.part("sd").command
    assert not {"--simulate", "--endpoints", "--interval", "--config"} & set(poller)
    assert option(sd, "--facility") == f"127.0.0.1:{plan.ports['facility']}"
    assert "plant-devices" not in plan.ports
    settings = tmp_path / "facility.yaml"
    plan = stack.make_plan(replace(asked, facility=settings), Layout(tmp_path), ports_of(asked))
    assert option(plan.part("facility").command, "--config") == str(settings)


def test_a_broker_is_healthy_when_it_lets_us_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tools.find("mosquitto")
    assert program, f"install it with: {tools.install('mosquitto')}"
    port = free_port(PORTS["broker"])
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(broker_configuration(port))
    assert not answers(f"mqtt://127.0.0.1:{port}")
    broker = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not answers(f"mqtt://127.0.0.1:{port}") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert answers(f"mqtt://127.0.0.1:{port}")
        monkeypatch.setattr(supervisor, "HEALTH_DEADLINE", 0.5)
        broker.send_signal(signal.SIGSTOP)
        assert not answers(f"mqtt://127.0.0.1:{port}"), "it listens still, and answers nobody"
        broker.send_signal(signal.SIGCONT)
    finally:
        broker.terminate()
        _, told = broker.communicate(timeout=20)
    assert told == ""


def test_a_taken_datagram_port_moves() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", PORTS["snmp"]))
        ports, notes = stack.choose_ports(["snmp"])
    assert ports["snmp"] != PORTS["snmp"]
    assert notes == [f"port {PORTS['snmp']} is taken: snmp listens on {ports['snmp']}"]


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
