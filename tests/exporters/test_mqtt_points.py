"""From messages to readings: every kind of point, what tells of one zone, memory, rubbish of all kinds."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from facility_wiring import device, values
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.facility.driver import Polled
from exporters.facility.mqtt.point import Bad, parse_metadata, parse_topic, parse_value
from exporters.facility.mqtt.registry import Registry
from exporters.facility.mqtt.view import View
from exporters.runtime.gate import Gate
from gigawatch.topology import Device, Role
from gigawatch.topology.model import Zone

NOW = 1_743_620_423.0
SITE: list[dict[str, Any]] = json.loads((Path(__file__).parent / "mqtt" / "site.json").read_text())


class Bus:
    """A registry with one device on it."""

    def __init__(self, of: Device) -> None:
        self.registry, self.view = Registry(), View(of, "")
        self.registry.claim(self.view)

    def describe(self, point: str, **meta: Any) -> None:
        self.registry.take(f"BMS/v1/PUB/Metadata/{point}", json.dumps(meta).encode())

    def say(self, point: str, value: float | None, publisher: str = "PUB", quality: Any = 1) -> None:
        told = {"value": value, "timestamp": NOW * 1000, "quality": quality}
        self.registry.take(f"BMS/v1/{publisher}/Value/{point}", json.dumps(told).encode())

    def poll(self) -> Polled:
        return self.view.answer(NOW)

    def values(self) -> dict[str, float]:
        return values(self.poll().readings)


def owner(row: dict[str, Any]) -> Device:
    """The device of a row: on side A where it has one."""
    side = "A" if row["role"] == "chiller" else ""
    rack = "rack05" if row["role"] == "manifold" else ""
    return device(row["device"], Role(row["role"]), side=side, rack=rack)


@pytest.mark.parametrize("row", SITE, ids=lambda row: row["point"])
def test_each_kind_of_point(row: dict[str, Any]) -> None:
    bus = Bus(owner(row))
    bus.describe(row["point"], **row["metadata"])
    bus.say(row["point"], row["value"], row["metadata"].get("integration", "PUB"))
    found = bus.poll()
    assert values(found.readings) == {key: pytest.approx(value) for key, value in row["expected"].items()}
    assert Gate().sift(found.readings) == found.readings
    assert len(bus.view) == 1, "it is known whether or not it is used"
    if not row["expected"]:
        assert set(bus.view.dropped) & {"unmapped", "unit"}


def test_a_leak_outweighs_its_sensors_fault_and_a_fault_outweighs_dry() -> None:
    bus = Bus(device("m", Role.MANIFOLD, rack="r1"))
    leak, fault, more = (
        f"Rack/{kind}/r1/{kind}" for kind in ("RackLeakDetect", "RackLeakSensorFault", "RackLeakDetect/2")
    )
    for point in (leak, fault, more):
        bus.describe(point, rackLocationId="r1")

    def state(*told: float | None) -> str:
        for point, value in zip((leak, fault, more), told, strict=True):
            bus.say(point, value)
        return " ".join(key for key, value in bus.values().items() if value)

    assert state(0, 0, 0) == "leak_state{zone=rack,state=dry}"
    assert state(0, 1, 0) == "leak_state{zone=rack,state=fault}"
    assert state(1, 1, 0) == "leak_state{zone=rack,state=leak}"
    assert state(0, 0, 1) == "leak_state{zone=rack,state=leak}"
    assert state(None, 0, None) == ""  # that its sensor is well says nothing of water


def test_a_leak_is_told_by_the_zones_of_the_inventory() -> None:
    zones = (Zone("Tray"), Zone("floor"))
    many = Bus(device("m", Role.MANIFOLD, rack="r1", zones=zones))
    many.describe("Rack/RackLeakDetect/r1/TRAY/leak", rackLocationId="r1")
    many.say("Rack/RackLeakDetect/r1/TRAY/leak", 0)
    assert "leak_state{zone=Tray,state=dry}" in many.values()
    one = Bus(device("m", Role.MANIFOLD, rack="r1", zones=zones[1:]))
    one.describe("Rack/RackLeakDetect/r1/x", rackLocationId="r1")
    one.say("Rack/RackLeakDetect/r1/x", 0)
    assert "leak_state{zone=floor,state=dry}" in one.values()


def test_words_of_states_go_before_numbers() -> None:
    bus = Bus(device("m", Role.MANIFOLD, rack="r1"))
    inverted = [{"value": 0, "text": "LEAK"}, {"value": 1, "text": "Normal"}]
    bus.describe("Rack/RackLeakDetect/r1/x", rackLocationId="r1", stateText=inverted)
    bus.say("Rack/RackLeakDetect/r1/x", 0)
    assert bus.values()["leak_state{zone=rack,state=leak}"] == 1
    bus.describe("Rack/RackLeakDetect/r1/x", rackLocationId="r1", stateText=[{"value": 0, "text": "Gut"}])
    bus.say("Rack/RackLeakDetect/r1/x", 0)
    assert bus.values()["leak_state{zone=rack,state=dry}"] == 1


def test_two_points_are_not_one_series() -> None:
    bus = Bus(device("c"))
    for tag in ("b", "a"):
        bus.describe(f"CDU/LiquidFlow/c/{tag}", objectId="c", engUnit="LPM")
        bus.say(f"CDU/LiquidFlow/c/{tag}", 60 if tag == "a" else 120)
    found = bus.poll()
    assert values(found.readings) == {
        "coolant_flow_cubic_meters_per_second{circuit=tcs}": pytest.approx(0.001)
    }
    assert found.dropped == {"duplicate": 1}


def test_what_is_nobodys_takes_no_room() -> None:
    bus = Bus(device("c"))
    bus.describe("CDU/LiquidFlow/c/x", objectId="c", engUnit="LPM")
    tracemalloc.start()
    for at in range(3_000):
        meta = json.dumps({"objectId": "other", "filler": f"{at:500}"}).encode()
        value = b'{"value": %1000d}' % at
        bus.registry.take(f"BMS/v1/PUB/Metadata/CDU/LiquidFlow/other/{at}", meta)
        bus.registry.take(f"BMS/v1/PUB/Value/CDU/LiquidFlow/other/{at}", value)
        bus.registry.take(f"BMS/v1/PUB/Value/CDU/LiquidFlow/undescribed/{at}", value)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(bus.registry) == 1
    assert grown < 2e6  # a thousand values are kept for metadata that may still come
    bus.say("CDU/LiquidFlow/c/x", 60)
    assert bus.values()


def test_points_of_ours_are_bounded_too() -> None:
    view = View(device("c"), "")
    registry = Registry(most_points=10)
    registry.claim(view)
    for at in range(20):
        registry.take(f"BMS/v1/PUB/Metadata/CDU/LiquidFlow/c/{at}", b'{"engUnit": "LPM"}')
    assert len(view) == len(registry) == 10
    assert view.dropped["too_many"] == 10


def test_a_device_that_leaves_takes_its_points_along() -> None:
    registry = Registry()
    views = [View(device("c"), ""), View(replace(device("d")), "c")]
    for view in views:
        registry.claim(view)
    registry.take("BMS/v1/PUB/Metadata/CDU/LiquidFlow/c/x", b'{"objectId": "c", "engUnit": "LPM"}')
    assert [len(view) for view in views] == [1, 1]
    registry.release(views[0])
    assert len(registry) == 1
    registry.release(views[1])
    assert len(registry) == 0


@pytest.mark.parametrize(
    "topic",
    [
        "BMS/v1/PUB/Value/CDU/LiquidFlow",
        "BMS/v1/PUB/Value/CDU//x",
        "BMS/v2/PUB/Value/CDU/LiquidFlow/x",
        "BMS/v1/PUB/Other/CDU/LiquidFlow/x",
        "",
        "$SYS/x",
        "BMS/v1/PUB/Value/CDU/LiquidFlow/" + "x" * 2000,
    ],
)
def test_topics_that_are_none(topic: str) -> None:
    with pytest.raises(Bad):
        parse_topic(topic)


def test_a_tag_path_keeps_its_slashes() -> None:
    assert parse_topic("BMS/v1/MEPAI/Value/CDU/LiquidFlow/a/b//c/") == (
        "MEPAI",
        True,
        "CDU/LiquidFlow/a/b//c/",
    )
    meta = parse_metadata("CDU/LiquidFlow/a/b//c/", b"{}")
    assert (meta.object_type, meta.point_type, meta.tag_path) == ("CDU", "LiquidFlow", "a/b//c/")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "error"),
        (b"\xff", "error"),
        (b"[]", "error"),
        (b"[" * 4000, "error"),
        (b'{"value": 1, "timestamp": 1, "quality": 1}' + b" " * 5000, "error"),
        (b'{"value": 1, "timestamp": 1}', "quality"),
        (b'{"value": 1, "timestamp": 1, "quality": true}', "quality"),
        (b'{"value": 1, "timestamp": 1, "quality": 1.0}', "quality"),
        (b'{"value": 1, "timestamp": 1, "quality": "1"}', "quality"),
        (b'{"value": "1", "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": NaN, "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": 1e999, "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": 1' + b"0" * 400 + b', "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": true, "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": null, "timestamp": 1, "quality": 1}', "no_number"),
        (b'{"value": 1, "timestamp": null, "quality": 1}', "error"),
    ],
)
def test_values_that_do_not_count(payload: bytes, reason: str) -> None:
    with pytest.raises(Bad) as caught:
        parse_value(payload)
    assert caught.value.reason == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
SAID = ("engUnit", "stateText", "processArea", "phase", "isSetpoint", "integration")
FIELDS = ("objectId", "associateId", "rackLocationId", *SAID, "value", "timestamp", "quality")
PAYLOADS = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda told: json.dumps(told).encode()),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6).map(lambda told: json.dumps(told).encode()),
)
TOPICS = st.one_of(
    st.text(max_size=40),
    st.builds(
        "BMS/v1/{}/{}/{}".format,
        st.sampled_from(("PUB", "X", "")),
        st.sampled_from(("Value", "Metadata")),
        st.sampled_from([row["point"] for row in SITE] + ["CDU/LiquidFlow/c", "//"]),
    ),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(TOPICS, PAYLOADS), max_size=6), st.sampled_from(SITE))
def test_whatever_comes_nothing_breaks_and_nothing_absurd_is_told(
    messages: list[tuple[str, bytes]], row: dict[str, Any]
) -> None:
    bus = Bus(owner(row))
    bus.describe(row["point"], **row["metadata"])
    for topic, payload in messages:
        bus.registry.take(topic, payload)
    for reading in bus.poll().readings:
        assert math.isfinite(reading.value)
    bus.describe(row["point"], **row["metadata"], again=1)
    bus.say(row["point"], row["value"], row["metadata"].get("integration", "PUB"))
    assert row["expected"].keys() <= bus.values().keys()


@settings(max_examples=60)
@given(
    meta=st.fixed_dictionaries({"associateId": st.just("c")}, optional=dict.fromkeys(SAID, JSON)),
    row=st.sampled_from(SITE),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_metadata_of_any_kind_bind_or_do_not(meta: dict[str, Any], row: dict[str, Any], value: float) -> None:
    bus = Bus(device("c"))
    bus.describe(row["point"], **meta)
    bus.say(row["point"], value)
    for reading in bus.poll().readings:
        assert len(reading.labels) == len(reading.metric.labels)
        for name, text in zip(reading.metric.labels, reading.labels, strict=True):
            assert text in reading.metric.values.get(name, (text,))
