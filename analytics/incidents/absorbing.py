"""What a wider cause explains stands below it as a child. One pass, looked up by place, never all by all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analytics.detectors.base import Suspicion
from analytics.fleet import Level
from analytics.incidents.causality import EXPLAINS, SERVES, SUPERSEDE, WIDTH, later, stands_out
from analytics.incidents.grouping import Found
from analytics.incidents.model import Incident, Key
from analytics.incidents.topology import Place, Topology

_OWN_ROWS = frozenset({"feed", "switch", "device", "site", "job"})
"""Scopes whose members the fleet's labels may not tell: then the GPUs that the wide finding names do."""
_WIDTH_BY_ROWS = 2.5
"""Least width of what covers all GPUs of another thing and is not that thing."""
_COMMON = 0.25
"""If more of a place than this stands out from the rest, it is no longer one thing's own fault."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A finding or an incident as something that may explain others."""

    id: Key
    began: float | None
    opened: bool
    score: float
    rows: frozenset[int]


class Causes:
    """Everything that may explain something, looked up by where it is felt."""

    def __init__(self, causes: Iterable[Cause], topology: Topology, asked: set[int]) -> None:
        """`asked` are the first GPUs of what explanations will be asked for."""
        self._topology = topology
        self._by_place: dict[Place, list[tuple[float, Cause]]] = {}
        self._by_row: dict[int, list[Cause]] = {}
        for cause in causes:
            for place, width in self._reach(cause.id):
                self._by_place.setdefault(place, []).append((width, cause))
            for row in cause.rows & asked:
                self._by_row.setdefault(row, []).append(cause)

    def _reach(self, cause: Key) -> list[tuple[Place, float]]:
        """The places whose trouble a cause may be, each with its width: its own, and what a device serves."""
        name, scope, key = cause
        made: list[tuple[Place, float]] = [((scope, key), WIDTH[scope])]
        if scope == "device" and name in SERVES:
            above = self._topology.surroundings.above.get((scope, key), ())
            made += [(place, WIDTH[place[0]] + 0.5) for place in above if place[0] in ("rack", "loop")]
        return made

    def explanation(self, now: float, one: Suspicion, own: Cause) -> Cause | None:
        """The widest cause, then the oldest, that accounts for a suspicion; None where there is none."""
        best: Cause | None = None
        rank = (-1.0, 0.0)
        for width, cause in self._options(one):
            if one.cause not in EXPLAINS[cause.id[0]] or cause.id == own.id:
                continue
            wider = width - WIDTH[one.scope]
            if wider < 0 or (wider == 0 and (cause.id[1:] != own.id[1:] or not _prior(cause, own))):
                continue
            standing = (width, -(cause.began or now))
            if standing > rank and later(cause.began, one.since, now):
                best, rank = cause, standing
        return best

    def _options(self, one: Suspicion) -> list[tuple[float, Cause]]:
        by_place = self._by_place
        found = [
            option for place in self._topology.parents(one) if place in by_place for option in by_place[place]
        ]
        if one.gpus and self._by_row:
            found += [
                (max(float(WIDTH[cause.id[1]]), _WIDTH_BY_ROWS), cause)
                for cause in self._by_row.get(one.gpus[0], ())
                if len(one.gpus) == 1 or cause.rows.issuperset(one.gpus)
            ]
        return found


def _prior(cause: Cause, own: Cause) -> bool:
    """Of two findings about one thing that could explain each other, which comes first."""
    if cause.id[0] not in EXPLAINS[own.id[0]]:
        return True
    return (cause.opened, cause.score, cause.id) > (own.opened, own.score, own.id)


def absorb(
    now: float, found: list[Found], open_: Mapping[Key, Incident], topology: Topology
) -> tuple[list[Found], dict[Key, list[Suspicion]]]:
    """What stands for itself, and what open incidents explain although nothing suspects those at this tick.

    A finding that has an incident of its own, that began well before, or that stands out from its peers by
    itself is not absorbed.
    """
    causes = _causes(found, open_, topology)
    firsts = {one.suspicion.gpus[0] for one in found if one.suspicion.gpus}
    lookup = Causes(causes.values(), topology, firsts)
    above: dict[Key, Key] = {}
    outstanding: dict[Key, list[Found]] = {}
    for one in found:
        own = open_.get(one.id)
        if own is not None and own.opened:
            continue
        best = lookup.explanation(now, one.suspicion, causes[one.id])
        if best is None:
            continue
        if best.id[1:] != one.id[1:] and stands_out(one.suspicion):
            outstanding.setdefault(best.id, []).append(one)
        else:
            above[one.id] = best.id
    for cause, many in outstanding.items():
        touched = sum(len(one.suspicion.gpus) for one in many)
        if len(many) > 2 and touched > _COMMON * max(_extent(causes[cause], topology), 1):
            above.update({one.id: cause for one in many})
    return _collect(found, above)


def _collect(found: list[Found], above: Mapping[Key, Key]) -> tuple[list[Found], dict[Key, list[Suspicion]]]:
    by_id = {one.id: one for one in found}
    elsewhere: dict[Key, list[Suspicion]] = {}
    for one in found:
        top = above.get(one.id)
        if top is None:
            continue
        for _ in range(len(WIDTH)):  # what explains it may itself be explained
            if top not in above:
                break
            top = above[top]
        held = by_id.get(top)
        target = held.below if held is not None else elsewhere.setdefault(top, [])
        target += [one.suspicion, *one.below]
    return [one for one in found if one.id not in above], elsewhere


def _causes(found: list[Found], open_: Mapping[Key, Incident], topology: Topology) -> dict[Key, Cause]:
    causes: dict[Key, Cause] = {}
    for one in found:
        s = one.suspicion
        rows = frozenset(s.gpus) if s.scope in _OWN_ROWS else frozenset()
        own = open_.get(one.id)
        causes[one.id] = Cause(one.id, s.since, own is not None and own.opened > 0, s.score, rows)
    for key, incident in open_.items():
        if incident.opened and key not in causes:
            causes[key] = _as_cause(incident, incident.began, True, topology)
    return causes


def _as_cause(incident: Incident, began: float | None, opened: bool, topology: Topology) -> Cause:
    rows = frozenset(rows_of(incident, topology)) if incident.scope in _OWN_ROWS else frozenset()
    return Cause(incident.id, began, opened, incident.score, rows)


def rows_of(incident: Incident, topology: Topology) -> tuple[int, ...]:
    """Rows of the GPUs that an incident touches, those that are still known."""
    gpus = topology.fleet[Level.GPU]
    return tuple(row for row in map(gpus.find, incident.gpus) if row is not None)


def as_suspicion(incident: Incident, topology: Topology) -> Suspicion:
    """An incident as the suspicion that it rests on."""
    i = incident
    return Suspicion(
        i.cause, i.scope, i.place, i.key, rows_of(i, topology), i.score,
        since=i.onset, evidence=i.evidence,
    )  # fmt: skip


def overtaken(
    now: float, opened: list[Incident], known: Mapping[Key, Incident], topology: Topology
) -> list[tuple[Incident, Suspicion, Incident]]:
    """Which incidents those that have just opened account for: the wide one, and the other with what it
    rests on. One that was there well before is left alone."""
    causes = {one.id: _as_cause(one, one.onset, False, topology) for one in opened}
    views = {key: as_suspicion(other, topology) for key, other in known.items()}
    lookup = Causes(causes.values(), topology, {view.gpus[0] for view in views.values() if view.gpus})
    found = []
    for key, other in known.items():
        seen = views[key]
        own = Cause(key, other.onset, key not in causes, other.score, frozenset())
        cause = lookup.explanation(now, seen, own)
        if cause is None:
            continue
        wide = known[cause.id]
        dated = wide.onset is not None and other.onset is not None
        if not dated and wide.opened - (other.opened or wide.opened) > SUPERSEDE:
            continue
        if cause.id[1:] == key[1:] or not stands_out(seen):
            found.append((wide, seen, other))
    return found


def _extent(cause: Cause, topology: Topology) -> int:
    """GPUs of the place that a cause is about."""
    _, scope, name = cause.id
    if scope in topology.fleet[Level.GPU].labels:
        return topology.size("gpu", scope).get(name, len(cause.rows))
    return len(cause.rows)
