"""Commands of the local stack."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.local.plan import STATE, Layout, load_plan
from gigawatch.topology import Inventory, blueprint, blueprint_names, load_inventory


def _state_option(parser: ArgumentParser) -> None:
    default = Path(os.environ.get("GIGAWATCH_STATE", STATE))
    parser.add_argument(
        "--state", type=Path, default=default, help="folder of the stack (default: %(default)s)"
    )


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _layout(args: Namespace) -> Layout:
    return Layout(args.state.resolve())


def _say(text: str) -> None:
    print(text, flush=True)


# up, status, down


def _configure_up(parser: ArgumentParser) -> None:
    site = parser.add_mutually_exclusive_group()
    site.add_argument("--blueprint", choices=blueprint_names(), help="simulate this site (default: starter)")
    site.add_argument("--inventory", type=Path, help="your own site, in YAML")
    parser.add_argument("--simulate", action="store_true", help="simulate even where this machine has GPUs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated plant (default: 1)")
    parser.add_argument("--grafana", action="store_true", help="also start Grafana (from PATH or Docker)")
    parser.add_argument(
        "--workload", type=Path, metavar="FILE", help="also scrape your engines and queues: docs/engines.md"
    )
    parser.add_argument(
        "--facility", type=Path, metavar="FILE", help="settings for asking the devices of your inventory"
    )
    parser.add_argument("--interval", type=_duration, help="scrape interval, such as 5s (default: by size)")
    _state_option(parser)


def _up(args: Namespace) -> int:
    from gigawatch.local.start import UpOptions, announce, up

    started = time.monotonic()
    if args.interval is not None and not 1 <= args.interval <= 60:
        raise UserError(f"--interval {args.interval:g}s is out of range; allowed: 1s to 60s")
    if args.facility is not None and (args.inventory is None or args.simulate):
        raise UserError("--facility asks real devices: it needs --inventory FILE, and no --simulate")
    options = UpOptions(
        args.blueprint,
        args.inventory,
        args.simulate,
        args.seed,
        args.interval,
        args.grafana,
        args.workload,
        args.facility,
    )
    plan = up(_layout(args), options, _say)
    _say(f"up after {time.monotonic() - started:.0f} s")
    _say(announce(plan))
    return 0


def _configure_status(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    _state_option(parser)


def _status(args: Namespace) -> int:
    from gigawatch.local.health import report

    found = report(_layout(args))
    if args.json:
        _say(json.dumps(found, indent=1))
    elif not found["parts"]:
        _say("down: nothing was started here; start with: gigawatch up")
    else:
        memory = found["memory_bytes"] / 2**20
        _say(f"{found['state']}: site '{found['site']}', {found['mode']}, {memory:.0f} MiB")
        for part in found["parts"]:
            word = "ok" if part["healthy"] else part.get("detail", "not healthy")
            pid = part["pid"] or "-"
            _say(f"  {part['name']:<13} {pid!s:>8}  {part.get('url', ''):<24} {word}")
        targets = found["targets"]
        _say(
            "  targets       Prometheus does not answer"
            if targets is None
            else f"  targets       {targets['up']} of {targets['total']} up"
        )
        for line in (targets or {}).get("down", []):
            _say(f"    down: {line}")
    return 0 if found["state"] == "healthy" else 1


def _configure_down(parser: ArgumentParser) -> None:
    _state_option(parser)


def _down(args: Namespace) -> int:
    from gigawatch.local.start import down

    return down(_layout(args), _say)


# drill


def _configure_drill(parser: ArgumentParser) -> None:
    parser.add_argument("fault", nargs="?", help="which fault (see --list)")
    parser.add_argument(
        "--list", action="store_true", help="list the faults, their targets and what runs now"
    )
    parser.add_argument("--target", help="what it hits (default: picked for you)")
    parser.add_argument("--for", dest="seconds", type=_duration, default=300.0, help="how long (default: 5m)")
    parser.add_argument("--stop", action="store_true", help="end the drills that run now")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    _state_option(parser)


def _drill(args: Namespace) -> int:
    from gigawatch.simulator import drills

    layout = _layout(args)
    if args.list:
        return _list_drills(layout, args.json)
    plan = load_plan(layout)
    if plan is None:
        raise UserError("no stack was started here; start one with: gigawatch up")
    if plan.mode != "simulated":
        raise UserError("drills break only a simulated plant; start one with: gigawatch up --simulate")
    if args.stop:
        ended = drills.stop(layout.plant, None)
        _say(f"ended: {', '.join(drill.kind for drill in ended) or 'no drill was running'}")
        return 0
    if not args.fault:
        raise UserError("name a fault, or list them with: gigawatch drill --list")
    inventory = load_inventory(Path(plan.inventory))
    drill = drills.start(
        layout.plant, args.fault, args.target, args.seconds, None, inventory, time.time(), seed=plan.seed
    )
    if args.json:
        _say(
            json.dumps({"id": drill.id, "fault": drill.kind, "target": drill.target, "seconds": args.seconds})
        )
    else:
        _say(f"drill {drill.kind} on {drill.target} for {args.seconds:g} s; watch {plan.part('pager').url}")
    return 0


def _list_drills(layout: Layout, as_json: bool) -> int:
    from gigawatch.simulator import drills

    kinds = drills.fault_kinds()
    if as_json:
        _say(
            json.dumps(
                [{"fault": k.name, "targets": list(k.targets), "summary": k.summary} for k in kinds], indent=1
            )
        )
        return 0
    for kind in kinds:
        _say(f"  {kind.name:<20} {'/'.join(kind.targets):<14} {kind.summary}")
    for drill in drills.active(layout.plant) if layout.plant.is_dir() else []:
        _say(f"running: {drill.kind} on {drill.target}")
    return 0


# helpers of the stack


def _configure_pager(parser: ArgumentParser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:9615", help="address (default: %(default)s)")
    parser.add_argument("--file", type=Path, default=Path("pages.json"), help="where pages are kept")
    parser.add_argument(
        "--silence",
        type=_duration,
        default=25.0,
        help="page when the dead man's switch is silent for so long",
    )


def _pager(args: Namespace) -> int:
    from gigawatch.local.pager_app import run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return run(args.listen, args.file, args.silence)


def _configure_supervise(parser: ArgumentParser) -> None:
    parser.add_argument("--keeper", action="store_true", help="only start the supervisor again when it ends")
    _state_option(parser)


def _supervise(args: Namespace) -> int:
    from gigawatch.local.supervisor import keep, supervise

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return keep(_layout(args)) if args.keeper else supervise(_layout(args))


def _configure_doctor(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _doctor(args: Namespace) -> int:
    from gigawatch.local.doctor import examine

    findings = examine()
    if args.json:
        _say(json.dumps([{"what": f.what, "ok": f.ok, "detail": f.detail} for f in findings], indent=1))
    else:
        for finding in findings:
            _say(f"{'ok  ' if finding.ok else 'MEND'}  {finding.what:<28} {finding.detail}")
    return 0 if all(f.ok for f in findings) else 1


def inventory_of(args: Namespace) -> Inventory:
    """The inventory that --inventory or --blueprint names."""
    return load_inventory(args.inventory) if args.inventory else blueprint(args.blueprint or "starter")


UP = Command("start the whole stack on this machine", "gigawatch up --blueprint starter", _configure_up, _up)
STATUS = Command("show how the stack is", "gigawatch status --json", _configure_status, _status)
DOWN = Command("stop the stack", "gigawatch down", _configure_down, _down)
DRILL = Command(
    "inject a fault into the simulated plant",
    "gigawatch drill coolant-pump --for 2m",
    _configure_drill,
    _drill,
)
PAGER = Command(
    "show what on-call would receive", "gigawatch pager --listen 127.0.0.1:9615", _configure_pager, _pager
)
DOCTOR = Command("examine the installation", "gigawatch doctor", _configure_doctor, _doctor)
SUPERVISE = Command(
    "keep the parts of a stack running (used by up)", "gigawatch supervise --state .gigawatch",
    _configure_supervise, _supervise, hidden=True,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit("run the program 'gigawatch' instead")
