"""The poller: devices that fail in all ways beside healthy ones, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from line_device import LineDevices, LineDriver, device, makers, site

from exporters.facility.driver import Polled, PollError, Reason, Wiring
from exporters.facility.job import Job, labels_of
from exporters.facility.poller import Poller
from gigawatch.catalogue import Metric, facility, polling
from gigawatch.readings import Reading
from gigawatch.topology import Device, Endpoint

INTERVAL = 0.2
CALM = 1.0
"""Of devices that must answer in time on a crowded machine as well: their names begin with `good`."""


@pytest.fixture(scope="module")
def peers() -> Iterator[LineDevices]:
    devices = LineDevices()
    yield devices
    devices.close()


class Site:
    """A poller and what is on its pages."""

    def __init__(self, parse: Callable[[str], Any], *special: Any, limit: int = 64) -> None:
        self._parse = parse
        self.poller = Poller(dict.fromkeys(("snmp", "redfish", "modbus", "mqtt"), limit), makers(*special))
        self.poller.start()
        self.jobs: dict[tuple[str, str], Job] = {}

    def ask(self, *devices: Device, interval: float = INTERVAL, **changes: Any) -> None:
        """From now on these."""
        self.jobs = {
            (one.name, label): Job(one, endpoint, label, every, 1.75 * every, 4 * every, **changes)
            for one in devices
            for every in [CALM if one.name.startswith("good") else interval]
            for endpoint, label in zip(one.endpoints, labels_of(one.endpoints), strict=True)
        }
        self.poller.arrange(self.jobs, site(*devices), {})

    def text(self, name: str) -> str:
        page = self.poller.pages.page(name)
        return page.text.decode() if page is not None else ""

    def values(self, name: str, metric: Metric, **labels: str) -> list[float]:
        return [
            value
            for (found, pairs), value in self._parse(self.text(name)).items()
            if found == metric.name and labels.items() <= dict(pairs).items()
        ]

    def watts(self, name: str) -> list[float]:
        return self.values(name, facility.POWER_ACTIVE)

    def up(self, name: str) -> bool:
        return self.values(name, facility.FACILITY_POLL_UP) == [1]

    def errors(self, name: str, reason: str) -> float:
        return sum(self.values(name, polling.POLL_ERRORS, reason=reason))


@pytest.fixture
def run(parse_text: Callable[[str], Any]) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def start(*special: Any, limit: int = 64) -> Site:
        sites.append(Site(parse_text, *special, limit=limit))
        return sites[-1]

    yield start
    for one in sites:
        one.poller.stop()


def until(met: Callable[[], object], seconds: float = 20.0) -> None:
    """The time limit is for crowded machines."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.01)


def line(peers: LineDevices, name: str, protocol: str = "snmp", **fields: Any) -> Endpoint:
    return Endpoint(protocol, peers.address, path=name, **fields)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def test_healthy_devices_are_on_time_beside_dead_slow_and_mad_ones(
    peers: LineDevices, run: Callable[..., Site]
) -> None:
    bad = {"hang": 12, "rubbish": 4, "drop": 4, "slow 60": 8}
    names = {f"{how.split()[0]}-{n}": how for how, count in bad.items() for n in range(count)}
    peers.behaviour.update(names)
    peers.times.clear()
    good = [f"good-{n}" for n in range(20)]
    dead = [device(f"dead-{n}", Endpoint("snmp", closed_port())) for n in range(4)]
    # Two places in all: those who hang would need twelve.
    stack = run(limit=2)
    stack.ask(*dead, *(device(name, line(peers, name)) for name in [*names, *good]))
    until(lambda: all(stack.errors(f"hang-{n}", "timeout") >= 4 for n in range(12)))
    until(lambda: all(len(peers.times.get(name, ())) >= 3 for name in good))
    for name in good:
        assert stack.up(name)
        gaps = [b - a for a, b in zip(peers.times[name], peers.times[name][1:], strict=False)]
        assert max(gaps) < 2 * CALM, f"{name} was not asked in time: {gaps}"
        assert not stack.values(name, polling.POLL_ERRORS)
    for name, reason in [("hang-0", "timeout"), ("slow-0", "timeout"), ("rubbish-0", "malformed"),
                         ("drop-0", "unreachable"), ("dead-0", "refused")]:  # fmt: skip
        assert not stack.up(name)
        assert stack.errors(name, reason) >= 3
        # On a crowded machine an answer may be late before it is anything else.
        assert max(stack.values(name, polling.POLL_ERRORS)) == stack.errors(name, reason)
        assert stack.values(name, polling.POLL_CIRCUIT_OPEN) == [1]
        assert not stack.watts(name)
    assert set(peers.most_at_once.values()) == {1}, "a device was asked twice at the same time"


def test_a_device_that_comes_back_is_on_its_page_within_two_intervals(
    peers: LineDevices, run: Callable[..., Site]
) -> None:
    peers.behaviour["back"] = "rubbish"
    stack = run()
    stack.ask(device("back", line(peers, "back")))
    until(lambda: stack.values("back", polling.POLL_CIRCUIT_OPEN) == [1])
    until(lambda: stack.errors("back", "malformed") >= 4)
    del peers.behaviour["back"]
    came = time.monotonic()
    until(lambda: stack.up("back"))
    assert time.monotonic() - came < 2 * INTERVAL + 1
    assert stack.values("back", polling.POLL_CIRCUIT_OPEN) == [0]
    assert stack.watts("back") == [100]


def test_what_is_not_renewed_is_gone_after_three_intervals(
    peers: LineDevices, run: Callable[..., Site]
) -> None:
    stack = run()
    stack.ask(device("old", line(peers, "old")))
    until(lambda: stack.watts("old"))
    peers.behaviour["old"] = "hang"
    asked = time.monotonic()
    until(lambda: not stack.watts("old"))
    assert 1.5 * INTERVAL < time.monotonic() - asked < 3 * INTERVAL + 1
    assert not stack.values("old", polling.HARDWARE_INFO)
    assert stack.values("old", polling.POLL_LAST_SUCCESS)


def test_a_complete_answer_replaces_the_one_before(peers: LineDevices, run: Callable[..., Site]) -> None:
    stack = run()
    peers.watts["whole"] = "1 2 3"
    stack.ask(device("whole", line(peers, "whole")))
    until(lambda: stack.watts("whole") == [1, 2, 3])
    peers.watts["whole"] = "4"
    until(lambda: stack.watts("whole") == [4])


def test_two_endpoints_are_one_page_and_the_first_wins(peers: LineDevices, run: Callable[..., Site]) -> None:
    stack = run()
    peers.watts |= {"one": "1", "two": "7 2", "three": "9 9 3"}
    three = [line(peers, "one", "redfish"), line(peers, "two"), line(peers, "three")]
    stack.ask(device("joined", *three))
    until(lambda: stack.watts("joined") == [1, 2, 3])
    assert stack.up("joined")
    ways = {"redfish", "snmp", "snmp-2"}
    assert {
        way for way in ways if stack.values("joined", polling.POLL_ENDPOINT_UP, endpoint=way) == [1]
    } == ways
    peers.behaviour["one"] = "rubbish"
    until(lambda: stack.watts("joined") == [7, 2, 3])  # once what the first said has grown old
    assert not stack.up("joined")
    assert stack.values("joined", polling.POLL_ENDPOINT_UP, endpoint="snmp") == [1]


def test_impossible_values_are_counted_and_left_out(peers: LineDevices, run: Callable[..., Site]) -> None:
    stack = run()
    peers.watts["liar"] = "nan 4294967295 -5 12"
    stack.ask(device("liar", line(peers, "liar")))
    until(lambda: stack.up("liar"))
    assert stack.watts("liar") == [12]
    for reason in ("not_a_number", "sentinel", "out_of_range"):
        assert stack.values("liar", polling.READINGS_DROPPED, reason=reason)
    rejected = stack.poller.health().rejected
    assert rejected[facility.POWER_ACTIVE.name, "sentinel"] >= 1


class Odd(LineDriver):
    """A driver with a mistake of its own, named by the endpoint's object."""

    alive = 0

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self.how = wiring.endpoint.object
        type(self).alive += 1
        if self.how == "unmade":
            raise PollError(Reason.PROFILE, "nobody knows this model")

    async def poll(self) -> Polled:
        found = await super().poll()
        if self.how == "raises":
            raise KeyError("secret-text")
        if self.how == "exits":
            raise SystemExit(3)
        if self.how == "cancels":
            raise asyncio.CancelledError
        if self.how == "labels":
            found.readings.append(Reading(facility.POWER_ACTIVE, ("A",), 1.0))
        if self.how == "letters":
            found.readings.append(Reading(facility.POWER_ACTIVE, ("A", "inlet", "\udcff"), 1.0))
        if self.how == "text":
            found.readings.append(Reading(facility.POWER_ACTIVE, ("A", "inlet", "x"), "1"))
        while self.how == "deaf":
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue
        return found

    async def close(self) -> None:
        type(self).alive -= 1
        await super().close()
        if self.how == "lingers":
            await asyncio.sleep(3600)
        if self.how == "slams":
            raise RuntimeError


MISTAKES = {
    "raises": "internal", "exits": "internal", "cancels": "internal", "labels": "internal",
    "letters": "internal", "text": "internal", "unmade": "profile", "deaf": "timeout",
}  # fmt: skip


def test_mistakes_of_a_driver_stay_in_its_device(
    peers: LineDevices, run: Callable[..., Site], caplog: pytest.LogCaptureFixture
) -> None:
    stack = run(("modbus", Odd))
    peers.times.pop("good-fine", None)
    odd = [device(how, line(peers, how, "modbus", object=how)) for how in MISTAKES]
    stack.ask(device("good-fine", line(peers, "good-fine")), *odd)
    until(lambda: all(stack.errors(how, reason) >= 5 for how, reason in MISTAKES.items()))
    until(lambda: len(peers.times.get("good-fine", ())) >= 2)
    assert stack.up("good-fine")
    gaps = [b - a for a, b in zip(peers.times["good-fine"], peers.times["good-fine"][1:], strict=False)]
    assert max(gaps) < 2 * CALM
    assert not any(stack.watts(how) for how in MISTAKES)
    said = [record.getMessage() for record in caplog.records if "device raises" in record.getMessage()]
    # Where processors are short a poll may be too late as well, which is trouble of another kind.
    about = [line for line in said if line.endswith("(internal)")]
    assert "KeyError, line_device" not in about[0]
    assert "KeyError, test_facility_poller.py" in about[0]
    assert len(about) == 2, "the first time, and when it counts as down"
    assert "secret-text" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_close_that_hangs_or_fails_holds_up_nobody(
    peers: LineDevices, run: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporters.facility.follower._SECONDS_TO_CLOSE", 0.4)
    stack = run(("modbus", Odd))
    odd = [device(how, line(peers, how, "modbus", object=how)) for how in ("lingers", "slams")]
    fine = device("good-fine", line(peers, "good-fine"))
    stack.ask(fine, *odd)
    until(lambda: all(stack.up(one.name) for one in (fine, *odd)))
    asked = peers.asked["good-fine"]
    stack.ask(fine)
    until(lambda: peers.asked["good-fine"] >= asked + 1)
    assert stack.poller.pages.page("lingers") is None
    began = time.monotonic()
    stack.ask(fine, *odd)
    until(lambda: all(stack.up(one.name) for one in (fine, *odd)))
    stack.poller.stop()
    assert time.monotonic() - began < 15
    assert not [thread for thread in threading.enumerate() if thread is stack.poller._thread]


def test_another_arrangement_leaves_the_others_undisturbed(
    peers: LineDevices, run: Callable[..., Site]
) -> None:
    stack = run()
    names = [f"good-{n}" for n in range(5)]
    stays = [device(name, line(peers, name)) for name in names]
    peers.watts["moved"] = "5"
    stack.ask(*stays, device("moves", line(peers, "moves")), device("goes", line(peers, "goes")))
    until(lambda: all(stack.up(one) for one in (*names, "moves", "goes")))
    for name in names:
        peers.connections[name] = peers.asked[name] = 0
    stack.ask(*stays, device("moves", line(peers, "moved")), device("comes", line(peers, "comes")))
    until(lambda: stack.up("comes") and stack.watts("moves") == [5])
    assert stack.poller.pages.page("goes") is None
    gone = peers.asked["goes"]
    until(lambda: all(peers.asked[name] >= 2 for name in names))
    assert not any(peers.connections[name] for name in names), "somebody was interrupted"
    assert peers.asked["goes"] == gone
    # Another way of asking the same thing: what it said stays on its page meanwhile.
    stack.ask(*(replace(one, serial="known-now") for one in stays))
    assert all(stack.watts(name) for name in names)
    until(lambda: all(peers.connections[name] for name in names))
    assert all(stack.watts(name) for name in names)


def test_a_dropped_connection_costs_no_poll(peers: LineDevices, run: Callable[..., Site]) -> None:
    stack = run()
    stack.ask(device("drops", line(peers, "drops")))
    until(lambda: stack.up("drops"))
    peers.behaviour["drops"] = "drop"
    asked = peers.asked["drops"]
    until(lambda: peers.asked["drops"] > asked)
    del peers.behaviour["drops"]
    before = stack.values("drops", polling.POLL_ERRORS)
    until(lambda: peers.asked["drops"] >= asked + 3)
    # Whether the switch fell between the two attempts or after both is a matter of microseconds.
    assert sum(stack.values("drops", polling.POLL_ERRORS)) <= sum(before) + 1
    assert stack.up("drops")


class Pushing(LineDriver):
    said: Polled | None = None

    def pushed(self) -> Polled | None:
        said, type(self).said = type(self).said, None
        return said


def test_what_is_told_unasked_is_on_the_page(peers: LineDevices, run: Callable[..., Site]) -> None:
    stack = run(("mqtt", Pushing))
    stack.ask(device("speaks", line(peers, "speaks", "mqtt")), interval=1.6)
    until(lambda: stack.watts("speaks") == [100])
    labels = ("A", "inlet", "L1")
    Pushing.said = Polled([Reading(facility.POWER_ACTIVE, labels, 55.0)])
    until(lambda: stack.watts("speaks") == [55])


def test_nothing_accumulates_over_many_failures(peers: LineDevices, run: Callable[..., Site]) -> None:
    hows = ("hang", "rubbish", "drop", "")
    names = [f"leak-{n}" for n in range(16)]
    peers.behaviour.update({name: hows[n % 4] for n, name in enumerate(names)})
    stack = run()
    dead = [device(f"deaf-{n}", Endpoint("snmp", closed_port())) for n in range(4)]
    stack.ask(*dead, *(device(name, line(peers, name)) for name in names), interval=0.05)
    loop = stack.poller._loop

    def state() -> tuple[int, int, int]:
        gc.collect()
        handles = len(list(Path("/proc/self/fd").iterdir()))
        return len(asyncio.all_tasks(loop)), handles, len(gc.get_objects())

    until(lambda: stack.errors("leak-1", "malformed") >= 8)
    tasks, files, objects = state()
    until(lambda: stack.errors("leak-1", "malformed") >= 30)
    more_tasks, more_files, more_objects = state()
    assert more_tasks <= tasks + 16
    assert more_files <= files + 2 * 16
    assert more_objects < objects + 3000
