"""Metric reports and server-sent events: what spares questions, and what comes without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from redfish_peers import ROOT, Clock, RedfishServer, metric_report, series, wiring

from exporters.facility.driver import Polled, PollError, Reason
from exporters.facility.redfish import make
from exporters.facility.redfish.driver import RedfishDriver
from gigawatch.topology import Role

CDU = f"{ROOT}/ThermalEquipment/CDUs/cdu-1"
TCS = f"{CDU}/SecondaryCoolantConnectors/1"
ROOM = f"{ROOT}/Chassis/room"
ROOM_VALUES = {
    f"{ROOM}/Sensors/cold-aisle#/Reading": "25.25",
    f"{ROOM}/Sensors/hot-aisle": "36.5",  # as some spell it
    f"{ROOM}/Sensors/humidity#/Reading": "50",
    f"{ROOM}/Sensors/outdoor#/Reading": "-3",
    f"{ROOM}/Sensors/dew-point#/Reading": "nan",
    f"{ROOM}/Sensors/floor#/Reading": "14",
    f"{ROOM}/Sensors/of-another#/Reading": "1",
}
NEW_ROOM = {
    "air_temperature_celsius{room,cold-aisle}": 25.25,
    "air_temperature_celsius{room,hot-aisle}": 36.5,
    "air_temperature_celsius{outdoor,}": -3.0,
    "relative_humidity_ratio{room,}": 0.5,
    "air_differential_pressure_pascals{room}": 14.0,
}


@pytest.fixture(scope="module")
def running() -> Iterator[RedfishServer]:
    server = RedfishServer().start()
    yield server
    server.stop()


@pytest.fixture
def server(running: RedfishServer) -> RedfishServer:
    running.reset()
    return running


@asynccontextmanager
async def driver(address: str, role: Role, path: str, **more: Any) -> AsyncIterator[RedfishDriver]:
    found = make(wiring(address, role, path, **more))
    try:
        yield found
    finally:
        await found.close()


def polls(number: int, address: str, role: Role, path: str, **more: Any) -> list[Polled]:
    async def run() -> list[Polled]:
        async with driver(address, role, path, **more) as asked:
            return [await asked.poll() for _ in range(number)]

    return asyncio.run(run())


def test_a_report_brings_everything_in_one_answer(server: RedfishServer) -> None:
    server.report("room", ROOM_VALUES)

    async def run() -> None:
        async with driver(server.url, Role.SENSOR, ROOM) as asked:
            first = series(await asked.poll())
            await asked.poll()  # looks for reports
            server.asked.clear()
            polled = await asked.poll()
            assert server.asked == [f"GET {ROOT}/TelemetryService/MetricReports/room"]
            assert series(polled) == NEW_ROOM  # the dew point has no number now
            assert first["air_temperature_celsius{room,cold-aisle}"] == 24.1

    asyncio.run(run())


def test_what_a_report_lacks_is_read_where_it_stands(server: RedfishServer) -> None:
    server.report(
        "d1",
        {
            f"{ROOT}/Chassis/cdu-1/Sensors/SecondaryFlow#/Reading": "120",  # its DataSourceUri
            f"{TCS}#/HeatRemovedkW": "80.5",
            f"{TCS}#/SupplyTemperatureCelsius/Reading": "30",
            f"{TCS}#/ReturnTemperatureCelsius/Reading": "40.5",
            f"{TCS}#/SupplyPressurekPa/Reading": "300",
            f"{TCS}#/ReturnPressurekPa/Reading": "200",
            f"{TCS}#/DeltaPressurekPa/Reading": "100",
            f"{CDU}/Pumps/1#/PumpSpeedPercent/Reading": "44",
            f"{CDU}/Pumps/1#/Status/Health": "Critical",
            f"{CDU}/Pumps/2#/PumpSpeedPercent/Reading": "70",
            f"{CDU}/Pumps/2#/Status/State": "Enabled",
            f"{CDU}/LeakDetection#/LeakDetectorGroups/0/Detectors/0/DetectorState": "Critical",
        },
    )
    found = series(polls(2, server.url, Role.CDU, CDU)[1])
    assert found["coolant_flow_cubic_meters_per_second{tcs}"] == 0.002
    assert found["heat_removed_watts{tcs}"] == 80_500.0
    assert found["coolant_supply_temperature_celsius{tcs}"] == 30.0
    assert found["coolant_supply_temperature_celsius{fws}"] == 25.0  # not in the report
    assert found["pump_speed_ratio{pump1}"] == 0.44
    assert found["component_health{pump1,critical}"] == 1.0
    assert (found["pump_speed_ratio{pump2}"], found["pump_running{pump2}"]) == (0.7, 1.0)
    # The report lacks two of the three detectors: all were read where they stand, and after it.
    assert found["leak_state{tray,dry}"] == 1.0


def test_values_that_are_too_old_are_read_elsewhere(server: RedfishServer) -> None:
    server.report("room", ROOM_VALUES, timestamp="2020-01-01T00:00:00Z")
    polled = polls(3, server.url, Role.SENSOR, ROOM)
    assert [p.dropped.get("stale", 0) for p in polled] == [0, 6, 0]
    assert all(series(p)["air_temperature_celsius{room,cold-aisle}"] == 24.1 for p in polled)


def test_all_is_stale_where_there_is_nothing_else(server: RedfishServer) -> None:
    clock = Clock()

    async def run() -> None:
        async with driver(server.url, Role.SENSOR, ROOM, clock=clock) as asked:
            await asked.poll()
            for name in ("cold-aisle", "hot-aisle", "humidity", "outdoor", "dew-point", "floor"):
                server.resources[f"{ROOM}/Sensors/{name}"]["ReadingTime"] = "2020-01-01T00:00:00Z"
            with pytest.raises(PollError) as caught:
                await asked.poll()
            assert caught.value.reason is Reason.STALE

    asyncio.run(run())


def test_the_age_is_told_by_the_clock_of_the_service(server: RedfishServer) -> None:
    async def with_its_own_clock(request: web.Request) -> web.Response | None:
        if "MetricReports/room" not in request.path:
            return None
        report = server.resources[request.path]
        return web.json_response(report, headers={"Date": "Wed, 01 Jan 2020 00:00:20 GMT"})

    server.report("room", ROOM_VALUES, timestamp="2020-01-01T01:00:05+01:00")
    server.behave = with_its_own_clock
    assert series(polls(2, server.url, Role.SENSOR, ROOM)[1]) == NEW_ROOM


def test_a_report_of_another_name_is_found_by_what_it_holds(server: RedfishServer) -> None:
    server.report("Other", {f"{ROOT}/Chassis/elsewhere/Sensors/a#/Reading": "1"})
    server.report("AllSensors", ROOM_VALUES)
    assert series(polls(2, server.url, Role.SENSOR, ROOM)[1]) == NEW_ROOM


def test_a_report_that_goes_away(server: RedfishServer) -> None:
    uri = server.report("room", ROOM_VALUES)

    async def run() -> None:
        async with driver(server.url, Role.SENSOR, ROOM) as asked:
            await asked.poll()
            assert series(await asked.poll()) == NEW_ROOM
            del server.resources[uri]
            assert series(await asked.poll())["air_temperature_celsius{room,cold-aisle}"] == 24.1

    asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


async def pushed(asked: RedfishDriver) -> dict[str, float]:
    found: list[Polled] = []
    await until(lambda: bool(found.append(p) if (p := asked.pushed()) else found))
    return series(found[0])


def test_leaks_and_reports_come_between_polls(server: RedfishServer) -> None:
    server.offer_events()
    node = f"{ROOT}/Chassis/n01"
    detector = f"{node}/ThermalSubsystem/LeakDetection/LeakDetectors/manifold"

    async def run() -> None:
        async with driver(server.url, Role.BMC, node) as asked:
            await asked.poll()
            await until(lambda: server.streams == 1)
            assert asked.pushed() is None
            event = {"OriginOfCondition": {"@odata.id": detector}, "MessageSeverity": "Critical"}
            server.tell({"@odata.type": "#Event.v1_7_0.Event", "Events": [event]})
            assert await pushed(asked) == {
                "leak_state{manifold,dry}": 0.0,
                "leak_state{manifold,warning}": 0.0,
                "leak_state{manifold,leak}": 1.0,
                "leak_state{manifold,fault}": 0.0,
            }
            assert asked.pushed() is None
            for noise in (b": still here\n\n", b"data: nonsense\n\n", b"data: []\n\n", b"event: x\r\n\r\n"):
                server.send(noise)
            server.tell(metric_report("/r/1", {f"{node}/EnvironmentMetrics#/PowerWatts/Reading": "7000"}))
            assert (await pushed(asked))["power_active_watts{,inlet,}"] == 7000.0
            # The next poll asks, and knows better.
            assert series(await asked.poll())["power_active_watts{,inlet,}"] == 8123.5
        await until(lambda: server.streams == 0)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(run())


@pytest.mark.parametrize("end", [None, b"data: " + b"x" * (5 << 20)])
def test_a_stream_that_breaks_is_opened_again(server: RedfishServer, end: bytes | None) -> None:
    server.offer_events()

    async def run() -> None:
        async with driver(server.url, Role.SENSOR, ROOM) as asked:
            await asked.poll()
            await until(lambda: server.streams == 1)
            server.send(end)
            await until(lambda: server.opened == 2 and server.streams == 1)
            server.tell(metric_report("/r/1", {f"{ROOM}/Sensors/humidity": "61"}))
            assert await pushed(asked) == {"relative_humidity_ratio{room,}": 0.61}

    asyncio.run(run())


def test_streams_can_be_left_alone(server: RedfishServer) -> None:
    server.offer_events()
    polls(2, server.url, Role.SENSOR, ROOM, options={"redfish_events": "off"})
    assert not [line for line in server.asked if "EventService" in line]
