"""`gigawatch sd`."""

from __future__ import annotations

import logging
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gigawatch.command import Command
from gigawatch.errors import UserError

if TYPE_CHECKING:
    from exporters.inventory.maintenance import Maintenance
    from exporters.inventory.source import Source
    from exporters.inventory.targets import Devices
    from gigawatch.topology import Inventory

log = logging.getLogger(__name__)


def _configure(parser: ArgumentParser) -> None:
    from gigawatch.topology import blueprint_names

    add = parser.add_argument
    add("--inventory", type=Path, metavar="FILE", help="the site; read again when it changes")
    add("--netbox", type=Path, metavar="FILE", help="settings of a NetBox that holds the site")
    add("--blueprint", choices=blueprint_names(), help="a site that comes along")
    add("--history", type=Path, metavar="FILE", help="write down here where things stand, and when they move")
    add("--write", type=Path, metavar="FILE", help="write the inventory in force here, for other programs")
    add("--listen", default=":9613", metavar="ADDR", help="HOST:PORT or :PORT (default :9613)")
    add("--agent", default="", metavar="HOST:PORT", help="one agent for all (simulated) nodes")
    add("--facility", default="", metavar="HOST:PORT", help="the facility exporter")
    add("--endpoints", type=Path, metavar="FILE", help="addresses of devices, as for `gigawatch facility`")
    add(
        "--all-devices", action="store_true", help="list devices without endpoints as well (a simulated site)"
    )
    add("--host-agent", default="", metavar="HOST:PORT", help="agent of this very machine")
    add("--alertmanager", default="", metavar="URL", help="tell what is under maintenance there")
    add("--web-config", type=Path, metavar="FILE", help="TLS and basic auth of the server")
    add("--once", action="store_true", help="print the metrics and exit")


def _run(args: Namespace) -> int:
    from exporters.inventory.keeper import Keeper
    from exporters.inventory.targets import Addresses
    from exporters.serve import listen_until_told
    from gigawatch.serving import parse_listen
    from gigawatch.topology.history import History

    for option in ("agent", "facility", "host_agent"):
        if getattr(args, option):
            parse_listen(getattr(args, option))
    addresses = Addresses(args.agent, args.facility, args.host_agent, socket.gethostname(), _devices_of(args))
    inventory, source = _source_of(args)
    history = History(args.history) if args.history and not args.once else None
    if history and history.torn:
        print(
            f"gigawatch: {args.history}: its last line broke off; it is in {args.history}.torn",
            file=sys.stderr,
        )
    maintenance = _maintenance(args.alertmanager)
    keeper = Keeper(
        inventory,
        source,
        addresses,
        args.endpoints,
        history,
        _writer(None if args.once else args.write),
        maintenance.readings if maintenance is not None else tuple,
    )
    if args.once:
        sys.stdout.write(keeper.exposition().decode())
        return 0
    keeper.start()
    if maintenance is not None:
        maintenance.start()
    return listen_until_told(keeper.app(), args.listen, args.web_config, keeper.stop)


def _maintenance(url: str) -> Maintenance | None:
    from exporters.inventory.maintenance import Maintenance

    if url and not url.startswith(("http://", "https://")):
        raise UserError(f"--alertmanager: '{url}' is no URL; it starts with http:// or https://")
    return Maintenance(url) if url else None


def _source_of(args: Namespace) -> tuple[Inventory, Source]:
    from exporters.inventory.source import BlueprintSource, FileSource
    from gigawatch.topology import blueprint

    given = [name for name in ("inventory", "netbox", "blueprint") if getattr(args, name)]
    if len(given) != 1:
        raise UserError("name a site with --inventory FILE, --netbox FILE or --blueprint NAME")
    if args.netbox:
        from exporters.inventory.netbox.settings import load_settings
        from exporters.inventory.netbox.source import NetBoxSource

        netbox = NetBoxSource(load_settings(args.netbox))
        return netbox.begin(), netbox
    if args.inventory:
        file = FileSource(args.inventory)
        return file.read(), file
    inventory = blueprint(args.blueprint)
    return inventory, BlueprintSource(inventory)


def _devices_of(args: Namespace) -> Devices:
    if args.all_devices and args.endpoints is not None:
        raise UserError("--all-devices and --endpoints exclude each other; give one of them")
    return "all" if args.all_devices else "any" if args.endpoints is None else "asked"


def _writer(path: Path | None) -> Callable[[Inventory], None]:
    """Writes each inventory that comes into force, for programs that read files."""

    def write(inventory: Inventory) -> None:
        from gigawatch.topology.export import write as write_file

        if path is None:
            return
        try:
            write_file(path, inventory)
        except UserError as error:
            log.warning("%s", error)

    return write


SD = Command(
    "tell Prometheus what to scrape, from the inventory",
    "gigawatch sd --inventory site.yaml --listen :9613",
    _configure,
    _run,
)
