"""What a detector is: state over rosters, one call per tick, a verdict.

The verbs are scikit-learn's: `fit` learns a history from nothing, `partial_fit` takes in more of it,
`score_samples` says what would be said about a tick without learning from it. The service uses `observe`,
which judges a tick and then learns it, in one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from analytics.fleet import Fleet, Level, Tick
from analytics.fleet.columns import Columns, Floats, Ints
from gigawatch.catalogue import Metric, Unit


@dataclass(frozen=True, slots=True)
class Scores:
    """How abnormal one signal is now, 0 to 1, over the roster of its level; NaN where nothing can be said."""

    signal: str
    level: Level
    values: Floats


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure per GPU that is exposed under a metric of its own; NaN where there is none."""

    metric: Metric
    values: Floats


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure per thing of any level, exposed under a metric of its own; NaN where there is none.

    `labels` are the values of the metric's labels before those that name the thing.
    """

    metric: Metric
    level: Level
    values: Floats
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation behind a suspicion: a figure beside what it used to be and what peers show.

    `signal` is the key of a signal or of a figure of the catalogue; `usual` the thing's own past, `peers`
    their median now, `deviations` how many of its usual scatters (robust standard deviations) it is away from
    whichever of the two counts; all in `unit`, None where unknown. `text` says what figures cannot, in a few
    words ("the 7 others of the node did not move"). `speaks_for` names the cause that it supports where that
    is not the suspicion's own.
    """

    signal: str
    value: float
    unit: Unit
    usual: float | None = None
    peers: float | None = None
    deviations: float | None = None
    text: str = ""
    speaks_for: str = ""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another cause that would look alike: how likely beside the named one (0 to 1), and why less so."""

    cause: str
    likelihood: float
    why: str


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something is wrong with one thing, and why.

    `place` is the name of the thing (`node/gpuN` for a GPU), `key` its identity (the UUID of a GPU, else the
    name); `gpus` are the rows it touches. `score` is 0 to 1. `eta` is the seconds until what is feared (the
    first of them throttles, the breaker trips), `earliest` and `latest` its 90 % interval, `confidence` the
    chance (0 to 1) that the named cause is right; None where unknown. `since` is when it began (Unix time, as
    far as can be told).
    """

    cause: str
    scope: str
    place: str
    key: str
    gpus: tuple[int, ...]
    score: float
    eta: float | None = None
    earliest: float | None = None
    latest: float | None = None
    since: float | None = None
    confidence: float | None = None
    evidence: tuple[Evidence, ...] = ()
    rivals: tuple[Rival, ...] = ()


@dataclass(slots=True)
class Verdict:
    """What one detector says about one tick."""

    scores: list[Scores] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


class Detector(ABC):
    """Looks at one tick after another, never ahead, in memory that does not grow with time.

    A subclass names itself, sets up its tables in `__init__` with `self.table`, and implements `observe`.
    All that it remembers between ticks stands in those tables.
    """

    name: ClassVar[str]
    suspects: ClassVar[bool] = True
    """False for a detector that only scores; a backtest, which looks at incidents, leaves it out."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Level, Columns]] = {}

    def table(self, name: str, level: Level, columns: Columns) -> Columns:
        """Register a table; it follows the roster of `level` and is saved with the state."""
        self._tables[name] = (level, columns)
        return columns

    def fit(self, ticks: Iterable[Tick]) -> Self:
        """Learn this history, oldest first, from nothing."""
        for _, columns in self._tables.values():
            columns.clear()
        return self.partial_fit(ticks)

    def partial_fit(self, ticks: Iterable[Tick]) -> Self:
        """Learn more history; the same as observing every tick."""
        for tick in ticks:
            self.enrol(tick.fleet)
            self.observe(tick)
        return self

    def score_samples(self, tick: Tick) -> Verdict:
        """What this detector would say about a tick, scores first; nothing is learned from it."""
        self.enrol(tick.fleet)
        before = self.state()
        try:
            return self.observe(tick)
        finally:
            self.restore(before)

    def enrol(self, fleet: Fleet) -> None:
        """Give every table a row for every thing of its level."""
        for level, columns in self._tables.values():
            columns.grow(len(fleet[level]))

    def keep(self, level: Level, rows: Ints) -> None:
        """Drop the state of all other things of a level."""
        for own, columns in self._tables.values():
            if own is level:
                columns.take(rows)

    def state(self) -> dict[str, Floats]:
        """All that is remembered, as arrays."""
        return {
            f"{table}/{name}": array
            for table, (_, columns) in self._tables.items()
            for name, array in columns.dump().items()
        }

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Take over what `state` gave. ValueError if it does not fit this detector."""
        parts: dict[str, dict[str, Floats]] = {table: {} for table in self._tables}
        for key, array in state.items():
            table, _, name = key.partition("/")
            if table not in parts:
                raise ValueError(f"detector {self.name} has no table '{table}'")
            parts[table][name] = array
        for table, arrays in parts.items():
            self._tables[table][1].load(arrays)

    def check(self, fleet: Fleet) -> None:
        """ValueError if a table has more rows than its roster: state and roster are of different origin."""
        for name, (level, columns) in self._tables.items():
            if len(columns) > len(fleet[level]):
                raise ValueError(
                    f"table '{self.name}/{name}' has {len(columns)} rows for {len(fleet[level])}"
                )

    @property
    def nbytes(self) -> int:
        """Memory that the state holds, in bytes."""
        return sum(columns.nbytes for _, columns in self._tables.values())

    @abstractmethod
    def observe(self, tick: Tick) -> Verdict:
        """Take in one tick and say what is abnormal. Called with rising `tick.now`, after `enrol`."""
