"""What `gigawatch capacity` prints: tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analytics.capacity.forecast import DAY, Forecast
from analytics.capacity.resources import Resource, Stranded
from gigawatch.topology.placement import Fit
from gigawatch.topology.whatif import Outcome


def resource_table(found: Iterable[Resource], lost: Iterable[Stranded]) -> str:
    """A row per place, a column per resource."""
    places: dict[tuple[str, str], dict[str, Resource]] = {}
    for one in found:
        places.setdefault((one.scope, one.place), {})[one.resource] = one
    idle = {(one.scope, one.place): one.watts for one in lost}
    rows = [
        ("", "place", "power free", "used", "cooling free", "used", "units free", "ports free", "stranded")
    ]
    for (scope, place), of in places.items():
        power, cooling = of.get("power"), of.get("cooling")
        rows.append(
            (
                scope,
                place,
                _kw(power.free) if power else "",
                f"{power.ratio:.0%}" if power else "",
                _kw(cooling.free) if cooling else "",
                f"{cooling.ratio:.0%}" if cooling else "",
                f"{of['space'].free:.0f}" if "space" in of else "",
                f"{of['ports'].free:.0f}" if "ports" in of else "",
                _kw(idle[scope, place]) if idle.get((scope, place)) else "",
            )
        )
    return _table(rows)


def fit_table(kind: str, fits: Sequence[Fit], total: int) -> str:
    """Where it goes, best places first, and why no more fit; `total` is how many fit on the site in all."""
    rows = [("", "place", "fit", "first at", "no more because of")]
    for fit in fits:
        first = (f"U{fit.unit}" if fit.scope == "rack" else f"position {fit.unit}") if fit.unit else ""
        rows.append((fit.scope, fit.place, str(fit.count), first, fit.limit))
    return f"{total} of kind {kind} fit, redundancy kept\n{_table(rows)}"


def outcome_text(outcome: Outcome, jobs: Mapping[str, set[str]]) -> str:
    """What a loss leads to, worst first."""
    lines = [f"if {', '.join(outcome.lost)} {'is' if len(outcome.lost) == 1 else 'are'} lost:"]
    if outcome.dark_nodes:
        gone = sorted({job for node in outcome.dark_nodes for job in jobs.get(node, ())})
        lines.append(
            f"  dark        {len(outcome.dark_nodes)} nodes, {outcome.dark_gpus} GPUs"
            + (f" (racks {', '.join(outcome.dark_racks)})" if outcome.dark_racks else "")
            + (f"; jobs {', '.join(gone)}" if gone else "")
        )
    for over in outcome.overloads:
        verb = "TRIPS" if over.trips else "overloaded"
        lines.append(f"  {verb:<11} {over.place}: {_kw(over.watts)} of {_kw(over.limit_watts)} for long")
    lines += [
        f"  too warm    {short.what} of {short.name}: {_kw(short.heat_watts)} of heat, "
        f"{_kw(short.capacity_watts)} can be carried away; {short.nodes} nodes, {short.gpus} GPUs"
        for short in outcome.shortages
    ]
    if outcome.on_battery:
        lines.append(f"  on battery  {', '.join(outcome.on_battery)} until empty")
    if outcome.poorer_racks:
        lines.append(f"  one feed    {len(outcome.poorer_racks)} racks go on, with one feed less: "
                     f"{', '.join(outcome.poorer_racks)}")  # fmt: skip
    if outcome.harmless:
        lines.append("  nothing fails: what is left carries it all")
    return "\n".join(lines)


def forecast_table(found: Iterable[Resource], soon: Mapping[tuple[str, str, str], Forecast]) -> str:
    """When limits are reached."""
    rows = [("", "place", "resource", "now", "limit", "per day", "reached in", "90 % interval")]
    for one in found:
        result = soon.get((one.scope, one.place, one.resource))
        if result is not None:
            rows.append(
                (
                    one.scope,
                    one.place,
                    one.resource,
                    _kw(result.level),
                    _kw(one.limit - one.promised),
                    _kw(result.per_day),
                    _days(result.expected),
                    f"{_days(result.early)} to {_days(result.late)}",
                )
            )
    return _table(rows) if len(rows) > 1 else "no limit is in sight: nothing grows, or history is too short"


def _days(seconds: float) -> str:
    days = seconds / DAY
    return f"{days:.0f} d" if days < 5 * 365 else "> 5 years"


def _kw(watts: float) -> str:
    return f"{watts / 1000:.1f} kW"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
