"""Where commands take an inventory from: a file, a blueprint, or another system."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

from gigawatch.errors import UserError
from gigawatch.topology.draft import draft_of_file
from gigawatch.topology.load import Examined, blueprint, blueprint_names, examine

GROUP = "gigawatch.inventories"
"""Entry points of rooms that can read an inventory from elsewhere: settings file -> Examined."""


def add_arguments(parser: ArgumentParser) -> None:
    """--inventory, --blueprint, --netbox."""
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the site in YAML")
    parser.add_argument("--blueprint", choices=blueprint_names(), help="a site that comes along")
    parser.add_argument(
        "--netbox", type=Path, metavar="FILE", help="settings of a NetBox that holds the site"
    )


def examined(args: Namespace) -> Examined:
    """The site that the arguments name, with all that is to be said about it. Raises UserError."""
    given = [name for name in ("inventory", "blueprint", "netbox") if getattr(args, name, None)]
    if len(given) != 1:
        raise UserError("name a site with --inventory FILE, --netbox FILE or --blueprint NAME")
    if args.inventory:
        return examine(draft_of_file(args.inventory))
    if args.netbox:
        return _from_elsewhere("netbox", args.netbox)
    blueprint(args.blueprint)
    return examine(
        draft_of_file(Path(str(files("gigawatch.topology") / "blueprints" / f"{args.blueprint}.yaml")))
    )


def _from_elsewhere(kind: str, path: Path) -> Examined:
    for point in entry_points(group=GROUP):
        if point.name == kind:
            found: Examined = point.load()(path)
            return found
    raise UserError(
        f"this installation cannot read from {kind}; install it with: pip install 'gigawatch[exporters]'"
    )
