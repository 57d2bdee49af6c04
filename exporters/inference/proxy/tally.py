"""What has been counted, by model. Belongs to the event loop's thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

UNKNOWN = "unknown"
"""Requests whose model neither a good answer nor an earlier one has named."""
OTHER = "other"
"""Models beyond the limit."""
_LONGEST_NAME = 200

FIRST_TOKEN = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0,
    30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
PER_TOKEN = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1.0,
    2.5,
)
DURATION = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0,
    120.0, 180.0, 300.0, 600.0, 1200.0, 3600.0,
)  # fmt: skip


class Histogram:
    """Counts by upper edge in seconds, the last without one."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.edges, seconds)] += 1
        self.sum += seconds


@dataclass(slots=True, eq=False)
class ModelTally:
    """One model's figures."""

    name: str
    running: int = 0
    progress: int = 0
    generated: int = 0
    prompt: Counter[str] = field(default_factory=Counter)
    """By source: computed, cached, unknown."""
    outcomes: Counter[str] = field(default_factory=Counter)
    unmeasured: Counter[str] = field(default_factory=Counter)
    first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN))
    per_token: Histogram = field(default_factory=lambda: Histogram(PER_TOKEN))
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION))

    @property
    def used(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.running or self.progress or self.outcomes)

    def add_prompt(self, tokens: int, cached: int | None) -> None:
        """Tokens of a prompt, `cached` of them from a cache; None where nobody knows."""
        if cached is None:
            self.prompt["unknown"] += tokens
        else:
            self.prompt["computed"] += tokens - cached
            self.prompt["cached"] += cached


class Tally:
    """All figures of a proxy."""

    def __init__(self, most_models: int) -> None:
        self._most = most_models
        self.models: dict[str, ModelTally] = {}
        self._answered: dict[str, str] = {}
        """What a model is called in the request, and in the answers."""
        self.failures: Counter[str] = Counter()
        self.passed = 0
        self.asked = 0
        self.asking_refused = 0
        self.counting_errors = 0
        self.unread: Counter[str] = Counter()
        self.refused = 0
        self.connections = 0

    def expected(self, requested: str) -> ModelTally:
        """Where a request for this model belongs as long as nobody has answered it.

        A name that no engine has answered to gets no series: clients could make up any number of them.
        """
        known = self._answered.get(requested)
        return self._get(known if known is not None else UNKNOWN)

    def confirmed(self, requested: str, answered: str) -> ModelTally:
        """Where it belongs once a good answer came, whether or not that names the model."""
        known = self.models.get(answered)
        if known is not None and self._answered.get(requested) == answered:
            return known
        name = _tidy(answered or requested) or UNKNOWN
        if name not in self.models and len(self.models.keys() - {UNKNOWN, OTHER}) >= self._most:
            name = OTHER
        if requested and len(self._answered) < 4 * self._most:
            self._answered[requested] = name
        return self._get(name)

    def _get(self, name: str) -> ModelTally:
        found = self.models.get(name)
        if found is None:
            found = self.models[name] = ModelTally(name)
        return found


def _tidy(name: str) -> str:
    """As a label value: no control characters, no halves of characters, not too long."""
    text = name[:_LONGEST_NAME].encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()
