"""All incidents: opened once their suspicion has lasted, kept under one name while it lasts or comes back,
closed once it has been quiet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from analytics.detectors.base import Suspicion
from analytics.fleet import Fleet, Level
from analytics.incidents.absorbing import Causes, absorb, ends_of, overtaken
from analytics.incidents.grouping import Found, widen
from analytics.incidents.jobs import JobChanges
from analytics.incidents.model import Incident, Key
from analytics.incidents.topology import Surroundings, Topology, Work

OPEN_AFTER = 4.0
"""Seconds that a suspicion must last; detectors have waited for certainty already."""
CLOSE_AFTER = 60.0
"""Quiet seconds after which an incident is over; doubled with each time that it came back."""
REOPEN = 1800.0
REOPEN_SLOW = 6 * 3600.0
"""Seconds after its end in which the same trouble is the same incident again; wear comes back later."""
SLOW = frozenset({"thermal_interface", "cold_plate", "fan", "pump", "memory", "link", "power_supply"})
SURE = 0.9
"""A score from which on nothing that was learned delays an incident."""
AFTERCARE = 600.0
"""Seconds after maintenance in which what it stirred up still settles."""
_MOST_PAST = 200
_TICKS = 16


class Patience(Protocol):
    """What was learned from marks: how much more it takes, and what nobody is to be called for."""

    def needs(self, cause: str, scope: str, key: str, now: float) -> tuple[float, float]:
        """Least score, and seconds of persistence beyond the usual."""

    def known(self, incident: Incident, now: float) -> tuple[str, str, float] | None:
        """Reason, words and end (Unix time) if nobody is to be called for an incident."""

    def confidence(self, cause: str, given: float | None, now: float) -> float | None:
        """The chance that a cause is right, calibrated."""


class Incidents:
    """Incidents that are open, about to open, or over. Reading from another thread needs `lock`."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience
        self.surroundings = Surroundings()
        self.lock = threading.RLock()
        self._known: dict[Key, Incident] = {}
        self._past: dict[Key, Incident] = {}
        self._topology: Topology | None = None
        self._jobs = JobChanges()
        self._steps: deque[float] = deque(maxlen=_TICKS)
        self._last = 0.0
        self._names: set[str] = set()
        self._rows: dict[Key, tuple[int, ...]] = {}
        self._keys: object = None
        self._causes = Causes()
        self._found: dict[Key, Found] = {}
        self._shown: dict[Key, Suspicion] = {}
        self._listed: list[Incident] | None = None

    @property
    def open(self) -> list[Incident]:
        """Those that are certain, oldest first."""
        made = self._listed
        if made is None:
            made = sorted((i for i in self._known.values() if i.opened), key=lambda i: (i.opened, i.name))
            self._listed = made
        return made.copy()

    @property
    def past(self) -> list[Incident]:
        """Those that are over, the last to end first."""
        return sorted(self._past.values(), key=lambda i: -i.closed)

    def find(self, name: str) -> Incident | None:
        """An incident by its name; the open one, if there are two."""
        return next((i for i in (*self.open, *self.past) if i.name == name), None)

    def update(self, now: float, suspicions: Iterable[Suspicion], fleet: Fleet) -> list[Incident]:
        """Take in what the detectors suspect at `now`; returns the open incidents."""
        with self.lock:
            self._update(now, suspicions, fleet)
            return self.open

    def _update(self, now: float, suspicions: Iterable[Suspicion], fleet: Fleet) -> None:
        topology = self._topology = self._topology or Topology(fleet)
        topology.look(fleet, self.surroundings)
        gpus = fleet[Level.GPU]
        self._jobs.look(now, gpus)
        if gpus.keys is not self._keys:
            self._keys = gpus.keys
            self._rows.clear()
            self._shown.clear()
        if self._last:
            self._steps.append(now - self._last)
        self._last = now
        suspected = widen(now, suspicions, topology, self._found)
        self._found = {one.id: one for one in suspected}
        found, below = absorb(now, suspected, self._known, topology, self._causes)
        sure: dict[tuple[str, float | None], float | None] = {}
        for one in found:
            own = self._known.get(one.id)
            if (own is None or not own.opened) and self._jobs.explains(one.suspicion, gpus.keys):
                continue
            self._see(now, one, own, gpus.keys)
            if self.patience is not None:
                s = one.suspicion
                about = (s.cause, s.confidence)
                if about not in sure:
                    sure[about] = self.patience.confidence(*about, now)
                self._known[one.id].confidence = sure[about]
        for key, children in below.items():
            for child in children:
                self._known[key].adopt(now, child)
        self._settle(now, topology)
        self._call_off(now, topology)

    def _see(self, now: float, one: Found, incident: Incident | None, keys: list[str]) -> None:
        s = one.suspicion
        if incident is None:
            incident = Incident(self._name(s.place, now), s.cause, s.scope, s.place, s.key, now, now)
            self._known[one.id] = incident
            self._rows.pop(one.id, None)
            self._shown.pop(one.id, None)
        incident.seen = now
        if self._shown.get(one.id) is not s:
            self._shown[one.id] = s
            self._show(one.id, incident, s, keys)
        for child in one.below:
            incident.adopt(now, child)
        if one.below or len(incident.children) > incident.children_seen:
            incident.children_seen = max(incident.children_seen, len(one.below), len(incident.children))

    def _show(self, key: Key, incident: Incident, s: Suspicion, keys: list[str]) -> None:
        """What its suspicion says now."""
        incident.score = s.score
        incident.eta, incident.earliest, incident.latest = s.eta, s.earliest, s.latest
        incident.confidence = s.confidence
        if s.since is not None:
            incident.onset = s.since
        incident.evidence, incident.rivals = s.evidence or incident.evidence, s.rivals or incident.rivals
        if self._rows.get(key) != s.gpus:
            self._rows[key] = s.gpus
            incident.gpus = sorted({*incident.gpus, *(keys[row] for row in s.gpus)})

    def _name(self, place: str, now: float) -> str:
        """Where trouble was first seen, and when: it stays true whatever the cause turns out to be."""
        stem = f"{place.replace('/', '-') or 'site'}-{int(now) // 60:x}"
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        return name

    def _settle(self, now: float, topology: Topology) -> None:
        """Open what has lasted, close what has been quiet."""
        opened = []
        least = max(CLOSE_AFTER, 2.5 * min(self._steps, default=0.0))
        for key, incident in list(self._known.items()):
            quiet = now - incident.seen
            if incident.opened:
                if not quiet:
                    continue
                if quiet > least * 2.0 ** min(incident.reopened, 6):
                    self._close(now, key, incident)
                continue
            score, more = 0.0, 0.0
            if self.patience is not None:
                score, more = self.patience.needs(*incident.id, now)
                if incident.score >= SURE:
                    score, more = 0.0, 0.0
                elif incident.eta is not None:  # what comes soon is not waited for
                    more = min(more, 0.1 * incident.eta)
            if quiet > OPEN_AFTER + 0.1 * more:
                self._drop(key, incident)
            elif quiet == 0 and now - incident.since >= OPEN_AFTER + more and incident.score >= score:
                self._open(now, key, incident)
                opened.append(incident)
        if opened:
            self._take_over(now, opened, topology)

    def _open(self, now: float, key: Key, incident: Incident) -> None:
        before = self._past.get(key)
        if before is not None and now - before.closed <= (REOPEN_SLOW if key[0] in SLOW else REOPEN):
            del self._past[key]
            self._names.discard(incident.name)
            incident.name, incident.since, incident.reopened = before.name, before.since, before.reopened + 1
            incident.events, incident.gpus = before.events, sorted({*before.gpus, *incident.gpus})
            incident.note(now, f"came back after {now - before.closed:.0f} s")
        else:
            incident.note(now, "opened")
        incident.opened = now
        self._listed = None

    def _take_over(self, now: float, opened: list[Incident], topology: Topology) -> None:
        """End the incidents that new ones account for; the oldest name of all goes on."""
        found = overtaken(now, opened, self._known, topology)
        gone = {other.id: wide for wide, _, other in found}
        for wide, seen, other in found:
            top = wide
            for _ in range(8):  # no chain of causes is longer
                if top.id not in gone:
                    break
                top = gone[top.id]
            self._remove(other.id)
            top.gpus = sorted({*top.gpus, *other.gpus})
            top.adopt(now, seen, other.name if other.opened < now else "")
            for child in other.children.values():
                top.children.setdefault((child.cause, child.scope, child.key), child)
            if 0 < other.opened < top.opened:
                self._names.discard(top.name)
                top.name, top.opened = other.name, other.opened
                top.events = other.events + top.events
                top.since = min(top.since, other.since)
                top.note(now, f"{other.scope} {other.place} is part of {top.scope} {top.place}")
            else:
                self._names.discard(other.name)

    def _close(self, now: float, key: Key, incident: Incident) -> None:
        self._remove(key)
        incident.closed = now
        incident.note(now, "over")
        self._past[key] = incident
        if len(self._past) > _MOST_PAST:
            first = min(self._past, key=lambda one: self._past[one].closed)
            self._names.discard(self._past.pop(first).name)

    def _drop(self, key: Key, incident: Incident) -> None:
        self._remove(key)
        self._names.discard(incident.name)

    def _remove(self, key: Key) -> None:
        del self._known[key]
        self._shown.pop(key, None)
        self._listed = None

    def _call_off(self, now: float, topology: Topology) -> None:
        """Mark what nobody is to be called for: maintenance there, or marked so."""
        works = self.surroundings.working(now - AFTERCARE) if self.surroundings.works else {}
        whole = next((work for (scope, _), work in works.items() if scope == "site"), None)
        for incident in self.open:
            work = whole or (_work_at(incident, works, topology) if works else None)
            was = incident.known
            if work is not None:
                incident.known, incident.known_until = "maintenance", work.until
                incident.known_why = f"maintenance of {work.scope} {work.place}: {work.reason}"
            else:
                marked = self.patience.known(incident, now) if self.patience is not None else None
                incident.known, incident.known_why, incident.known_until = marked or ("", "", 0.0)
            if incident.known != was:
                incident.note(now, f"known: {incident.known_why}" if incident.known else "no longer known")

    def recheck(self, now: float) -> None:
        """After something new was marked: who is called for what is open."""
        with self.lock:
            if self._topology is not None:
                self._call_off(now, self._topology)

    def dump(self) -> list[dict[str, object]]:
        """Everything, as JSON can hold it."""
        with self.lock:
            return [incident.dump() for incident in (*self._known.values(), *self._past.values())]

    def load(self, data: Iterable[Mapping[str, object]]) -> None:
        """Take over what `dump` gave; ValueError if it does not fit."""
        found = [Incident.load(part) for part in data]
        with self.lock:
            self._known = {i.id: i for i in found if not i.closed}
            self._past = {i.id: i for i in found if i.closed}
            self._names = {i.name for i in found}
            self._listed = None
            self._shown.clear()
            self._rows.clear()


def _work_at(incident: Incident, works: Mapping[tuple[str, str], Work], topology: Topology) -> Work | None:
    own = works.get((incident.scope, incident.place))
    if own is not None:
        return own
    around = topology.around(incident.scope, incident.key, ends_of(incident, topology))
    return next((works[place] for place in around if place in works), None)
