"""Sensors: what they measure, and of which air. Their own properties tell, not their place."""

from __future__ import annotations

from collections.abc import Iterator

from exporters.facility.redfish.jsons import last, text
from exporters.facility.redfish.model import PERCENT, Body, Found, Subject, Value
from exporters.facility.redfish.naming import ident
from gigawatch.catalogue import Metric, facility, liquid, room

_CONTEXTS = {"Intake": "inlet", "Exhaust": "exhaust", "Room": "room", "Ambient": "room"}
_NAMES = (
    (("inlet", "intake", "ambient", "front"), "inlet"),
    (("exhaust", "outlet"), "exhaust"),
    (("room",), "room"),
)
"""What makers call their sensors where they give no context."""
_FOREIGN = (
    "cpu",
    "gpu",
    "dimm",
    "mem",
    "psu",
    "vrm",
    "nvme",
    "ssd",
    "coolant",
    "liquid",
    "water",
    "cdu",
    "hbm",
)
"""A sensor with such a word in its name measures no air of the room."""

_KINDS: dict[str, tuple[Metric, dict[str, float]]] = {
    "Temperature": (facility.AIR_TEMPERATURE, {"Cel": 1.0, "": 1.0}),
    "DewPoint": (facility.DEW_POINT, {"Cel": 1.0, "": 1.0}),
    "Humidity": (facility.HUMIDITY, {"%": PERCENT, "": PERCENT}),
    "Pressure": (room.AIR_PRESSURE, {"Pa": 1.0, "kPa": 1000.0, "": 1.0}),
    "PressurePa": (room.AIR_PRESSURE, {"Pa": 1.0, "": 1.0}),
    "PressurekPa": (room.AIR_PRESSURE, {"kPa": 1000.0, "": 1000.0, "Pa": 1.0}),
}
"""Metric by ReadingType, and the factor for each unit (UCUM) that it may have."""
_TYPE_BY_UNIT = {"Cel": "Temperature"}


def sensor(body: Body, subject: Subject) -> Iterator[Found | str]:
    """A Sensor resource."""
    if body.get("ReadingBasis") == "Headroom":
        return
    units, kind = text(body.get("ReadingUnits")), text(body.get("ReadingType"))
    kind = kind or _TYPE_BY_UNIT.get(units, "")
    name = f"{ident(body, text(body.get('@odata.id'), 300))} {text(body.get('Name'))}".lower()
    if kind == "Temperature" and "dew" in name:
        kind = "DewPoint"
    where = position(body, name, subject)
    if kind not in _KINDS or not where:
        return
    metric, scales = _KINDS[kind]
    if units not in scales:
        yield "unit"
        return
    ident_ = ident(body, text(body.get("@odata.id"), 300))
    labels = (where, ident_) if metric is not room.AIR_PRESSURE else (where,)
    yield Found(Value("Reading", metric, scales[units]), labels, alone=len(labels) > 1)


def temperature(body: Body, subject: Subject) -> Iterator[Found | str]:
    """An element of Thermal.Temperatures."""
    name = text(body.get("Name"))
    if where := position(body, name.lower(), subject):
        label = name or last(text(body.get("@odata.id"), 300))
        yield Found(Value("ReadingCelsius", facility.AIR_TEMPERATURE), (where, label), alone=True)


def fan(body: Body, _: Subject) -> Iterator[Found | str]:
    """An element of Thermal.Fans: percent or turns per minute, as it says."""
    units = text(body.get("ReadingUnits"))
    if units == "Percent":
        yield Found(Value("Reading", facility.FAN_SPEED, PERCENT), ("{id}",))
    elif units == "RPM":
        yield Found(Value("Reading", liquid.FAN_SPEED_RPM), ("{id}",))
    elif body.get("Reading") is not None:
        yield "unit"


def position(body: Body, name: str, subject: Subject) -> str:
    """Of which air a sensor speaks; empty if of none, or if that cannot be told."""
    context = text(body.get("PhysicalContext"))
    if context in ("", *_CONTEXTS) and "outdoor" in f"{text(body.get('PhysicalSubContext'))} {name}".lower():
        return "outdoor"
    if context:
        return _CONTEXTS.get(context, "")
    if any(word in name for word in _FOREIGN):
        return ""
    for words, where in _NAMES:
        if any(word in name for word in words):
            return where
    return "room" if subject.role == "sensor" else ""
