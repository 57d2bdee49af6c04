"""The event bus through a real broker: order, quality, age, outages, secrets, pushes; that we say nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from facility_wiring import device, values, wired
from kube_server import certificate
from mqtt_peers import Bms, Mosquitto, free_port

from exporters.facility.driver import Polled, PollError, Reason, Secret, Wiring
from exporters.facility.mqtt import make
from exporters.facility.mqtt.driver import MqttDriver
from gigawatch.topology import Device, Role

FLOW = "CDU/LiquidFlow/site1/row3/{}/secLoop/flow"
SECONDARY = {"engUnit": "LPM", "processArea": ["Secondary"]}
KEY = "coolant_flow_cubic_meters_per_second{circuit=tcs}"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker that lets everybody in."""
    found = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield found
    found.kill()


@pytest.fixture(scope="module")
def bms(broker: Mosquitto) -> Iterator[Bms]:
    """The building management on it."""
    found = Bms(broker)
    yield found
    found.stop()


def driver_of(wiring: Wiring) -> MqttDriver:
    """A driver, with what only this protocol's have. Its polls wait little for first values."""
    found = make(replace(wiring, deadline=0.25))
    assert isinstance(found, MqttDriver)
    return found


async def until(driver: MqttDriver, wanted: Callable[[dict[str, float]], bool]) -> Polled:
    """The first poll that shows it."""
    end = time.monotonic() + 15
    while True:
        try:
            polled = await driver.poll()
            if wanted(values(polled.readings)):
                return polled
            last: object = polled
        except PollError as error:
            last = error
        assert time.monotonic() < end, last
        await asyncio.sleep(0.02)


async def failing(driver: MqttDriver, *reasons: Reason) -> PollError:
    """The first poll that fails so."""
    end = time.monotonic() + 15
    while True:
        try:
            last: object = await driver.poll()
        except PollError as error:
            if error.reason in reasons and "\n" not in str(error):
                return error
            last = error
        assert time.monotonic() < end, last
        await asyncio.sleep(0.02)


def cdu(name: str) -> Device:
    return device(name, Role.CDU)


def test_metadata_first_and_metadata_last(broker: Mosquitto, bms: Bms) -> None:
    async def both() -> None:
        early, late = FLOW.format("early"), FLOW.format("late")
        bms.describe(early, objectId="early", **SECONDARY)
        shared: dict[str, object] = {}
        drivers = [driver_of(wired("mqtt", broker.address, cdu(name), shared)) for name in ("early", "late")]
        waiting = asyncio.create_task(until(drivers[0], lambda told: KEY in told))
        await failing(drivers[1], Reason.EMPTY)
        bms.say(early, 180.5)
        bms.say(late, 90.0)
        bms.describe(late, objectId="late", **SECONDARY)
        first = await waiting
        second = await until(drivers[1], lambda told: KEY in told)
        assert values(first.readings)[KEY] == pytest.approx(180.5 / 60000)
        assert values(second.readings)[KEY] == pytest.approx(90 / 60000)
        connections = [name for name in broker.clients() if name.startswith("gigawatch")]
        assert len(connections) == 1  # of both
        await drivers[0].close()
        assert (await drivers[1].poll()).readings
        await drivers[1].close()
        await drivers[1].close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(both())


def test_quality_null_age_and_units(broker: Mosquitto, bms: Bms) -> None:
    points = {name: f"CDU/LiquidFlow/q/{name}" for name in "abcdefgh"}
    for name, point in points.items():
        unit = "furlong" if name == "h" else "LPM"
        bms.describe(point, objectId="q", engUnit=unit, processArea=["Secondary"])

    async def poll() -> tuple[Polled, PollError]:
        driver = driver_of(wired("mqtt", broker.address, cdu("q")))
        await failing(driver, Reason.STALE)
        bms.say(points["a"], 60)
        await until(driver, lambda told: KEY in told)
        bms.say(points["a"], 61, quality=0)
        bms.say(points["b"], 62, quality="1")
        bms.say(points["c"], 63, quality=2)
        bms.say(points["d"], None)
        bms.say(points["e"], 64, age=251)
        bms.say(points["f"], 65, age=-3600)
        bms.say(points["h"], 67)
        bms.send(f"BMS/v1/PUB/Value/{points['g']}", b"{")
        bms.say(points["g"], 66)
        good = await until(driver, lambda told: told.get(KEY) == pytest.approx(66 / 60000))
        bms.say(points["g"], None)
        return good, await failing(driver, Reason.STALE)

    good, stale = asyncio.run(poll())
    for what in ("quality", "no_number", "stale", "error"):
        assert good.dropped[what] >= 1, good.dropped
    assert good.dropped["quality"] == 3
    assert "7 points" in str(stale)


def test_a_value_grows_old(broker: Mosquitto, bms: Bms) -> None:
    now = [time.time()]
    point = FLOW.format("old")

    async def poll() -> PollError:
        driver = driver_of(wired("mqtt", broker.address, cdu("old"), clock=lambda: now[0]))
        bms.describe(point, objectId="old", **SECONDARY)
        await failing(driver, Reason.STALE)
        bms.say(point, 60)
        await until(driver, lambda told: KEY in told)
        now[0] += 300
        return await failing(driver, Reason.STALE)

    assert "last 250 s" in str(asyncio.run(poll()))


def test_whose_a_point_is(broker: Mosquitto, bms: Bms) -> None:
    """By object id, by what it hangs on, by rack, by tag path; and an integration's value by its name."""
    manifold = device("manifold-r7", Role.MANIFOLD, rack="r7")
    chiller = device("chiller-7", Role.CHILLER, side="A")
    shared: dict[str, object] = {}
    points: list[tuple[str, dict[str, object]]] = [
        ("Rack/RackLiquidFlow/dc/r7/flow", {"rackLocationId": "r7", "engUnit": "LPM"}),
        ("Valve/ValvePosition/dc/r7/isolation", {"associateId": "r7", "engUnit": "%"}),
        ("Rack/RackLeakDetectTray/dc/r7/tray", {"rackLocationId": "r7", "integration": "BCM"}),
        ("Rack/RackLiquidFlow/dc/r70/flow", {"rackLocationId": "r70", "engUnit": "LPM"}),
        ("PowerMeter/ActivePower/el/mcc7/kw", {"associateId": "chiller-7", "engUnit": "kW"}),
        ("Chiller/GenericPoint/plant/a/b/c/HeatRemoved", {"engUnit": "kW"}),
        ("Chiller/GenericPoint/plant/a/bb/HeatRemoved", {"engUnit": "kW"}),
    ]
    said = (35.0, 50.0, 1.0, 99.0, 210.0, 800.0, 999.0)

    async def poll() -> tuple[Polled, Polled, Polled]:
        rack = driver_of(wired("mqtt", broker.address, manifold, shared))
        by_id = driver_of(wired("mqtt", broker.address, chiller, shared))
        by_path = driver_of(wired("mqtt", broker.address, chiller, shared, object="plant/a/b"))
        for point, meta in points:
            bms.describe(point, **meta)
        await failing(rack, Reason.STALE)
        for (point, meta), value in zip(points, said, strict=True):
            bms.say(point, value, publisher=str(meta.get("integration", "PUB")))
        bms.say(points[2][0], 0.0)  # the BMS does not speak for the integration
        found = (
            await until(rack, lambda told: len(told) == 6 and KEY in told),
            await until(by_id, bool),
            await until(by_path, bool),
        )
        for driver in (rack, by_id, by_path):
            await driver.close()
        return found

    of_rack, of_id, of_path = (values(found.readings) for found in asyncio.run(poll()))
    assert of_rack[KEY] == pytest.approx(35 / 60000)
    assert of_rack["valve_position_ratio"] == 0.5
    assert of_rack["leak_state{zone=tray,state=leak}"] == 1
    assert of_id == {"power_active_watts{side=A,scope=inlet}": pytest.approx(210_000)}
    assert of_path == {"heat_removed_watts{circuit=fws}": pytest.approx(800_000)}


def test_a_leak_shows_before_the_next_poll(broker: Mosquitto, bms: Bms) -> None:
    point = "Rack/RackLeakDetect/dc/r9/leak"
    bms.describe(
        point, rackLocationId="r9", stateText=[{"value": 0, "text": "NoLeak"}, {"value": 1, "text": "Leak"}]
    )

    async def push() -> tuple[Polled | None, Polled | None]:
        driver = driver_of(wired("mqtt", broker.address, device("m9", Role.MANIFOLD, rack="r9")))
        await failing(driver, Reason.STALE)
        bms.say(point, 0)
        await until(driver, bool)
        quiet = driver.pushed()
        bms.say(point, 1)
        end = time.monotonic() + 15
        while (told := driver.pushed()) is None and time.monotonic() < end:
            await asyncio.sleep(0.005)
        assert driver.pushed() is None  # nothing new
        await driver.close()
        return quiet, told

    quiet, told = asyncio.run(push())
    assert quiet is None
    assert told is not None
    assert values(told.readings)["leak_state{zone=rack,state=leak}"] == 1


def test_a_point_that_is_taken_away(broker: Mosquitto, bms: Bms) -> None:
    point = FLOW.format("gone")
    bms.describe(point, objectId="gone", **SECONDARY)

    async def poll() -> None:
        driver = driver_of(wired("mqtt", broker.address, cdu("gone")))
        await failing(driver, Reason.STALE)
        bms.say(point, 60)
        await until(driver, lambda told: KEY in told)
        bms.describe(point, objectId="gone", engUnit="LPM", processArea=["Primary"])  # described anew
        await until(driver, lambda told: KEY.replace("tcs", "fws") in told)
        bms.forget(point)
        await failing(driver, Reason.EMPTY)
        await driver.close()

    asyncio.run(poll())


def test_a_device_that_joins_later_gets_what_is_retained(broker: Mosquitto, bms: Bms) -> None:
    point = FLOW.format("later")
    bms.describe(point, objectId="later", **SECONDARY)
    shared: dict[str, object] = {}

    async def poll() -> None:
        first = driver_of(wired("mqtt", broker.address, cdu("nobody"), shared))
        await failing(first, Reason.EMPTY)  # by now the metadata of the other have passed unused
        later = driver_of(wired("mqtt", broker.address, cdu("later"), shared))
        await failing(later, Reason.STALE)
        bms.say(point, 60)
        await until(later, lambda told: KEY in told)
        await first.close()
        await later.close()

    asyncio.run(poll())


def test_thousands_of_retained_points_come_in_one_go(broker: Mosquitto, bms: Bms) -> None:
    bms.describe_many(f"CDU/LiquidFlow/many/{at}" for at in range(1500))

    async def poll() -> PollError:
        driver = driver_of(wired("mqtt", broker.address, cdu("many")))
        end = time.monotonic() + 15
        while "1500 points" not in str(error := await failing(driver, Reason.STALE, Reason.EMPTY)):
            assert time.monotonic() < end, error
        await driver.close()
        return error

    asyncio.run(poll())
    bms.forget_many(f"CDU/LiquidFlow/many/{at}" for at in range(1500))


def test_the_broker_dies_and_comes_back(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "dying")
    point = FLOW.format("x")

    async def poll() -> None:
        driver = driver_of(wired("mqtt", broker.address, cdu("x")))
        bms = Bms(broker)
        bms.describe(point, objectId="x", **SECONDARY)
        await failing(driver, Reason.STALE)
        bms.say(point, 60)
        await until(driver, lambda told: KEY in told)
        bms.stop()
        broker.kill()
        await failing(driver, Reason.REFUSED)
        broker.start()
        again = Bms(broker)
        again.describe(point, objectId="x", **SECONDARY)
        again.say(point, 61)
        await until(driver, lambda told: KEY in told)
        await driver.close()
        again.stop()
        assert len(asyncio.all_tasks()) == 1

    try:
        asyncio.run(poll())
    finally:
        broker.kill()


def test_a_wrong_password_and_a_right_one(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "closed", {"reader": "right", "bms": "b"})
    password = ["wrong"]

    async def poll() -> PollError:
        driver = driver_of(
            wired("mqtt", broker.address, cdu("x"), secret=lambda: Secret("reader", password[0]))
        )
        error = await failing(driver, Reason.AUTH)
        password[0] = "right"  # its file has changed
        await failing(driver, Reason.EMPTY)
        await driver.close()
        return error

    try:
        assert "wrong" not in str(asyncio.run(poll()))
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"mqtt://127.0.0.1:{free_port()}", Reason.REFUSED),
        ("mqtt://no-such-host.invalid", Reason.UNREACHABLE),
    ],
)
def test_no_broker(address: str, reason: Reason) -> None:
    async def poll() -> None:
        driver = driver_of(wired("mqtt", address, cdu("x")))
        await failing(driver, reason)
        await driver.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(poll())


def test_tls_with_the_right_authority_and_the_wrong_one(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other")
    files = f"certfile {tmp_path / 'ca.crt'}\nkeyfile {tmp_path / 'ca.key'}\nuser root"
    broker = Mosquitto(tmp_path / "tls", extra=files)
    address = broker.address.replace("mqtt:", "mqtts:")

    async def poll() -> None:
        for ca, name, reason in (
            ("ca.crt", "", Reason.EMPTY),
            ("other/ca.crt", "", Reason.TLS),
            ("ca.crt", "not-its-name", Reason.TLS),
            ("missing.crt", "", Reason.TLS),
        ):
            secret = Secret(ca_file=str(tmp_path / ca), server_name=name)
            driver = driver_of(wired("mqtt", address, cdu("x"), secret=lambda secret=secret: secret))
            await failing(driver, reason)
            await driver.close()

    try:
        asyncio.run(poll())
    finally:
        broker.kill()


def test_tls_is_expected_where_it_is_asked_for(broker: Mosquitto) -> None:
    async def poll() -> None:
        driver = driver_of(wired("mqtt", broker.address.replace("mqtt:", "mqtts:"), cdu("x")))
        await failing(driver, Reason.TLS, Reason.UNREACHABLE, Reason.REFUSED)
        await driver.close()

    asyncio.run(poll())


@pytest.mark.parametrize("address", ["http://h", "mqtt://", "mqtt://h:x", "mqtt://h/path", "mqtt://u:p@h"])
def test_an_address_that_cannot_be(address: str) -> None:
    with pytest.raises(PollError) as caught:
        make(wired("mqtt", address))
    assert caught.value.reason is Reason.PROFILE
    assert "p@h" not in str(caught.value)


def test_we_never_published_anything(broker: Mosquitto) -> None:
    """By the broker's own log of all that went before."""
    assert any(name.startswith("gigawatch-") for name in broker.clients())
    assert broker.publishers() <= {"bms"}
