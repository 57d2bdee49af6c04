"""The words in which the table of bindings is written: how a metric's samples come from NVML."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from exporters.gpu.nvml import FieldKey, Handle, Missing, Nvml
from exporters.runtime import SourceError
from exporters.runtime.gate import SENTINELS
from gigawatch.catalogue import Metric

Value = float | Missing | None
Rows = Iterable[tuple[tuple[str, ...], float]]
Pick = Callable[[Any], Any]
"""Takes a number out of an answer; None if there is none now, Missing if there never is."""


class Lane(StrEnum):
    """How often a metric is read."""

    FAST = "fast"
    SLOW = "slow"


class Part(StrEnum):
    """What a GPU has several of; how many is found out once per GPU."""

    LINK = "link"
    FAN = "fan"


class Snapshot:
    """One pass over one GPU, for values that take more than one answer: no function is called twice."""

    def __init__(self, nvml: Nvml, handle: Handle, missing: dict[object, Missing], memo: dict[str, float]):
        self.nvml, self.handle, self.missing = nvml, handle, missing
        self.memo = memo
        """What a derived value remembers from one pass to the next."""
        self.troubles: list[SourceError] = []
        self._fields: Mapping[FieldKey, Any] = {}
        self._narrow: frozenset[FieldKey] = frozenset()
        self._calls: dict[tuple[Any, ...], Any] = {}

    def load(self, fields: Mapping[FieldKey, Any], narrow: frozenset[FieldKey]) -> None:
        """Take in what the batch said, and which of it came in 32 bits."""
        self._fields, self._narrow = fields, narrow

    def field(self, key: FieldKey) -> Any:
        """Raw value of a field, Missing, or None."""
        return self.missing[key] if key in self.missing else self._fields.get(key)

    def narrow(self, key: FieldKey) -> bool:
        """Whether the driver keeps this field in 32 bits."""
        return key in self._narrow

    def call(self, function: str, *arguments: Any) -> Any:
        """Answer of a function for this GPU, Missing, or None. What was Missing once is not called again."""
        key = (function, *arguments)
        if key in self.missing:
            return self.missing[key]
        if key not in self._calls:
            try:
                answer = self.nvml.call(function, self.handle, *arguments)
            except SourceError as error:
                self.trouble(error)
                answer = None
            if isinstance(answer, Missing):
                self.missing[key] = answer
            self._calls[key] = answer
        return self._calls[key]

    def ask(self, function: str, *arguments: Any) -> Any:
        """Answer of a function that is not about this GPU as a whole. It is called each time."""
        try:
            return self.nvml.call(function, *arguments)
        except SourceError as error:
            self.trouble(error)
            return None

    def trouble(self, error: SourceError) -> None:
        """Note what went wrong with one value; what concerns the GPU or the driver as a whole goes on up."""
        if type(error) is not SourceError:
            raise error
        self.troubles.append(error)


def scaled(raw: Any, factor: float) -> Value:
    """A raw answer in base units."""
    if raw is None or isinstance(raw, Missing):
        return raw
    value = float(raw)
    # A sentinel passes unscaled, so that the range gate knows and counts it.
    return value if value in SENTINELS else value * factor


@dataclass(frozen=True, slots=True)
class Field:
    """A field value of NVML (NVML_FI_*), times a factor into the base unit, or by way of `pick`."""

    id: int
    scope: int = 0
    factor: float = 1.0
    pick: Pick | None = None

    @property
    def key(self) -> object:
        """Under which its absence is remembered."""
        return (self.id, self.scope)

    @property
    def keys(self) -> tuple[FieldKey, ...]:
        """Fields that it needs."""
        return ((self.id, self.scope),)

    def value(self, snapshot: Snapshot) -> Value:
        raw = snapshot.field((self.id, self.scope))
        if self.pick is None or raw is None or isinstance(raw, Missing):
            return scaled(raw, self.factor)
        return scaled(self.pick(raw), 1.0)

    def __str__(self) -> str:
        return f"field {self.id}"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of NVML through its wrapper, for the slow lane; `pick` takes the value out of its answer."""

    function: str
    arguments: tuple[Any, ...] = ()
    factor: float = 1.0
    pick: Pick = float
    keys: tuple[FieldKey, ...] = ()

    @property
    def key(self) -> object:
        return (self.function, *self.arguments)

    def value(self, snapshot: Snapshot) -> Value:
        answer = snapshot.call(self.function, *self.arguments)
        if answer is None or isinstance(answer, Missing):
            return answer
        return scaled(self.pick(answer), self.factor)

    def __str__(self) -> str:
        return self.function


@dataclass(frozen=True, slots=True)
class Quick:
    """A function of NVML without a wrapper, for the fast lane: `symbol` is the library's own name for it.

    `answer` makes what the driver fills; pointers to it, at `offsets`, follow the arguments. Rows with the
    same symbol and arguments share one call.
    """

    symbol: str
    arguments: tuple[int, ...] = ()
    factor: float = 1.0
    answer: Callable[[], Any] = ctypes.c_uint
    pick: Pick = attrgetter("value")
    offsets: tuple[int, ...] = (0,)
    keys: tuple[FieldKey, ...] = ()

    @property
    def key(self) -> object:
        return (self.symbol, *self.arguments)

    def __str__(self) -> str:
        return self.symbol


@dataclass(frozen=True, slots=True)
class Derived:
    """A value worked out from others of the same pass."""

    name: str
    work_out: Callable[[Snapshot], Value]
    keys: tuple[FieldKey, ...] = ()

    @property
    def key(self) -> object:
        return self.name

    def value(self, snapshot: Snapshot) -> Value:
        return self.work_out(snapshot)

    def __str__(self) -> str:
        return self.name


Origin = Field | Call | Quick | Derived
Spread = Callable[[float, Snapshot], Rows]


@dataclass(frozen=True, slots=True)
class Sample:
    """One series, or with `spread` a set of series, of a metric: the first origin that has it gives it."""

    labels: tuple[str, ...]
    origins: tuple[Origin, ...]
    spread: Spread | None = None
    """Turns one raw value (a bit mask, an enum) into labelled rows; the same value always gives the same."""
    optional: bool = False
    """Its absence is nothing worth telling, as long as the metric has other samples."""


@dataclass(frozen=True, slots=True)
class Family:
    """One sample for each of a GPU's parts; `total` in place of all where only their sum is to be had.

    The two never stand side by side, so that a sum over the series counts nothing twice.
    """

    part: Part
    each: Callable[[int], Sample]
    total: Sample | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """A row of the table: one metric and where its samples come from."""

    metric: Metric
    lane: Lane
    samples: tuple[Sample | Family, ...]
    instead_of: Metric | None = None
    """Read only where the GPU does not offer this other metric."""
    quiet: bool = False
    """A GPU without it is not worth a line in the capability info."""


def sample(*parts: str | Origin, optional: bool = False) -> Sample:
    """Label values first, then the origins in order of preference."""
    labels = tuple(part for part in parts if isinstance(part, str))
    origins = tuple(part for part in parts if not isinstance(part, str))
    return Sample(labels, origins, optional=optional)


def spread(origin: Origin, rows: Spread, *fallbacks: Origin) -> Sample:
    """One value that becomes several series."""
    return Sample((), (origin, *fallbacks), rows)


def per_link(each: Callable[[int], Sample], total: Sample | None = None) -> Family:
    """A sample for each NVLink."""
    return Family(Part.LINK, each, total)
