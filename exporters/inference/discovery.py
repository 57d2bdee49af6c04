"""What a way of finding engines is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from exporters.inference.fetch import Fetcher
from exporters.inference.targets import Target

MOST_TARGETS = 20_000
"""Engines that one answer may name; more is damage."""


@dataclass(frozen=True, slots=True)
class Found:
    """Engines found, and what was passed over and why: one line each, without anything secret."""

    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Discovery(Protocol):
    """Finds engines. What it finds takes the place of what it found before; what it found counts on while it
    fails."""

    @property
    def name(self) -> str:
        """Value of the label `collector`."""

    @property
    def every(self) -> float:
        """Seconds from one look to the next."""

    async def find(self, fetcher: Fetcher) -> Found:
        """Look. Raises SourceError or FetchError."""
