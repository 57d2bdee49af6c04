"""What the poller's drivers read at the plant's devices is what the plant says, and drills change it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from plant_devices import Broker, PlantDevices

from exporters.facility.driver import Driver, PollError, Secret, Wiring
from exporters.facility.poller import maker
from exporters.inventory.endpoints import join, load_endpoints, strangers
from gigawatch.catalogue import Kind, Metric, electrical, facility, polling
from gigawatch.topology import Endpoint, blueprint

Series = tuple[Metric, tuple[str, ...]]

UNSAID = {
    "raritan-px2": {facility.POWER_CAPACITY},
    "ups-mib": {facility.POWER_CAPACITY, facility.ENERGY},
    "gigawatch-cdu": {electrical.REDUNDANCY_STATE},
}
"""What a profile has no place for."""
ADDED = {
    facility.COMPONENT_HEALTH,  # of pumps, which the plant calls running
    facility.CURRENT,  # of the main breaker and of the lines of a UPS
    facility.VOLTAGE,  # between lines, and of a UPS
    facility.POWER_ACTIVE,  # of the lines of a UPS
    electrical.FREQUENCY,
    polling.REPORTED_PLACE,  # of a server, by itself
}
"""What a device tells in other words than the plant."""
COARSE = {
    facility.UPS_RUNTIME: 30.0,
    facility.UPS_CHARGE: 0.005,
    facility.UPS_LOAD: 0.005,
    facility.POWER_ACTIVE: 0.5,
    facility.CURRENT: 0.05,
    electrical.UPS_BATTERY_VOLTAGE: 0.05,
    electrical.UPS_ON_BATTERY: 0.5,
}
"""Resolution of RFC 1628."""
FINE = {facility.ENERGY: 1800.0}
"""Wh."""


@contextmanager
def served(name: str, folder: Path) -> Iterator[PlantDevices]:
    broker = Broker(folder)
    devices = PlantDevices(blueprint(name), folder, broker.address)
    try:
        yield devices
    finally:
        devices.stop()
        broker.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantDevices]:
    """The starter blueprint, every device on its protocol."""
    with served("starter", tmp_path_factory.mktemp("devices")) as devices:
        yield devices


def read(
    site: PlantDevices, *names: str, deadline: float = 10.0
) -> dict[str, dict[Series, float] | PollError]:
    """What the drivers read, device by device, or why they cannot."""
    return asyncio.run(_read(site, names or tuple(site.inventory.device), deadline))


async def _read(
    site: PlantDevices, names: tuple[str, ...], deadline: float
) -> dict[str, dict[Series, float] | PollError]:
    endpoints = load_endpoints(site.file)
    assert strangers(site.inventory, endpoints) == []
    inventory = join(site.inventory, endpoints)
    shared: dict[str, object] = {}
    drivers: dict[str, Driver] = {}
    for name in names:
        device = inventory.device[name]
        (endpoint,) = device.endpoints
        wiring = Wiring(device, endpoint, inventory, Secret, deadline, 5.0, time.time, shared)
        drivers[name] = maker(endpoint.protocol)(wiring)
    try:
        found = await asyncio.gather(*(_settled(site, name, driver) for name, driver in drivers.items()))
    finally:
        await asyncio.gather(*(driver.close() for driver in drivers.values()))
    return dict(zip(drivers, found, strict=True))


async def _settled(site: PlantDevices, name: str, driver: Driver) -> dict[Series, float] | PollError:
    """A poll; on the bus as soon as all that the device says now has come by."""
    expected = {(r.metric, r.labels) for r in site.says(name)} - {(facility.FACILITY_POLL_UP, ())}
    deadline = time.monotonic() + 10
    while True:
        try:
            polled = await driver.poll()
        except PollError as error:
            found: dict[Series, float] | PollError = error
            done = not expected
        else:
            found = {(r.metric, r.labels): r.value for r in polled.readings}
            done = expected <= found.keys() or load_endpoints(site.file)[name][0].protocol != "mqtt"
        if done or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


def differences(site: PlantDevices, name: str, found: dict[Series, float] | PollError) -> list[str]:
    if isinstance(found, PollError):
        return [f"{name}: {found}"]
    (endpoint,) = load_endpoints(site.file)[name]
    said = {
        (metric, labels): value
        for metric, labels, value, _ in site.says(name)
        if metric is not facility.FACILITY_POLL_UP and metric not in UNSAID.get(endpoint.profile, ())
    }
    wrong = [
        f"{name}: {metric.key}{labels} is {value}, read is {found.get((metric, labels))}"
        for (metric, labels), value in said.items()
        if found.get((metric, labels)) != pytest.approx(value, rel=1e-4, abs=_resolution(endpoint, metric))
    ]
    strange = [f"{name}: {m.key}{labels}" for m, labels in found.keys() - said.keys() if m not in ADDED]
    return wrong + strange


def _resolution(endpoint: Endpoint, metric: Metric) -> float:
    if metric.kind is Kind.STATE_SET:
        return 0.0
    return (COARSE if endpoint.profile == "ups-mib" else FINE).get(metric, 1e-6)


def compare(site: PlantDevices) -> set[str]:
    """Everything, and the protocols that took part."""
    found = read(site)
    assert found.keys() == site.inventory.device.keys()
    assert [line for name, told in found.items() for line in differences(site, name, told)] == []
    return {one["protocol"] + one.get("profile", "") for rows in site.endpoints.values() for one in rows}


SMALL = {
    "snmpraritan-px2", "snmpups-mib", "modbusschneider-pm5000", "modbusgigawatch-door", "redfish", "mqtt",
}  # fmt: skip


def test_what_is_read_is_what_the_plant_says(site: PlantDevices) -> None:
    assert compare(site) == SMALL


def test_a_larger_site_has_coolant_units_of_both_kinds(tmp_path: Path) -> None:
    with served("mid-scale", tmp_path) as site:
        assert compare(site) == SMALL | {"modbusgigawatch-cdu"}
        site.strike("coolant-pump", "cdu-2", 20)
        told = read(site, "cdu-2")["cdu-2"]
        assert isinstance(told, dict)
        assert differences(site, "cdu-2", told) == []
        assert told[facility.PUMP_RUNNING, ("p1",)] == 0


def test_a_lost_feed_is_seen_in_every_protocol(site: PlantDevices) -> None:
    site.strike("feed-lost", "utility-a", 20)
    try:
        names = ("utility-a", "ups-a", "pdu-r01-a", "cdu-1", "chiller-1")
        found = read(site, *names)
        assert [line for name in names for line in differences(site, name, found[name])] == []
        ups, intake, cdu, chiller = (found[name] for name in ("ups-a", "utility-a", "cdu-1", "chiller-1"))
        assert isinstance(ups, dict)
        assert isinstance(intake, dict)
        assert isinstance(cdu, dict)
        assert isinstance(chiller, dict)
        assert ups[facility.UPS_STATUS, ("on_battery",)] == 1
        assert ups[facility.POWER_ACTIVE, ("A", "inlet", "")] == 0
        assert intake[facility.VOLTAGE, ("A", "phase", "L1")] == 0
        assert cdu[facility.PUMP_RUNNING, ("p1",)] == 0
        assert chiller[facility.HEAT_REMOVED, ("fws",)] == 0
    finally:
        site.mend()


@pytest.mark.parametrize(
    ("kind", "target", "device", "series", "value"),
    [
        ("coolant-pump", "cdu-1", "cdu-1", (facility.PUMP_RUNNING, ("p1",)), 0),
        ("leak", "loop-1", "cdu-1", (facility.LEAK_STATE, ("cdu", "leak")), 1),
        ("leak", "manifold-r01", "manifold-r01", (facility.LEAK_STATE, ("tray", "leak")), 1),
        ("leak", "leak-hall-1", "leak-hall-1", (facility.LEAK_STATE, ("rope", "leak")), 1),
        ("psu-lost", "r01-n01", "bmc-r01-n01", (facility.COMPONENT_HEALTH, ("psu1", "critical")), 1),
    ],
)
def test_a_drill_is_read(
    site: PlantDevices, kind: str, target: str, device: str, series: Series, value: float
) -> None:
    site.strike(kind, target, 20)
    try:
        told = read(site, device)[device]
        assert isinstance(told, dict)
        assert differences(site, device, told) == []
        assert told[series] == value
    finally:
        site.mend()


def test_dead_devices_answer_in_no_protocol(site: PlantDevices) -> None:
    names = ("pdu-r01-b", "utility-a", "bmc-r01-n01", "chiller-1")
    site.strike("sensor-dead", names, 2)
    try:
        told = read(site, *names, "pdu-r01-a", deadline=2.0)
        assert [name for name in names if not isinstance(told[name], PollError)] == []
        assert isinstance(told["pdu-r01-a"], dict)
    finally:
        site.mend()
    assert [told for told in read(site, *names).values() if isinstance(told, PollError)] == []


def test_a_lying_meter_is_read_as_it_lies(site: PlantDevices) -> None:
    site.strike("pdu-lies", "pdu-r01-a", 2)
    try:
        told = read(site, "pdu-r01-a")["pdu-r01-a"]
        assert isinstance(told, dict)
        assert differences(site, "pdu-r01-a", told) == []
        amperes = sum(told[facility.CURRENT, ("A", "phase", phase)] for phase in ("L1", "L2", "L3"))
        assert 230 * amperes > 8 * told[electrical.POWER_APPARENT, ("A", "inlet", "")]
    finally:
        site.mend()
