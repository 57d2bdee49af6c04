"""Lanes, freshness and the range gate: one source's trouble stays its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.runtime import Exporter, Gate, Lane, SourceError, health_readings
from exporters.runtime.gate import SENTINELS, allowed_range
from gigawatch.catalogue import Metric, all_metrics, gpu, host, own
from gigawatch.readings import Reading


class Scripted:
    """A source that does what it is told."""

    deadline = 0.05

    def __init__(self, name: str, act: Callable[[], Iterable[Reading]], interval: float = 0.05) -> None:
        self.name, self.interval = name, interval
        self._act = act

    def read(self) -> Iterable[Reading]:
        return self._act()


def load(value: float) -> Reading:
    return Reading(host.HOST_LOAD, (), value)


def cpus(value: float) -> Reading:
    return Reading(host.HOST_CPUS, (), value)


def test_a_reading_not_renewed_is_dropped_after_three_ticks() -> None:
    now = [100.0]
    answers: list[Exception | None] = [None]

    def act() -> Iterable[Reading]:
        if answers[0] is not None:
            raise answers[0]
        return [load(1), cpus(2)]

    lane = Lane(Scripted("host", act, 5.0), lambda: now[0], lambda: 1e9 + now[0])
    lane.run_once()
    assert [r.value for r in lane.readings()] == [1, 2]
    answers[0] = SourceError("timeout", "no answer")
    now[0] += 14.9
    lane.run_once()
    assert len(lane.readings()) == 2
    assert not lane.health().up
    now[0] += 0.2
    assert lane.readings() == []
    health = lane.health()
    assert health.errors == {"timeout": 1}
    assert health.last_success == pytest.approx(1e9 + 100)
    answers[0] = None
    lane.run_once()
    assert len(lane.readings()) == 2


def test_what_a_complete_answer_leaves_out_is_gone_at_once() -> None:
    script = [[load(1), cpus(2)], [load(3)]]
    lane = Lane(Scripted("host", lambda: script.pop(0)))
    lane.run_once()
    lane.run_once()
    assert lane.readings() == [load(3)]


def test_a_part_that_was_read_before_the_failure_counts() -> None:
    def act() -> Iterable[Reading]:
        yield load(7)
        raise OSError("disk gone")

    lane = Lane(Scripted("host", act))
    lane.run_once()
    assert lane.readings() == [load(7)]
    assert lane.health().errors == {"io": 1}


def test_hanging_and_raising_sources_leave_the_others_alone() -> None:
    release = threading.Event()
    before = {thread.name for thread in threading.enumerate()}
    count = iter(range(10**9))

    def hang() -> Iterable[Reading]:
        release.wait()
        return [cpus(1)]

    def fail() -> Iterable[Reading]:
        raise RuntimeError("broken")

    sources = [
        Scripted("hangs", hang),
        Scripted("fails", fail),
        Scripted("works", lambda: [load(float(next(count)))]),
    ]
    exporter = Exporter("agent", sources, 0.05)
    exporter.start()
    try:
        values = set()
        expected = {
            f'{own.COLLECTOR_UP.name}{{collector="works"}} 1.0',
            f'{own.COLLECTOR_UP.name}{{collector="fails"}} 0.0',
            f'{own.COLLECTOR_UP.name}{{collector="hangs"}} 0.0',
        }
        # A crowded machine may hold up the working source as well for a moment.
        deadline = time.monotonic() + 60
        missing, stuck = expected, {}
        while len(values) < 5 or missing or stuck != {"hangs": True, "fails": False, "works": False}:
            assert time.monotonic() < deadline, f"{len(values)} values; missing {missing}; {stuck}"
            text = exporter.compose().text.decode()
            values.update(line for line in text.splitlines() if line.startswith(host.HOST_LOAD.name))
            missing = expected - set(text.splitlines())
            stuck = {h.name: h.stuck > 0 for h in (lane.health() for lane in exporter.lanes)}
            time.sleep(0.03)
        assert f'{own.COLLECTOR_ERRORS.name}{{collector="fails",error="RuntimeError"}}' in text
        lanes = [t for t in threading.enumerate() if t.name.startswith("lane-")]
        assert len(lanes) == 3, "a hanging read must not cost a thread per tick"
    finally:
        release.set()
        exporter.stop()
    deadline = time.monotonic() + 30
    while {t.name for t in threading.enumerate()} - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not {t.name for t in threading.enumerate()} - before


IMPOSSIBLE = [
    (gpu.GPU_POWER, 5001.0, "out_of_range"),
    (gpu.GPU_POWER, -1.0, "out_of_range"),
    (gpu.GPU_POWER, math.nan, "not_a_number"),
    (gpu.GPU_POWER, math.inf, "out_of_range"),
    (gpu.GPU_TEMPERATURE, 151.0, "out_of_range"),
    (gpu.GPU_UTILIZATION, 1.01, "out_of_range"),
    (gpu.GPU_MEMORY_USED, float(2**64 - 1), "sentinel"),
    (gpu.GPU_ECC_ERRORS, float(2**32 - 1), "sentinel"),
    (gpu.GPU_INFO, 0.0, "out_of_range"),
]


@pytest.mark.parametrize(("metric", "value", "reason"), IMPOSSIBLE)
def test_impossible_values_are_counted_and_not_exported(metric: Metric, value: float, reason: str) -> None:
    gate = Gate()
    labels = tuple("x" for _ in metric.labels)
    assert gate.sift([Reading(metric, labels, value)]) == []
    assert gate.rejected == {(metric.name, reason): 1}


@given(
    st.sampled_from(all_metrics()),
    st.lists(st.one_of(st.floats(), st.sampled_from(sorted(SENTINELS)))),
)
def test_the_gate_passes_exactly_the_possible(metric: Metric, values: list[float]) -> None:
    gate = Gate()
    labels = tuple("" for _ in metric.labels)
    passed = [r.value for r in gate.sift([Reading(metric, labels, value) for value in values])]
    low, high = allowed_range(metric)
    assert all(low <= value <= high and value not in SENTINELS for value in passed)
    assert len(passed) + sum(gate.rejected.values()) == len(values)


def test_rejections_of_one_metric_are_one_series() -> None:
    lanes = [Lane(Scripted(name, lambda: [Reading(gpu.GPU_POWER, ("0", "u", "gpu"), -1.0)])) for name in "ab"]
    for lane in lanes:
        lane.run_once()
    rejected = [
        r for r in health_readings(lane.health() for lane in lanes) if r.metric is own.REJECTED_SAMPLES
    ]
    assert rejected == [Reading(own.REJECTED_SAMPLES, (gpu.GPU_POWER.name, "out_of_range"), 2.0)]
