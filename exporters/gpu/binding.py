"""The words in which the table of bindings is written: how a metric's samples come from NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporters.gpu.nvml import FieldKey, Handle, Missing, Nvml
from exporters.runtime import SourceError
from exporters.runtime.gate import SENTINELS
from gigawatch.catalogue import Metric

Value = float | Missing | None
Rows = Iterable[tuple[tuple[str, ...], float]]


class Lane(StrEnum):
    """How often a metric is read."""

    FAST = "fast"
    SLOW = "slow"


class Snapshot:
    """One pass over one GPU: fields come from one batch, each function is called at most once."""

    def __init__(self, nvml: Nvml, handle: Handle, missing: dict[object, Missing], memo: dict[str, float]):
        self._nvml, self._handle = nvml, handle
        self._missing = missing
        self.memo = memo
        """What a derived value remembers from one pass to the next."""
        self.troubles: list[SourceError] = []
        self._fields: dict[FieldKey, Any] = {}
        self._calls: dict[tuple[Any, ...], Any] = {}

    def load(self, fields: dict[FieldKey, Any]) -> None:
        """Take in what the batch said."""
        self._fields = fields

    def field(self, key: FieldKey) -> Any:
        """Raw value of a field, Missing, or None."""
        return self._missing[key] if key in self._missing else self._fields.get(key)

    def call(self, function: str, *arguments: Any) -> Any:
        """Answer of a function for this GPU, Missing, or None. What was Missing once is not called again."""
        key = (function, *arguments)
        if key in self._missing:
            return self._missing[key]
        if key not in self._calls:
            try:
                answer = self._nvml.call(function, self._handle, *arguments)
            except SourceError as error:
                if type(error) is not SourceError:
                    raise  # the GPU or the driver as a whole
                self.troubles.append(error)
                answer = None
            if isinstance(answer, Missing):
                self._missing[key] = answer
            self._calls[key] = answer
        return self._calls[key]


def _scaled(raw: Any, factor: float) -> Value:
    if raw is None or isinstance(raw, Missing):
        return raw
    value = float(raw)
    # A sentinel passes unscaled, so that the range gate knows and counts it.
    return value if value in SENTINELS else value * factor


@dataclass(frozen=True, slots=True)
class Field:
    """A field value of NVML (NVML_FI_*), times a factor into the base unit."""

    id: int
    scope: int = 0
    factor: float = 1.0

    @property
    def keys(self) -> tuple[FieldKey, ...]:
        return ((self.id, self.scope),)

    def value(self, snapshot: Snapshot) -> Value:
        return _scaled(snapshot.field((self.id, self.scope)), self.factor)

    def __str__(self) -> str:
        return f"field {self.id}"


@dataclass(frozen=True, slots=True)
class LinkSum:
    """A field value summed over the NVLinks that have it."""

    id: int
    links: int

    @property
    def keys(self) -> tuple[FieldKey, ...]:
        return tuple((self.id, link) for link in range(self.links))

    def value(self, snapshot: Snapshot) -> Value:
        found = [snapshot.field(key) for key in self.keys]
        there = [raw for raw in found if not isinstance(raw, Missing)]
        if not there:
            return found[0] if found else Missing.UNSUPPORTED
        if any(raw is None or float(raw) in SENTINELS for raw in there):
            return None  # a sum without one of its parts would fall, and look like a reset
        return float(sum(there))

    def __str__(self) -> str:
        return f"field {self.id}"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of NVML; `pick` takes the value out of its answer."""

    function: str
    arguments: tuple[Any, ...] = ()
    factor: float = 1.0
    pick: Callable[[Any], float | None] = float
    keys: tuple[FieldKey, ...] = ()

    def value(self, snapshot: Snapshot) -> Value:
        answer = snapshot.call(self.function, *self.arguments)
        if answer is None or isinstance(answer, Missing):
            return answer
        return _scaled(self.pick(answer), self.factor)

    def __str__(self) -> str:
        return self.function


@dataclass(frozen=True, slots=True)
class Derived:
    """A value worked out from others of the same pass."""

    name: str
    work_out: Callable[[Snapshot], Value]
    keys: tuple[FieldKey, ...] = ()

    def value(self, snapshot: Snapshot) -> Value:
        return self.work_out(snapshot)

    def __str__(self) -> str:
        return self.name


Origin = Field | LinkSum | Call | Derived


@dataclass(frozen=True, slots=True)
class Sample:
    """One series, or with `spread` a set of series, of a metric: the first origin that has it gives it."""

    labels: tuple[str, ...]
    origins: tuple[Origin, ...]
    spread: Callable[[float, Snapshot], Rows] | None = None
    """Turns one raw value (a bit mask, an enum) into labelled rows."""
    optional: bool = False
    """Its absence is nothing worth telling (a link that this model does not have)."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A row of the table: one metric and where its samples come from."""

    metric: Metric
    lane: Lane
    samples: tuple[Sample, ...]

    def fields(self) -> Iterator[FieldKey]:
        """Fields that this row needs."""
        for sample in self.samples:
            for origin in sample.origins:
                yield from origin.keys


def sample(*parts: str | Origin, optional: bool = False) -> Sample:
    """Label values first, then the origins in order of preference."""
    labels = tuple(part for part in parts if isinstance(part, str))
    origins = tuple(part for part in parts if not isinstance(part, str))
    return Sample(labels, origins, optional=optional)


def spread(origin: Origin, rows: Callable[[float, Snapshot], Rows], *fallbacks: Origin) -> Sample:
    """One value that becomes several series."""
    return Sample((), (origin, *fallbacks), rows)
