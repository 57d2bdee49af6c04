"""The plant's servers as protocols have them, and under requests that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from gufo.snmp.aio import SnmpSession
from hypothesis import given, settings
from hypothesis import strategies as st
from plant_devices import PlantDevices

from gigawatch.serving import Request
from gigawatch.simulator.protocols import ber
from gigawatch.simulator.protocols.modbus import Gateway, Registers
from gigawatch.simulator.protocols.redfish import Service
from gigawatch.simulator.protocols.resources import builder_of
from gigawatch.simulator.protocols.snmp import Agent
from gigawatch.simulator.protocols.values import Values
from gigawatch.topology import blueprint

SITE = blueprint("starter")
NOW = 1.8e9
TABLE = tuple(
    ((1, 3, 6, 1, 4, 1, 9, column, row), ber.integer(row)) for column in (1, 2) for row in range(1, 9)
)
QUIET = settings(max_examples=300, deadline=None)


def a_device(name: str) -> Values | None:
    """Any device, without readings."""
    return Values(name, "A", NOW, []) if name != "dead" else None


def agent() -> Agent:
    return Agent({"one": lambda _: TABLE, "dead": lambda _: TABLE}, a_device)


def gateway() -> Gateway:
    held = Registers({0: 1, 1: 2}, {0: 3}, {0: True, 1: False, 2: True})
    return Gateway({1: ("one", lambda _: held), 2: ("dead", lambda _: held)}, a_device)


def question(kind: int, oid: ber.Oid, community: str = "one", second: int = 0, version: int = 1) -> bytes:
    """A datagram that asks for one object."""
    binding = ber.wrap(ber.SEQUENCE, ber.oid(oid) + b"\x05\x00")
    numbers = ber.integer(77) + ber.integer(0) + ber.integer(second)
    pdu = ber.wrap(kind, numbers + ber.wrap(ber.SEQUENCE, binding))
    return ber.wrap(ber.SEQUENCE, ber.integer(version) + ber.octets(community) + pdu)


# SNMP


def test_an_agent_answers_its_communities_and_nobody_else() -> None:
    asked = (1, 3, 6, 1, 4, 1, 9, 1, 3)
    assert agent().reply(question(0xA0, asked)) is not None
    assert agent().reply(question(0xA0, asked, "two")) is None
    assert agent().reply(question(0xA0, asked, "dead")) is None
    assert agent().reply(question(0xA0, asked, version=0)) is None, "version 1"
    refused = agent().reply(question(0xA3, asked))
    assert refused is not None
    assert ber.integer(17) + ber.integer(1) in refused, "a set is not writable"


def test_a_walk_meets_every_object_once_and_ends() -> None:
    oid: ber.Oid = (1, 3)
    seen = []
    for _ in range(len(TABLE) + 1):
        reply = agent().reply(question(0xA1, oid))
        assert reply is not None
        if reply.endswith(ber.END_OF_VIEW):
            break
        oid = next(known for known, value in TABLE if ber.oid(known) + value in reply)
        seen.append(oid)
    assert seen == [known for known, _ in TABLE]
    bulk = agent().reply(question(0xA5, (1, 3), second=100))
    assert bulk is not None
    assert all(ber.oid(known) + value in bulk for known, value in TABLE)
    assert bulk.count(ber.END_OF_VIEW) == 1


@QUIET
@given(st.binary(max_size=300))
def test_rubbish_is_not_answered(data: bytes) -> None:
    assert agent().reply(data) is None


@QUIET
@given(
    st.sampled_from((0xA0, 0xA1, 0xA3, 0xA5, 0xA7)),
    st.lists(st.integers(0, 2**32 - 1), min_size=0, max_size=20),
    st.integers(-(2**31), 2**31 - 1),
    st.data(),
)
def test_a_broken_question_harms_nobody(kind: int, arcs: list[int], second: int, data: st.DataObject) -> None:
    whole = bytearray(question(kind, (1, 3, *arcs), second=second))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reply = agent().reply(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert reply is None or len(reply) < 40_000


@given(st.integers(-(2**62), 2**62))
def test_integers_come_back(value: int) -> None:
    assert ber.integer_of(ber.expect(ber.INTEGER, ber.integer(value))[0]) == value


@given(st.tuples(st.integers(0, 2), st.integers(0, 39)), st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_object_identifiers_come_back(first: tuple[int, int], arcs: list[int]) -> None:
    assert ber.oid_of(ber.expect(ber.OID, ber.oid((*first, *arcs)))[0]) == (*first, *arcs)


# Modbus


def test_a_gateway_reads_what_is_there_and_refuses_the_rest() -> None:
    gate = gateway()
    assert gate.reply(1, bytes((3, 0, 0, 0, 2))) == bytes((3, 4, 0, 1, 0, 2))
    assert gate.reply(1, bytes((4, 0, 0, 0, 1))) == bytes((4, 2, 0, 3))
    assert gate.reply(1, bytes((2, 0, 0, 0, 3))) == bytes((2, 1, 0b101))
    assert gate.reply(1, bytes((3, 0, 1, 0, 2))) == bytes((0x83, 2)), "one register too far"
    assert gate.reply(1, bytes((3, 0, 0, 0, 126))) == bytes((0x83, 3)), "too many at once"
    assert gate.reply(1, bytes((6, 0, 0, 0, 1))) == bytes((0x86, 1)), "writing"
    assert gate.reply(2, bytes((3, 0, 0, 0, 1))) == bytes((0x83, 0x0B)), "a unit that does not answer"
    assert gate.reply(9, bytes((3, 0, 0, 0, 1))) == bytes((0x83, 0x0B)), "a unit that is not there"


@QUIET
@given(st.integers(0, 255), st.binary(min_size=1, max_size=260))
def test_any_request_has_an_answer(unit: int, request: bytes) -> None:
    answer = gateway().reply(unit, request)
    assert 2 <= len(answer) <= 253


# Redfish


@QUIET
@given(st.text(max_size=80), st.sampled_from(("", "Chassis/", "ThermalEquipment/CDUs/", "TelemetryService/")))
def test_any_path_has_an_answer(path: str, root: str) -> None:
    builders = {device.name: builder_of(device, SITE) for device in SITE.devices}
    asked = Request("GET", f"/redfish/v1/{root}{path}", {"$expand": [path]}, {}, b"")
    response = Service(builders, a_device).reply(asked)
    assert response.status in (200, 404)
    json.loads(response.body)


# All of them, on the wire


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantDevices]:
    devices = PlantDevices(SITE, tmp_path_factory.mktemp("devices"))
    yield devices
    devices.stop()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.removeprefix("http://").rpartition(":")
    return host, int(port)


def get(site: PlantDevices, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(site.addresses.redfish + path, timeout=10) as answer:
        return dict(json.load(answer))


def test_rubbish_on_the_wire_leaves_the_servers_at_work(site: PlantDevices) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        for size in (0, 1, 20, 1400, 60_000):
            udp.sendto(os.urandom(size), address(site.addresses.snmp))
    frames = (
        b"\x00", os.urandom(500), struct.pack(">HHHB", 1, 0, 6, 1) + b"\x03\x00",
        struct.pack(">HHHB", 1, 7, 6, 1) + bytes(5), struct.pack(">HHHB", 1, 0, 65535, 1),
        struct.pack(">HHHB", 1, 0, 0, 1),
    )  # fmt: skip
    for port in (site.addresses.modbus, site.addresses.redfish):
        for data in (*frames, b"GET\r\n\r\n", b"\x16\x03\x01" + os.urandom(90), b"GET /" + b"x" * 70_000):
            with socket.create_connection(address(port), 5) as tcp, contextlib.suppress(OSError):
                tcp.sendall(data)
                tcp.shutdown(socket.SHUT_WR)
                tcp.settimeout(5)
                tcp.recv(100)
    assert get(site, "/redfish/v1/")["RedfishVersion"]
    with socket.create_connection(address(site.addresses.modbus), 5) as tcp:
        tcp.sendall(struct.pack(">HHHB", 7, 0, 6, 1) + bytes((3, 0x0B, 0xF3, 0, 2)))
        assert tcp.recv(100)[:4] == struct.pack(">HH", 7, 0)

    async def charge() -> object:
        async with SnmpSession(
            addr="127.0.0.1", port=address(site.addresses.snmp)[1], community="ups-a"
        ) as asked:
            return await asked.get("1.3.6.1.2.1.33.1.2.4.0")

    assert asyncio.run(charge()) == 100


def test_expand_is_what_the_root_announces(site: PlantDevices) -> None:
    announced = get(site, "/redfish/v1/")["ProtocolFeaturesSupported"]["ExpandQuery"]
    assert announced["ExpandAll"]
    assert announced["MaxLevels"] == 1
    fans = "/redfish/v1/Chassis/r01-n01/ThermalSubsystem/Fans"
    plain, full = get(site, fans)["Members"], get(site, f"{fans}?$expand=.($levels=1)")["Members"]
    assert [list(member) for member in plain] == [["@odata.id"]] * 8
    assert [member["@odata.id"] for member in full] == [member["@odata.id"] for member in plain]
    assert all(member["SpeedPercent"]["Reading"] > 0 for member in full)


def test_every_link_leads_somewhere(site: PlantDevices) -> None:
    seen, ahead = set(), ["/redfish/v1/"]
    while ahead:
        path = ahead.pop()
        if path in seen:
            continue
        seen.add(path)
        ahead += [link for link in links(get(site, path)) if link not in seen]
    assert {f"/redfish/v1/Chassis/{node.name}" for node in SITE.nodes} <= seen
    assert len(seen) > 80


def links(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["@odata.id"]] if "@odata.id" in value else []
        return here + [link for inner in value.values() for link in links(inner)]
    return [link for inner in value for link in links(inner)] if isinstance(value, list) else []


def test_a_report_holds_what_the_resources_say(site: PlantDevices) -> None:
    report = get(site, "/redfish/v1/TelemetryService/MetricReports/cdu-1")
    assert len(report["MetricValues"]) > 20
    for row in report["MetricValues"]:
        path, _, pointer = row["MetricProperty"].partition("#")
        value: Any = get(site, path)
        for step in pointer.strip("/").split("/"):
            value = value[int(step) if isinstance(value, list) else step]
        assert str(value) == row["MetricValue"]


def test_a_server_without_power_has_no_controller(site: PlantDevices) -> None:
    site.strike("feed-lost", "utility-a", 1)
    site.plant.state.powered[0] = 0
    site.publish()
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(site, "/redfish/v1/Chassis/r01-n01/EnvironmentMetrics")
        assert refused.value.code == 503
        assert get(site, "/redfish/v1/Chassis/r01-n02/EnvironmentMetrics")["PowerWatts"]["Reading"] > 0
    finally:
        site.mend()
