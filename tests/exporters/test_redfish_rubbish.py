"""Whatever a Redfish service says: values left out or one PollError, and a bounded number of questions."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redfish_peers import ROOT, RedfishServer, series, tree, wiring

from exporters.facility.driver import Polled, PollError, Reason
from exporters.facility.redfish import make
from exporters.facility.redfish.compose import compose
from exporters.facility.redfish.events import hear
from exporters.facility.redfish.examine import Examination, identity, place
from exporters.facility.redfish.jsons import BadJsonError, parse
from exporters.facility.redfish.links import local
from exporters.facility.redfish.model import Subject
from exporters.facility.redfish.tables_chassis import TABLES
from exporters.facility.redfish.tree import Page, Tree
from exporters.facility.redfish.walk import MOST_GETS
from gigawatch.topology import Role

_EXTRA = 20
"""Questions beside the pages: the root, finding the device, looking for reports, its controller."""
_NAMES = ["@odata.id", "Reading", "Status", "State", "Members", "Id"]
TREES = tree()
URIS = sorted(TREES)
SUBJECT = Subject("A", "bmc", frozenset({"node"}))
DEVICES = (
    (Role.CDU, f"{ROOT}/ThermalEquipment/CDUs/cdu-1"),
    (Role.RACK_PDU, f"{ROOT}/PowerEquipment/RackPDUs/pdu-a"),
    (Role.BMC, ""),
    (Role.BMC, f"{ROOT}/Chassis/old"),
    (Role.SENSOR, f"{ROOT}/Chassis/room"),
)

links = st.sampled_from([*URIS, "http://elsewhere/x", "//elsewhere", "/", "", "/redfish/../../x", "/a b\n"])
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([10**400, -(10**25), 1e308, math.nan, math.inf, -0.0])
)
scalars = st.one_of(
    st.none(), st.booleans(), numbers, st.text(max_size=12), links, st.sampled_from(["Enabled", "OK"])
)
values = st.recursive(
    st.one_of(scalars, links.map(lambda uri: {"@odata.id": uri})),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    ),
    max_leaves=8,
)  # fmt: skip
mutations = st.lists(st.tuples(st.sampled_from(URIS), st.integers(0, 10**6), values), min_size=1, max_size=6)


def spots(body: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value that may be replaced."""
    keys = body.keys() if isinstance(body, dict) else range(len(body))
    for key in keys:
        yield body, key
        if isinstance(body[key], (dict, list)):
            yield from spots(body[key])


def mutated(changes: list[tuple[str, int, Any]]) -> dict[str, dict[str, Any]]:
    found = TREES | {uri: copy.deepcopy(TREES[uri]) for uri, _, _ in changes}
    for uri, where, value in changes:
        places = list(spots(found[uri]))
        body, key = places[where % len(places)]
        body[key] = value
    return found


def sane(polled: Polled) -> None:
    """What the range gate and the page rely on."""
    series(polled)
    for reading in polled.readings:
        assert math.isfinite(reading.value)
        assert all(isinstance(label, str) and len(label) <= 80 for label in reading.labels)
        assert all(label.isprintable() for label in reading.labels)
        for name, label in zip(reading.metric.labels, reading.labels, strict=True):
            assert label in reading.metric.values.get(name, (label,)), (reading.metric.key, name, label)


@settings(max_examples=100, deadline=None)
@given(changes=mutations, table=st.sampled_from(sorted(TABLES)), report=values)
def test_any_resource_read_as_any_other(changes: list[tuple[str, int, Any]], table: str, report: Any) -> None:
    resources, planted = mutated(changes), Tree()
    page = Page(
        changes[0][0], table, {"side": "A", "circuit": "tcs", "group": "pumps", "id": "1", "air": "room"}, 0
    )
    page.fields = {**page.fields, "psu": "psu1", "breaker": "main", "prefix": ""}
    planted.plant(page)
    body = parse(json.dumps(resources[page.uri]).encode())
    found = Examination(page, "https://h", SUBJECT, 100.0, 100.0, 30.0).of(body)
    page.parts, planted.changed, planted.complete = found.parts, True, True
    assert all(child.uri.startswith("/") and not child.uri.startswith("//") for child in found.children)
    identity(body), place(body)
    hear(planted, {"MetricValues": report, "Events": report}, 100.0, 30.0)
    properties = [
        {"MetricProperty": key, "MetricValue": report, "Timestamp": report} for key in planted.index
    ]
    hear(planted, {"MetricValues": properties}, 100.0, 30.0)
    polled = Polled()
    compose(planted, polled, lambda slot: slot.at == 100.0)
    sane(polled)


@settings(max_examples=60, deadline=None)
@given(raw=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes(raw: bytes) -> None:
    with contextlib.suppress(BadJsonError):
        assert isinstance(parse(raw), dict)


@settings(max_examples=60, deadline=None)
@given(link=st.one_of(st.text(), st.text().map(lambda rest: "https://h" + rest), links, values))
def test_no_link_leads_elsewhere(link: Any) -> None:
    found = local(link, "https://h")
    assert found == "" or (found.startswith("/") and not found.startswith("//") and found.isascii())


@pytest.fixture(scope="module")
def server() -> Iterator[RedfishServer]:
    running = RedfishServer().start()
    yield running
    running.stop()


def bounded(server: RedfishServer, role: Role, path: str, polls: int = 1) -> list[Polled | PollError]:
    """Polls of one driver: each brings values or a PollError, with a bounded number of questions."""

    async def run() -> list[Polled | PollError]:
        driver, found = make(wiring(server.url, role, path, side="A")), []
        for _ in range(polls):
            server.asked.clear()
            try:
                polled = await driver.poll()
                sane(polled)
                found.append(polled)
            except PollError as error:
                found.append(error)
            assert len(server.asked) <= MOST_GETS + _EXTRA
        await driver.close()
        return found

    outcomes = asyncio.run(run())
    refusals = [one for one in outcomes if isinstance(one, PollError)]
    assert not [one for one in refusals if one.reason is Reason.INTERNAL or "\n" in str(one)]
    return outcomes


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=mutations, device=st.sampled_from(DEVICES), expands=st.booleans(), report=values)
def test_a_facility_with_something_wrong(
    server: RedfishServer,
    changes: list[tuple[str, int, Any]],
    device: tuple[Role, str],
    expands: bool,
    report: Any,
) -> None:
    server.reset()
    server.resources, server.expands = mutated(changes), expands
    server.report("d1", {})
    server.resources[f"{ROOT}/TelemetryService/MetricReports/d1"]["MetricValues"] = report
    bounded(server, *device, polls=2)


def test_links_in_a_circle(server: RedfishServer) -> None:
    server.reset()
    fans = f"{ROOT}/Chassis/n01/ThermalSubsystem/Fans"
    server.resources[fans]["Members"] += [{"@odata.id": f"{ROOT}/Chassis/n01"}, {"@odata.id": fans}]
    server.resources[fans]["Members@odata.nextLink"] = fans
    (polled,) = bounded(server, Role.BMC, f"{ROOT}/Chassis/n01")
    assert isinstance(polled, Polled)
    assert len(server.asked) < 60


def test_a_list_without_end(server: RedfishServer) -> None:
    """More members than one poll may ask for: the rest comes in the next ones. Their number is bounded."""
    server.reset()
    outlets = f"{ROOT}/PowerEquipment/RackPDUs/pdu-a/Outlets"
    server.resources[outlets]["Members"] = [{"@odata.id": f"{outlets}/{n}"} for n in range(700)]
    for number in range(700):
        server.resources[f"{outlets}/{number}"] = {"Id": str(number), "PowerState": "On"}
    first, second, third = bounded(server, Role.RACK_PDU, f"{ROOT}/PowerEquipment/RackPDUs/pdu-a", polls=3)
    assert isinstance(first, Polled)
    assert isinstance(third, Polled)
    assert series(first)["power_active_watts{A,inlet,}"] == 6438.0

    def outlets_in(polled: Polled | PollError) -> int:
        return sum("outlet_state" in name and ",on}" in name for name in series(polled))

    assert 150 < outlets_in(first) <= MOST_GETS < outlets_in(second) < outlets_in(third) <= 512
