"""Known faults, and which findings point at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analytics.evaluation.replay import Finding, Replay
from analytics.files import read_table, require, times
from gigawatch.errors import FileError

GRACE = 600.0
"""Seconds after the end of a fault in which a finding still counts as found late."""
Places = Mapping[str, Mapping[str, str]]
"""Node, rack and loop of every GPU."""


@dataclass(frozen=True, slots=True)
class Event:
    """One known fault."""

    entity: str
    fault: str
    start: float
    end: float
    failure: float | None

    @property
    def until(self) -> float:
        """The last moment at which a finding is about this fault."""
        return max(self.end, self.failure or 0.0) + GRACE


def read_truth(path: Path) -> list[Event]:
    """Faults of a truth file; none if it has a header only. FileError, one line, if it cannot be used."""
    if not path.exists():
        raise FileError(path, "", "cannot be read (no such file)", "check the path")
    frame = read_table(path, empty=True)
    require(path, frame, ("entity", "fault", "start", "end"))
    if frame.empty:
        return []
    start, end = times(path, frame, "start"), times(path, frame, "end")
    back = np.flatnonzero(end < start)
    if back.size:
        raise FileError(path, "column 'end'", "is before the start", "swap the two", int(back[0]) + 2)
    failure = np.full(len(frame), np.nan)
    if "failure_time" in frame.columns:
        given = frame["failure_time"].fillna("").astype(str).str.strip() != ""
        if given.any():
            failure[given.to_numpy()] = times(path, frame[given], "failure_time")
    return [
        Event(str(entity), str(fault), float(a), float(b), float(f) if np.isfinite(f) else None)
        for entity, fault, a, b, f in zip(frame["entity"], frame["fault"], start, end, failure, strict=True)
    ]


def members(entity: str, places: Places) -> frozenset[str]:
    """UUIDs of the GPUs that an entity stands for; empty where it holds none (a feed)."""
    kind, _, name = entity.partition(":")
    if kind in ("node", "rack", "loop") and name:
        return frozenset(uuid for uuid, where in places.items() if where[kind] == name)
    if kind == "site":
        return frozenset(places)
    return frozenset({entity}) if entity in places else frozenset()


@dataclass(slots=True)
class Match:
    """A fault and the incidents that point at it, oldest first."""

    event: Event
    incidents: list[Finding] = field(default_factory=list)
    found: float | None = None
    """When it was found: an incident names its place, or those raised so far cover half of it."""
    through: str = ""
    """The wider fault that it was found with, if it was not found by itself."""

    @property
    def lead(self) -> float | None:
        """Seconds from the call to the failure; negative if it came later."""
        if self.found is None or self.event.failure is None:
            return None
        return self.event.failure - self.found


def match(result: Replay, events: Iterable[Event]) -> tuple[list[Match], set[str]]:
    """Every fault with its incidents, and the names of all incidents that point at one.

    An incident points at a fault if it began while that lasted and names the same thing, or things most of
    which (half of the incident's GPUs) the fault touches. One that is wider is not about this fault; if it is
    about a wider fault that was there as well, it finds the narrower ones inside with it.
    """
    every = list(events)
    where = {event.entity: members(event.entity, result.places) for event in every}
    raised = sorted(
        (f for f in result.incidents.values() if not f.silent), key=lambda f: (f.timestamp, f.incident)
    )
    matches, explained = [], set()
    for event in every:
        one = Match(event)
        covered: set[str] = set()
        there = where[event.entity]
        for finding in raised:
            if not event.start <= finding.timestamp <= event.until:
                continue
            shared = there.intersection(finding.gpus)
            exact = finding.entity == event.entity
            if not exact and not (shared and 2 * len(shared) >= len(finding.gpus)):
                continue
            one.incidents.append(finding)
            explained.add(finding.incident)
            covered |= shared
            if one.found is None and (exact or 2 * len(covered) >= len(there)):
                one.found = finding.timestamp
        matches.append(one)
    for one in matches:
        if one.found is None:
            _with_wider(one, matches, where)
    return matches, explained


def _with_wider(one: Match, matches: list[Match], where: Mapping[str, frozenset[str]]) -> None:
    there = where[one.event.entity]
    for wide in matches:
        around = where[wide.event.entity]
        if wide.found is None or wide.through or not there or not (there < around):
            continue
        if one.event.start <= wide.found <= one.event.until:
            one.found, one.through = wide.found, wide.event.entity
            return
