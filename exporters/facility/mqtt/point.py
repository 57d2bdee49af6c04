"""What the bus says: topics, metadata of points, and values. Rubbish raises Bad, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

METADATA_TOPICS = "BMS/v1/PUB/Metadata/#"
VALUE_TOPICS = "BMS/v1/+/Value/#"
BMS = "PUB"
"""The publisher where it is the building management itself."""
LARGEST_TOPIC = 1024
LARGEST_VALUE = 4096
LARGEST_METADATA = 16384
_LONGEST = 256
"""Characters of a text in metadata that are looked at."""
_MOST_STATES = 64


class Bad(Exception):  # noqa: N818 - it is counted, not raised to anybody
    """Not to be used. `reason` is what it is counted as."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Meta:
    """What metadata say of a point."""

    object_type: str
    point_type: str
    tag_path: str
    object_id: str = ""
    rack_id: str = ""
    associate_id: str = ""
    unit: str = ""
    states: Mapping[int, str] = field(default_factory=dict)
    area: tuple[str, ...] = ()
    """processArea."""
    phase: str = ""
    setpoint: bool = False
    publisher: str = BMS
    """Whose values count: the BMS's, or those of the integration that the metadata name."""


def parse_topic(topic: str) -> tuple[str, bool, str]:
    """Publisher, whether it is a value, and `{objectType}/{pointType}/{tagPath}`. Raises Bad."""
    if len(topic) > LARGEST_TOPIC:
        raise Bad("error")
    parts = topic.split("/", 4)
    if len(parts) != 5 or parts[0] != "BMS" or parts[1] != "v1" or parts[3] not in ("Value", "Metadata"):
        raise Bad("error")
    rest = parts[4]
    if rest.count("/") < 2 or not all(rest.split("/", 2)):
        raise Bad("error")
    return parts[2], parts[3] == "Value", rest


def parse_value(payload: bytes) -> tuple[float, float]:
    """The number and its Unix time in seconds. Raises Bad: error, quality or no_number."""
    if len(payload) > LARGEST_VALUE:
        raise Bad("error")
    told = _object(payload)
    quality, stamp = told.get("quality"), told.get("timestamp")
    if type(quality) is not int or quality != 1:  # true and 1.0 are not the integer 1
        raise Bad("quality")
    value = told.get("value")
    if not _is_number(value):
        raise Bad("no_number")
    if not _is_number(stamp):
        raise Bad("error")
    return float(value), float(stamp) / 1000.0


def parse_metadata(rest: str, payload: bytes) -> Meta:
    """What is said of the point at `rest`. Raises Bad(error)."""
    if len(payload) > LARGEST_METADATA:
        raise Bad("error")
    told = _object(payload)
    object_type, point_type, tag_path = rest.split("/", 2)
    integration = _text(told.get("integration"))
    return Meta(
        object_type,
        point_type,
        tag_path,
        _text(told.get("objectId")),
        _text(told.get("rackLocationId")),
        _text(told.get("associateId")),
        _text(told.get("engUnit")),
        _states(told.get("stateText")),
        _texts(told.get("processArea")),
        _text(told.get("phase")),
        told.get("isSetpoint") is True,
        integration or BMS,
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):  # not UTF-8 is a ValueError as well
        raise Bad("error") from None
    if not isinstance(told, dict):
        raise Bad("error")
    return told


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of a thousand digits
        return False


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
        value = str(value)  # ids and phases that look like numbers
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list) else [value]
    return tuple(text for text in map(_text, found[:16]) if text)


def _states(value: object) -> dict[int, str]:
    states: dict[int, str] = {}
    for row in value[:_MOST_STATES] if isinstance(value, list) else ():
        if isinstance(row, dict) and isinstance(number := row.get("value"), int) and _text(row.get("text")):
            states[int(number)] = _text(row["text"])
    return states
