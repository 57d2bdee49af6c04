"""What a wider cause explains stands below it as a child. One pass, looked up by place, never all by all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
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
    """Everything that may explain something, looked up by where it is felt; kept from tick to tick.

    Only what is new or gone is entered or taken out; what a cause is now is asked for when it matters.
    """

    def __init__(self) -> None:
        self._places: dict[Key, list[Place]] = {}
        self._at: dict[Place, dict[Key, float]] = {}
        self._wide: dict[Key, None] = {}
        self._stamp: object = None
        self._causes: dict[Key, Cause] = {}
        self._by_row: dict[int, list[Cause]] | None = None
        self._make: Callable[[Key], Cause]
        self._asked: Iterable[Suspicion] = ()
        self._topology: Topology

    def look(
        self,
        keys: AbstractSet[Key],
        make: Callable[[Key], Cause],
        asked: Iterable[Suspicion],
        topology: Topology,
    ) -> None:
        """From now on these may explain what is `asked`, and `make` says what each of them is."""
        self._topology, self._make, self._asked = topology, make, asked
        self._causes, self._by_row = {}, None
        if topology.surroundings.above is not self._stamp:
            self._places, self._at, self._wide = {}, {}, {}
            self._stamp = topology.surroundings.above
        for key in self._places.keys() - keys:
            for place in self._places.pop(key):
                self._at[place].pop(key, None)
                if not self._at[place]:
                    del self._at[place]
            self._wide.pop(key, None)
        for key in keys - self._places.keys():
            reach = self._reach(key)
            self._places[key] = [place for place, _ in reach]
            for place, width in reach:
                self._at.setdefault(place, {})[key] = width
            if key[1] in _OWN_ROWS:
                self._wide[key] = None

    def _reach(self, cause: Key) -> list[tuple[Place, float]]:
        """The places whose trouble a cause may be, each with its width: its own, and what a device serves."""
        name, scope, key = cause
        made: dict[Place, float] = {(scope, key): WIDTH[scope]}
        if scope == "device" and name in SERVES:
            above = self._topology.surroundings.above.get((scope, key), ())
            made |= {place: WIDTH[place[0]] + 0.5 for place in above if place[0] in ("rack", "loop")}
        return list(made.items())

    def cause(self, key: Key) -> Cause:
        """What one of them is now."""
        made = self._causes.get(key)
        if made is None:
            made = self._causes[key] = self._make(key)
        return made

    def explanation(self, now: float, one: Suspicion, own: Cause) -> Cause | None:
        """The widest cause, then the oldest, then one by name, that accounts for a suspicion; or None."""
        best: Cause | None = None
        rank = (-1.0, 0.0, own.id)
        for width, key in self._options(one):
            if one.cause not in EXPLAINS[key[0]] or key == own.id:
                continue
            wider = width - WIDTH[one.scope]
            if wider < 0:
                continue
            cause = self.cause(key)
            if wider == 0 and (key[1:] != own.id[1:] or not _prior(cause, own)):
                continue
            standing = (width, -(cause.began or now), cause.id)
            if standing > rank and later(cause.began, one.since, now):
                best, rank = cause, standing
        return best

    def _options(self, one: Suspicion) -> list[tuple[float, Key]]:
        at = self._at
        found = [
            (width, key)
            for place in self._topology.parents(one)
            if place in at
            for key, width in at[place].items()
        ]
        if one.gpus and self._wide:
            found += [
                (max(float(WIDTH[cause.id[1]]), _WIDTH_BY_ROWS), cause.id)
                for cause in self._over(one.gpus[0])
                if len(one.gpus) == 1 or cause.rows.issuperset(one.gpus)
            ]
        return found

    def _over(self, row: int) -> list[Cause]:
        """Causes whose GPUs are told by themselves alone, and of which this is one."""
        if self._by_row is None:
            self._by_row = {}
            firsts = {one.gpus[0] for one in self._asked if one.gpus}
            for key in self._wide:
                cause = self.cause(key)
                for touched in cause.rows & firsts:
                    self._by_row.setdefault(touched, []).append(cause)
        return self._by_row.get(row, [])


def _prior(cause: Cause, own: Cause) -> bool:
    """Of two findings about one thing that could explain each other, which comes first."""
    if cause.id[0] not in EXPLAINS[own.id[0]]:
        return True
    return (cause.opened, cause.score, cause.id) > (own.opened, own.score, own.id)


def absorb(
    now: float,
    found: list[Found],
    open_: Mapping[Key, Incident],
    topology: Topology,
    causes: Causes | None = None,
) -> tuple[list[Found], dict[Key, list[Suspicion]]]:
    """What stands for itself, and what open incidents explain although nothing suspects those at this tick.

    A finding that has an incident of its own, that began well before, or that stands out from its peers by
    itself is not absorbed. `causes` are those of the tick before, to be brought up to date.
    """
    pending = [one for one in found if (own := open_.get(one.id)) is None or not own.opened]
    if not pending:
        return found, {}
    causes = causes or Causes()
    by_id = {one.id: one for one in found}

    def make(key: Key) -> Cause:
        one, own = by_id.get(key), open_.get(key)
        if one is None:
            return _as_cause(open_[key], open_[key].began, True, topology)
        s = one.suspicion
        rows = frozenset(s.gpus) if s.scope in _OWN_ROWS else frozenset()
        return Cause(key, s.since, own is not None and own.opened > 0, s.score, rows)

    opened = {key for key, incident in open_.items() if incident.opened}
    causes.look(by_id.keys() | opened, make, [one.suspicion for one in pending], topology)
    above: dict[Key, Key] = {}
    outstanding: dict[Key, list[Found]] = {}
    for one in pending:
        best = causes.explanation(now, one.suspicion, causes.cause(one.id))
        if best is None:
            continue
        if best.id[1:] != one.id[1:] and stands_out(one.suspicion):
            outstanding.setdefault(best.id, []).append(one)
        else:
            above[one.id] = best.id
    for cause, many in outstanding.items():
        touched = sum(len(one.suspicion.gpus) for one in many)
        if len(many) > 2 and touched > _COMMON * max(_extent(causes.cause(cause), topology), 1):
            above.update({one.id: cause for one in many})
    return _collect(found, by_id, above) if above else (found, {})


def _collect(
    found: list[Found], by_id: Mapping[Key, Found], above: Mapping[Key, Key]
) -> tuple[list[Found], dict[Key, list[Suspicion]]]:
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


def _as_cause(incident: Incident, began: float | None, opened: bool, topology: Topology) -> Cause:
    rows = frozenset(rows_of(incident, topology)) if incident.scope in _OWN_ROWS else frozenset()
    return Cause(incident.id, began, opened, incident.score, rows)


def rows_of(incident: Incident, topology: Topology) -> tuple[int, ...]:
    """Rows of the GPUs that an incident touches, those that are still known."""
    gpus = topology.fleet[Level.GPU]
    return tuple(row for row in map(gpus.find, incident.gpus) if row is not None)


def ends_of(incident: Incident, topology: Topology) -> tuple[int, ...]:
    """The rows of its first and its last GPU, as far as they are still known."""
    find = topology.fleet[Level.GPU].find
    if not incident.gpus:
        return ()
    first, last = find(incident.gpus[0]), find(incident.gpus[-1])
    return rows_of(incident, topology) if first is None or last is None else (first, last)


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
    explained = frozenset[str]().union(*(EXPLAINS[one.cause] for one in opened))
    views = {key: as_suspicion(other, topology) for key, other in known.items() if other.cause in explained}
    causes, found, new = Causes(), [], {one.id: one for one in opened}
    causes.look(
        new.keys(), lambda key: _as_cause(new[key], new[key].onset, False, topology), views.values(), topology
    )
    for key, seen in views.items():
        other = known[key]
        own = Cause(key, other.onset, key not in new, other.score, frozenset())
        cause = causes.explanation(now, seen, own)
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
