"""`gigawatch inventory check FILE`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gigawatch.command import Command
from gigawatch.topology.load import load_inventory
from gigawatch.topology.model import Inventory, Role


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("verb", choices=["check"], help="what to do with the file")
    parser.add_argument("file", type=Path, help="inventory in YAML")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _run(args: Namespace) -> int:
    inventory = load_inventory(args.file)
    if args.json:
        print(json.dumps({"ok": True, "warnings": warnings(inventory), **_counts(inventory)}))
        return 0
    counts = ", ".join(f"{count} {what}" for what, count in _counts(inventory).items() if what != "site")
    print(f"{args.file}: site '{inventory.site}' with {counts}")
    for warning in warnings(inventory):
        print(f"note: {warning}")
    return 0


def _counts(inventory: Inventory) -> dict[str, object]:
    return {
        "site": inventory.site,
        "racks": len(inventory.racks),
        "nodes": len(inventory.nodes),
        "gpus": inventory.gpu_count,
        "loops": len(inventory.loops),
        "devices": len(inventory.devices),
    }


def warnings(inventory: Inventory) -> list[str]:
    """What is legal but worth knowing: racks on one feed only, loops without a coolant unit."""
    notes = []
    for rack in inventory.racks:
        pdus = [d for d in inventory.devices_with(Role.RACK_PDU) if d.rack == rack.name]
        feeds = {inventory.feed_of(pdu) for pdu in pdus}
        if len(feeds) < 2:
            notes.append(f"rack '{rack.name}' hangs on {len(feeds)} feed(s): losing one takes it down")
    cooled = {device.loop for device in inventory.devices_with(Role.CDU)}
    notes.extend(
        f"loop '{loop.name}' has no coolant unit (role cdu)"
        for loop in inventory.loops
        if loop.name not in cooled
    )
    return notes


INVENTORY = Command(
    "check an inventory file",
    "gigawatch inventory check site.yaml",
    _configure,
    _run,
)
