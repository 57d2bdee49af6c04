"""`gigawatch maintenance`: silence what depends on a place for a while, list such places, end it early."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.topology import Inventory, blueprint, blueprint_names, load_inventory
from gigawatch.topology.maintenance import LONGEST_REASON, SCOPES, Work, parse_comment

_LONGEST = timedelta(days=30)


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=[*SCOPES, "list", "end"], help="kind of place; or list, or end (one that runs)"
    )
    parser.add_argument("name", nargs="?", default="", help="its name in the inventory; NODE/INDEX for a GPU")
    parser.add_argument("--for", dest="duration", metavar="TIME", help="how long, such as 90m or 2h")
    parser.add_argument("--reason", metavar="TEXT", help="why: shown on the dashboards")
    parser.add_argument(
        "--by", metavar="NAME", default="", help="who (default: the name you are logged in by)"
    )
    parser.add_argument("--everything", action="store_true", help="mute leaks and smoke there, too")
    parser.add_argument("--dry-run", action="store_true", help="show the silences and make none")
    parser.add_argument("--inventory", type=Path, metavar="FILE", help="the site")
    parser.add_argument("--blueprint", choices=blueprint_names(), help="a site that comes along")
    parser.add_argument("--alertmanager", metavar="URL", default="", help="default: the local stack's")
    parser.add_argument("--state", type=Path, metavar="DIR", help="folder of the local stack (.gigawatch)")
    parser.add_argument("--username", default="", help="for basic auth, with --password-file")
    parser.add_argument("--password-file", type=Path, metavar="FILE")
    parser.add_argument("--bearer-token-file", type=Path, metavar="FILE")
    parser.add_argument("--ca-file", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(args: Namespace) -> int:
    from alerts.maintenance.client import Alertmanager, Door

    door = Door(
        args.alertmanager or _local(args, "alertmanager"),
        args.username,
        args.password_file,
        args.bearer_token_file,
        args.ca_file,
    )
    client = Alertmanager(door)
    now = datetime.now(UTC)
    if args.what == "list":
        return _list(_running(client.silences()), args.json)
    if args.what == "end":
        return _end(client, args.name)
    work = Work(args.what, _required(args.name, "the name of the place"), _reason(args.reason))
    end = now + _duration(args.duration)
    from alerts.maintenance.matchers import silences

    wanted = silences(_inventory(args), work.scope, work.place, args.everything)
    bodies = [
        {
            "matchers": [matcher.json() for matcher in one],
            "startsAt": now.isoformat(),
            "endsAt": end.isoformat(),
            "createdBy": args.by or getpass.getuser(),
            "comment": work.comment,
        }
        for one in wanted
    ]
    made: list[str] = []
    if not args.dry_run:
        made = _create(client, bodies)
    if args.json:
        print(json.dumps({"until": end.isoformat(), "silences": bodies, "ids": made}))
        return 0
    be = "would be" if args.dry_run else "is"
    print(f"{work.scope} {work.place} {be} under maintenance until {_when(end)}")
    for one in wanted:
        print(f"  {{{', '.join(map(str, one))}}}")
    if not args.dry_run:
        print(f"  ends by itself; earlier with: gigawatch maintenance end {work.place}")
    return 0


def _create(client: Any, bodies: Iterable[dict[str, object]]) -> list[str]:
    """All or none."""
    made: list[str] = []
    try:
        for body in bodies:
            made.append(client.create(body))  # noqa: PERF401 - those that were made count when one fails
    except UserError:
        for silence in made:
            client.expire(silence)
        raise
    return made


def _running(found: list[dict[str, Any]]) -> dict[Work, list[dict[str, Any]]]:
    """Maintenance that runs, and its silences."""
    works: dict[Work, list[dict[str, Any]]] = {}
    for silence in found:
        work = parse_comment(silence.get("comment"))
        status = silence.get("status")
        if work is not None and isinstance(status, dict) and status.get("state") == "active":
            works.setdefault(work, []).append(silence)
    return works


def _list(works: dict[Work, list[dict[str, Any]]], as_json: bool) -> int:
    rows = [
        {
            "scope": work.scope,
            "place": work.place,
            "reason": work.reason,
            "until": max(str(s.get("endsAt", "")) for s in found),
            "by": str(found[0].get("createdBy", "")),
            "silences": len(found),
        }
        for work, found in works.items()
    ]
    if as_json:
        print(json.dumps(rows))
        return 0
    if not rows:
        print("nothing is under maintenance")
    for row in rows:
        until = datetime.fromisoformat(str(row["until"]).replace("Z", "+00:00"))
        print(f"{row['scope']:<7} {row['place']:<20} until {_when(until)}  {row['reason']} ({row['by']})")
    return 0


def _end(client: Any, name: str) -> int:
    works = _running(client.silences())
    chosen = {work: found for work, found in works.items() if work.place == _required(name, "the place")}
    if not chosen:
        known = ", ".join(work.place for work in works) or "none"
        raise UserError(f"'{name}' is not under maintenance; under maintenance: {known}")
    for work, found in chosen.items():
        for silence in found:
            client.expire(str(silence.get("id", "")))
        print(f"{work.scope} {work.place} is back: {len(found)} silences ended")
    return 0


def _required(text: str, what: str) -> str:
    if not text:
        raise UserError(
            f"give {what}; example: gigawatch maintenance rack r01 --for 2h --reason 'new CDU hose'"
        )
    return text


def _reason(text: str | None) -> str:
    words = " ".join((text or "").split())
    if not 1 <= len(words) <= LONGEST_REASON:
        raise UserError(f"--reason: say in 1 to {LONGEST_REASON} characters what is done there")
    return words


def _duration(text: str | None) -> timedelta:
    if not text:
        raise UserError("--for: say how long, such as 90m or 2h; it ends by itself")
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UserError(f"--for: {error}") from None
    if not 60 <= seconds <= _LONGEST.total_seconds():
        raise UserError(f"--for: '{text}' is out of range; allowed: 1m to {_LONGEST.days}d")
    return timedelta(seconds=seconds)


def _inventory(args: Namespace) -> Inventory:
    if args.inventory is not None:
        return load_inventory(args.inventory)
    if args.blueprint:
        return blueprint(args.blueprint)
    return load_inventory(Path(_local(args, "inventory")))


def _local(args: Namespace, what: str) -> str:
    """Alertmanager's address, or the inventory, of the stack that `gigawatch up` started here."""
    from gigawatch.local.plan import STATE, Layout, load_plan

    plan = load_plan(Layout(args.state or STATE))
    if plan is None:
        raise UserError(f"no local stack was started here: name --{what}")
    return plan.inventory if what == "inventory" else plan.part(what).url


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


MAINTENANCE = Command(
    "silence what depends on a place while somebody works there",
    "gigawatch maintenance rack r01 --for 2h --reason 'hose of the manifold'",
    _configure,
    _run,
)
