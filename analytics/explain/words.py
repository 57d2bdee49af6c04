"""Figures and times as people say them."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite

from analytics.detectors.base import Evidence
from gigawatch.catalogue import Unit

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_STEPS = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (1.0, "second"))
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SCALED = {
    Unit.WATTS, Unit.HERTZ, Unit.VOLTAMPERES, Unit.BYTES_PER_SECOND, Unit.BYTES, Unit.PASCALS, Unit.JOULES,
}  # fmt: skip
_NAMES = {
    "temperature": "core temperature",
    "memory_temperature": "memory temperature",
    "margin": "margin to its slowdown temperature",
    "inlet": "inlet air",
    "rank_wait": "time that others wait for it",
    "coolant_supply": "coolant supply",
    "coolant_flow": "coolant flow",
    "rack_power": "power of the rack",
    "clock": "clock",
    "failure_risk": "risk of failing within a day",
    "thermal_resistance_kelvin_per_watt": "thermal resistance",
}
SCOPES = {"gpu": "GPU", "loop": "loop", "site": "site"}


def signal_name(key: str) -> str:
    """A signal or figure in words."""
    return _NAMES.get(key) or key.replace("_", " ")


def thing(scope: str, place: str) -> str:
    """What a finding is about: `GPU 3 of node n1`, `loop-1`, `rack r1`."""
    node, _, gpu = place.rpartition("/gpu")
    if scope == "gpu" and node:
        return f"GPU {gpu} of {node}"
    kind = SCOPES.get(scope, scope)
    if scope == "site":
        return "the site" if place in ("", "site") else f"the site ({place})"
    return place if place.startswith(kind) else f"{kind} {place}"


def number(value: float) -> str:
    """Three digits that mean something."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if size == 0 or size >= 100:
        return f"{value:.0f}"
    digits = 3
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.2g}"


def quantity(value: float, unit: Unit) -> str:
    """A figure with its unit: 0.061 K/W, 1.98 GHz, 63 %, 61 °C."""
    if unit is Unit.RATIO:
        return f"{number(100 * value)} %"
    if unit is Unit.SECONDS:
        return duration(value)
    if unit is Unit.TIMESTAMP:
        return moment(value)
    if unit is Unit.FLAG:
        return "yes" if value else "no"
    if unit is Unit.CUBIC_METERS_PER_SECOND:
        return f"{number(60_000 * value)} l/min"
    if unit in _SCALED:
        for size, prefix in _PREFIXES:
            if abs(value) >= size:
                return f"{number(value / size)} {prefix}{unit.sign}"
    return f"{number(value)} {unit.sign}".rstrip()


def difference(value: float, other: float, unit: Unit) -> str:
    """How far a figure is from another: as a share where zero is zero, else in its unit."""
    gap = value - other
    if unit is Unit.CELSIUS:
        return f"{gap:+.1f} K"
    if unit is Unit.RATIO:
        return f"{100 * gap:+.0f} points"
    if other == 0 or unit in (Unit.TIMESTAMP, Unit.FLAG):
        return f"{'+' if gap > 0 else ''}{quantity(gap, unit)}"
    share = 100 * gap / abs(other)
    if abs(share) < 0.05:
        return "no different"
    return f"{share:+.0f} %" if abs(share) >= 1 else f"{share:+.1f} %"


def duration(seconds: float) -> str:
    """A length of time in its largest sensible unit: 9 days, 5 hours, 40 minutes."""
    if not isfinite(seconds):
        return "an unknown time"
    seconds = max(seconds, 0.0)
    for size, name in _STEPS:
        if seconds >= 2 * size or size == 1.0:
            count = round(seconds / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "0 seconds"


def moment(when: float) -> str:
    """A time of day that needs no time zone table: 17 Nov 04:10 UTC."""
    try:
        made = datetime.fromtimestamp(when, UTC)
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
    return f"{made.day} {made:%b %H:%M} UTC"


def chance(ratio: float) -> str:
    """A probability, rounded as it deserves."""
    return f"{round(100 * min(max(ratio, 0.01), 0.99))} %"


def observation(one: Evidence, onset: float | None, now: float, brief: bool = False) -> str:
    """One piece of evidence: thermal resistance 0.061 K/W, +18 % from its own 0.052 K/W in 6 days."""
    if not isfinite(one.value) or (one.text and one.usual is None and one.peers is None):
        return one.text
    parts = [f"{signal_name(one.signal)} {quantity(one.value, one.unit)}"]
    if one.usual is not None and isfinite(one.usual):
        since = f" in {duration(now - onset)}" if onset is not None and now - onset >= _MINUTE else ""
        gap = difference(one.value, one.usual, one.unit)
        own = quantity(one.usual, one.unit)
        parts.append(f"{own} before" if one.usual == 0 else f"{gap} from its own {own}{since}")
    if brief:
        return ", ".join(parts)
    if one.peers is not None and isfinite(one.peers):
        gap = difference(one.value, one.peers, one.unit)
        parts.append(f"{gap} from its peers' {quantity(one.peers, one.unit)}")
    if one.text:
        parts.append(one.text)
    return ", ".join(parts)
