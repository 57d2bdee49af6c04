"""An incident as a finding: one sentence, and the same in fields that a page or a program can lay out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import Any

from analytics.detectors.base import Evidence
from analytics.explain.causes import CAUSES
from analytics.explain.words import (
    chance,
    difference,
    duration,
    moment,
    observation,
    quantity,
    signal_name,
    thing,
)
from analytics.fleet import Fleet, Level
from analytics.incidents.exposition import deviation, strongest
from analytics.incidents.model import Child, Incident
from gigawatch.promql import recording

_MOST_JOBS = 20
_MOST_GPUS = 100
_NO_FIGURES = "the detector gave no figures with it, only that it lasts"


def headline(incident: Incident, now: float) -> str:
    """The finding in one sentence. It never rests on a bare score: without figures it says so."""
    cause = CAUSES[incident.cause]
    sure = f" ({chance(incident.confidence)} sure)" if incident.confidence is not None else ""
    parts = [f"{thing(incident.scope, incident.place)}: {cause.title}{sure}"]
    end = incident.closed or now
    speaking = strongest(incident.evidence, incident.cause)
    said = observation(speaking, incident.onset, end) if speaking is not None else ""
    if said:
        parts.append(said)
    else:
        began = moment(incident.began)
        parts.append(f"{_NO_FIGURES} since {began} ({duration(end - incident.began)})")
    if not incident.closed and (coming := outlook(incident)):
        parts.append(coming)
    return f"{'; '.join(parts)}."


def outlook(incident: Incident) -> str:
    """What happens when: `it throttles in about 3 days (1 day to 9 days)`; empty without a forecast."""
    if incident.eta is None or not isfinite(incident.eta):
        return ""
    feared = CAUSES[incident.cause].feared or "fails"
    text = f"it {feared} in about {duration(incident.eta)}"
    if incident.earliest is not None and incident.latest is not None:
        text += f" ({duration(incident.earliest)} to {duration(incident.latest)})"
    elif incident.earliest is not None:
        text += f" (not before {duration(incident.earliest)})"
    return text


def job_sizes(fleet: Fleet) -> Mapping[str, int]:
    """How many GPUs each job holds."""
    return Counter(fleet[Level.GPU].labels["job"])


def explain(
    incident: Incident, now: float, fleet: Fleet | None = None, sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Everything that is known about an incident, as JSON can hold it. `sizes` are the `job_sizes` of the
    fleet, for who explains many."""
    cause = CAUSES[incident.cause]
    end = incident.closed or now
    jobs = [] if fleet is None else _jobs(incident, fleet, job_sizes(fleet) if sizes is None else sizes)
    made: dict[str, Any] = {
        "name": incident.name,
        "headline": headline(incident, now),
        "state": "closed" if incident.closed else "known" if incident.known else "open",
        "cause": incident.cause,
        "title": cause.title,
        "scope": incident.scope,
        "place": incident.place,
        "thing": thing(incident.scope, incident.place),
        "onset": round(incident.began, 1),
        "since": f"{moment(incident.began)} ({duration(end - incident.began)})",
        "opened": incident.opened,
        "closed": incident.closed or None,
        "reopened": incident.reopened,
        "score": round(incident.score, 4),
        "confidence": _clean(incident.confidence),
        "evidence": [_evidence(one, incident, end) for one in incident.evidence if not _other(one, incident)],
        "against": _against(incident, end),
        "rivals": [
            {
                "cause": one.cause,
                "title": _title(one.cause),
                "likelihood": _clean(one.likelihood),
                "why": one.why,
            }
            for one in sorted(incident.rivals, key=lambda one: -one.likelihood)
        ],
        "alike": [{"cause": name, "title": _title(name), "tell": tell} for name, tell in cause.alike.items()],
        "outlook": outlook(incident),
        "eta": _clean(incident.eta),
        "earliest": _clean(incident.earliest),
        "latest": _clean(incident.latest),
        "action": cause.action,
        "check": list(cause.check),
        "runbook": cause.runbook,
        "anchor": incident.cause.replace("_", "-"),
        "gpus": len(incident.gpus),
        "uuids": incident.gpus[:_MOST_GPUS],
        "where": [] if fleet is None else _where(incident, fleet),
        "jobs": jobs,
        "tokens_query": _tokens_query(jobs),
        "children": [_child(child, end) for child in incident.children.values()],
        "children_seen": max(incident.children_seen, len(incident.children)),
        "events": [{"time": when, "text": text} for when, text in incident.events],
    }
    if incident.known:
        until = incident.known_until or None
        made["known"] = {"reason": incident.known, "why": incident.known_why, "until": until}
    return made


def _jobs(incident: Incident, fleet: Fleet, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Jobs on the GPUs it touches: how many of theirs are touched. A synchronous job runs as its slowest."""
    gpus = fleet[Level.GPU]
    column = gpus.labels["job"]
    rows = (row for row in map(gpus.find, incident.gpus) if row is not None)
    touched = Counter(column[row] for row in rows if column[row])
    return [
        {"job": job, "gpus_touched": count, "gpus": sizes.get(job, count)}
        for job, count in touched.most_common(_MOST_JOBS)
    ]


def _where(incident: Incident, fleet: Fleet) -> list[dict[str, Any]]:
    """How the GPUs it touches are spread: over racks, or over nodes where one rack holds them all."""
    gpus = fleet[Level.GPU]
    rows = [row for row in map(gpus.find, incident.gpus) if row is not None]
    for scope in ("rack", "node"):
        found = Counter(gpus.labels[scope][row] for row in rows if gpus.labels[scope][row])
        if len(found) > 1:
            return [
                {"thing": thing(scope, place), "gpus": count}
                for place, count in found.most_common(_MOST_JOBS)
            ]
    return []


def _tokens_query(jobs: list[dict[str, Any]]) -> str:
    """PromQL for the tokens per second that those training jobs work through; empty without jobs."""
    names = [str(one["job"]) for one in jobs]
    if not names:
        return ""
    pattern = "|".join(re.escape(name) for name in names).replace("\\", "\\\\").replace('"', '\\"')
    return f'sum({recording.JOB_TOKENS_5M.name}{{job_id=~"{pattern}"}})'


def _evidence(one: Evidence, incident: Incident, now: float) -> dict[str, Any]:
    made: dict[str, Any] = {
        "signal": one.signal,
        "name": signal_name(one.signal),
        "text": observation(one, incident.onset, now) or one.text,
        "value": _clean(one.value),
        "unit": one.unit.name,
        "shown": quantity(one.value, one.unit) if isfinite(one.value) else "",
        "usual": _clean(one.usual),
        "peers": _clean(one.peers),
        "deviations": _clean(one.deviations),
        "change": _clean(deviation(one)),
    }
    if one.usual is not None and isfinite(one.usual) and isfinite(one.value):
        made["from_usual"] = difference(one.value, one.usual, one.unit)
        made["usual_shown"] = quantity(one.usual, one.unit)
    if one.peers is not None and isfinite(one.peers) and isfinite(one.value):
        made["from_peers"] = difference(one.value, one.peers, one.unit)
        made["peers_shown"] = quantity(one.peers, one.unit)
    return made


def _against(incident: Incident, now: float) -> str:
    """Why it is this cause and not the next likeliest, in one sentence."""
    speaks = [one for one in incident.evidence if _other(one, incident)]
    rival = max(incident.rivals, key=lambda one: one.likelihood, default=None)
    parts = []
    if rival is not None:
        parts.append(f"Less likely ({chance(rival.likelihood)}): “{_title(rival.cause)}”, since {rival.why}")
    parts += [
        f"for “{_title(one.speaks_for)}” speaks: {observation(one, incident.onset, now)}" for one in speaks
    ]
    if not parts:
        for name, tell in CAUSES[incident.cause].alike.items():
            return f"It could also be “{_title(name)}”: {tell}."
        return ""
    return "; ".join(parts) + "."


def _other(one: Evidence, incident: Incident) -> bool:
    return bool(one.speaks_for) and one.speaks_for != incident.cause


def _title(cause: str) -> str:
    return CAUSES[cause].title if cause in CAUSES else cause.replace("_", " ")


def _child(child: Child, now: float) -> dict[str, Any]:
    speaking = strongest(child.evidence, child.cause)
    said = observation(speaking, child.since, now, brief=True) if speaking is not None else ""
    return {
        "cause": child.cause,
        "title": _title(child.cause),
        "scope": child.scope,
        "place": child.place,
        "thing": thing(child.scope, child.place),
        "since": child.since,
        "seen": child.seen,
        "name": child.name or None,
        "text": f"{thing(child.scope, child.place)}: {_title(child.cause)}" + (f"; {said}" if said else ""),
    }


def _clean(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(value)
