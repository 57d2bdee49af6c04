"""Incidents: suspicions that share one physical cause, opened and closed with hysteresis.

Three steps per tick. *Widen*: the same trouble in most nodes of a rack, or in several GPUs of a node, is one
suspicion of the wider thing. *Absorb*: what a wider incident explains (hot GPUs on a loop without flow) does
not stand beside it. *Keep*: an incident opens once its suspicion has lasted, keeps its name while it lasts,
and closes once it has been quiet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from analytics.detectors.base import Suspicion
from analytics.fleet import Fleet, Level

OPEN_AFTER = 4.0
"""Seconds that a suspicion must last; detectors have waited for certainty already."""
CLOSE_AFTER = 60.0
"""Quiet seconds after which an incident is over."""
SUPERSEDE = 300.0
"""A wider incident takes over narrower ones that opened less than this many seconds before it."""

THERMAL = frozenset({"thermal_interface", "cold_plate", "coolant_loop", "inlet_air", "fan"})
_WIDTH = {"gpu": 0, "device": 0, "node": 1, "rack": 2, "loop": 3, "feed": 4, "switch": 4, "job": 4, "site": 5}


@dataclass(slots=True)
class Incident:
    """One physical cause. `gpus` are UUIDs; `eta` the seconds until the first of them throttles, if known."""

    name: str
    cause: str
    scope: str
    place: str
    key: str
    since: float
    seen: float
    opened: float = 0.0
    """0 while it is not yet certain."""
    score: float = 0.0
    eta: float | None = None
    gpus: list[str] = field(default_factory=list)

    @property
    def entity(self) -> str:
        """What it is about, as backtests write it: a GPU's UUID, or scope:name."""
        return self.key if self.scope == "gpu" else f"{self.scope}:{self.key}"


class Incidents:
    """All incidents, open and about to open."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Incident] = {}

    @property
    def open(self) -> list[Incident]:
        """Those that are certain, oldest first."""
        return sorted((i for i in self._known.values() if i.opened), key=lambda i: (i.opened, i.name))

    def update(self, now: float, suspicions: Iterable[Suspicion], fleet: Fleet) -> list[Incident]:
        """Take in what the detectors suspect at `now`; returns the open incidents."""
        widened = _widen(list(suspicions), fleet)
        for suspicion in self._absorb(widened, fleet):
            self._see(now, suspicion, fleet)
        for key, incident in list(self._known.items()):
            quiet = now - incident.seen
            if quiet > (CLOSE_AFTER if incident.opened else OPEN_AFTER):
                del self._known[key]
            elif not incident.opened and incident.seen == now and now - incident.since >= OPEN_AFTER:
                incident.opened = now
                self._take_over(incident, fleet)
        return self.open

    def _see(self, now: float, suspicion: Suspicion, fleet: Fleet) -> None:
        key = (suspicion.cause, suspicion.scope, suspicion.key)
        incident = self._known.get(key)
        if incident is None:
            name = f"{suspicion.cause}-{suspicion.place.replace('/', '-')}-{int(now) // 60:x}"
            incident = self._known[key] = Incident(
                name, suspicion.cause, suspicion.scope, suspicion.place, suspicion.key, now, now
            )
        incident.seen = now
        incident.score, incident.eta = suspicion.score, suspicion.eta
        uuids = fleet[Level.GPU].keys
        incident.gpus = sorted({*incident.gpus, *(uuids[row] for row in suspicion.gpus)})

    def _absorb(self, suspicions: list[Suspicion], fleet: Fleet) -> list[Suspicion]:
        """Drop what a wider suspicion or incident explains, unless it was there well before."""
        wider: list[tuple[str, str, str]] = [(s.scope, s.key, s.cause) for s in suspicions]
        wider += [(i.scope, i.key, i.cause) for i in self._known.values() if i.opened]
        kept = []
        for suspicion in suspicions:
            own = self._known.get((suspicion.cause, suspicion.scope, suspicion.key))
            before = own is not None and own.opened > 0
            covered = any(
                _explains(
                    scope, key, cause, suspicion.scope, suspicion.key, suspicion.cause, suspicion.gpus, fleet
                )
                for scope, key, cause in wider
            )
            if before or not covered:
                kept.append(suspicion)
        return kept

    def _take_over(self, wide: Incident, fleet: Fleet) -> None:
        gpus = fleet[Level.GPU]
        for key, other in list(self._known.items()):
            if other is wide or wide.opened - (other.opened or wide.opened) > SUPERSEDE:
                continue
            rows = tuple(row for row in (gpus.find(uuid) for uuid in other.gpus) if row is not None)
            if _explains(wide.scope, wide.key, wide.cause, other.scope, other.key, other.cause, rows, fleet):
                wide.gpus = sorted({*wide.gpus, *other.gpus})
                del self._known[key]

    def dump(self) -> list[dict[str, object]]:
        """Everything, as JSON can hold it."""
        return [asdict(incident) for incident in self._known.values()]

    def load(self, data: Iterable[Mapping[str, object]]) -> None:
        """Take over what `dump` gave; ValueError if it does not fit."""
        try:
            found = [Incident(**part) for part in data]  # type: ignore[arg-type] # checked by the constructor
        except TypeError as error:
            raise ValueError(f"incidents: {error}") from None
        self._known = {(i.cause, i.scope, i.key): i for i in found}


def _explains(
    scope: str,
    key: str,
    cause: str,
    other_scope: str,
    other_key: str,
    other_cause: str,
    gpus: Iterable[int],
    fleet: Fleet,
) -> bool:
    """Whether trouble of (scope, key, cause) accounts for the other, which touches these GPUs."""
    if other_cause not in THERMAL and not (other_cause == "straggler" and cause in THERMAL | {"straggler"}):
        return False
    if cause not in THERMAL and cause != other_cause:
        return False
    if (scope, key, cause) == (other_scope, other_key, other_cause):
        return False
    if _WIDTH[scope] < _WIDTH[other_scope]:
        return False
    if scope == other_scope and key == other_key:
        return cause in THERMAL and other_cause == "straggler"
    if _WIDTH[scope] == _WIDTH[other_scope]:
        return False
    labels = fleet[Level.GPU].labels
    column = labels["uuid" if scope == "gpu" else scope] if scope in ("gpu", "node", "rack", "loop") else None
    rows = list(gpus)
    return column is None or (bool(rows) and all(column[row] == key for row in rows))


def _widen(suspicions: list[Suspicion], fleet: Fleet) -> list[Suspicion]:
    suspicions = _merge(suspicions, "straggler", "gpu", "node", 3, fleet)
    for cause in ("cold_plate", "fan", "inlet_air"):
        wide_cause = {"cold_plate": "coolant_loop", "fan": "inlet_air"}.get(cause, cause)
        suspicions = _merge(suspicions, cause, "node", "rack", 2, fleet, wide_cause)
    return suspicions


def _merge(
    suspicions: list[Suspicion],
    cause: str,
    scope: str,
    into: str,
    least: int,
    fleet: Fleet,
    wide_cause: str = "",
) -> list[Suspicion]:
    """One suspicion of the thing `into` for `least` or more narrow ones that cover most of it."""
    labels = fleet[Level.GPU].labels
    groups: dict[str, list[Suspicion]] = {}
    for suspicion in suspicions:
        if suspicion.cause == cause and suspicion.scope == scope and suspicion.gpus:
            groups.setdefault(labels[into][suspicion.gpus[0]], []).append(suspicion)
    for place, members in groups.items():
        column = labels["uuid" if scope == "gpu" else scope]
        there = {name for name, owner in zip(column, labels[into], strict=True) if owner == place}
        if not place or len(members) < least or len(members) < 0.5 * len(there):
            continue
        rows = tuple(sorted({row for member in members for row in member.gpus}))
        etas = [member.eta for member in members if member.eta is not None]
        score = max(member.score for member in members)
        wide = Suspicion(wide_cause or cause, into, place, place, rows, score, min(etas, default=None))
        suspicions = [s for s in suspicions if s not in members] + [wide]
    return suspicions
