"""Power: quantiles that hold what they promise, limits told before they are reached, swings, lost paths."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.power import Power
from analytics.detectors.power_forecast import HORIZONS, QUANTILES, Forecast, reach
from analytics.detectors.power_swings import SwingLimits
from analytics.fleet import Fleet, Level, Tick
from analytics.serving.figures import figure_readings
from gigawatch.catalogue import findings

START = 1_760_000_000.0


def jobs_and_noise(minutes: int, racks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Power and held GPUs of racks whose jobs come and go, with checkpoints, lasting noise, and a day."""
    rng = np.random.default_rng(seed)
    held, until, begun, drift = np.zeros(racks), np.zeros(racks), np.zeros(racks), np.zeros(racks)
    power, holding = np.zeros((minutes, racks)), np.zeros((minutes, racks))
    level = np.full(racks, 8e3)
    for t in range(minutes):
        over = t >= until
        held = np.where(over, np.where(held > 0, 0.0, rng.choice([8.0, 16.0, 32.0], racks)), held)
        until = np.where(over, t + rng.integers(30, 600, racks), until)
        begun = np.where(over, t, begun)
        goal = 8e3 + held * 700 * np.where(t - begun < 3, 0.15, 1.0)
        drift = 0.9 * drift + 0.01 * goal * rng.standard_normal(racks)
        level += 0.5 * (goal - level)
        pause = np.where((t + 7 * np.arange(racks)) % 30 == 0, 0.85, 1.0)
        power[t] = level * pause * (1 + 0.05 * np.sin(2 * np.pi * t / 1440)) + drift
        holding[t] = held
    return power, holding


def test_nine_of_ten_outcomes_lie_below_the_ninety_percent_line():
    minutes, racks = 1500, 16
    power, held = jobs_and_noise(minutes, racks, 4)
    forecast = Forecast()
    forecast.columns.grow(racks)
    forecast.clock.grow(racks)
    lines = np.zeros((minutes, len(HORIZONS), len(QUANTILES), racks))
    for t in range(minutes):
        forecast.step(START + 60 * t, power[t], held[t], np.ones(racks, bool))
        lines[t], ready = forecast.ahead(START + 60 * t)
    assert ready.all()
    for h, horizon in enumerate(HORIZONS):
        ahead = int(horizon / 60)
        came = power[500 + ahead :]
        said = lines[500 : minutes - ahead, h]
        for q, share in enumerate(QUANTILES):
            assert (came <= said[:, q]).mean() == pytest.approx(share, abs=0.025)
        if horizon == 300.0:
            middle = np.abs(came - said[:, QUANTILES.index(0.5)]).mean()
            assert middle < 1.02 * np.abs(came - power[500 : minutes - ahead]).mean()


def test_time_until_a_limit():
    line = np.array([110.0, 130.0, 190.0])
    assert reach(100.0, line, 95.0) == 0.0
    assert reach(100.0, line, 105.0) == 30.0
    assert reach(100.0, line, 160.0) == 600.0
    assert reach(100.0, line, 200.0) == pytest.approx(1000.0)
    assert reach(100.0, line, 1e4) is None
    assert reach(100.0, np.array([99.0, 95.0, 90.0]), 120.0) is None


class Bench:
    """Two racks with a job each, two feeds; everything may be changed from tick to tick."""

    def __init__(self, step: float = 10.0) -> None:
        self.rng, self.fleet, self.now, self.step = np.random.default_rng(2), Fleet(), START, step
        labels = [
            {
                "uuid": f"U{i}",
                "gpu": str(i % 8),
                "node": f"n{i // 8}",
                "rack": f"r{i // 16}",
                "job": f"j{i // 16}",
            }
            for i in range(32)
        ]
        self.fleet[Level.GPU].rows([x["uuid"] for x in labels], labels)
        nodes = [{"node": f"n{i}", "rack": f"r{i // 2}"} for i in range(4)]
        self.fleet[Level.NODE].rows([x["node"] for x in nodes], nodes)
        self.fleet[Level.RACK].rows(["r0", "r1"], [{"rack": "r0"}, {"rack": "r1"}])
        self.fleet[Level.FEED].rows(["A", "B"], [{"feed": "A"}, {"feed": "B"}])
        self.fleet[Level.DEVICE].rows(["pdu-0"], [{"device": "pdu-0", "rack": "r0"}])
        self.fleet[Level.JOB].rows(["j0", "j1"], [{"job": "j0"}, {"job": "j1"}])
        self.gpu, self.share, self.breaker = np.full(32, 500.0), np.full(2, 0.5), 0.5
        self.feeds, self.sides, self.failed = np.full(2, 0.5), np.full(2, 2.0), np.full(4, np.nan)
        self.foreign = np.zeros(2)
        self.detector = Power()
        self.last = None

    def run(self, minutes: float):
        found = {}
        for _ in range(int(60 * minutes / self.step)):
            self.now += self.step
            noise = 1 + 0.005 * self.rng.standard_normal(32)
            gpu = self.gpu * noise
            racks = gpu.reshape(2, 16).sum(axis=1) * 1.2 + self.foreign
            values = {
                "power": gpu,
                "rack_power": racks,
                "rack_power_budget": np.full(2, 16e3),
                "rack_side_power_least": racks * self.share,
                "rack_sides_live": self.sides.copy(),
                "rack_failover_left": 12e3 - racks,
                "feed_power": racks.sum() * self.feeds,
                "feed_capacity": np.full(2, 40e3),
                "breaker_load": np.array([self.breaker]),
                "supplies_failed": self.failed.copy(),
            }
            tick = Tick(self.now, self.fleet, values)
            self.detector.enrol(self.fleet)
            self.last = self.detector.observe(tick)
            for s in self.last.suspicions:
                found.setdefault((s.cause, s.scope, s.place), s)
        return found


def test_steady_power_is_quiet_and_forecast():
    bench = Bench()
    assert bench.run(30) == {}
    readings = list(figure_readings(bench.fleet, bench.last.figures))
    told = {r.labels: r.value for r in readings if r.metric is findings.RACK_POWER_FORECAST}
    assert len(told) == 2 * 3 * 4
    assert told["15m", "0.5", "r1"] == pytest.approx(9600, rel=0.02)
    assert told["5m", "0.1", "r0"] <= told["5m", "0.9", "r0"] <= told["5m", "0.99", "r0"]
    assert sum(r.metric is findings.FEED_POWER_FORECAST for r in readings) == 2 * 3 * 4


def test_a_breaker_beyond_its_continuous_limit():
    bench = Bench()
    bench.run(20)
    bench.breaker = 0.9
    found = bench.run(5)
    assert set(found) == {("breaker", "device", "pdu-0")}
    suspicion = found["breaker", "device", "pdu-0"]
    assert suspicion.eta == 0.0
    assert suspicion.gpus == tuple(range(16))
    assert "%" in suspicion.evidence[0].text


def test_a_rack_that_climbs_is_told_before_it_is_there():
    bench = Bench(step=60.0)
    bench.run(300)
    for minute in range(60):
        bench.foreign[0] = 110.0 * minute
        found = bench.run(1)
        if found:
            break
    (suspicion,) = found.values()
    assert (suspicion.cause, suspicion.scope, suspicion.place) == ("breaker", "rack", "r0")
    left = (16e3 - 9600 - bench.foreign[0]) / 110.0 * 60
    assert suspicion.eta > 0
    assert left / 2 < suspicion.eta < 2 * left
    assert suspicion.earliest <= suspicion.eta


def test_a_job_in_step_that_swings_a_rack_is_named_and_a_checkpoint_is_not():
    bench = Bench()
    bench.detector = Power(SwingLimits(swing=0.2, ramp=1.0))
    for minute in range(40):
        bench.gpu[16:] = 500.0
        bench.run(0.5)
        bench.gpu[16:] = 200.0 if minute % 5 == 0 else 500.0
        assert bench.run(0.5) == {}
    found = {}
    for _ in range(25):
        for watts in (500.0, 250.0, 500.0, 250.0, 500.0, 250.0):
            bench.gpu[:16] = watts
            found |= bench.run(1 / 6)
    assert set(found) == {("power_swing", "job", "j0")}
    swing, ramp = found["power_swing", "job", "j0"].evidence
    assert swing.value == pytest.approx(16 * 250 * 1.2, rel=0.1)
    assert ramp.value == pytest.approx(16 * 250 * 1.2 / 10, rel=0.1)
    told = {
        r.metric: r.value for r in figure_readings(bench.fleet, bench.last.figures) if r.labels == ("j0",)
    }
    assert told[findings.JOB_POWER_SWING] == pytest.approx(16 * 250, rel=0.1)
    assert told[findings.JOB_POWER_RAMP] == pytest.approx(16 * 25, rel=0.1)


def test_a_rack_that_loses_a_side_says_whether_the_other_can_carry_it():
    bench = Bench()
    bench.run(20)
    bench.share[0], bench.sides[0] = 0.0, 1.0
    found = bench.run(2)
    assert set(found) == {("power_path", "rack", "r0")}
    texts = " ".join(evidence.text for evidence in found["power_path", "rack", "r0"].evidence)
    assert "can carry the rack" in texts
    bench = Bench()
    bench.run(20)
    bench.gpu[:] = 700.0
    bench.run(1)
    bench.share[0] = 0.0
    suspicion = bench.run(2)["power_path", "rack", "r0"]
    assert suspicion.eta == 0.0
    assert any("cannot carry" in evidence.text for evidence in suspicion.evidence)


def test_a_feed_whose_load_the_other_took_is_one_finding():
    bench = Bench()
    bench.run(20)
    bench.share[:], bench.feeds = 0.0, np.array([0.0, 1.0])
    assert set(bench.run(2)) == {("power_path", "feed", "A")}


def test_load_that_goes_away_is_no_lost_feed():
    bench = Bench()
    bench.run(20)
    bench.gpu[:] = 20.0
    assert bench.run(5) == {}


def test_a_failed_supply_and_its_end():
    bench = Bench()
    bench.run(2)
    bench.failed[2] = 1.0
    assert set(bench.run(1)) == {("power_supply", "node", "n2")}
    bench.failed[2] = np.nan
    bench.run(0.5)
    assert bench.run(1) == {}


def test_the_power_of_a_rack_without_meters_is_that_of_its_nodes():
    bench = Bench()
    detector, fleet = Power(), bench.fleet
    for minute in range(30):
        watts = np.array([4e3, 5e3, 6e3, 7e3 if minute < 29 else np.nan])
        values = {"power": np.full(32, 500.0), "node_power": watts}
        detector.enrol(fleet)
        verdict = detector.observe(Tick(START + 60 * minute, fleet, values))
    told = {r.labels: r.value for r in figure_readings(fleet, verdict.figures)}
    assert told["5m", "0.5", "r0"] == pytest.approx(9e3, rel=0.01)
    assert told["5m", "0.5", "r1"] == pytest.approx(13e3, rel=0.01)
