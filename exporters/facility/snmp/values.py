"""What an agent sends, as numbers and texts."""

from __future__ import annotations

import re

from exporters.facility.snmp.client import Value

LONGEST = 64
"""Characters of a label value."""
_LARGEST = 2.0**64
"""Beyond what SNMP's own numbers can be: floating-point numbers and texts have no end."""
_NUMBER = re.compile(rb"\s*([+-]?\d{1,20}(?:\.\d{1,12})?)\s*(\D{0,8})")
UNKNOWN = frozenset({2**32 - 1, 2**64 - 1, 2**31 - 1, -(2**31)})
"""What firmware of all makers sends for "I do not know": the ends of the number ranges."""


def number(value: Value, suffix: str = "") -> float | None:
    """A number, or text that is nothing but a number and its unit. None for everything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value if abs(value) < _LARGEST else None
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    found = _NUMBER.fullmatch(raw.rstrip(b"\0"))
    if not found or found[2].strip() not in (b"", suffix.encode()):
        return None
    return float(found[1]) if abs(float(found[1])) < _LARGEST else None


def whole(value: Value) -> int | None:
    """A whole number, for codes and indices."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def text(value: Value) -> str:
    """A label value: printable, without blanks around it, at most LONGEST characters; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.split(b"\0", 1)[0].decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else " " for c in str(value))
    return " ".join(printable.split())[:LONGEST]
