"""`gigawatch agent`, `gigawatch facility`, `gigawatch sd`."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gigawatch.command import Command
from gigawatch.errors import UserError
from gigawatch.serving import load_web_config, parse_listen

if TYPE_CHECKING:
    from exporters.runtime import Exporter
    from exporters.settings import Settings
    from exporters.simulated import Simulated

_PATIENCE = 20.0
"""Seconds that --once waits for the slowest source."""


def _run_agent(args: Namespace) -> int:
    from exporters.settings import AgentSettings, settings_of

    settings = settings_of(args, AgentSettings, "GIGAWATCH_AGENT")
    if args.node and not (settings.simulate and args.once):
        raise UserError("--node chooses a simulated node to print; it needs --simulate and --once")
    plan = settings.plan(os.environ)
    if settings.simulate:
        if args.once:
            return _print_simulated(settings, "agent", args.node)
        from exporters.simulating import simulating_exporter

        state = str(settings.state) if settings.state else ""
        return _serve(simulating_exporter(plan, settings.site(), state, settings.seed), settings)
    if args.once:
        from exporters.agent import agent_exporter

        return _print_once(agent_exporter(plan))
    from exporters.serve import become_agent

    if settings.web_config:
        load_web_config(settings.web_config)  # what is wrong with it is said before anything starts
    return become_agent(plan)


def _run_facility(args: Namespace) -> int:
    from exporters.settings import FacilitySettings, settings_of

    settings = settings_of(args, FacilitySettings, "GIGAWATCH_FACILITY")
    if not settings.simulate:
        raise UserError(
            "this version reads simulated devices only (Redfish, SNMP, Modbus and MQTT are not in it yet); "
            "add --simulate"
        )
    if args.device and not args.once:
        raise UserError("--device chooses a simulated device to print; it needs --once")
    if args.once:
        return _print_simulated(settings, "facility", args.device)
    from exporters.facility import facility_exporter

    state = str(settings.state) if settings.state else ""
    return _serve(facility_exporter(settings.site(), state, settings.seconds, settings.seed), settings)


def _run_sd(args: Namespace) -> int:
    from exporters.inventory import Addresses, Keeper
    from gigawatch.topology import blueprint, load_inventory

    if (args.inventory is None) == (not args.blueprint):
        raise UserError("name a site with --inventory FILE or --blueprint NAME")
    for option in ("agent", "facility", "host_agent"):
        if getattr(args, option):
            parse_listen(getattr(args, option))
    inventory = load_inventory(args.inventory) if args.inventory else blueprint(args.blueprint)
    addresses = Addresses(args.agent, args.facility, args.host_agent, socket.gethostname())
    keeper = Keeper(inventory, args.inventory, addresses)
    if args.once:
        sys.stdout.write(keeper.exposition().decode())
        return 0
    from exporters.serve import listen_until_told

    keeper.start()
    return listen_until_told(keeper.app(), args.listen, args.web_config, keeper.stop)


def _serve(exporter: Exporter, settings: Settings) -> int:
    from exporters.serve import listen_until_told

    exporter.start()
    return listen_until_told(exporter.app(), settings.listen, settings.web_config, exporter.stop)


def _print_once(exporter: Exporter) -> int:
    exporter.start()
    try:
        exporter.wait_settled(_PATIENCE)
        sys.stdout.write(exporter.compose().text.decode())
    finally:
        exporter.stop()
    return 0


def _print_simulated(settings: Settings, side: str, name: str) -> int:
    from exporters.simulated import Simulated, SimulatedProducer, open_plant

    inventory = settings.site()
    simulated: Simulated = Simulated(inventory, "agent" if side == "agent" else "facility", settings.seconds)
    thing = "node" if side == "agent" else "device"
    if not simulated.names:
        raise UserError(f"{inventory.source}: the site has no {thing}s")
    if name and name not in simulated.names:
        raise UserError(
            f"no {thing} '{name}' in site '{inventory.site}'; the first is '{simulated.names[0]}'"
        )
    view = open_plant(inventory, str(settings.state) if settings.state else "", settings.seed)
    view.refresh()
    page = SimulatedProducer(simulated, view).page(name or simulated.names[0])
    if not page:
        raise UserError(f"{thing} '{name or simulated.names[0]}' is switched off")
    sys.stdout.write(page.decode())
    return 0


def _configure_agent(parser: ArgumentParser) -> None:
    from exporters.settings import add_arguments

    add_arguments(parser, "agent", 9610)


def _configure_facility(parser: ArgumentParser) -> None:
    from exporters.settings import add_arguments

    add_arguments(parser, "facility", 9611)


def _configure_sd(parser: ArgumentParser) -> None:
    from gigawatch.topology import blueprint_names

    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the site; read again when it changes")
    parser.add_argument("--blueprint", choices=blueprint_names(), help="a site that comes along")
    parser.add_argument(
        "--listen", default=":9613", metavar="ADDR", help="HOST:PORT or :PORT (default :9613)"
    )
    parser.add_argument(
        "--agent", default="", metavar="HOST:PORT", help="one agent for all (simulated) nodes"
    )
    parser.add_argument("--facility", default="", metavar="HOST:PORT", help="the facility exporter")
    parser.add_argument("--host-agent", default="", metavar="HOST:PORT", help="agent of this very machine")
    parser.add_argument("--web-config", type=Path, metavar="FILE", help="TLS and basic auth of the server")
    parser.add_argument("--once", action="store_true", help="print the metrics and exit")


AGENT = Command(
    "export a node's GPUs and host to Prometheus",
    "gigawatch agent --simulate --once",
    _configure_agent,
    _run_agent,
)
FACILITY = Command(
    "export power and cooling devices to Prometheus",
    "gigawatch facility --simulate --blueprint starter",
    _configure_facility,
    _run_facility,
)
SD = Command(
    "tell Prometheus what to scrape, from the inventory",
    "gigawatch sd --inventory site.yaml --listen :9613",
    _configure_sd,
    _run_sd,
)
