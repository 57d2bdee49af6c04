"""What a detector is: state over rosters, one call per tick, a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from analytics.columns import Columns, Floats, Ints
from analytics.fleet import Fleet, Level, Tick
from gigawatch.catalogue import Metric


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
class Suspicion:
    """Something is wrong with one thing, and why.

    `place` is the name of the thing (`node/gpuN` for a GPU), `key` its identity (the UUID of a GPU, else the
    name); `gpus` are the rows it touches; `eta` the seconds until the first of them throttles, if known.
    """

    cause: str
    scope: str
    place: str
    key: str
    gpus: tuple[int, ...]
    score: float
    eta: float | None = None


@dataclass(slots=True)
class Verdict:
    """What one detector says about one tick."""

    scores: list[Scores] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)


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

    def fit(self, fleet: Fleet) -> None:
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
        """Take in one tick and say what is abnormal. Called with rising `tick.now`, after `fit`."""
