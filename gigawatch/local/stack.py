"""Which parts a stack has, and the files they read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from gigawatch import build
from gigawatch.artifacts import BuildOptions
from gigawatch.local import grafana
from gigawatch.local.plan import PORTS, Layout, Part, Plan
from gigawatch.local.prometheus import configuration
from gigawatch.local.simulated import (
    BROKER,
    DEVICES,
    MODBUS,
    SNMP,
    broker_configuration,
    endpoints_file,
    free_datagram_port,
    plant_commands,
)
from gigawatch.local.tools import Machine
from gigawatch.serving import free_port
from gigawatch.topology import Inventory

REHEARSAL_PACE = 0.2
"""A simulated plant rehearses: holds of minutes become seconds."""
_MANY_GPUS = 256
_RESEND = "10s"
"""Alertmanager holds an alert for four times as long after Prometheus' last word: so long the dead man's
switch goes on being heard once Prometheus is stuck. By default that is four minutes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked `up` for."""

    inventory: Inventory
    inventory_file: Path
    simulated: bool
    seed: int
    interval: float | None
    grafana: bool
    tools: dict[str, str]
    workload: Path | None = None
    """Settings of `gigawatch workload`, where it is wanted."""
    facility: Path | None = None
    """Settings of `gigawatch facility`, where there are any."""

    @property
    def polls(self) -> bool:
        """Whether there are devices to ask: those of a simulated plant, or such as have endpoints."""
        return (
            self.simulated
            or self.facility is not None
            or any(device.endpoints for device in self.inventory.devices)
        )


def scrape_interval(wanted: Wanted) -> float:
    """5 s for small sites, 15 s for large ones, unless asked otherwise."""
    if wanted.interval:
        return wanted.interval
    return 15.0 if wanted.inventory.gpu_count > _MANY_GPUS else 5.0


def choose_ports(parts: list[str]) -> tuple[dict[str, int], list[str]]:
    """A free port for each part, and a line for each that is not the usual one."""
    ports: dict[str, int] = {}
    notes: list[str] = []
    for part in parts:
        port = PORTS[part]
        while True:
            port = free_port(port) if part != SNMP else free_datagram_port(port)
            if port not in ports.values():
                break
            port += 1
        ports[part] = port
        if port != PORTS[part]:
            notes.append(f"port {PORTS[part]} is taken: {part} listens on {port}")
    return ports, notes


def part_names(wanted: Wanted) -> list[str]:
    """Parts in the order in which they start."""
    bus = [BROKER] if "mosquitto" in wanted.tools else []
    plant = ["plant", *bus, DEVICES] if wanted.simulated else []
    facility = ["facility"] if wanted.polls else []
    workload = ["workload"] if wanted.workload is not None else []
    shown = ["viewer", "grafana"] if wanted.grafana else ["viewer"]
    return [
        *plant,
        "agent",
        *facility,
        *workload,
        "sd",
        "pager",
        "alertmanager",
        "prometheus",
        "analytics",
        *shown,
    ]


def port_names(wanted: Wanted) -> list[str]:
    """What needs a port of its own: the parts, their second ports, and the supervisor."""
    devices = [SNMP, MODBUS] if wanted.simulated else []
    return [*part_names(wanted), *devices, "supervisor"]


def make_plan(wanted: Wanted, layout: Layout, ports: dict[str, int]) -> Plan:
    """The plan of the stack: one command, health check and address per part."""
    interval = scrape_interval(wanted)
    names = part_names(wanted)
    commands = _commands(wanted, layout, ports, interval)
    parts = []
    for name in names:
        if name == "grafana":
            parts.append(grafana.part(layout, ports[name])[0])
            continue
        if name == BROKER:
            bus = f"mqtt://127.0.0.1:{ports[name]}"
            parts.append(Part(name, tuple(commands[name]), bus, bus))
            continue
        base = f"http://127.0.0.1:{ports[name]}"
        parts.append(Part(name, tuple(commands[name]), f"{base}/-/healthy", base))
    return Plan(
        mode="simulated" if wanted.simulated else "real",
        inventory=str(wanted.inventory_file),
        seed=wanted.seed,
        site=wanted.inventory.site,
        scrape_interval=interval,
        ports=ports,
        parts=tuple(parts),
    )


def _commands(wanted: Wanted, layout: Layout, ports: dict[str, int], interval: float) -> dict[str, list[str]]:
    gigawatch = [sys.executable, "-m", "gigawatch.cli"]
    inventory = ["--inventory", str(wanted.inventory_file)]
    state = ["--state", str(layout.plant)]
    step = f"{interval:g}s"

    def listen(part: str) -> list[str]:
        return ["--listen", f"127.0.0.1:{ports[part]}"]

    simulate = ["--simulate", *inventory, *state] if wanted.simulated else []
    agent = [*gigawatch, "agent", *simulate, "--interval", step, *listen("agent")]
    alertmanager = ["--alertmanager", f"http://127.0.0.1:{ports['alertmanager']}"]
    sd = [*gigawatch, "sd", *inventory, *alertmanager, *listen("sd")]
    prometheus_url = f"http://127.0.0.1:{ports['prometheus']}"
    commands = {
        "agent": agent,
        "pager": [*gigawatch, "pager", *listen("pager"), "--file", str(layout.root / "pages.json")],
        "alertmanager": [
            wanted.tools["alertmanager"],
            f"--config.file={layout.etc / 'alertmanager.yml'}",
            f"--storage.path={layout.root / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            wanted.tools["prometheus"],
            f"--config.file={layout.etc / 'prometheus.yml'}",
            f"--storage.tsdb.path={layout.root / 'prometheus'}",
            "--storage.tsdb.retention.time=7d",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            "--log.level=warn",
            f"--rules.alert.resend-delay={_RESEND}",
        ],
        "analytics": [
            *gigawatch, "analytics", "serve", "--prometheus", prometheus_url, "--interval", step,
            "--state", str(layout.root / "analytics"), *inventory, *listen("analytics"),
        ],
        "viewer": [
            *gigawatch, "viewer", "--prometheus", prometheus_url, "--scrape-interval", step,
            "--alertmanager", f"http://127.0.0.1:{ports['alertmanager']}",
            "--pager", f"http://127.0.0.1:{ports['pager']}",
            "--analytics", f"http://127.0.0.1:{ports['analytics']}",
            "--dashboards", str(layout.etc / "dashboards"), "--runbooks", str(layout.etc / "runbooks"),
            *listen("viewer"),
        ],
    }  # fmt: skip
    if wanted.polls:
        commands["facility"] = [
            *gigawatch, "facility", *inventory, *_asking(wanted, layout, step), *listen("facility"),
        ]  # fmt: skip
        sd += ["--facility", f"127.0.0.1:{ports['facility']}"]
    if wanted.simulated:
        commands |= plant_commands(
            wanted.inventory_file, wanted.seed, wanted.tools.get("mosquitto", ""), layout, ports
        )
        agent_address = f"127.0.0.1:{ports['agent']}"
        sd += ["--agent", agent_address, "--host-agent", agent_address]
        sd += ["--endpoints", str(endpoints_file(layout))]
    commands["sd"] = sd
    if wanted.workload is not None:
        settings = ["--config", str(wanted.workload)]
        commands["workload"] = [*gigawatch, "workload", *settings, *inventory, *listen("workload")]
    return commands


def _asking(wanted: Wanted, layout: Layout, step: str) -> list[str]:
    """Whom the poller asks, and how often: a plant at the pace of the scrapes, real devices at their own."""
    if wanted.simulated:
        return ["--endpoints", str(endpoints_file(layout)), "--interval", step]
    return ["--config", str(wanted.facility)] if wanted.facility is not None else []


def write_files(wanted: Wanted, layout: Layout, ports: dict[str, int]) -> None:
    """Rules, dashboards and configuration of Prometheus and Alertmanager, made for this stack."""
    options = BuildOptions(
        pace=REHEARSAL_PACE if wanted.simulated else 1.0,
        viewer_url=f"http://127.0.0.1:{ports['grafana' if wanted.grafana else 'viewer']}",
        runbook_url=f"http://127.0.0.1:{ports['viewer']}/runbooks",
        alertmanager_url=f"http://127.0.0.1:{ports['alertmanager']}",
        pager_url=f"http://127.0.0.1:{ports['pager']}",
    )
    made = build.collect(options, ("alerts", "dashboards"))
    files = {
        "rules/recording.yml": made["alerts/generated/recording-rules.yml"],
        "rules/alerts.yml": made["alerts/generated/prometheus-rules.yml"],
        "alertmanager.yml": made["alerts/generated/alertmanager.yml"],
        "prometheus.yml": configuration(
            wanted.inventory.site, ports, scrape_interval(wanted), set(part_names(wanted))
        ),
    }
    if BROKER in ports:
        files["mosquitto.conf"] = broker_configuration(ports[BROKER])
    for name, text in made.items():
        path = Path(name)
        if path.parent == Path("dashboards/generated"):
            files[f"dashboards/{path.name}"] = text
        elif path.parent == Path("docs/runbooks"):
            files[f"runbooks/{path.name}"] = text
    if wanted.grafana:
        boards = grafana.part(layout, ports["grafana"])[1]
        files.update(grafana.provisioning(ports["prometheus"], boards))
    build.write(files, layout.etc)


def this_machine(machine: Machine, hostname: str, agent_port: int) -> str:
    """An inventory of this machine alone, for a GPU server that nobody has described yet."""
    name = "".join(c if c.isalnum() or c in "-._" else "-" for c in hostname.lower()).strip("-._") or "node"
    return f"""\
# Written by `gigawatch up`, which found {machine.gpus} GPUs here. Describe your site in a file of your own
# and start with: gigawatch up --inventory FILE
version: 1
site: {{name: local}}
racks:
  - {{name: rack-1, hall: hall-1, row: row-1, units: 48, power_watts: 30000, cooling: air}}
nodes:
  - {{name: {name}, rack: rack-1, unit: 1, height: 8, gpus: {machine.gpus}, gpu_model: NVIDIA,
     address: "127.0.0.1:{agent_port}"}}
"""
