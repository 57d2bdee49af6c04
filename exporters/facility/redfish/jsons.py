"""Small safe looks into JSON that somebody else wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from exporters.facility.redfish.model import Body

_EMPTY: Body = {}
_LONGEST = 64


class BadJsonError(ValueError):
    """Not a JSON object."""


def parse(raw: bytes) -> Body:
    """A JSON object. Raises BadJsonError."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # ValueError: also bad UTF-8, and numbers of thousands of digits
        raise BadJsonError("no JSON") from None
    if not isinstance(body, dict):
        raise BadJsonError("no JSON object")
    return body


def mapping(found: object) -> Body:
    """The object, or an empty one."""
    return found if isinstance(found, dict) else _EMPTY


def items(found: object) -> list[object]:
    """The list, or an empty one."""
    return found if isinstance(found, list) else []


def text(found: object, longest: int = _LONGEST) -> str:
    """The text on one line, cut; empty where it is none."""
    if not isinstance(found, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in found[: 4 * longest]).split())[:longest]


def at(body: Body, path: str) -> object:
    """What stands at a path such as `A/B/0`; None where nothing does."""
    found: object = body
    for step in path.split("/"):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def link(found: object) -> str:
    """The address that an object refers to, or empty."""
    address = mapping(found).get("@odata.id")
    return address if isinstance(address, str) else ""


def number(found: object) -> float | None:
    """A finite number, also where it is written as text; else None."""
    if isinstance(found, str):
        if "_" in found or len(found) > _LONGEST:
            return None
    elif isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        value = float(found)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def last(uri: str) -> str:
    """The last part of an address."""
    return text(uri.partition("#")[0].rstrip("/").rpartition("/")[2])
