"""A part of an exposition: what one lane said, when, and how long that may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gigawatch.serving.exposition import Blocks


@dataclass(frozen=True, slots=True)
class Part:
    """`at` is CLOCK_MONOTONIC, which all processes of a machine share; `lives` is in seconds."""

    at: float
    lives: float
    blocks: Blocks

    def fresh(self, now: float) -> bool:
        """Whether this may still be shown."""
        return now - self.at <= self.lives


Parts = dict[str, Part]
"""By name, unique within an exporter."""


def thin(parts: Parts, sent: Mapping[str, Part]) -> dict[str, Part | None]:
    """What has to cross to a reader that has `sent`: None stands for a part that it has already."""
    return {name: None if sent.get(name) is part else part for name, part in parts.items()}


def fill(thinned: Mapping[str, Part | None], known: Parts) -> Parts:
    """The other side of `thin`."""
    found: Parts = {}
    for name, part in thinned.items():
        whole = known.get(name) if part is None else part
        if whole is not None:
            found[name] = whole
    return found
