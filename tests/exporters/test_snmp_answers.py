"""Whatever an agent answers: readings that can be true, or one PollError. Nothing else, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snmp_peers import V3, answer_to, is_get, polled, recordings, run, scripted, snmpd, tlv, wiring

from exporters.facility.driver import Polled, PollError, Reason, Secret
from exporters.facility.snmp.address import parse_address
from exporters.facility.snmp.client import GufoClient, Key, Value
from exporters.facility.snmp.driver import SYS_OBJECT_ID, SnmpDriver
from exporters.facility.snmp.library import BUILT_IN
from exporters.facility.snmp.sound import UnsoundError, examine
from exporters.facility.snmp.values import LONGEST, UNKNOWN, number, text
from gigawatch.catalogue import Kind

NAMES = sorted(path.stem for path in BUILT_IN.glob("*.yaml"))
VALUES = (
    st.none()
    | st.integers(-(2**31), 2**64)
    | st.sampled_from([-1, 0, 1, 2, 3, 7, 8, 9, 10, *UNKNOWN])
    | st.floats()
    | st.binary(max_size=80)
    | st.sampled_from([b"12", b"12 A", b"1e9", b"nan", b"\xff\xfe", b"AA:L1-N", "1.3.6.1.4.1.13742.6", ""])
)


class Arbitrary:
    """An agent that has every column, with rows and values of any kind."""

    def __init__(self, draw: random.Random, values: Sequence[Value]) -> None:
        self._draw, self._values = draw, values

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        return {oid: self._draw.choice(self._values) for oid in oids if self._draw.random() < 0.9}

    async def walk(self, oid: str, limit: int) -> dict[Key, Value]:  # noqa: ARG002 - any column
        draw = self._draw
        keys = sorted({tuple(draw.choices((0, 1, 2, 5, 15), k=draw.randrange(5))) for _ in range(6)})
        return {key: self._draw.choice(self._values) for key in keys}

    def close(self) -> None:
        """Nothing to let go of."""


def check(answer: Polled) -> None:
    """Every reading fits the catalogue and is a number; nothing stands twice."""
    seen = set()
    for metric, labels, value, _ in answer.readings:
        assert math.isfinite(value)
        assert abs(value) < 1e30
        assert len(labels) == len(metric.labels)
        assert (metric, labels) not in seen
        seen.add((metric, labels))
        for name, label in zip(metric.labels, labels, strict=True):
            assert label.isprintable()
            assert len(label) <= LONGEST * 4
            if name in metric.values:
                assert label in metric.values[name]
        if metric.kind is Kind.STATE_SET:
            assert value in (0.0, 1.0)
    assert set(answer.dropped) <= {"sentinel", "quality", "no_number", "unit", "error"}
    assert all(count > 0 for count in answer.dropped.values())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.lists(VALUES, min_size=1, max_size=8), st.integers(0, 2**32))
def test_any_value_anywhere(profile: str, values: list[Value], seed: int) -> None:
    async def connect(*where: object) -> Arbitrary:
        return Arbitrary(random.Random(seed), values)

    async def story() -> list[PollError]:
        driver = SnmpDriver(wiring("127.0.0.1", profile=profile), connect=connect)
        failed = []
        for _ in range(3):
            try:
                check(await driver.poll())
            except PollError as error:
                failed.append(error)
        return failed

    for error in asyncio.run(story()):
        assert error.reason in (Reason.EMPTY, Reason.PROFILE)
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_only_numbers_are_numbers(raw: bytes) -> None:
    found = number(raw, "A")
    assert found is None or math.isfinite(found)
    shown = text(raw)
    assert len(shown) <= LONGEST
    assert shown.isprintable()


def test_numbers_in_text() -> None:
    assert number(b"16A", "A") == number(b" 16.0 A\0", "A") == number(b"+16", "A") == 16
    for bad in (b"", b"A", b"16B", b"16 A or 20 A", b"1e3", b"0x10", b"nan", b"inf", b"1" * 40):
        assert number(bad, "A") is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_not(data: bytes) -> None:
    with contextlib.suppress(UnsoundError):
        seen = examine(data)
        assert 0 <= seen.signature[0] <= seen.signature[1] <= len(data)


def mutations(seed: int) -> Callable[[bytes], bytes]:
    """Damages a datagram as a bad link, bad firmware or a bad person does."""
    draw = random.Random(seed)
    odd = (0, 1, 2, 4, 5, 6, 0x30, 0x40, 0x41, 0x44, 0x46, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA2, 0xFF)

    def damage(data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(draw.choice((0, 0, 0, 1, 1, 2, 4))):
            at = draw.randrange(len(out) or 1)
            match draw.randrange(4):
                case 0:
                    del out[at : at + draw.randrange(1, 6)]
                case 1:
                    out[at:at] = draw.randbytes(draw.randrange(1, 4))
                case _ if out:
                    out[at] = draw.choice((*odd, draw.randrange(256)))
        return bytes(out)

    return damage


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with snmpd() as address:
        yield address


@pytest.mark.parametrize("secret", [Secret(), V3], ids=["2c", "3"])
def test_damaged_answers_of_a_real_agent(
    daemon: str, secret: Secret, capfd: pytest.CaptureFixture[str]
) -> None:
    """No damage gets further than a PollError, and none makes the client library panic: it would say so."""
    damage = mutations(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(2)
        ours.connect(parse_address(daemon))

        def relay(question: bytes) -> list[bytes]:
            ours.send(question)
            return [damage(ours.recv(65535))]

        async def story(address: str) -> list[str]:
            told = []
            for _ in range(120):
                try:
                    client = await GufoClient.connect(*parse_address(address), secret, "public", 0.02)
                    try:
                        await client.get(
                            ["1.3.6.1.2.1.1.1.0", SYS_OBJECT_ID, "1.3.6.1.2.1.4.20.1.1.127.0.0.1"]
                        )
                        await client.walk("1.3.6.1.2.1.1.9.1.2", 100)
                        told.append("ok")
                    finally:
                        client.close()
                except PollError as error:
                    told.append(error.reason.value)
            return told

        with scripted(relay) as address:
            told = run(story(address))
    assert {"ok", "malformed"} <= set(told)
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0",
        b"\xff" * 1000,
        b"\0" * 4000,
        b"0\x82\x20\0" + bytes(8192),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["nothing", "zero", "ones", "zeros", "long", "http"],
)
def test_garbage_is_one_error(garbage: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with scripted(lambda _: [garbage]) as address, pytest.raises(PollError) as failed:
        run(polled(wiring(address)))
    assert failed.value.reason is Reason.MALFORMED
    assert "panicked" not in capfd.readouterr().err


COLUMN = "1.3.6.1.4.1.318.1.1.26.4.3.1.5"


def agent(rows: Callable[[int], list[str]]) -> Callable[[bytes], list[bytes]]:
    """An APC PDU by its own account, whose walks answer with these OIDs, request by request."""
    asked = [0]

    def answer(question: bytes) -> list[bytes]:
        if is_get(question):
            system = tlv(0x06, bytes.fromhex("2b06010401823e0103") + b"\x04\x06")
            return [answer_to(question, [(SYS_OBJECT_ID, system)])]
        asked[0] += 1
        return [answer_to(question, [(oid, b"\x02\x01\x01") for oid in rows(asked[0])])]

    return answer


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (lambda _: [f"{COLUMN}.1"], Reason.MALFORMED),
        (lambda n: [f"{COLUMN}.{5 - n % 3}"], Reason.MALFORMED),
        (lambda n: [f"{COLUMN}.{n}.{row}" for row in range(25)], Reason.TOO_LARGE),
    ],
    ids=["the same", "back again", "no end"],
)
def test_walk_that_would_never_end(rows: Callable[[int], list[str]], reason: Reason) -> None:
    with scripted(agent(rows)) as address, pytest.raises(PollError) as failed:
        run(polled(wiring(address, deadline=20.0)))
    assert failed.value.reason is reason


def test_late_and_foreign_answers_are_passed_over() -> None:
    """Answers to another question, before the right one, change nothing."""
    recorded = parse_address(recordings())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(5)
        ours.connect(recorded)
        before: list[bytes] = []

        def relay(question: bytes) -> list[bytes]:
            ours.send(question)
            right = ours.recv(65535)
            late = before[-1:]
            before.append(right)
            return [*late, right]

        with scripted(relay) as address:
            answer = run(polled(wiring(address, Secret(password="vertiv-power"))))
    assert [reading.value for reading in answer.readings] == [23.0, 0.42]
