"""Slurm's short form of node names: `gpu[01-03,07]-r[1-2],login1`."""

from __future__ import annotations

import re
from itertools import product

_LARGEST = 65_536
"""Nodes in one list; a longer one is damage."""
_SPAN = re.compile(r"^(\d{1,9})(?:-(\d{1,9}))?$")
_PART = re.compile(r"\[([^\[\]]*)\]")


class HostlistError(ValueError):
    """A text that is no list of nodes."""


def expand(text: str) -> list[str]:
    """The names in the order of the list, which is the order of Slurm's nodes."""
    names: list[str] = []
    for word in _words(text):
        fixed, choices = _PART.sub("\0", word).split("\0"), [_numbers(span) for span in _PART.findall(word)]
        size = 1
        for numbers in choices:
            size *= len(numbers)
        if size + len(names) > _LARGEST:
            raise HostlistError(f"more than {_LARGEST} nodes")
        names.extend(
            "".join(a + b for a, b in zip(fixed, (*picked, ""), strict=True)) for picked in product(*choices)
        )
    return names


def _words(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    words, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        if letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
        elif letter == "," and depth == 0:
            words.append(text[start:at])
            start = at + 1
        if depth not in (0, 1):
            raise HostlistError("brackets do not match")
    if depth:
        raise HostlistError("brackets do not match")
    return [word for word in (*words, text[start:]) if word]


def _numbers(spans: str) -> list[str]:
    found: list[str] = []
    for span in spans.split(","):
        match = _SPAN.match(span)
        if not match:
            raise HostlistError(f"[{spans[:40]}] is no range")
        low, high = match[1], match[2] or match[1]
        if int(high) < int(low) or int(high) - int(low) >= _LARGEST - len(found):
            raise HostlistError(f"[{spans[:40]}] is empty or too large")
        found.extend(str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
    return found
