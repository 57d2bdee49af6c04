"""`gigawatch capacity`: what is left, where something fits, what fails with a loss, how long it lasts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.topology import Inventory, Kind, blueprint, blueprint_names, load_inventory
from gigawatch.topology.flow import Draw, design_draw


def _configure(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="show|place|lose|forecast")
    show = verbs.add_parser("show", help="what racks, rows, loops and feeds have left")
    place = verbs.add_parser("place", help="where a rack or node of a kind can go")
    place.add_argument("kind", help="a kind of the inventory, or KILOWATTS of a node (then give --units)")
    place.add_argument("--units", type=int, default=0, help="height units, where no kind is named")
    place.add_argument("--cooling", choices=["liquid", "air"], default="liquid")
    place.add_argument("--ports", type=int, default=0)
    lose = verbs.add_parser("lose", help="what fails if a feed, device, loop, rack, row or hall is lost")
    lose.add_argument("names", nargs="+", metavar="NAME", help="all of these at once")
    future = verbs.add_parser("forecast", help="when limits are reached, with a 90 %% interval")
    future.add_argument("--days", type=int, default=60, help="days of history (default 60)")
    for verb in (show, place, lose, future):
        verb.add_argument("--inventory", type=Path, metavar="FILE", help="the site")
        verb.add_argument("--blueprint", choices=blueprint_names(), help="a site that comes along")
        verb.add_argument(
            "--prometheus", metavar="URL", default="", help="measure there; else design power counts"
        )
        verb.add_argument(
            "--over", default="7d", metavar="TIME", help="span of the 99th percentile (default 7d)"
        )
        verb.add_argument("--token-file", type=Path, metavar="FILE", help="bearer token for Prometheus")
        verb.add_argument("--ca-file", type=Path, metavar="FILE")
        verb.add_argument("--state", type=Path, metavar="DIR", help="folder of the local stack (.gigawatch)")
        verb.add_argument("--json", action="store_true", help="print JSON")


def _run(args: Namespace) -> int:
    inventory, url = _site(args)
    client = _client(args, url)
    now = time.time()
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    draw = _draw(args, client, inventory, now)
    return {"show": _show, "place": _place, "lose": _lose, "forecast": _forecast}[args.verb](
        args, client, inventory, draw, now, today
    )


def _show(args: Namespace, client: Any, inventory: Inventory, draw: Draw, now: float, today: dt.date) -> int:
    from analytics.capacity.measure import heat_of_loops
    from analytics.capacity.resources import resources, stranded
    from analytics.capacity.tables import resource_table

    heat = heat_of_loops(client, inventory, now, args.over) if client is not None else {}
    found, lost = resources(inventory, draw, today, heat), stranded(inventory, draw, today)
    rows = [{**dataclasses.asdict(r), "free": r.free, "used_ratio": r.ratio} for r in found]
    body = {"resources": rows, "stranded": [dataclasses.asdict(s) for s in lost]}
    return _say(args, inventory, draw, body, resource_table(found, lost))


def _place(
    args: Namespace, _client: Any, inventory: Inventory, draw: Draw, _now: float, today: dt.date
) -> int:
    from analytics.capacity.tables import fit_table
    from gigawatch.topology.placement import Placer

    kind = _kind(args, inventory)
    placer = Placer(inventory, draw, today)
    fits = placer.fits(kind)
    total = placer.total(kind, fits)
    places = [dataclasses.asdict(fit) for fit in fits]
    body = {"kind": dataclasses.asdict(kind), "total": total, "places": places}
    return _say(args, inventory, draw, body, fit_table(kind.name, fits, total))


def _lose(args: Namespace, client: Any, inventory: Inventory, draw: Draw, now: float, _today: dt.date) -> int:
    from analytics.capacity.measure import jobs_on
    from analytics.capacity.tables import outcome_text
    from gigawatch.topology.whatif import lose

    outcome = lose(inventory, args.names, draw)
    jobs = jobs_on(client, inventory, now) if client is not None else {}
    touched = sorted({job for node in outcome.dark_nodes for job in jobs.get(node, ())})
    body = {**dataclasses.asdict(outcome), "harmless": outcome.harmless, "jobs": touched}
    return _say(args, inventory, draw, body, outcome_text(outcome, jobs))


def _forecast(
    args: Namespace, client: Any, inventory: Inventory, draw: Draw, now: float, today: dt.date
) -> int:
    from analytics.capacity.resources import resources
    from analytics.capacity.tables import forecast_table
    from analytics.capacity.watch import forecasts

    if client is None:
        raise UserError("a forecast needs measurements: name --prometheus URL")
    found = resources(inventory, draw, today)
    soon = forecasts(client, inventory, found, now, args.days)
    rows = [
        {
            "scope": scope,
            "place": place,
            "resource": resource,
            **{k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(result).items()},
        }
        for (scope, place, resource), result in soon.items()
    ]
    return _say(args, inventory, draw, {"forecasts": rows}, forecast_table(found, soon))


def _say(args: Namespace, inventory: Inventory, draw: Draw, body: dict[str, Any], text: str) -> int:
    if args.json:
        print(json.dumps({"site": inventory.site, "power_from": draw.source, **body}))
    else:
        print(f"site {inventory.site}; power: {draw.source}\n{text}")
    return 0


def _kind(args: Namespace, inventory: Inventory) -> Kind:
    known = {kind.name: kind for kind in inventory.kinds}
    if args.kind in known:
        return known[args.kind]
    try:
        watts = float(args.kind.lower().removesuffix("kw")) * 1000
    except ValueError:
        names = ", ".join(known) or "none"
        raise UserError(
            f"the inventory has no kind '{args.kind}'; it has: {names}; or write kilowatts, such as 10.2kW"
        ) from None
    if not 0 < watts < 1e7 or not 1 <= args.units <= 100:
        raise UserError("a node by its kilowatts needs more than 0 of them, and --units 1 to 100")
    return Kind(args.kind, "node", watts, args.cooling, args.units, args.ports)


def _site(args: Namespace) -> tuple[Inventory, str]:
    """The inventory, and where Prometheus is: as named, else those of the local stack."""
    if args.inventory is not None:
        return load_inventory(args.inventory), args.prometheus
    if args.blueprint:
        return blueprint(args.blueprint), args.prometheus
    from gigawatch.local.plan import STATE, Layout, load_plan

    plan = load_plan(Layout(args.state or STATE))
    if plan is None:
        raise UserError("which site? name --inventory FILE or --blueprint NAME, or start one: gigawatch up")
    return load_inventory(Path(plan.inventory)), args.prometheus or plan.part("prometheus").url


def _client(args: Namespace, url: str) -> Any:
    if not url:
        return None
    from analytics.ingest.prometheus import Login, Prometheus

    return Prometheus(url, 60.0, Login(token_file=args.token_file), args.ca_file)


def _draw(args: Namespace, client: Any, inventory: Inventory, now: float) -> Draw:
    try:
        if not 60 <= parse_duration(args.over) <= 366 * 86400:
            raise ValueError(f"'{args.over}' is out of range; allowed: 1m to 366d")
    except ValueError as error:
        raise UserError(f"--over: {error}") from None
    if client is None:
        return design_draw(inventory)
    from analytics.capacity.measure import measured_draw

    return measured_draw(client, inventory, now, args.over)


CAPACITY = Command(
    "what is left, where a rack or node can go, what fails with a loss, how long it lasts",
    "gigawatch capacity lose utility-a --blueprint mid-scale",
    _configure,
    _run,
)
