"""Reading profiles from YAML, strictly: what is wrong is said in one line, with file, line and field."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from exporters.facility.modbus.profile import BIT_FUNCTIONS, REGISTERS, Profile, Row
from exporters.facility.units import UNITS, Conversion, conversion
from gigawatch.catalogue import Kind, Metric, Origin, Unit, all_metrics
from gigawatch.config import Strict, load_file, read_mapping
from gigawatch.errors import FileError

Type = Literal["bit", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal["high-first", "low-first"]

_EMPTY_ALLOWED = ("side", "id", "sensor")
"""Labels that are empty unless a row says otherwise; the side comes from the inventory."""
_PREFIXES = {1: 2, 3: 4, 4: 3}
"""First digit of a number in the old notation, and the function code that reads it. Not 0xxxx for coils: YAML
takes 00010 for 8."""


class RowFile(Strict):
    """One row, as it is written."""

    address: int = Field(ge=0)
    metric: str
    labels: dict[str, str] = Field(default_factory=dict)
    function: Literal[1, 2, 3, 4] | None = None
    base: Literal[0, 1, "notation"] | None = None
    type: Type | None = None
    bit: int | None = Field(None, ge=0, le=15)
    word_order: Order | None = None
    byte_order: Order | None = None
    divisor: float = Field(1.0, gt=0, allow_inf_nan=False)
    unit: str | None = None
    range: tuple[float, float] | None = None
    absent: list[int] = Field(default_factory=list)
    states: dict[int, str] = Field(default_factory=dict)
    values: dict[int, Literal[0, 1]] = Field(default_factory=dict)


class Defaults(Strict):
    """What rows have that do not say otherwise."""

    function: Literal[1, 2, 3, 4] | None = None
    base: Literal[0, 1, "notation"] = 0
    type: Type | None = None
    word_order: Order = "high-first"
    byte_order: Order = "high-first"
    absent: list[int] = Field(default_factory=list)


class ProfileFile(Strict):
    """A profile, as it is written."""

    vendor: str
    model: str
    source: str
    """Where the map comes from: maker's document and table."""
    unverified: str = ""
    """What nobody has yet seen on a real device."""
    registers: int = Field(125, ge=1, le=125)
    gap: int = Field(8, ge=0, le=124)
    pause: float = Field(0.0, ge=0, le=5, allow_inf_nan=False)
    defaults: Defaults = Field(default_factory=Defaults)
    rows: list[RowFile] = Field(min_length=1, max_length=2000)


def load_profile(path: Path) -> Profile:
    """The profile of a file. Raises FileError with one line."""
    file = load_file(path, ProfileFile)
    _, lines = read_mapping(path)
    rows: list[Row] = []
    taken: dict[tuple[str, tuple[str, ...]], int] = {}
    for index, row in enumerate(file.rows):
        try:
            made = _row(row, file.defaults)
            where = (made.metric.key, made.labels)
            if not made.is_state and where in taken:
                raise _Wrong(
                    "metric", f"is the same series as rows[{taken[where]}]", "tell them apart by labels"
                )
            taken.setdefault(where, index)
        except _Wrong as wrong:
            line = lines.get(("rows", index, wrong.field)) or lines.get(("rows", index))
            raise FileError(
                path, f"rows[{index}].{wrong.field}", wrong.problem, wrong.allowed, line
            ) from None
        rows.append(made)
    return Profile(path.stem, file.vendor, file.model, tuple(rows), file.registers, file.gap, file.pause)


class _Wrong(Exception):  # noqa: N818 - never leaves this file
    def __init__(self, field: str, problem: str, allowed: str) -> None:
        super().__init__(problem)
        self.field, self.problem, self.allowed = field, problem, allowed


def _row(row: RowFile, defaults: Defaults) -> Row:
    metric = _metric(row)
    function, address = _address(row, defaults)
    kind = _type(row, defaults, function)
    labels, side = _labels(row, metric)
    width = REGISTERS.get(kind, 1)
    if address + width > 0x10000:
        raise _Wrong(
            "address", f"is {row.address}", "the last register of a device is 65535 (counted from 0)"
        )
    if kind == "bit" and function not in BIT_FUNCTIONS and row.bit is None:
        raise _Wrong("bit", "is missing", "which bit of the register, 0 (lowest) to 15")
    if row.bit is not None and (kind != "bit" or function in BIT_FUNCTIONS):
        raise _Wrong("bit", f"is {row.bit}", "only with type bit and function 3 or 4")
    factor, offset, low, high = _scale(row, metric, kind)
    return Row(
        function,
        address,
        kind,
        metric,
        labels,
        side,
        factor,
        offset,
        low,
        high,
        (row.word_order or defaults.word_order) == "low-first",
        (row.byte_order or defaults.byte_order) == "low-first",
        row.bit or 0,
        _absent(row, defaults, width),
        MappingProxyType(_states(row, metric, kind)),
        MappingProxyType(_values(row, metric)),
    )


@cache
def _metrics() -> dict[str, Metric]:
    """What a device may say, by key: the poller's own metrics are not among them."""
    return {
        m.key: m
        for m in all_metrics()
        if m.origin is Origin.FACILITY
        and m.kind in (Kind.GAUGE, Kind.COUNTER, Kind.STATE_SET)
        and not m.key.startswith("poll_")
    }


def _metric(row: RowFile) -> Metric:
    found = _metrics().get(row.metric)
    if found is None:
        raise _Wrong(
            "metric",
            f"is {row.metric!r}",
            f"a facility metric without its prefix: {', '.join(sorted(_metrics()))}",
        )
    return found


def _address(row: RowFile, defaults: Defaults) -> tuple[int, int]:
    base = defaults.base if row.base is None else row.base
    if base != "notation":
        function = row.function or defaults.function
        if function is None:
            raise _Wrong(
                "function", "is missing", "1 coils, 2 discrete inputs, 3 holding or 4 input registers"
            )
        if row.address < base:
            raise _Wrong("address", f"is {row.address}", f"at least {base}, as base is {base}")
        return function, row.address - base
    digits = 5 if row.address < 100000 else 6
    first, number = divmod(row.address, 10 ** (digits - 1))
    if first not in _PREFIXES or not 1 <= number <= 0x10000:
        allowed = "1xxxx, 3xxxx or 4xxxx (or six digits) with base notation, counted from 1"
        raise _Wrong("address", f"is {row.address}", allowed)
    if row.function is not None and row.function != _PREFIXES[first]:
        raise _Wrong(
            "function", f"is {row.function}", f"{_PREFIXES[first]}, or leave it out: {first}xxxx says it"
        )
    return _PREFIXES[first], number - 1


def _type(row: RowFile, defaults: Defaults, function: int) -> str:
    if function in BIT_FUNCTIONS:
        if row.type not in (None, "bit"):
            raise _Wrong("type", f"is {row.type}", f"bit, as function {function} reads bits")
        return "bit"
    kind = row.type or ("bit" if row.bit is not None else defaults.type)
    if kind is None:
        raise _Wrong("type", "is missing", f"bit, {', '.join(REGISTERS)}")
    return kind


def _labels(row: RowFile, metric: Metric) -> tuple[tuple[str, ...], int]:
    names = metric.labels[:-1] if metric.kind is Kind.STATE_SET else metric.labels
    for name, value in row.labels.items():
        if name not in names:
            raise _Wrong("labels", f"has {name!r}", f"labels of {metric.key}: {', '.join(names) or 'none'}")
        if name in metric.values and value not in metric.values[name]:
            raise _Wrong("labels", f"has {name} {value!r}", f"one of {', '.join(metric.values[name])}")
    for name in names:
        if name not in row.labels and name not in _EMPTY_ALLOWED:
            few = f", one of {', '.join(metric.values[name])}" if name in metric.values else ""
            raise _Wrong("labels", f"lacks {name!r}", f"add it{few}")
    side = names.index("side") if "side" in names and "side" not in row.labels else -1
    return tuple(row.labels.get(name, "") for name in names), side


def _scale(row: RowFile, metric: Metric, kind: str) -> tuple[float, float, float, float]:
    if metric.kind is Kind.STATE_SET or row.values or (kind == "bit" and metric.unit is Unit.FLAG):
        for field in ("unit", "range"):
            if getattr(row, field) is not None:
                raise _Wrong(field, f"is {getattr(row, field)!r}", "nothing here: a state has none")
        return 1.0, 0.0, 0.0, 1.0
    if metric.unit is Unit.FLAG:
        raise _Wrong("values", "is missing", "numbers on the wire: 0 or 1, such as {0: 0, 1: 1}")
    if kind == "bit":
        raise _Wrong("type", "is bit", f"a number: {metric.key} is no flag and no state")
    found = conversion(row.unit or "", metric.unit)
    if found is None:
        known = ", ".join(name for name in UNITS.get(metric.unit, {}) if name) or "nothing"
        problem = "is missing" if row.unit is None else f"is {row.unit!r}"
        raise _Wrong("unit", problem, f"for {metric.key}: {known}")
    if row.range is None:
        raise _Wrong("range", "is missing", "lowest and highest plausible value in the unit, such as [0, 80]")
    low, high = sorted(_base(edge, found) for edge in row.range)
    if not row.range[0] < row.range[1] or not abs(row.range[0]) < 1e30 or not abs(row.range[1]) < 1e30:
        raise _Wrong("range", f"is {list(row.range)}", "the lowest first, both finite")
    slack = (high - low) * 1e-9  # what rounding makes of the edges themselves
    return found.factor / row.divisor, found.offset, low - slack, high + slack


def _base(value: float, unit: Conversion) -> float:
    return value * unit.factor + unit.offset


def _absent(row: RowFile, defaults: Defaults, width: int) -> frozenset[int]:
    size = 16 * width
    for value in row.absent:
        if not -(1 << (size - 1)) <= value < 1 << size:
            raise _Wrong("absent", f"has {value:#x}", f"what {size} bits hold, such as {(1 << size) - 1:#x}")
    wanted = row.absent if "absent" in row.model_fields_set else defaults.absent
    return frozenset(value & ((1 << size) - 1) for value in wanted if value < 1 << size)


def _states(row: RowFile, metric: Metric, kind: str) -> dict[int, str]:
    if metric.kind is not Kind.STATE_SET:
        if row.states:
            raise _Wrong("states", "is given", f"nothing here: {metric.key} has no states")
        return {}
    allowed = metric.values[metric.state_label]
    if not row.states or kind.startswith("float"):
        raise _Wrong(
            "states",
            "is missing" if not row.states else "cannot be of a float",
            f"number: one of {', '.join(allowed)}",
        )
    for value, state in row.states.items():
        if state not in allowed:
            raise _Wrong("states", f"has {value}: {state!r}", f"one of {', '.join(allowed)}")
    return dict(row.states)


def _values(row: RowFile, metric: Metric) -> dict[int, float]:
    if row.values and metric.unit is not Unit.FLAG:
        raise _Wrong("values", "is given", f"nothing here: {metric.key} is no flag")
    return {value: float(flag) for value, flag in row.values.items()}
