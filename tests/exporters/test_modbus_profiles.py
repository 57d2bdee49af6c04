"""Profiles: every one we ship, what is refused in a file, types and orders of all kinds, blocks."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from facility_wiring import wired
from hypothesis import assume, given
from hypothesis import strategies as st

from exporters.facility.driver import Polled, PollError, Reason
from exporters.facility.modbus import make
from exporters.facility.modbus.decode import Decoder, number, pattern
from exporters.facility.modbus.driver import BUILT_IN, address
from exporters.facility.modbus.files import load_profile
from exporters.facility.modbus.link import fault_of
from exporters.facility.modbus.profile import MAXIMUM, REGISTERS, Row, blocks, split
from exporters.facility.units import UNITS, conversion
from exporters.runtime.gate import allowed_range
from gigawatch.catalogue import Unit, facility
from gigawatch.errors import FileError

CAPACITY = "address: 0, metric: cooling_capacity_watts, unit: kW, function: 3"
HEAD = "{vendor: V, model: M, source: S, rows: ["


def written(tmp_path: Path, text: str) -> Path:
    """A file with this in it."""
    path = tmp_path / "some-model.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_we_ship_loads_and_asks_within_the_protocol(path: Path) -> None:
    profile = load_profile(path)
    for block in blocks(profile.rows, profile.registers, profile.gap):
        assert 0 < block.count <= MAXIMUM[block.function]
    for row in profile.rows:
        if not row.is_state:
            low, high = allowed_range(row.metric)
            assert max(low, row.low) < min(high, row.high), "nothing would pass the gate"


@pytest.mark.parametrize(
    ("row", "field", "said"),
    [
        ("address: 0, metric: colour", "metric", "facility metric"),
        ("address: 0, metric: poll_up, function: 3, type: int16", "metric", "facility metric"),
        (
            "address: 0, metric: cooling_capacity_watts, unit: kW, type: int16, range: [0, 1]",
            "function",
            "1 coils",
        ),
        (
            "address: 0, metric: cooling_capacity_watts, unit: kW, function: 3, range: [0, 1]",
            "type",
            "float32",
        ),
        (
            "address: 0, metric: cooling_capacity_watts, unit: kPa, function: 3, type: int16, range: [0, 1]",
            "unit",
            "kW",
        ),
        ("address: 0, metric: cooling_capacity_watts, unit: kW, function: 3, type: int16", "range", "lowest"),
        (
            "address: 0, metric: cooling_capacity_watts, unit: kW, function: 3, type: int16, range: [2, 1]",
            "range",
            "first",
        ),
        (
            "address: 0, metric: cooling_capacity_watts, unit: kW, function: 2, range: [0, 1]",
            "type",
            "number",
        ),
        ("address: 0, metric: pump_running, labels: {pump: a}, function: 3, type: bit", "bit", "lowest"),
        ("address: 0, metric: pump_running, labels: {pump: a}, function: 2, bit: 1", "bit", "only"),
        ("address: 0, metric: pump_running, labels: {pump: a}, function: 3, type: int16", "values", "0 or 1"),
        ("address: 0, metric: pump_running, function: 2", "labels", "add it"),
        ("address: 0, metric: pump_running, labels: {pump: a, x: b}, function: 2", "labels", "pump"),
        ("address: 0, metric: leak_state, labels: {zone: a}, function: 2", "states", "dry"),
        ("address: 0, metric: leak_state, labels: {zone: a}, function: 2, states: {0: wet}", "states", "dry"),
        (
            "address: 0, metric: heat_removed_watts, labels: {circuit: x}, function: 3, type: int16",
            "labels",
            "fws",
        ),
        (
            "address: 0, base: 1, metric: pump_running, labels: {pump: a}, function: 2",
            "address",
            "at least 1",
        ),
        (
            f"{CAPACITY}, type: int32, range: [0, 1]".replace("address: 0", "address: 65535"),
            "address",
            "65535",
        ),
        ("address: 20001, base: notation, metric: pump_running, labels: {pump: a}", "address", "3xxxx"),
        (
            "address: 30001, base: notation, function: 3, metric: pump_running, labels: {pump: a}",
            "function",
            "4",
        ),
        (
            f"{CAPACITY}, type: int16, range: [0, 1], absent: [65536]",
            "absent",
            "16 bits",
        ),
        ("address: 0, metric: pump_running, labels: {pump: a}, function: 5", "function", "allowed"),
        (
            "address: 0, metric: pump_running, labels: {pump: a}, function: 2, colour: red",
            "colour",
            "known here",
        ),
        ("address: -1, metric: pump_running, labels: {pump: a}, function: 2", "address", "greater"),
    ],
)
def test_a_wrong_row_is_told_in_one_line(tmp_path: Path, row: str, field: str, said: str) -> None:
    with pytest.raises(FileError) as caught:
        load_profile(written(tmp_path, f"vendor: V\nmodel: M\nsource: S\nrows:\n  - {{{row}}}\n"))
    text = str(caught.value)
    assert "\n" not in text
    assert f"some-model.yaml:5: rows[0].{field}:" in text
    assert said in text


def test_two_rows_are_not_one_series(tmp_path: Path) -> None:
    row = "{address: 0, function: 2, metric: pump_running, labels: {pump: a}}"
    with pytest.raises(FileError, match=r"rows\[1\].metric: is the same series as rows\[0\]"):
        load_profile(written(tmp_path, f"{HEAD}{row}, {row}]}}"))


def test_the_sites_own_profile_stands_before_ours(tmp_path: Path) -> None:
    text = (BUILT_IN / "example.yaml").read_text().replace("vendor: Maker", "vendor: Us")
    (tmp_path / "example.yaml").write_text(text)
    own = {"modbus_profiles": str(tmp_path)}
    make(wired("modbus", "h", profile="example", options=own))
    (tmp_path / "example.yaml").write_text("{")
    with pytest.raises(FileError, match=r"example\.yaml"):
        make(wired("modbus", "h", profile="example", options=own))
    make(wired("modbus", "h", profile="example"))


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ({"profile": "gigawat-cdu"}, "did you mean gigawatch-cdu"),
        ({"profile": ""}, "there are: "),
        ({"profile": "example", "unit": 256}, "0 to 255"),
        ({"profile": "example", "address": "h:0"}, "HOST"),
        ({"profile": "example", "address": ":502"}, "HOST"),
    ],
)
def test_an_endpoint_that_cannot_be(endpoint: dict[str, object], said: str) -> None:
    with pytest.raises(PollError, match=said) as caught:
        make(wired("modbus", str(endpoint.pop("address", "h")), **endpoint))
    assert caught.value.reason is Reason.PROFILE


def test_addresses() -> None:
    assert address("cdu.example") == ("cdu.example", 502)
    assert address("10.0.0.7:1502") == ("10.0.0.7", 1502)
    assert address("[fd00::7]:1502") == ("fd00::7", 1502)
    assert address("fd00::7") == ("fd00::7", 502)


FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


@given(kind=st.sampled_from(sorted(FORMATS)), words=st.booleans(), low_bytes=st.booleans(), data=st.data())
def test_every_type_in_every_order(kind: str, words: bool, low_bytes: bool, data: st.DataObject) -> None:
    size = REGISTERS[kind] * 16
    if kind.startswith("float"):
        value: float = data.draw(
            st.floats(width=64 if size == 64 else 32, allow_nan=False, allow_infinity=False)
        )
        assume(value == 0 or abs(value) > 1e-30)
    else:
        low = -(1 << size - 1) if kind.startswith("int") else 0
        value = data.draw(st.integers(low, low + (1 << size) - 1))
    registers = list(struct.unpack(f">{size // 16}H", struct.pack(">" + FORMATS[kind], value)))
    if words:
        registers.reverse()
    if low_bytes:
        registers = [word >> 8 | (word & 0xFF) << 8 for word in registers]
    row = Row(4, 0, kind, facility.COOLING_CAPACITY, (), -1, low_word_first=words, low_byte_first=low_bytes)
    assert number(row, pattern(row, registers)) == pytest.approx(value, rel=1e-6)


@given(
    registers=st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4),
    kind=st.sampled_from(sorted(REGISTERS)),
)
def test_whatever_the_registers_nothing_absurd_comes_out(registers: list[int], kind: str) -> None:
    row = Row(4, 0, kind, facility.COOLING_CAPACITY, (), -1, 1000.0, 0.0, 0.0, 2e7, low_word_first=True)
    polled = Polled()
    block = blocks((row,), 125, 8)[0]
    decoder = Decoder("", polled)
    decoder.take(block, registers[: row.width])
    decoder.finish((row,))
    assert len(polled.readings) + sum(polled.dropped.values()) == 1
    for reading in polled.readings:
        assert math.isfinite(reading.value)
        assert 0 <= reading.value <= 2e7


ROW = st.tuples(st.sampled_from((1, 2, 3, 4)), st.integers(0, 600), st.sampled_from(sorted(REGISTERS)))
ROWS = st.lists(ROW, min_size=1, max_size=40)


@given(ROWS, st.integers(4, 125), st.integers(0, 40))
def test_blocks_hold_every_row_and_no_request_is_too_large(
    drawn: list[tuple[int, int, str]], registers: int, gap: int
) -> None:
    rows = tuple(
        Row(function, at, "bit" if function < 3 else kind, facility.COOLING_CAPACITY, (), -1)
        for function, at, kind in drawn
    )
    pending = list(blocks(rows, registers, gap))
    assert sorted(id(row) for block in pending for row in block.rows) == sorted(id(row) for row in rows)
    smallest = []
    while pending:  # and splitting loses none
        block = pending.pop()
        assert block.count <= (2000 if block.function < 3 else registers)
        for row in block.rows:
            assert row.function == block.function
            assert block.address <= row.address <= row.address + row.width <= block.address + block.count
        halves = split(block)
        if len(halves) > 1:
            pending += halves
        else:
            smallest.append(block)
    assert sum(len(block.rows) for block in smallest) == len(rows)


@given(st.binary(max_size=300), st.integers(0, 255), st.sampled_from((1, 2, 3, 4)), st.integers(1, 125))
def test_an_answer_passes_only_if_it_is_one(data: bytes, unit: int, function: int, count: int) -> None:
    if len(data) >= 9 and not fault_of(data, unit, function, count):
        assert data[6] == unit
        assert data[7] & 0x7F == function


@pytest.mark.parametrize(
    ("text", "base", "value", "expected"),
    [
        ("C", Unit.CELSIUS, 21.5, 21.5),
        ("°F", Unit.CELSIUS, 212, 100),
        ("K", Unit.CELSIUS, 273.15, 0),
        ("LPM", Unit.CUBIC_METERS_PER_SECOND, 60000, 1),
        ("L/min", Unit.CUBIC_METERS_PER_SECOND, 180.5, 180.5 / 60000),
        ("m³/h", Unit.CUBIC_METERS_PER_SECOND, 3600, 1),
        ("gpm", Unit.CUBIC_METERS_PER_SECOND, 1000, 0.0630902),
        ("kPa", Unit.PASCALS, 1.5, 1500),
        ("PSI", Unit.PASCALS, 1, 6894.757),
        ("bar", Unit.PASCALS, 2, 2e5),
        ("kWh", Unit.JOULES, 1, 3.6e6),
        ("MWH", Unit.JOULES, 1, 3.6e9),
        ("Wh", Unit.JOULES, 1, 3600),
        ("kVA", Unit.VOLTAMPERES, 1, 1000),
        ("%", Unit.RATIO, 61.5, 0.615),
        ("RPM", Unit.RPM, 2900, 2900),
        ("µS/cm", Unit.SIEMENS_PER_METER, 1, 1e-4),
        ("min", Unit.SECONDS, 18, 1080),
    ],
)
def test_units(text: str, base: Unit, value: float, expected: float) -> None:
    found = conversion(text, base)
    assert found is not None
    assert value * found.factor + found.offset == pytest.approx(expected, abs=1e-9, rel=1e-6)


def test_units_that_are_none_or_could_be_two() -> None:
    assert conversion("mw", Unit.WATTS) is None
    assert conversion("kPa", Unit.WATTS) is None
    assert conversion("furlong", Unit.PASCALS) is None
    for base, names in UNITS.items():
        for name in names:
            assert conversion(name, base) == names[name]
