"""Polls of a real Modbus server: values, units behind a gateway, refusals, rubbish, silence."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from facility_wiring import device, values, wired
from modbus_peers import ModbusPeer, RawPeer, Unit, floats, words
from pymodbus.constants import ExcCodes

from exporters.facility.driver import Polled, PollError, Reason
from exporters.facility.modbus import make
from exporters.runtime.gate import Gate
from gigawatch.topology import Role

FIXTURES = Path(__file__).parent / "modbus"


@pytest.fixture(scope="module")
def gateway() -> Iterator[ModbusPeer]:
    """Two coolant units, and a device that may be any, behind one gateway."""
    peer = ModbusPeer({1: Unit(), 2: Unit(), 3: Unit()})
    for number in (1, 2):
        a_cdu(peer.units[number])
    yield peer
    peer.stop()


@pytest.fixture
def raw() -> Iterator[RawPeer]:
    """A server that answers with bytes."""
    peer = RawPeer()
    yield peer
    peer.stop()


def a_cdu(unit: Unit) -> None:
    """A coolant unit at work."""
    unit.put(
        4, 0, floats(32.1, 41.9, 20.0, 28.5, 180.5, 200.0, 145.0, 120.7, 1300.0, 32.0, 61.5, 0.0, 88.0, 4.2)
    )
    unit.put(4, 28, words(19_516_000, 4))
    unit.put(4, 32, floats(310.0, 165.0))
    unit.discrete.update({0: 1, 1: 0, 2: 0, 3: 0})
    unit.illegal.clear()
    unit.refuses = None


async def polled(*args: Any, **more: Any) -> Polled:
    """One poll by a driver of its own."""
    driver = make(wired("modbus", *args, **more))
    try:
        return await driver.poll()
    finally:
        await driver.close()


def refused(work: Coroutine[Any, Any, Any]) -> PollError:
    """What the poll raises."""
    with pytest.raises(PollError) as caught:
        asyncio.run(work)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_coolant_unit_in_base_units(gateway: ModbusPeer) -> None:
    found = asyncio.run(polled(gateway.address, profile="gigawatch-cdu"))
    told = values(found.readings)
    assert told["coolant_supply_temperature_celsius{circuit=tcs}"] == 32.1
    assert told["coolant_return_temperature_celsius{circuit=fws}"] == 28.5
    assert told["coolant_flow_cubic_meters_per_second{circuit=tcs}"] == pytest.approx(180.5 / 60000)
    assert told["coolant_differential_pressure_pascals{circuit=tcs}"] == 145_000
    assert told["heat_removed_watts{circuit=tcs}"] == pytest.approx(120_700)
    assert told["cooling_capacity_watts"] == 1.3e6
    assert told["pump_speed_ratio{pump=p1}"] == pytest.approx(0.615)
    assert told["pump_running{pump=p1}"] == 1
    assert told["pump_running{pump=p2}"] == 0
    assert told["energy_joules_total{scope=inlet}"] == pytest.approx(19_516_000 * 3600)
    assert told["coolant_pressure_pascals{circuit=tcs,point=return}"] == 165_000
    assert told["leak_state{zone=cdu,state=dry}"] == 1
    assert told["leak_state{zone=cdu,state=leak}"] == 0
    assert found.dropped == {}
    assert found.identity[:2] == ("gigawatch-cdu", "Gigawatch")
    assert len(told) == 23  # nothing else is made up


def test_the_side_of_a_power_device_comes_from_the_inventory(gateway: ModbusPeer) -> None:
    meter = device("meter-b", Role.METER, side="B")
    found = values(asyncio.run(polled(gateway.address, meter, profile="gigawatch-cdu")).readings)
    assert found["power_active_watts{side=B,scope=inlet}"] == pytest.approx(4200)


@pytest.mark.parametrize(
    ("leak", "fault", "state"), [(1, 0, "leak"), (1, 1, "leak"), (0, 1, "fault"), (0, 0, "dry")]
)
def test_leak_and_its_sensor_make_one_state(gateway: ModbusPeer, leak: int, fault: int, state: str) -> None:
    gateway.units[1].discrete.update({2: leak, 3: fault})
    found = values(asyncio.run(polled(gateway.address, profile="gigawatch-cdu")).readings)
    a_cdu(gateway.units[1])
    assert [key for key, value in found.items() if key.startswith("leak_state") and value] == [
        f"leak_state{{zone=cdu,state={state}}}"
    ]


def test_absent_and_impossible_values_are_dropped_and_counted(gateway: ModbusPeer) -> None:
    gateway.units[1].put(4, 24, floats(math.nan, 1e30))
    gateway.units[1].put(4, 28, words(0xFFFFFFFFFFFFFFFF, 4))
    found = asyncio.run(polled(gateway.address, profile="gigawatch-cdu"))
    a_cdu(gateway.units[1])
    assert found.dropped == {"sentinel": 2, "range": 1}
    told = values(found.readings)
    assert not [key for key in told if key.startswith(("reservoir", "power_active", "energy"))]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recording_by_its_profile(gateway: ModbusPeer, path: Path) -> None:
    told = yaml.safe_load(path.read_text())
    unit = gateway.units[3]
    unit.only(**{kind: told.get(kind, {}) for kind in ("input", "holding", "discrete", "coils")})
    found = asyncio.run(polled(gateway.address, profile=told["profile"], unit=3))
    assert values(found.readings) == {key: pytest.approx(value) for key, value in told["expected"].items()}
    assert found.dropped == told.get("dropped", {})
    assert Gate().sift(found.readings) == found.readings


def test_units_behind_a_gateway_share_one_connection(gateway: ModbusPeer) -> None:
    async def both() -> list[Polled]:
        shared: dict[str, object] = {}
        drivers = [
            make(wired("modbus", gateway.address, shared=shared, profile="gigawatch-cdu", unit=unit))
            for unit in (1, 2)
        ]
        before = gateway.connections
        found = [*await asyncio.gather(*(driver.poll() for driver in drivers))]
        await drivers[0].close()
        found.append(await drivers[1].poll())  # the other one's leaving costs nothing
        assert gateway.connections - before == 1
        await drivers[1].close()
        await drivers[1].close()
        assert len(asyncio.all_tasks()) == 1  # nobody goes on behind our back
        return found

    gateway.units[2].put(4, 0, floats(44.0))
    told = [values(found.readings) for found in asyncio.run(both())]
    a_cdu(gateway.units[2])
    key = "coolant_supply_temperature_celsius{circuit=tcs}"
    assert [found[key] for found in told] == [32.1, 44.0, 44.0]


def test_a_block_that_is_refused_costs_only_what_is_not_there(gateway: ModbusPeer) -> None:
    now = [1000.0]

    async def three() -> tuple[Polled, Polled, int, Polled]:
        driver = make(wired("modbus", gateway.address, profile="gigawatch-cdu", clock=lambda: now[0]))
        first = await driver.poll()
        gateway.units[1].asked.clear()
        second = await driver.poll()
        asked = len(gateway.units[1].asked)
        a_cdu(gateway.units[1])
        now[0] += 601
        third = await driver.poll()
        await driver.close()
        return first, second, asked, third

    gateway.units[1].illegal |= {(4, at) for at in range(8, 12)}  # both flows
    first, second, asked, third = asyncio.run(three())
    for found in (first, second):
        told = values(found.readings)
        assert not [key for key in told if "flow" in key]
        assert told["heat_removed_watts{circuit=tcs}"] == pytest.approx(120_700)
        assert told["leak_state{zone=cdu,state=dry}"] == 1
        assert found.dropped == {"error": 2}
    assert asked <= 8  # it is not looked for in every poll
    assert third.dropped == {}
    assert len(third.readings) == 23


def test_a_device_that_refuses_everything(gateway: ModbusPeer) -> None:
    gateway.units[1].refuses = ExcCodes.DEVICE_BUSY
    error = refused(polled(gateway.address, profile="gigawatch-cdu"))
    gateway.units[1].refuses = ExcCodes.GATEWAY_NO_RESPONSE
    behind = refused(polled(gateway.address, profile="gigawatch-cdu"))
    a_cdu(gateway.units[1])
    assert (error.reason, behind.reason) == (Reason.PROTOCOL, Reason.PROTOCOL)
    assert "device busy" in str(error)
    assert "behind the gateway" in str(behind)


def test_a_connection_closed_while_idle_is_opened_again(gateway: ModbusPeer) -> None:
    async def twice() -> list[int]:
        driver = make(wired("modbus", gateway.address, profile="gigawatch-cdu"))
        counts = []
        for _ in range(2):
            counts.append(len((await driver.poll()).readings))
            await asyncio.to_thread(gateway.hang_up)
        await driver.close()
        return counts

    assert asyncio.run(twice()) == [23, 23]


def test_nothing_plausible_is_no_success(gateway: ModbusPeer) -> None:
    gateway.units[2].input = dict.fromkeys(range(40), 0x7FC0)  # NaN, in any order of words
    gateway.units[2].illegal |= {(2, at) for at in range(4)}
    gateway.units[2].put(4, 28, words(0xFFFFFFFFFFFFFFFF, 4))
    error = refused(polled(gateway.address, profile="gigawatch-cdu", unit=2))
    gateway.units[2].input = {}
    a_cdu(gateway.units[2])
    assert error.reason is Reason.EMPTY


def test_nobody_there() -> None:
    peer = RawPeer()
    address = peer.address
    peer.stop()
    assert refused(polled(address, profile="gigawatch-cdu")).reason is Reason.REFUSED
    error = refused(polled("no-such-host.invalid", profile="gigawatch-cdu"))
    assert error.reason is Reason.UNREACHABLE


def answer_to(request: bytes, data: bytes, function: int | None = None) -> bytes:
    """A frame that belongs to the request, with this after the function code."""
    body = bytes([request[6], request[7] if function is None else function]) + data
    return request[:4] + len(body).to_bytes(2, "big") + body


RUBBISH = {
    "http": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a flood": lambda _: b"\xff" * 5000,
    "another protocol": lambda r: r[:2] + b"\x00\x01\x00\x05" + r[6:8] + b"\x02\x00\x00",
    "another unit": lambda r: r[:2] + b"\x00\x00\x00\x04\x09" + r[7:8] + b"\x01\x00",
    "another function": lambda r: answer_to(r, b"\x02\x00\x01", 3 if r[7] == 2 else 6),
    "another request": lambda r: b"\x77\x77" + answer_to(r, b"\x01\x00")[2:],
    "too few registers": lambda r: answer_to(r, b"\x02\x00\x01"),
    "a count that lies": lambda r: answer_to(r, b"\x09" + bytes(1 if r[7] == 2 else 72)),
    "a frame of nothing": lambda r: r[:4] + b"\x00\x00",
    "its own request": lambda r: r,
    "more than the answer": lambda r: answer_to(r, b"\x01\x00" if r[7] == 2 else b"\x48" + bytes(72)) + b"!",
    "no word, but good bye": lambda _: b"",
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_is_one_error_at_once(raw: RawPeer, kind: str) -> None:
    raw.answer = RUBBISH[kind]
    assert refused(polled(raw.address, profile="gigawatch-cdu", deadline=60)).reason is Reason.MALFORMED


def test_a_device_that_hangs_or_stops_half_way(raw: RawPeer) -> None:
    for answer in (
        lambda _: None,
        lambda r: r[:2] + b"\x00\x00\x00",
        lambda r: answer_to(r, b"\x48" + bytes(72))[:40],
    ):
        raw.answer = answer  # type: ignore[assignment]  # what the lambdas take
        error = refused(polled(raw.address, profile="gigawatch-cdu", deadline=0.25))
        assert error.reason in (Reason.TIMEOUT, Reason.MALFORMED)


def test_a_poll_that_is_cancelled_leaves_a_usable_driver(raw: RawPeer, gateway: ModbusPeer) -> None:
    async def cancelled() -> None:
        shared: dict[str, object] = {}
        driver = make(wired("modbus", raw.address, shared=shared, profile="gigawatch-cdu"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(driver.poll(), 0.1)
        raw.answer = lambda _: b"rubbish!"
        with pytest.raises(PollError, match=r"Modbus|frame"):
            await driver.poll()
        await driver.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(cancelled())
