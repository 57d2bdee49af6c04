"""How much can be judged: quiet because well, or quiet because unknown."""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Scores, Verdict
from analytics.engine import Engine, Outcome
from analytics.fleet import Fleet, Level, Tick
from analytics.serving.coverage import Coverage, learning

START = 1.7e9


def fleet_of(gpus: int) -> Fleet:
    fleet = Fleet()
    labels = [
        {"uuid": f"U{i}", "gpu": str(i % 8), "node": f"n{i // 8}", "rack": "r1", "loop": "loop-a"}
        for i in range(gpus)
    ]
    fleet[Level.GPU].rows([one["uuid"] for one in labels], labels, START)
    fleet[Level.NODE].rows(
        [f"n{i}" for i in range(gpus // 8)], [{"rack": "r1", "loop": "loop-a"}] * (gpus // 8)
    )
    return fleet


def mine(roster: object) -> np.ndarray:
    return np.ones(len(roster), np.bool_)  # type: ignore[arg-type]  # a roster has a length


def test_only_what_reports_is_watched_and_only_what_has_a_score_is_judged() -> None:
    fleet = fleet_of(16)
    temperature = np.full(16, 60.0)
    temperature[14:] = np.nan
    score = np.zeros(16)
    score[:4] = np.nan
    verdicts = {"thermal_resistance": Verdict([Scores("temperature", Level.GPU, score)])}
    coverage = Coverage(mine)
    (found,) = coverage.of(Tick(START, fleet, {"temperature": temperature}), Outcome(START, fleet, verdicts))
    assert (found.judged, found.watched) == (10, 14)
    assert learning([found]) == [
        {
            "detector": "thermal_resistance",
            "signal": "core temperature",
            "things": "gpu",
            "judged": 10,
            "watched": 14,
        }
    ]
    # A tick in which it was not asked for says nothing new; a detector that failed says nothing at all.
    assert coverage.of(Tick(START + 5, fleet), Outcome(START + 5, fleet, verdicts)) == [found]
    assert coverage.of(Tick(START + 10, fleet), Outcome(START + 10, fleet)) == []
    assert coverage.of(Tick(START + 15, fleet), Outcome(START + 15, fleet, verdicts)) == []


def test_what_another_shard_speaks_for_and_what_left_its_slot_is_not_counted() -> None:
    fleet = fleet_of(16)
    fleet[Level.GPU].gone[3] = True
    values = {"temperature": np.full(16, 60.0)}
    verdicts = {"thermal_resistance": Verdict([Scores("temperature", Level.GPU, np.zeros(16))])}
    coverage = Coverage(lambda roster: np.arange(len(roster)) < 8)
    (found,) = coverage.of(Tick(START, fleet, values), Outcome(START, fleet, verdicts))
    assert (found.judged, found.watched) == (7, 7)
    assert learning([found]) == []


def test_a_new_fleet_is_learned_and_then_judged_by_every_detector_that_suspects() -> None:
    fleet, engine = fleet_of(16), None
    engine, coverage = Engine(fleet=fleet), Coverage(mine)
    random = np.random.default_rng(4)
    behind = []
    for second in range(0, 1200, 5):
        fleet[Level.NODE].seen[:] = START + second
        power = 600 + random.normal(0, 3, 16)
        values = {
            "power": power,
            "temperature": 30 + 0.05 * power + random.normal(0, 0.1, 16),
            "margin": 57 - 0.05 * power + random.normal(0, 0.1, 16),
            "utilization": np.full(16, 0.98),
        }
        tick = Tick(START + second, fleet, values)
        behind.append(
            {one["detector"]: one["judged"] for one in learning(coverage.of(tick, engine.run(tick)))}
        )
    assert behind[0].keys() == {"thermal_resistance", "peers"}
    assert set(behind[0].values()) == {0}
    assert behind[-1] == {}
