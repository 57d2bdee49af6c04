"""`gigawatch inventory`: check, diff, history, export."""

from __future__ import annotations

import json
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.topology.load import Examined
from gigawatch.topology.model import Inventory
from gigawatch.topology.problems import Severity
from gigawatch.topology.sources import add_arguments, examined


def _configure(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="find every contradiction of an inventory")
    check.add_argument("file", type=Path, nargs="?", help="inventory in YAML")
    diff = verbs.add_parser("diff", help="hold an inventory against what telemetry shows")
    diff.add_argument("--prometheus", required=True, metavar="URL", help="such as http://127.0.0.1:9090")
    diff.add_argument(
        "--within", default="1h", metavar="TIME", help="who reported in this time counts (default 1h)"
    )
    history = verbs.add_parser("history", help="where things stood, and from when to when")
    history.add_argument(
        "name", nargs="?", default="", help="name or serial of a thing; all things without it"
    )
    history.add_argument(
        "--history", type=Path, required=True, metavar="FILE", help="as given to `gigawatch sd`"
    )
    export = verbs.add_parser("export", help="print an inventory as a file")
    for verb in (check, diff, export):
        add_arguments(verb)
    for verb in (check, diff, history):
        verb.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(json=False, file=SUPPRESS)


def _run(args: Namespace) -> int:
    run = {"check": _check, "diff": _diff, "history": _history, "export": _export}[args.verb]
    return run(args)


def _check(args: Namespace) -> int:
    if args.file is not None:
        if args.inventory:
            raise UserError("FILE and --inventory both name a site; give one of them")
        args.inventory = args.file
    found = examined(args)
    errors = found.errors
    if args.json:
        print(json.dumps({"ok": not errors, **_problems(found), **_counts(found.inventory)}))
        return 1 if errors else 0
    for severity in Severity:
        for problem in found.problems:
            if problem.severity is severity:
                print(f"{severity}: {problem}")
    name = str(args.inventory or args.netbox or args.blueprint)
    if errors:
        others = [problem for problem in found.problems if problem.severity is Severity.WARNING]
        warnings = f" and {_many(len(others), 'warning')}" if others else ""
        raise UserError(
            f"{name}: {_many(len(errors), 'error')}{warnings}; such an inventory does not come into force"
        )
    counts = ", ".join(
        f"{count} {what}" for what, count in _counts(found.inventory).items() if what != "site"
    )
    print(f"{name}: site '{found.inventory.site}' with {counts}")
    return 0


def _diff(args: Namespace) -> int:
    from gigawatch.topology.diff import differences
    from gigawatch.topology.telemetry import observe

    try:
        parse_duration(args.within)
    except ValueError as error:
        raise UserError(f"--within: {error}") from None
    inventory = examined(args).accept()
    found = differences(inventory, observe(args.prometheus, inventory.site, args.within))
    if args.json:
        print(
            json.dumps(
                {"equal": not found, "site": inventory.site, "differences": [asdict(one) for one in found]}
            )
        )
    elif found:
        rows = [(one.kind, one.name, one.inventory, one.telemetry, one.place) for one in found]
        _table(("difference", "name", "inventory", "telemetry", "place"), rows)
    else:
        print(f"site '{inventory.site}': inventory and telemetry agree")
    return 1 if found else 0


def _history(args: Namespace) -> int:
    from gigawatch.topology.history import read, stays

    if not args.history.exists():
        raise UserError(
            f"{args.history}: there is no history yet; `gigawatch sd --history {args.history}` writes it"
        )
    found = [one for one in stays(read(args.history)) if args.name in ("", one.name, one.serial)]
    if args.name and not found:
        raise UserError(f"{args.history}: nothing of the name or serial '{args.name}' was ever there")
    if args.json:
        print(json.dumps([asdict(one) for one in found]))
        return 0
    rows = [
        (
            _time(one.since),
            _time(one.until) if one.until is not None else "now",
            one.kind,
            one.name,
            one.place,
            one.serial,
            one.source,
        )
        for one in found
    ]
    _table(("from", "until", "kind", "name", "place", "serial", "source"), rows)
    return 0


def _export(args: Namespace) -> int:
    from gigawatch.topology.export import to_yaml

    print(to_yaml(examined(args).accept()), end="")
    return 0


def _problems(found: Examined) -> dict[str, list[dict[str, object]]]:
    return {
        f"{severity}s": [asdict(problem) for problem in found.problems if problem.severity is severity]
        for severity in Severity
    }


def _counts(inventory: Inventory) -> dict[str, object]:
    return {
        "site": inventory.site,
        "racks": len(inventory.racks),
        "nodes": len(inventory.nodes),
        "gpus": inventory.gpu_count,
        "loops": len(inventory.loops),
        "devices": len(inventory.devices),
    }


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


INVENTORY = Command(
    "check an inventory, hold it against telemetry, see its history",
    "gigawatch inventory check site.yaml",
    _configure,
    _run,
)
