"""Which trouble brings which other about: tables of causes, along the topology and in time."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.detectors.base import Suspicion
from gigawatch.catalogue import Unit

SUPERSEDE = 300.0
"""A wider incident takes over narrower ones that opened less than this many seconds before it."""
SLACK = 900.0
"""Seconds by which a symptom may seem to begin before its cause: detectors date the two differently."""
OWN_DEVIATIONS = 6.0
OWN_SHARE = 0.5
"""A thing that stands so far from its peers, by a change that is mostly its own, is ill by itself."""

WIDTH = {
    "gpu": 0, "device": 1, "node": 1, "rack": 2, "loop": 3, "feed": 4, "switch": 4, "job": 4, "site": 5,
}  # fmt: skip
LEVELS = frozenset({"unknown", "straggler", "power_swing", "job"})
"""Causes that are read from levels, which move with the job; the others are physics or counted events."""

_UNCLEAR = frozenset({"unknown", "straggler"})
_HEAT = frozenset({"thermal_interface", "cold_plate", "inlet_air", "fan"})
EXPLAINS: dict[str, frozenset[str]] = {
    "thermal_interface": _UNCLEAR,
    "cold_plate": _UNCLEAR | {"thermal_interface"},
    "coolant_loop": _UNCLEAR | _HEAT | {"coolant_loop"},
    "pump": _UNCLEAR | _HEAT | {"coolant_loop"},
    "inlet_air": _UNCLEAR | _HEAT,
    "fan": _UNCLEAR | _HEAT,
    "sensor": frozenset({"unknown"}),
    "power_path": _UNCLEAR | {"power_path", "power_supply", "power_swing", "breaker", "pump", "fan"},
    "power_supply": _UNCLEAR | {"power_path"},
    "breaker": _UNCLEAR | {"power_path", "power_supply"},
    "power_swing": frozenset({"unknown"}),
    "straggler": _UNCLEAR,
    "job": frozenset({"unknown", "power_swing"}),
    "software": _UNCLEAR | {"power_swing", "job", "software"},
    "memory": _UNCLEAR,
    "link": _UNCLEAR | {"link"},
    "switch": _UNCLEAR | {"link"},
    "driver": _UNCLEAR,
    "unknown": frozenset({"unknown"}),
}
"""What each cause accounts for among narrower findings below it, and among those of the same thing."""
SERVES = frozenset({"pump", "fan", "inlet_air", "breaker", "power_path", "power_supply"})
"""Causes that, in a device, account for trouble of the whole rack or loop that it serves."""


@dataclass(frozen=True, slots=True)
class Merge:
    """`least` things of `scope` with one cause, and `share` of all there at least, are one of `into`."""

    cause: str
    scope: str
    into: str
    least: int
    share: float
    wide_cause: str
    wide_scope: str = ""
    """Where it differs from `into`: a group of racks under one air handler is named by that device."""


MERGES = (
    Merge("straggler", "gpu", "node", 3, 0.5, "straggler"),
    Merge("link", "gpu", "node", 3, 0.5, "link"),
    Merge("software", "gpu", "node", 2, 0.5, "software"),
    Merge("unknown", "gpu", "job", 4, 0.8, "job"),
    Merge("unknown", "gpu", "node", 3, 0.5, "unknown"),
    Merge("cold_plate", "node", "rack", 2, 0.5, "coolant_loop"),
    Merge("fan", "node", "rack", 2, 0.5, "inlet_air"),
    Merge("inlet_air", "node", "rack", 2, 0.5, "inlet_air"),
    Merge("power_supply", "node", "rack", 2, 0.5, "power_path"),
    Merge("power_path", "node", "rack", 2, 0.5, "power_path"),
    Merge("unknown", "node", "rack", 2, 0.5, "unknown"),
    Merge("software", "node", "site", 2, 0.0, "software"),
    Merge("link", "node", "switch", 2, 0.5, "switch"),
    Merge("coolant_loop", "rack", "loop", 2, 0.5, "coolant_loop"),
    Merge("inlet_air", "rack", "air", 2, 0.5, "inlet_air", "device"),
    Merge("power_path", "rack", "feed", 2, 0.5, "power_path"),
)
"""From narrow to wide, so that what one step made can be part of the next."""


def stands_out(found: Suspicion) -> bool:
    """Whether its evidence shows a change that its peers do not share, so that no common cause accounts for
    it. A fan's own speed is such evidence by itself."""
    if found.cause in _UNCLEAR:
        return False
    for one in found.evidence:
        if one.speaks_for and one.speaks_for != found.cause:
            continue
        if found.cause in ("fan", "pump") and one.unit is Unit.RPM:
            return True
        if one.peers is None or one.usual is None or (one.deviations or 0.0) < OWN_DEVIATIONS:
            continue
        if abs(one.value - one.peers) >= OWN_SHARE * abs(one.value - one.usual) > 0:
            return True
    return False


def later(cause_began: float | None, symptom_began: float | None, now: float) -> bool:
    """Whether the symptom may follow from the cause: it did not begin well before. Unknown times may."""
    if cause_began is None or symptom_began is None:
        return True
    return symptom_began >= cause_began - max(SLACK, 0.25 * (now - cause_began))
