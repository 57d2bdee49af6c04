"""`gigawatch up` and `gigawatch down`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.local import health, procfs, stack, tools
from gigawatch.local.plan import Layout, Plan, load_plan, read_json, save_plan
from gigawatch.local.supervisor import start_supervisor
from gigawatch.topology import blueprint, load_inventory

START_DEADLINE = 120.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpOptions:
    blueprint: str | None
    inventory: Path | None
    simulate: bool
    seed: int
    interval: float | None
    grafana: bool
    workload: Path | None = None
    facility: Path | None = None


def up(layout: Layout, options: UpOptions, say: Say) -> Plan:
    """Start the stack, or say that it runs; returns once every part is healthy."""
    running = _running(layout)
    if running is not None:
        say(f"already up ({running.site}, {running.mode}); stop it first with: gigawatch down")
        return running
    found = tools.require("prometheus", "promtool", "alertmanager")
    if options.workload is not None:
        _check("workload", options.workload)
    if options.facility is not None:
        _check("facility", options.facility, options.inventory)
    _end_left_overs(layout)
    machine = tools.look()
    # Who gives settings for asking real devices wants them asked, from whatever machine.
    without = not machine.has_gpus and options.facility is None
    simulated = options.simulate or options.blueprint is not None or without
    if simulated:
        reason = "asked for" if machine.has_gpus else "no NVIDIA driver is loaded here"
        say(f"a simulated plant ({reason})")
    elif machine.has_gpus:
        say(f"the real GPUs of this machine ({machine.gpus}, driver {machine.driver})")
    else:
        say("the real devices of your site; no NVIDIA driver is loaded here")
    if simulated:
        found |= _bus(say)
    names = stack.port_names(_wanted(layout, options, simulated, machine, found, 0))
    ports, notes = stack.choose_ports(names)
    for note in notes:
        say(note)
    wanted = _wanted(layout, options, simulated, machine, found, ports["agent"])
    plan = stack.make_plan(wanted, layout, ports)
    say(f"site '{plan.site}': {len(wanted.inventory.nodes)} nodes, {wanted.inventory.gpu_count} GPUs")
    if wanted.workload is not None:
        beside = ", beside those of the simulated plant" if simulated else ""
        say(f"inference engines and queues as in {wanted.workload}{beside}")
    stack.write_files(wanted, layout, ports)
    _check_configuration(found["promtool"], layout)
    save_plan(plan, layout)
    start_supervisor(layout)
    _await_health(layout, plan, say)
    return plan


def _running(layout: Layout) -> Plan | None:
    plan = load_plan(layout)
    record = read_json(layout.record("supervisor"))
    if plan is None or not isinstance(record, dict):
        return None
    return plan if procfs.alive(int(record["pid"]), int(record["started"])) else None


def _wanted(
    layout: Layout,
    options: UpOptions,
    simulated: bool,
    machine: tools.Machine,
    found: dict[str, str],
    agent_port: int,
) -> stack.Wanted:
    if options.inventory is not None:
        file = options.inventory.resolve()
        inventory = load_inventory(file)
    elif simulated:
        inventory = blueprint(options.blueprint or "starter")
        file = Path(inventory.source)
    else:
        file = (layout.etc / "inventory.yaml").resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(stack.this_machine(machine, socket.gethostname(), agent_port), encoding="utf-8")
        inventory = load_inventory(file)
    workload = options.workload.resolve() if options.workload is not None else None
    facility = options.facility.resolve() if options.facility is not None and not simulated else None
    return stack.Wanted(
        inventory, file, simulated, options.seed, options.interval, options.grafana, found, workload, facility
    )


def _bus(say: Say) -> dict[str, str]:
    """The broker of the simulated building's bus, if there is one."""
    path = tools.find("mosquitto")
    if path is not None:
        return {"mosquitto": path}
    say(
        "mosquitto is not installed: chillers and air handlers speak Redfish instead of MQTT and say less; "
        f"install it with: {tools.install('mosquitto')}"
    )
    return {}


def _check(program: str, settings: Path, inventory: Path | None = None) -> None:
    """Ask the program itself whether it can use them, before anything is started."""
    site = ["--inventory", str(inventory)] if inventory is not None else []
    done = subprocess.run(
        [sys.executable, "-m", "gigawatch.cli", program, "--check", "--config", str(settings), *site],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise UserError(told[-1].removeprefix("gigawatch: ") if told else f"{settings} cannot be used")


def _check_configuration(promtool: str, layout: Layout) -> None:
    done = subprocess.run(
        [promtool, "check", "config", str(layout.etc / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        problem = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(
            f"promtool refuses the generated configuration: {problem[-1] if problem else 'no reason given'}"
        )


def _await_health(layout: Layout, plan: Plan, say: Say) -> None:
    deadline = time.monotonic() + START_DEADLINE
    waiting = {part.name for part in plan.parts}
    report = health.report(layout)
    while time.monotonic() < deadline:
        report = health.report(layout)
        for part in report["parts"]:
            if part["healthy"] and part["name"] in waiting:
                waiting.discard(part["name"])
                say(f"{part['name']} is up")
        if not waiting and report["state"] == "healthy":
            return
        time.sleep(0.5)
    raise UserError(_what_is_missing(layout, report, waiting))


def _what_is_missing(layout: Layout, report: dict[str, object], waiting: set[str]) -> str:
    if waiting:
        name = sorted(waiting)[0]
        return (
            f"not up after {START_DEADLINE:.0f} s: {', '.join(sorted(waiting))}; last line of "
            f"{layout.log(name)}: {_last_line(layout.log(name))}"
        )
    targets = report.get("targets")
    down = targets["down"][:1] if isinstance(targets, dict) else ["Prometheus does not answer"]
    return f"up, but not every target is scraped after {START_DEADLINE:.0f} s: {''.join(down)}"


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "(no log)"
    return lines[-1][:300] if lines else "(empty)"


def down(layout: Layout, say: Say) -> int:
    """End the stack and everything it has started. Exit status 0, also where nothing ran."""
    record = read_json(layout.record("supervisor"))
    if isinstance(record, dict) and procfs.alive(int(record["pid"]), int(record["started"])):
        pid = int(record["pid"])
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 25
        while procfs.alive(pid, int(record["started"])) and time.monotonic() < deadline:
            time.sleep(0.1)
    killed = _end_left_overs(layout)
    say("down" + (f" ({killed} left-over processes ended)" if killed else ""))
    return 0


def _end_left_overs(layout: Layout) -> int:
    """End what an earlier supervisor left behind, the keeper first."""
    if not layout.run.is_dir():
        return 0
    ended = 0
    names = sorted((path.stem for path in layout.run.glob("*.json")), key=lambda n: n != "keeper")
    for name in names:
        record = read_json(layout.record(name))
        if isinstance(record, dict) and procfs.alive(int(record["pid"]), int(record["started"])):
            procfs.end_sessions([int(record["pid"])], patience=8)
            ended += 1
        layout.record(name).unlink(missing_ok=True)
    return ended


def _program() -> str:
    """How to call this program from here: by name where that finds it, else by its path."""
    here = Path(sys.prefix) / "bin" / "gigawatch"
    found = shutil.which("gigawatch")
    if found and Path(found).resolve() == here.resolve():
        return "gigawatch"
    return os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here)


def announce(plan: Plan) -> str:
    """What a person wants to know once the stack is up."""
    urls = {part.name: part.url for part in plan.parts}
    gigawatch = _program()
    rows = [
        ("dashboards", urls.get("grafana") or urls.get("viewer", "")),
        ("pager", urls.get("pager", "")),
        ("Prometheus", urls.get("prometheus", "")),
        ("Alertmanager", urls.get("alertmanager", "")),
    ]
    lines = [f"  {label:<13} {url}" for label, url in rows if url]
    if plan.mode == "simulated":
        lines.append(
            f"  break it      {gigawatch} drill coolant-pump      (all faults: {gigawatch} drill --list)"
        )
    lines.append(f"  stop it       {gigawatch} down")
    return "\n".join(lines)
