"""`gigawatch plant`, `gigawatch plant-devices` and `gigawatch simulate`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from gigawatch.command import Command
from gigawatch.errors import UserError


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1000:
        raise ArgumentTypeError(f"'{text}' is not a number from 0.01 to 1000")
    return value


def _configure_plant(parser: ArgumentParser) -> None:
    site = parser.add_mutually_exclusive_group()
    site.add_argument("--inventory", type=Path, help="inventory in YAML")
    site.add_argument(
        "--blueprint", default="starter", help="a site that comes with Gigawatch (default: starter)"
    )
    parser.add_argument(
        "--state", type=Path, default=Path(".gigawatch"), help="directory for state and drills"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the population and of all noise")
    parser.add_argument(
        "--listen", default="127.0.0.1:9616", help="address of /metrics (default: 127.0.0.1:9616)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, help="plant seconds per real second (default: 1)"
    )


def _run_plant(args: Namespace) -> int:
    from gigawatch.serving import App, Request, Response, serve
    from gigawatch.serving.exposition import CONTENT_TYPE, render
    from gigawatch.simulator.service import PlantService
    from gigawatch.topology import blueprint, load_inventory

    if args.seed < 0 or args.seed >= 2**63:
        raise UserError(f"--seed {args.seed}: allowed: 0 to 2^63 - 1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    inventory = load_inventory(args.inventory) if args.inventory else blueprint(args.blueprint)
    service = PlantService(inventory, args.state, args.seed, time.time, args.speed)
    page = b""

    def metrics(_: Request) -> Response:
        return Response(page, CONTENT_TYPE)

    app = App(ready=lambda: bool(page))
    app.route("GET", "/metrics", metrics)
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server = serve(app, args.listen)
    try:
        logging.getLogger(__name__).info(
            "plant of site '%s' (%d GPUs) in %s, metrics at %s/metrics",
            inventory.site, inventory.gpu_count, args.state, server.url,
        )  # fmt: skip
        while not ended.is_set():
            following = service.tick()
            page = render(service.readings())
            ended.wait(max(0.0, following - time.time()))
    finally:
        server.close()
        service.close()
    return 0


def _configure_devices(parser: ArgumentParser) -> None:
    site = parser.add_mutually_exclusive_group()
    site.add_argument("--inventory", type=Path, help="inventory in YAML")
    site.add_argument(
        "--blueprint", default="starter", help="a site that comes with Gigawatch (default: starter)"
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(".gigawatch"),
        help="directory in which `gigawatch plant` publishes",
    )
    parser.add_argument(
        "--endpoints", type=Path, metavar="FILE",
        help="where to write which device is asked how (default: endpoints.json in the directory)",
    )  # fmt: skip
    default = "(default: %(default)s)"
    parser.add_argument("--listen", default="127.0.0.1:9621", help=f"address of Redfish {default}")
    parser.add_argument("--snmp", default="127.0.0.1:9622", help=f"UDP address of SNMP {default}")
    parser.add_argument("--modbus", default="127.0.0.1:9623", help=f"address of Modbus TCP {default}")
    parser.add_argument(
        "--mqtt", default="", metavar="HOST:PORT", help="broker of the building's bus, if any"
    )


def _run_devices(args: Namespace) -> int:
    from gigawatch.simulator.protocols.endpoints import NAME
    from gigawatch.simulator.protocols.service import Listen, run_devices
    from gigawatch.topology import blueprint, load_inventory

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    inventory = load_inventory(args.inventory) if args.inventory else blueprint(args.blueprint)
    listen = Listen(args.listen, args.snmp, args.modbus, args.mqtt)
    run_devices(inventory, args.state, listen, args.endpoints or args.state / NAME)
    return 0


def _configure_simulate(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--scenario", type=Path, help="scenario in YAML")
    what.add_argument(
        "--mix", help="months of a whole fleet instead: hard, healthy, fast or other (see the documentation)"
    )
    parser.add_argument("--gpus", type=int, default=256, help="GPUs of a mix (default: 256)")
    parser.add_argument("--days", type=float, default=30.0, help="days of a mix (default: 30)")
    parser.add_argument("--step", default="60s", help="time between two samples of a mix (default: 60s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of a mix; each is another plant (default: 1)"
    )
    parser.add_argument("--out", type=Path, required=True, help="data to write: .csv or .parquet")
    parser.add_argument("--truth", type=Path, help="truth about the faults to write, CSV")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _run_simulate(args: Namespace) -> int:
    from gigawatch.simulator.record import simulate
    from gigawatch.simulator.scenario import load_scenario

    shown = -1

    def progress(done: float) -> None:
        nonlocal shown
        if int(done * 100) != shown:
            shown = int(done * 100)
            print(f"\rsimulating {shown:3d} %", end="" if done < 1 else "\n", file=sys.stderr, flush=True)

    watched = sys.stderr.isatty()
    tell = progress if watched else lambda _: None
    if args.mix:
        from gigawatch.simulator.months.write import record_months

        summary = record_months(
            args.mix, args.gpus, args.days, args.step, args.seed, args.out, args.truth, tell
        )
    else:
        summary = simulate(load_scenario(args.scenario), args.out, args.truth, tell)
    if args.json:
        print(json.dumps({"out": str(args.out), "truth": str(args.truth or ""), **asdict(summary)}))
    else:
        faster = summary.simulated_seconds / max(summary.wall_seconds, 1e-9)
        print(
            f"{args.out}: {summary.rows} rows of {summary.gpus} GPUs with {summary.faults} fault(s), "
            f"{summary.simulated_seconds:g} s in {summary.wall_seconds:.1f} s ({faster:.0f} times real time)"
        )
    return 0


PLANT = Command(
    "run the simulated plant in real time",
    "gigawatch plant --blueprint starter --state .gigawatch/plant",
    _configure_plant,
    _run_plant,
    hidden=True,
)

PLANT_DEVICES = Command(
    "serve the simulated plant's devices over SNMP, Modbus, Redfish and MQTT",
    "gigawatch plant-devices --blueprint starter --state .gigawatch/plant",
    _configure_devices,
    _run_devices,
    hidden=True,
)

SIMULATE = Command(
    "simulate a scenario faster than real time and write data with ground truth",
    "gigawatch simulate --scenario drift.yaml --out drift.csv --truth truth.csv",
    _configure_simulate,
    _run_simulate,
)
