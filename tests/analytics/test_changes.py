"""Change points: what fell at equal load is called, with its date and evidence; what a job does is not."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.changes import ChangePoints
from analytics.fleet import Fleet, Level, Tick

STEP = 60.0
START = 1_760_000_000.0


class Bench:
    """Four nodes of eight GPUs, one job, two loops; `values` may be changed from minute to minute."""

    def __init__(self, nodes: int = 4, seed: int = 1) -> None:
        self.rng, self.fleet, self.now = np.random.default_rng(seed), Fleet(), START
        labels = [
            {
                "uuid": f"U{i}",
                "gpu": str(i % 8),
                "node": f"n{i // 8}",
                "rack": "r1",
                "loop": "l1",
                "job": "train",
            }
            for i in range(8 * nodes)
        ]
        self.fleet[Level.GPU].rows([x["uuid"] for x in labels], labels)
        names = [f"n{i}" for i in range(nodes)]
        self.fleet[Level.NODE].rows(names, [{"node": n, "rack": "r1", "loop": "l1"} for n in names])
        self.fleet[Level.LOOP].rows(["l1", "l2"], [{"loop": "l1"}, {"loop": "l2"}])
        self.fleet[Level.JOB].rows(["train"], [{"job": "train"}])
        self.n, self.nodes = 8 * nodes, nodes
        self.clock, self.power = np.full(self.n, 1.98e9), np.full(self.n, 600.0)
        self.busy, self.fan, self.step = np.full(self.n, 0.98), np.full(nodes, 0.5), 4.0
        self.pump, self.flow = np.full(2, 0.8), np.full(2, 0.9)
        self.pressure, self.running = np.full(2, 1.5e5), np.full(2, 2.0)
        self.temperature = 60.0
        self.detector = ChangePoints()
        self.found: dict[tuple[str, str, str], list] = {}

    def run(self, minutes: int) -> dict[tuple[str, str, str], list]:
        rng = self.rng
        for _ in range(minutes):
            self.now += STEP
            hot = self.temperature + rng.normal(0, 1.0, self.n)
            values = {
                "clock": self.clock * (1 + 0.001 * rng.standard_normal(self.n)),
                "power": self.power * (1 + 0.01 * rng.standard_normal(self.n)),
                "utilization": self.busy.copy(),
                "temperature": hot,
                "fan_speed": self.fan + 0.01 * rng.standard_normal(self.nodes),
                "coolant_flow": self.flow * (1 + 0.003 * rng.standard_normal(2)),
                "pump_speed": self.pump.copy(),
                "coolant_pressure": self.pressure.copy(),
                "pumps_running": self.running.copy(),
                "step_time": np.array([self.step * (1 + 0.01 * rng.standard_normal())]),
            }
            tick = Tick(self.now, self.fleet, values)
            self.detector.enrol(self.fleet)
            for suspicion in self.detector.observe(tick).suspicions:
                key = (suspicion.cause, suspicion.scope, suspicion.place)
                self.found.setdefault(key, []).append(suspicion)
        return self.found


def test_a_clock_that_sinks_at_equal_power_is_a_straggler_with_date_and_evidence():
    bench = Bench()
    assert bench.run(60) == {}
    began = bench.now
    bench.clock[13] *= 0.97
    found = bench.run(15)
    assert set(found) == {("straggler", "gpu", "n1/gpu5")}
    last = found["straggler", "gpu", "n1/gpu5"][-1]
    assert abs(last.since - began) <= 2 * STEP
    clock, power = last.evidence[:2]
    assert clock.value / clock.usual == pytest.approx(0.97, abs=0.005)
    assert clock.peers == pytest.approx(1.98e9, rel=0.005)
    assert power.text == "as before"
    assert last.confidence >= 0.7
    assert last.rivals


def test_it_ends_once_the_clock_is_back():
    bench = Bench()
    bench.run(40)
    bench.clock[13] *= 0.9
    bench.run(10)
    bench.clock[13] /= 0.9
    bench.run(30)
    bench.found.clear()
    assert bench.run(20) == {}


def test_what_the_whole_job_does_is_nobodys_fault():
    bench = Bench()
    bench.run(60)
    bench.clock *= 0.9
    bench.power *= 0.85
    assert bench.run(30) == {}


def test_a_new_job_is_learned_and_not_called():
    bench = Bench()
    bench.run(60)
    for row in range(8):
        bench.fleet[Level.GPU].set(row, "job", "another")
    bench.clock[:8] *= np.linspace(0.9, 1.0, 8)
    bench.power[:8] *= 0.8
    assert bench.run(60) == {}


def test_a_heavier_load_at_the_power_limit_is_no_straggler():
    bench = Bench()
    rng = np.random.default_rng(5)
    for _ in range(12):
        bench.power = np.clip(600 * (1 + 0.15 * rng.standard_normal(bench.n)), 300, 700)
        bench.clock = np.where(bench.power > 690, 1.9e9, 1.98e9)
        bench.run(8)
    bench.power[4], bench.clock[4], bench.busy[4] = 700.0, 1.85e9, 1.0
    assert bench.run(20) == {}


def test_a_lowered_power_limit_is_a_setting():
    bench = Bench()
    plain = bench.detector.observe

    def with_limit(tick: Tick):
        limit = np.full(bench.n, 700.0)
        limit[:8] = bench.limit
        tick.values["power_limit"] = limit
        return plain(tick)

    bench.detector.observe = with_limit
    bench.limit = 700.0
    bench.run(60)
    bench.limit = 350.0
    bench.clock[:8] *= 0.75
    bench.power[:8] *= 0.6
    found = bench.run(10)
    assert {(cause, place[:2]) for cause, _, place in found} == {("software", "n0")}


def test_many_jobs_at_one_moment_are_the_software():
    bench = Bench(nodes=12)
    for row in range(bench.n):
        bench.fleet[Level.GPU].set(row, "job", f"job-{row // 32}")
    bench.run(60)
    bench.clock *= 0.93
    found = bench.run(15)
    assert set(found) == {("software", "site", "site")}


def test_a_fan_that_turns_faster_at_equal_temperature():
    bench = Bench(nodes=6)
    for temperature in (50.0, 60.0, 70.0, 60.0):
        bench.temperature = temperature
        bench.fan = np.full(6, 0.35 + 0.01 * (temperature - 45))
        bench.run(80)
    assert bench.found == {}
    bench.fan[2] += 0.25
    assert set(bench.run(12)) == {("fan", "node", "n2")}


@pytest.mark.parametrize(
    ("pressure", "running", "cause"),
    [(1.9e5, 2.0, "coolant_loop"), (1.1e5, 2.0, "pump"), (1.1e5, 1.0, "pump")],
)
def test_less_flow_at_equal_pump_speed_names_pump_or_way(pressure, running, cause):
    bench = Bench()
    bench.run(40)
    bench.flow[1], bench.pressure[1], bench.running[1] = 0.75, pressure, running
    found = bench.run(10)
    assert set(found) == {(cause, "loop", "l2")}
    last = found[cause, "loop", "l2"][-1]
    assert last.evidence[0].value != last.evidence[0].usual


def test_a_flow_that_follows_its_pumps_is_as_it_should_be():
    bench = Bench()
    bench.run(40)
    bench.flow *= 0.7
    bench.pump *= 0.7
    assert bench.run(20) == {}


def test_longer_steps_without_a_slow_gpu_are_the_jobs():
    bench = Bench()
    bench.run(40)
    bench.step *= 1.2
    found = bench.run(20)
    assert set(found) == {("job", "job", "train")}
    assert found["job", "job", "train"][-1].evidence[0].usual == pytest.approx(4.0, rel=0.03)


def test_longer_steps_with_a_slow_gpu_are_that_gpus():
    bench = Bench()
    bench.run(40)
    bench.step *= 1.2
    bench.clock[9] *= 0.8
    bench.power[9] *= 0.7
    assert set(bench.run(20)) == {("straggler", "gpu", "n1/gpu1")}
