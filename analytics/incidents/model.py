"""What an incident is, and how it is kept on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from analytics.detectors.base import Evidence, Rival, Suspicion
from gigawatch.catalogue import Unit

Key = tuple[str, str, str]
"""Cause, scope and identity of the thing."""
MOST_CHILDREN = 100
"""Children that are listed; `Incident.children_seen` is how many there were at once."""
MOST_EVENTS = 40


@dataclass(slots=True)
class Child:
    """A narrower finding that an incident explains, with its own evidence."""

    cause: str
    scope: str
    place: str
    key: str
    since: float
    seen: float
    score: float
    evidence: tuple[Evidence, ...] = ()
    name: str = ""
    """The name it had while it was an incident of its own; empty if it never was."""


@dataclass(slots=True)
class Incident:
    """One physical cause. `gpus` are UUIDs; `eta` the seconds until what is feared, if known."""

    name: str
    cause: str
    scope: str
    place: str
    key: str
    since: float
    """When it was first noticed; `onset` is when it began."""
    seen: float
    opened: float = 0.0
    """0 while it is not yet certain."""
    score: float = 0.0
    eta: float | None = None
    gpus: list[str] = field(default_factory=list)
    onset: float | None = None
    earliest: float | None = None
    latest: float | None = None
    confidence: float | None = None
    evidence: tuple[Evidence, ...] = ()
    rivals: tuple[Rival, ...] = ()
    children: dict[Key, Child] = field(default_factory=dict)
    children_seen: int = 0
    closed: float = 0.0
    reopened: int = 0
    known: str = ""
    """Why nobody is called for it: one of `findings.KNOWN_REASONS`, or empty."""
    known_why: str = ""
    known_until: float = 0.0
    events: list[tuple[float, str]] = field(default_factory=list)
    """What happened to it, oldest first."""

    @property
    def entity(self) -> str:
        """What it is about, as backtests write it: a GPU's UUID, or scope:name."""
        return self.key if self.scope == "gpu" else f"{self.scope}:{self.key}"

    @property
    def id(self) -> Key:
        """What tells it from others that are open at the same time."""
        return self.cause, self.scope, self.key

    @property
    def began(self) -> float:
        """When the trouble began, as far as can be told."""
        known = self.onset is not None and isfinite(self.onset)
        return min(self.onset or self.since, self.since) if known else self.since

    def note(self, now: float, text: str) -> None:
        """Write one line into its history; the oldest but the first give way."""
        self.events.append((now, text))
        if len(self.events) > MOST_EVENTS:
            del self.events[1]

    def adopt(self, now: float, found: Suspicion, name: str = "") -> None:
        """List a narrower finding as a child, or refresh it there."""
        identity = (found.cause, found.scope, found.key)
        child = self.children.get(identity)
        if child is None:
            if len(self.children) >= MOST_CHILDREN:
                return
            since = now if found.since is None else min(found.since, now)
            child = Child(found.cause, found.scope, found.place, found.key, since, now, found.score)
            self.children[identity] = child
        child.seen, child.score = now, found.score
        child.evidence = found.evidence or child.evidence
        child.name = child.name or name

    def dump(self) -> dict[str, object]:
        """Everything, as JSON can hold it."""
        made: dict[str, object] = {one.name: getattr(self, one.name) for one in fields(self)}
        made["evidence"] = [pack(one) for one in self.evidence]
        made["rivals"] = [[one.cause, one.likelihood, one.why] for one in self.rivals]
        made["children"] = [_pack_child(child) for child in self.children.values()]
        return made

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Incident:
        """What `dump` gave, now or in an older version. ValueError if it does not fit."""
        try:
            known = dict(data)
            known["evidence"] = _unpack(known.get("evidence", ()))
            known["rivals"] = tuple(Rival(*one) for one in known.get("rivals", ()))
            children = [
                Child(**{**one, "evidence": _unpack(one.get("evidence", ()))})
                for one in known.get("children", ())
            ]
            known["children"] = {(one.cause, one.scope, one.key): one for one in children}
            known["events"] = [(float(when), str(text)) for when, text in known.get("events", ())]
            return cls(**known)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ValueError(f"incidents: {error}") from None


def pack(one: Evidence) -> dict[str, object]:
    """Evidence as JSON can hold it."""
    return {
        "signal": one.signal,
        "value": one.value,
        "unit": one.unit.name,
        "usual": one.usual,
        "peers": one.peers,
        "deviations": one.deviations,
        "text": one.text,
        "speaks_for": one.speaks_for,
    }


def _unpack(parts: Iterable[Mapping[str, Any]]) -> tuple[Evidence, ...]:
    return tuple(Evidence(**{**part, "unit": Unit[part["unit"]]}) for part in parts)


def _pack_child(child: Child) -> dict[str, object]:
    made: dict[str, object] = {one.name: getattr(child, one.name) for one in fields(child)}
    made["evidence"] = [pack(one) for one in child.evidence]
    return made
