"""What a message of a service's stream says about a device."""

from __future__ import annotations

from exporters.facility.redfish.jsons import items, link, mapping, text
from exporters.facility.redfish.model import Body
from exporters.facility.redfish.reports import fill
from exporters.facility.redfish.tree import Slot, Tree, normal
from gigawatch.catalogue import facility

_MOST_EVENTS = 1000
_PROBE = 8
"""Values of a report that are looked at before it counts as somebody else's."""
_SEVERITIES = {"OK": "dry", "Warning": "warning", "Critical": "leak"}


def hear(tree: Tree, message: Body, now: float, oldest: float) -> bool:
    """Take what concerns the device; whether anything did. Raises nothing."""
    tree.reindex()
    if "MetricValues" in message:
        first = items(message.get("MetricValues"))[:_PROBE]
        names = (mapping(item).get("MetricProperty") for item in first)
        if not any(isinstance(name, str) and normal(name) in tree.index for name in names):
            return False
        taken, _ = fill(tree, message, now, oldest, now, pushed=True)
        return taken > 0
    heard = False
    for event in items(message.get("Events"))[:_MOST_EVENTS]:
        heard = _leak(tree, mapping(event), now) or heard
    return heard


def _leak(tree: Tree, event: Body, now: float) -> bool:
    origin = event.get("OriginOfCondition")
    uri = (origin if isinstance(origin, str) else link(origin)).rstrip("/")
    severity = text(event.get("MessageSeverity")) or text(event.get("Severity"))
    state = _SEVERITIES.get(severity)
    if not uri or state is None:
        return False
    slots = _detectors(tree, uri)
    for slot in slots:
        slot.value, slot.at, slot.pushed = state, now, True
    return bool(slots)


def _detectors(tree: Tree, uri: str) -> list[Slot]:
    """The leak detectors that an event may mean: the one it names, or the only one there is."""
    named = [
        slot
        for slot in tree.index.get(f"{uri}#/DetectorState", ()) or tree.index.get(f"{uri}/DetectorState", ())
        if slot.metric is facility.LEAK_STATE
    ]
    if named or not uri.endswith("/LeakDetection"):
        return named
    several = [
        slot
        for slot in tree.slots
        if slot.metric is facility.LEAK_STATE and slot.part.key.startswith((uri + "#", uri + "/"))
    ]
    return several if len(several) == 1 else []
