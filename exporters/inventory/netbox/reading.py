"""Reading NetBox's objects: every field may be missing, or be something else than documented."""

from __future__ import annotations

import math
import re
from typing import Any

from .client import Object

_NOT_PLAIN = re.compile(r"[^a-z0-9_.-]+")
_KILOGRAMS = {"kg": 1.0, "g": 0.001, "lb": 0.45359237, "oz": 0.028349523}
_LITERS_PER_MINUTE = {"lpm": 1.0, "m3ph": 1000 / 60, "gpm": 3.785411784}


def sub(thing: object, *path: str) -> Object:
    """An object within; empty if there is none."""
    for name in path:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing if isinstance(thing, dict) else {}


def text(thing: object, name: str) -> str:
    """A text, or the value of a choice; empty if there is none."""
    value = thing.get(name) if isinstance(thing, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    return value.strip() if isinstance(value, str) else ""


def number(thing: object, name: str) -> float | None:
    """A finite number; None if there is none. NetBox writes decimals as numbers or as texts."""
    value = thing.get(name) if isinstance(thing, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def ident(thing: object, *path: str) -> int:
    """Id of an object within; 0 if there is none."""
    found = (sub(thing, *path) if path else thing) or {}
    value = found.get("id") if isinstance(found, dict) else None
    return value if isinstance(value, int) else 0


def slug(name: str) -> str:
    """A name as we write names: NetBox allows more in its own."""
    return _NOT_PLAIN.sub("-", name.lower()).strip("-._")


def custom(thing: Object, field: str) -> Any:
    """Value of a custom field; None where it is not set."""
    value = sub(thing, "custom_fields").get(field) if field else None
    # A choice is its value; an object field is the object's name.
    if isinstance(value, dict):
        value = value.get("value") or value.get("name")
    return value if isinstance(value, str | int | float) and value != "" else None


def kilograms(thing: Object, name: str) -> float | None:
    """A weight, whatever its unit."""
    value = number(thing, name)
    factor = _KILOGRAMS.get(text(thing, "weight_unit"), 1.0)
    return None if value is None else round(value * factor, 3)


def liters_per_minute(thing: Object) -> float | None:
    """The greatest flow of a cooling feed or port."""
    value = number(thing, "max_flow")
    factor = _LITERS_PER_MINUTE.get(text(thing, "max_flow_unit"))
    return None if value is None or factor is None else round(value * factor, 6)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts PSU2 before PSU10."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name))
