"""One tick's suspicions, put together: the same trouble in most of a place is trouble of that place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from analytics.detectors.base import Evidence, Suspicion
from analytics.incidents.causality import EXPLAINS, MERGES, SLACK, WIDTH, Merge
from analytics.incidents.model import Key
from analytics.incidents.topology import Topology
from gigawatch.catalogue import Unit

_MOST_EVIDENCE = 6


@dataclass(slots=True)
class Found:
    """One finding of a tick and the narrower ones that it explains."""

    id: Key
    suspicion: Suspicion
    below: list[Suspicion] = field(default_factory=list)


def widen(
    now: float, suspicions: Iterable[Suspicion], topology: Topology, before: Mapping[Key, Found] | None = None
) -> list[Found]:
    """Findings in which the same trouble in most of a place is one.

    `before` are findings of the tick before: those whose suspicion is still the same are used again.
    """
    by_kind: dict[tuple[str, str], dict[Key, Found]] = {}
    known_before = before or {}
    for given in suspicions:
        scope = given.scope
        if scope not in WIDTH:
            continue
        # A cause that the tables do not know is no reason to be silent.
        one = given if given.cause in EXPLAINS else replace(given, cause="unknown")
        key = (one.cause, scope, one.key)
        found = known_before.get(key)
        if found is None or found.suspicion is not one or found.below:
            found = Found(key, one)
        like = by_kind.get(key[:2])
        if like is None:
            like = by_kind[key[:2]] = {}
        if like.setdefault(key, found) is not found and one.score > like[key].suspicion.score:
            like[key] = found
    for merge in MERGES:
        narrow = by_kind.get((merge.cause, merge.scope))
        if narrow is not None and len(narrow) >= merge.least:
            for wide in _merge(now, merge, narrow, topology):
                kind = (wide.suspicion.cause, wide.suspicion.scope)
                there = by_kind.setdefault(kind, {}).setdefault(wide.id, wide)
                if there is not wide:  # a detector saw the wide thing itself
                    there.below += wide.below
    return [found for kind in by_kind.values() for found in kind.values()]


def _merge(now: float, merge: Merge, narrow: dict[Key, Found], topology: Topology) -> list[Found]:
    groups: dict[str, list[Key]] = {}
    for key, found in narrow.items():
        if found.suspicion.gpus:
            for name in topology.groups(found.suspicion.gpus[0], merge.into):
                groups.setdefault(name, []).append(key)
    made = []
    for name, keys in groups.items():
        if len(keys) < merge.least:
            continue
        there = topology.size(merge.scope, merge.into).get(name, 0)
        chosen = _together(now, [key for key in keys if key in narrow], narrow)
        if len(chosen) < merge.least or len(chosen) < merge.share * there:
            continue
        nodes = {topology.groups(narrow[key].suspicion.gpus[0], "node") for key in chosen}
        if merge.into == "job" and len(nodes) < 2:  # else it may as well be the node
            continue
        made.append(_wide(merge, name, [narrow.pop(key) for key in chosen], there))
    return made


def _together(now: float, keys: list[Key], narrow: Mapping[Key, Found]) -> list[Key]:
    """Those that began together: what was there well before the most has a cause of its own."""
    starts = sorted(since for since in (narrow[key].suspicion.since for key in keys) if since is not None)
    if not starts:
        return keys
    middle = starts[len(starts) // 2]
    least = middle - max(4 * SLACK, 0.5 * (now - middle))
    return [key for key in keys if (since := narrow[key].suspicion.since) is None or since >= least]


def _wide(merge: Merge, name: str, members: list[Found], there: int) -> Found:
    parts = [member.suspicion for member in members]
    rows = tuple(sorted({row for part in parts for row in part.gpus}))
    strongest = max(parts, key=lambda part: part.score)
    scope = merge.wide_scope or merge.into
    share = Evidence(
        f"{merge.scope}s",
        float(len(parts)),
        Unit.COUNT,
        text=f"{len(parts)} of {there} {_plural(merge.scope)} of {merge.into} {name} show it together",
    )
    suspicion = Suspicion(
        merge.wide_cause,
        scope,
        name,
        name,
        rows,
        strongest.score,
        _least(part.eta for part in parts),
        _least(part.earliest for part in parts),
        _least(part.latest for part in parts),
        _least(part.since for part in parts),
        max((part.confidence for part in parts if part.confidence is not None), default=None),
        (share, *strongest.evidence)[:_MOST_EVIDENCE],
        strongest.rivals,
    )
    below = [part for member in members for part in (member.suspicion, *member.below)]
    return Found((merge.wide_cause, scope, name), suspicion, below)


def _plural(scope: str) -> str:
    return "GPUs" if scope == "gpu" else f"{scope}s"


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)
