"""What is remembered of an engine from one answer to the next, whatever series it shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from exporters.inference.outputs import Difference
from gigawatch.catalogue import Metric

Key = tuple[Metric, tuple[str, ...]]
"""A canonical series: metric and label values, of which the first three are engine, model, replica."""


@dataclass(slots=True)
class Memory:
    """What outlives a change of the engine's series."""

    differences: dict[Key, Difference] = field(default_factory=dict)
    sources: dict[Key, int] = field(default_factory=dict)
    """From how many of the engine's series each canonical one was last made."""

    def tidy(self, size: int, spoken: Collection[tuple[str, ...]]) -> None:
        """Forget series of models that are gone, once there are many: an engine may rename its model."""
        if len(self.differences) + len(self.sources) > 4 * size + 1000:
            self.differences = {key: kept for key, kept in self.differences.items() if key[1][:3] in spoken}
            self.sources = {key: kept for key, kept in self.sources.items() if key[1][:3] in spoken}
