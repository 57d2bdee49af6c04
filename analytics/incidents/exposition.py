"""An incident as readings of the catalogue: what the page of an alert needs."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from analytics.detectors.base import Evidence
from analytics.incidents.model import Incident
from gigawatch.catalogue import Unit, findings
from gigawatch.readings import Reading

SHARED = ("rack", "loop", "feed", "device")
"""Scopes that every shard sees whole; the one that owns the name speaks for it."""
_NO_RATIO = (Unit.CELSIUS, Unit.TIMESTAMP, Unit.FLAG)
"""Units whose zero is no zero: a share of them means nothing."""


def readings(incident: Incident) -> Iterator[Reading]:
    """All series of one open incident; what is unknown is absent."""
    name = (incident.name,)
    labels = (incident.name, incident.cause, incident.scope, incident.place)
    yield Reading(findings.INCIDENT_INFO, labels, 1.0)
    yield Reading(findings.INCIDENT_AFFECTED_GPUS, name, float(len(incident.gpus)))
    yield Reading(findings.INCIDENT_ONSET, name, round(incident.began, 1))
    yield Reading(findings.INCIDENT_CHILDREN, name, float(incident.children_seen))
    if incident.confidence is not None and isfinite(incident.confidence):
        yield Reading(findings.INCIDENT_CONFIDENCE, name, round(incident.confidence, 3))
    bounds = (incident.earliest, incident.eta, incident.latest)
    for bound, seconds in zip(findings.BOUNDS, bounds, strict=True):
        if seconds is not None and isfinite(seconds):
            yield Reading(findings.INCIDENT_ETA, (incident.name, bound), round(seconds, 1))
    speaking = strongest(incident.evidence, incident.cause)
    ratio = deviation(speaking) if speaking is not None else None
    if speaking is not None and ratio is not None and isfinite(ratio):
        yield Reading(findings.INCIDENT_DEVIATION, (incident.name, speaking.signal), round(ratio, 4))
    if incident.known:
        yield Reading(findings.INCIDENT_KNOWN_INFO, (incident.name, incident.known), 1.0)


def strongest(evidence: tuple[Evidence, ...], cause: str) -> Evidence | None:
    """The observation that speaks most for a cause: one with a past to compare with, then by deviations."""
    own = [one for one in evidence if not one.speaks_for or one.speaks_for == cause]
    if not own:
        return None
    return max(own, key=lambda one: (one.usual is not None, one.peers is not None, one.deviations or 0.0))


def deviation(one: Evidence) -> float | None:
    """How far a figure is from its own past, as a share of that; None where no share can be told."""
    if one.usual is None or one.usual == 0 or one.unit in _NO_RATIO:
        return None
    return (one.value - one.usual) / abs(one.usual)
