"""A few faults and alarms to look at: found, missed and false ones, with their signal and their peers'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.evaluation.metrics import Evaluation
from analytics.evaluation.replay import Finding, Replay
from analytics.evaluation.truth import Event, Match, members
from analytics.fleet import Level, Roster
from analytics.fleet.columns import Floats, Ints
from analytics.recording import Recording
from analytics.signals import CLOCK, POWER, TEMPERATURE, Signal

_EACH = 3
_AROUND = 0.35
"""Share of a fault's length that is shown before and after it."""
_LEAST = 3 * 3600.0
_POINTS = 500
_MOST_PEERS = 64
_POWER = ("power", "psu", "breaker", "feed", "pdu")


@dataclass(slots=True)
class Example:
    """One picture: the GPUs that it is about (their median), and those to compare them with (theirs)."""

    kind: str
    """found, missed or false."""
    title: str
    note: str
    inside: frozenset[str]
    outside: frozenset[str]
    names: tuple[str, str]
    """What the two are called."""
    signal: Signal
    begin: float
    end: float
    event: Event | None = None
    calls: list[Finding] = field(default_factory=list)
    times: Floats = field(default_factory=lambda: np.zeros(0))
    values: Floats = field(default_factory=lambda: np.zeros(0))
    peers: Floats = field(default_factory=lambda: np.zeros(0))


def examples(recording: Recording, result: Replay, evaluation: Evaluation) -> list[Example]:
    """Up to three of each kind, of different classes where there are some. Reads the recording once more."""
    chosen: list[Example] = []
    found = [m for m in evaluation.matches if m.found is not None and not m.through]
    missed = [m for m in evaluation.matches if m.found is None]
    for kind, rows in (("found", found), ("missed", missed)):
        for one in _varied(rows):
            made = _of_match(kind, one, result)
            if made is not None:
                chosen.append(made)
    first = result.incidents
    for name in evaluation.report["false_incidents"][:_EACH]:
        finding = first[name]
        inside = frozenset(finding.gpus) & set(result.places)
        if inside:
            begin, end = finding.timestamp - 86400.0, finding.timestamp + 43200.0
            around = _around(finding.entity, inside, result)
            chosen.append(
                Example(
                    "false", finding.cause, _said(finding), inside, *around, _signal(finding.cause),
                    begin, end, None, [finding],
                )
            )  # fmt: skip
    _fill(chosen, recording, result)
    return [one for one in chosen if np.isfinite(one.values).any()]


def _varied(rows: Sequence[Match]) -> list[Match]:
    """Some of these, one of each class first; of a class the one with the middle lead."""
    classes: dict[str, list[Match]] = {}
    for one in rows:
        classes.setdefault(one.event.fault, []).append(one)
    for own in classes.values():
        own.sort(key=lambda m: m.lead if m.lead is not None else -np.inf)
    middle = [own.pop(len(own) // 2) for own in classes.values()]
    return [*middle, *(m for own in classes.values() for m in own)][:_EACH]


def _of_match(kind: str, one: Match, result: Replay) -> Example | None:
    event = one.event
    inside = members(event.entity, result.places)
    if not inside:
        inside = frozenset(uuid for finding in one.incidents for uuid in finding.gpus) & set(result.places)
    if not inside:
        return None
    cause = one.incidents[0].cause if one.incidents else event.fault
    length = max(max(event.end, event.failure or 0.0) - event.start, _LEAST)
    begin, end = event.start - _AROUND * length, event.start + (1 + _AROUND) * length
    note = _said(one.incidents[0]) if one.incidents else f"{event.entity}: not found"
    around = _around(event.entity, inside, result)
    return Example(kind, event.fault, note, inside, *around, _signal(cause), begin, end, event, one.incidents)


def _around(entity: str, inside: frozenset[str], result: Replay) -> tuple[frozenset[str], tuple[str, str]]:
    """Who to compare these GPUs with, and what both are called."""
    places = result.places
    kind = entity.partition(":")[0] if ":" in entity else "gpu"
    name = {"gpu": "this GPU"}.get(kind, f"this {kind}")
    own = places[min(inside)]
    for within, words in (("node", "others of its node"), ("rack", "others of its rack")):
        if own[within] and (kind == "gpu" or within != kind):
            others = frozenset(u for u, where in places.items() if where[within] == own[within]) - inside
            if others:
                return others, (name, words)
    return frozenset(sorted(set(places) - inside)[:_MOST_PEERS]), (name, "others of the fleet")


def _said(finding: Finding) -> str:
    return f"{finding.entity}: called as {finding.cause}, score {finding.score:.2g}"


def _signal(cause: str) -> Signal:
    if cause == "straggler":
        return CLOCK
    return POWER if any(word in cause for word in _POWER) else TEMPERATURE


def _fill(chosen: Sequence[Example], recording: Recording, result: Replay) -> None:
    """Read what the pictures need, out of the nodes that are in them."""
    wanted = {uuid for one in chosen for uuid in one.inside | one.outside}
    nodes = {result.places[uuid]["node"] for uuid in wanted}
    if not nodes:
        return
    part = Recording(
        recording.path, recording.signals, recording.layout, recording.units, recording.scratch,
        recording.align, lambda labels: labels.get("node", "") in nodes, recording.progress,
    )  # fmt: skip
    gpus = part.fleet[Level.GPU]
    tracks: list[list[tuple[float, float, float]]] = [[] for _ in chosen]
    rows: list[tuple[Ints, Ints]] = []
    known = -1
    for tick in part.ticks():
        if len(gpus) != known:
            known = len(gpus)
            rows = [(_rows(one.inside, gpus), _rows(one.outside, gpus)) for one in chosen]
        for one, track, (mine, others) in zip(chosen, tracks, rows, strict=True):
            if one.begin <= tick.now <= one.end:
                now = tick.value(one.signal.key, Level.GPU)
                track.append((tick.now, _middle(now[mine]), _middle(now[others])))
    for one, track in zip(chosen, tracks, strict=True):
        if track:
            one.times, one.values, one.peers = _thinned(np.array(track).T)


def _rows(uuids: frozenset[str], gpus: Roster) -> Ints:
    return np.array([row for row in map(gpus.find, sorted(uuids)) if row is not None], np.intp)


def _middle(values: Floats) -> float:
    there = values[np.isfinite(values)]
    return float(np.median(there)) if there.size else np.nan


def _thinned(track: Floats) -> list[Floats]:
    """Means of bins, as many as a picture can show."""
    size = max(1, track.shape[1] // _POINTS)
    bins = track[:, : track.shape[1] // size * size].reshape(len(track), -1, size)
    there = np.isfinite(bins)
    total, count = np.where(there, bins, 0.0).sum(axis=2), there.sum(axis=2)
    return list(np.where(count > 0, total / np.maximum(count, 1), np.nan))
