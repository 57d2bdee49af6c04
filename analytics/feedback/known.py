"""The GPUs that nobody is called for, by cause: what alerts on trends, which know of no incident, look at."""

from __future__ import annotations

from collections.abc import Iterator

from analytics.feedback.learning import Learned
from analytics.fleet import Fleet, Level
from analytics.incidents import Incidents
from analytics.incidents.model import Key
from gigawatch.catalogue import findings
from gigawatch.readings import Reading


def known_gpus(now: float, learned: Learned, incidents: Incidents, fleet: Fleet) -> Iterator[Reading]:
    """GPUs of the places whose trouble is marked, and of open incidents that are known.

    A mark holds until it ends, also while its trouble is not found: trends come back before findings do. An
    open incident that calls people (it has grown since it was marked) takes its GPUs off the list.
    """
    gpus = fleet[Level.GPU]
    reasons: dict[tuple[Key, str], str] = {}
    for mark in learned.standing(now):
        for uuid in _within(fleet, mark.scope, mark.key):
            reasons[mark.id, uuid] = f"marked_{mark.verdict}"
    with incidents.lock:
        for incident in incidents.open:
            for uuid in incident.gpus:
                if incident.known:
                    reasons[incident.id, uuid] = incident.known
                else:
                    reasons.pop((incident.id, uuid), None)
    if not reasons:
        return
    wanted, labels = {uuid for _, uuid in reasons}, gpus.labels
    # Read at once and to the shortest column: the engine may be adding a GPU meanwhile.
    columns = zip(*(labels[name] for name in ("rack", "node", "gpu", "uuid")), strict=False)
    places = {place[-1]: place for place in columns if place[-1] in wanted}
    found = {(cause, scope, uuid): reason for ((cause, scope, _), uuid), reason in reasons.items()}
    for (cause, scope, uuid), reason in found.items():
        if uuid in places:
            yield Reading(findings.KNOWN_GPU_INFO, (cause, scope, reason, *places[uuid]), 1.0)


def _within(fleet: Fleet, scope: str, key: str) -> list[str]:
    """UUIDs of the GPUs of a place, as far as the fleet's own labels tell."""
    gpus = fleet[Level.GPU]
    if scope == "gpu":
        return [key]
    column = gpus.labels.get(scope)
    return [] if column is None else [u for u, name in zip(gpus.keys, column, strict=False) if name == key]
