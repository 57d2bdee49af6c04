"""Words: of states, which every site writes as it likes, and of places in processArea."""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporters.facility.mqtt.point import Meta

LEAK = {
    "dry": "dry noleak normal ok clear inactive nodetection notdetected noleakdetected healthy false",
    "warning": "warning trace moisture moist caution",
    "leak": "leak leaking leakdetected leakalarm wet alarm active detected critical true",
    "fault": "fault sensorfault faulted failure failed trouble disconnected openloop cablefault",
}
SENSOR_FAULT = {"fault": "fault sensorfault faulted failure failed trouble alarm active true disconnected"}
UPS = {
    "online": "online normal oninverter doubleconversion online eco running ecomode",
    "on_battery": "onbattery battery discharging batterymode",
    "bypass": "bypass onbypass staticbypass manualbypass maintenancebypass bypassmode",
    "off": "off shutdown outputoff stopped",
    "unknown": "unknown",
}
TRANSFER = {
    "A": "a sourcea source1 s1 onsourcea onsource1 preferred normal utility primary",
    "B": "b sourceb source2 s2 onsourceb onsource2 alternate emergency generator secondary",
    "none": "none off neutral nosource",
}
BREAKER = {
    "normal": "closed normal on energized close",
    "tripped": "tripped trip fault faulted",
    "off": "open opened off racked deenergized rackedout",
}
HEALTH = {
    "ok": "available normal ok ready healthy inservice online true",
    "warning": "maintenance inmaintenance manual offline outofservice disabled standby",
    "critical": "failed fault faulted unavailable notavailable failure alarm false",
    "unknown": "unknown",
}
RUNNING = {
    "1": "on running run started start active enabled true",
    "0": "off stopped stop idle standby notrunning inactive disabled false",
}
OPEN = {"1": "open opened on true", "0": "closed close off shut false"}
ISOLATED = {
    "1": "isolated isolate closed active on tripped isolationactive true open",
    "0": "notisolated normal noisolation inactive off ok notactive connected energized flowing false",
}
DETECTED = {
    "1": "alarm detected smoke fire active on true",
    "0": "normal clear ok notdetected nosmoke inactive off false",
}


def states_of(
    meta: Meta, words: Mapping[str, str], otherwise: Mapping[int, str] | None = None
) -> dict[int, str]:
    """What each number means. Where no word is understood: `otherwise`, or nothing."""
    meanings = {word: state for state, texts in words.items() for word in texts.split()}
    found = {
        number: meanings[plain]
        for number, text in meta.states.items()
        if (plain := re.sub(r"[^a-z0-9]", "", text.casefold())) in meanings
    }
    return found or dict(otherwise or {})


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WHERE = """primary secondary facility technology tcs fws loop side circuit supply return inlet outlet
entering leaving room cold hot aisle exhaust outdoor outside ambient input output"""
_WHAT = """water liquid coolant air temperature pressure flow differential speed position status condenser
chilled design setpoint sp dew point relative humidity"""
_PLACES = frozenset(f"{_WHERE} {_WHAT}".split())
"""Words that say where or what, and so are no name of a part."""


def tokens(meta: Meta) -> frozenset[str]:
    """All words of processArea in small letters; SecondarySupply is two."""
    return frozenset(word.casefold() for entry in meta.area for word in _WORD.findall(entry))


def named(meta: Meta) -> str:
    """The words of processArea that say neither where nor what."""
    found = [
        entry for entry in meta.area if not {word.casefold() for word in _WORD.findall(entry)} <= _PLACES
    ]
    return _slug("-".join(found))


def part(meta: Meta, *own: str) -> str:
    """What the point's pump, fan, valve, sensor or zone is called, `own` being the device and its rack: see
    README."""
    if found := named(meta):
        return found
    for segment in reversed(meta.tag_path.split("/")):
        if any(c.isdigit() for c in segment) and segment not in own:
            return _slug(segment)
    return ""


def generic_names(meta: Meta) -> tuple[str, ...]:
    """What a GenericPoint may be called: the end of its tag path, and the words of processArea."""
    names = (meta.tag_path.rsplit("/", 1)[-1], "".join(meta.area))
    return tuple(re.sub(r"[^a-z]", "", name.casefold()) for name in names)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:64]
