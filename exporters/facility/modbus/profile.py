"""What a data profile says of one model: which registers it has and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gigawatch.catalogue import Kind, Metric

COILS, DISCRETE, HOLDING, INPUT = 1, 2, 3, 4
"""Function codes that read."""
BIT_FUNCTIONS = (COILS, DISCRETE)
MAXIMUM = {COILS: 2000, DISCRETE: 2000, HOLDING: 125, INPUT: 125}
"""How much one request may ask for, by function code (Modbus application protocol 1.1b3)."""

REGISTERS = {
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "int64": 4,
    "uint64": 4,
    "float32": 2,
    "float64": 4,
}
"""Registers that a value of a type takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One value of a device."""

    function: int
    address: int
    """As it goes over the wire: from 0."""
    type: str
    """A key of REGISTERS, or bit."""
    metric: Metric
    labels: tuple[str, ...]
    """In the order of the metric; a state set's without the state."""
    side: int
    """Where in `labels` the device's side belongs; -1: nowhere."""
    factor: float = 1.0
    """Base unit = value x factor + offset."""
    offset: float = 0.0
    low: float = 0.0
    high: float = 0.0
    """What is plausible, in the base unit."""
    low_word_first: bool = False
    low_byte_first: bool = False
    bit: int = 0
    """type bit in a register: which, 0 is the lowest."""
    absent: frozenset[int] = frozenset()
    """Bit patterns of all its registers that stand for no value."""
    states: Mapping[int, str] = field(default_factory=dict)
    """State sets: value on the wire to state."""
    values: Mapping[int, float] = field(default_factory=dict)
    """Flags: value on the wire to 0 or 1."""

    @property
    def width(self) -> int:
        """Registers, or bits where the function reads bits."""
        return REGISTERS.get(self.type, 1)

    @property
    def is_state(self) -> bool:
        return self.metric.kind is Kind.STATE_SET


@dataclass(frozen=True, slots=True)
class Profile:
    """All that is known of a model."""

    name: str
    vendor: str
    model: str
    rows: tuple[Row, ...]
    registers: int = 125
    """Most registers that one request may ask for."""
    gap: int = 8
    """Registers that nobody wants, read along rather than asking twice."""
    pause: float = 0.0
    """Seconds that the device wants between requests."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows that one request brings."""

    function: int
    address: int
    count: int
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        kind = {COILS: "coils", DISCRETE: "discrete inputs", HOLDING: "holding registers"}
        name = kind.get(self.function, "input registers")
        return f"{name} {self.address} to {self.address + self.count - 1}"


def blocks(rows: tuple[Row, ...], registers: int, gap: int) -> tuple[Block, ...]:
    """As few requests as bring all rows: what is no further apart than `gap` goes together."""
    found: list[list[Row]] = []
    end = 0
    for row in sorted(rows, key=lambda row: (row.function, row.address, row.width)):
        bits = row.function in BIT_FUNCTIONS
        largest = MAXIMUM[row.function] if bits else min(registers, MAXIMUM[row.function])
        near = gap * 16 if bits else gap
        if found and (last := found[-1][0]).function == row.function:
            after = max(end, row.address + row.width)
            if row.address - end <= near and after - last.address <= largest:
                found[-1].append(row)
                end = after
                continue
        found.append([row])
        end = row.address + row.width
    return tuple(_block(tuple(group)) for group in found)


def split(block: Block) -> tuple[Block, ...]:
    """Its two halves, cut where most registers lie between; alone if it cannot be cut."""
    rows = sorted(block.rows, key=lambda row: (row.address, row.width))
    cuts = []
    end = rows[0].address + rows[0].width
    for place, row in enumerate(rows[1:], 1):
        if row.address >= end:
            cuts.append((row.address - end, -abs(2 * place - len(rows)), place))
        end = max(end, row.address + row.width)
    if not cuts:
        return (block,)
    place = max(cuts)[2]
    return _block(tuple(rows[:place])), _block(tuple(rows[place:]))


def _block(rows: tuple[Row, ...]) -> Block:
    start = min(row.address for row in rows)
    return Block(rows[0].function, start, max(row.address + row.width for row in rows) - start, rows)
