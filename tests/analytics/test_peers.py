"""GPUs against their peers: what is odd stands out, what all share does not; stragglers and their reasons."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.peers import Peers
from analytics.fleet import Level


def watch(plant, peers, seconds, change=lambda _tick: None):
    """Run the plant and only this detector; the verdict of every tick."""
    verdicts = []
    for tick in plant.ticks(seconds):
        change(tick)
        peers.enrol(tick.fleet)
        verdicts.append((tick.now, peers.observe(tick)))
    return verdicts


def scores(verdict, signal="temperature"):
    return next(s.values for s in verdict.scores if s.signal == signal)


def highest(verdicts, signal="temperature"):
    table = np.array([scores(verdict, signal) for _, verdict in verdicts])
    return np.nanmax(np.where(np.isfinite(table), table, 0), axis=0)


def called(verdicts):
    return {s.place for _, verdict in verdicts for s in verdict.suspicions}


def test_one_gpu_that_runs_hotter_than_its_peers_stands_out_alone(make_plant):
    plant, peers = make_plant(nodes=4), Peers()
    watch(plant, peers, 400)
    plant.factor[11] = 2.0
    top = highest(watch(plant, peers, 200))
    assert top[11] > 0.7
    assert np.delete(top, 11).max() < 0.3


def test_what_a_whole_rack_shares_is_nobodys_oddity(make_plant):
    plant, peers = make_plant(racks=2, nodes=4), Peers()
    for gpu in range(len(plant.full)):
        plant.fleet[Level.GPU].set(gpu, "job", "one")
    watch(plant, peers, 400)

    def warmer(tick):
        tick.values["temperature"][:32] += 10

    assert highest(watch(plant, peers, 200, warmer)).max() < 0.3


def test_two_jobs_on_one_node_are_no_measure_of_each_other(make_plant):
    plant, peers = make_plant(nodes=4), Peers()
    odd = (np.arange(len(plant.full)) + plant.node) % 8 >= 6
    for gpu in np.flatnonzero(odd).tolist():
        plant.fleet[Level.GPU].set(gpu, "job", "other")
    plant.load = lambda t: np.where(odd, 0.9 if t % 120 > 60 else 0.2, 0.9)
    verdicts = watch(plant, peers, 900)
    for signal in ("power", "temperature", "utilization"):
        assert np.isfinite(scores(verdicts[-1][1], signal)).all()
        assert highest(verdicts, signal).max() < 0.4


def test_a_gpu_that_is_swapped_starts_afresh(make_plant):
    plant, peers = make_plant(nodes=2), Peers()
    plant.resistance[3] = 0.06
    gpus = plant.fleet[Level.GPU]
    for row, uuid in enumerate(list(gpus.keys)):
        gpus.rows([uuid], [{"uuid": uuid}], plant.now)
        assert not gpus.gone[row]
    watch(plant, peers, 600)
    gpus.rows(["GPU-new"], [{"uuid": "GPU-new", "gpu": "3", "node": "r00-n00", "rack": "r00"}], plant.now)
    gpus.set(16, "job", "job-r00")

    def swapped(tick):
        for key, values in tick.values.items():
            if len(values) == 16:
                cooler = -6 if key == "temperature" else 0
                tick.values[key] = np.append(values, values[3] + cooler)
                tick.values[key][3] = np.nan

    verdicts = watch(plant, peers, 600, swapped)
    assert not np.isfinite(scores(verdicts[0][1])[16])
    assert np.isfinite(scores(verdicts[-1][1])[16])
    assert not np.isfinite(scores(verdicts[-1][1])[3])
    assert highest(verdicts).max() < 0.5


class Job:
    """A synchronous job over the whole plant: who is slow does not wait, all others do."""

    def __init__(self, plant):
        n = len(plant.full)
        self.slow, self.wait = np.ones(n), np.full(n, 0.06)
        self.rng = np.random.default_rng(3)

    def __call__(self, tick):
        n, lost = len(self.slow), 1 - self.slow.min()
        noise = self.rng.standard_normal((2, n))
        tick.values["clock"] = 1.9e9 * self.slow * (1 + 0.005 * noise[0])
        waits = np.where(self.slow > self.slow.min() + 0.02, self.wait + lost, 0.3 * self.wait)
        waits = waits if lost > 0.02 else self.wait
        tick.values["rank_wait"] = np.clip(waits * (1 + 0.1 * noise[1]), 0, 1)


def test_a_straggler_is_named_with_its_reasons(make_plant):
    plant, peers = make_plant(nodes=4), Peers()
    job = Job(plant)
    assert called(watch(plant, peers, 600, job)) == set()
    job.slow[13] = 0.5
    began = plant.now
    verdicts = watch(plant, peers, 90, job)
    assert called(verdicts) == {"r00-n01/gpu5"}
    first = next(now for now, verdict in verdicts if verdict.suspicions)
    assert first - began <= 60
    said = verdicts[-1][1].suspicions[0]
    assert (said.cause, said.scope, said.key, said.gpus) == ("straggler", "gpu", "GPU-r00-n01-5", (13,))
    assert abs(said.since - began) <= 2 * plant.step
    assert said.confidence >= 0.8
    told = {e.signal: e for e in said.evidence}
    assert told["rank_wait"].value < 0.25 * told["rank_wait"].peers
    assert told["clock"].value < 0.6 * told["clock"].peers
    assert told["clock"].usual == pytest.approx(told["clock"].peers, rel=0.02)
    assert told["clock"].deviations > 8
    assert all(rival.likelihood < said.confidence for rival in said.rivals)
    assert {"thermal_interface", "power_path", "link"} <= {rival.cause for rival in said.rivals}
    job.slow[13] = 1.0
    assert called(watch(plant, peers, 300, job)[-20:]) == set()


def test_a_hot_straggler_has_heat_as_its_likeliest_rival(make_plant):
    plant, peers = make_plant(nodes=4), Peers()
    job = Job(plant)
    watch(plant, peers, 400, job)
    job.slow[2], plant.slowdown = 0.7, 200.0

    def hot(tick):
        job(tick)
        tick.values["margin"][2] = 0.0

    said = watch(plant, peers, 120, hot)[-1][1].suspicions[0]
    assert said.rivals[0].cause == "thermal_interface"
    assert said.rivals[0].likelihood > 0.5
    assert any(e.speaks_for == "thermal_interface" for e in said.evidence)


@pytest.mark.parametrize("kind", ["start", "unused", "checkpoint", "silicon"])
def test_what_only_looks_like_a_straggler_is_not_called(make_plant, kind):
    plant, peers = make_plant(nodes=4), Peers()
    job = Job(plant)
    rng = np.random.default_rng(5)
    begun = plant.now
    if kind == "silicon":
        job.slow = 1 - np.abs(0.02 * rng.standard_normal(32))

    def look(tick):
        job(tick)
        t = tick.now - begun
        if kind == "start" and t % 450 < 100:  # ranks come up one after the other, in a new job each time
            late = np.arange(32) * 3 > t % 450
            tick.values["clock"][late] = 0.3e9
            tick.values["rank_wait"][late] = 0.0
            tick.values["rank_wait"][~late] = 0.8
            if t % 450 < 10:
                for row in range(32):
                    plant.fleet[Level.GPU].set(row, "job", f"job-{int(t // 450)}")
        if kind == "unused":
            tick.values["clock"][7], tick.values["utilization"][7] = 0.3e9, 0.0
            tick.values["rank_wait"][7] = np.nan
        if kind == "checkpoint" and t % 600 < 180:  # rank 0 writes, the others wait for it
            tick.values["rank_wait"][:] = 0.9
            tick.values["rank_wait"][0] = 0.0

    assert called(watch(plant, peers, 1500, look)) == set()
