"""What every detector must keep to. Detectors are discovered: a new file is tested without a line here."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors import Detector, detector_classes
from analytics.detectors.base import Verdict
from analytics.fleet import Level, Tick
from gigawatch.catalogue.findings import CAUSES, DETECTORS, SCOPES

CLASSES = detector_classes()


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.name)
def kind(request) -> type[Detector]:
    return request.param


def recorded(plant, seconds: float) -> list[Tick]:
    """Ticks with a fault in the middle, gaps, and a signal that comes and goes."""
    ticks = []
    for i, tick in enumerate(plant.ticks(seconds)):
        plant.factor[3] = 1.8 if i > 40 else 1.0
        if 20 <= i < 30:
            tick.values["power"][5] = np.nan
            tick.values["temperature"][6] = np.nan
        if i % 7 == 0:
            tick.values.pop("clock")
        if i % 12 == 0:
            tick.values["xid_contained"] = np.where(np.arange(len(tick.values["power"])) == 2, i / 12, np.nan)
        if 50 <= i < 55:
            tick.values["temperature"][:] = np.nan
        ticks.append(tick)
    return ticks


def fresh(tick: Tick) -> Tick:
    return Tick(tick.now, tick.fleet, {key: values.copy() for key, values in tick.values.items()})


def play(detector: Detector, ticks: list[Tick]) -> list[Verdict]:
    verdicts = []
    for tick in ticks:
        detector.enrol(tick.fleet)
        verdicts.append(detector.observe(fresh(tick)))
    return verdicts


def same(left: Verdict, right: Verdict) -> None:
    assert len(left.scores) == len(right.scores)
    for a, b in zip(left.scores, right.scores, strict=True):
        assert (a.signal, a.level) == (b.signal, b.level)
        np.testing.assert_array_equal(a.values, b.values)
    for a, b in zip(left.estimates, right.estimates, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    assert left.suspicions == right.suspicions


def test_every_detector_is_in_the_catalogue():
    assert {cls.name for cls in CLASSES} == set(DETECTORS)


def test_scores_lie_between_0_and_1_and_fit_their_roster(kind, make_plant):
    ticks = recorded(make_plant(), 600)
    seen = 0
    for tick, verdict in zip(ticks, play(kind(), ticks), strict=True):
        for scores in verdict.scores:
            assert scores.values.shape == (len(tick.fleet[scores.level]),)
            known = scores.values[np.isfinite(scores.values)]
            assert np.all((known >= 0) & (known <= 1))
            seen += known.size
        for estimate in verdict.estimates:
            assert estimate.values.shape == (len(tick.fleet[Level.GPU]),)
            assert not np.isinf(estimate.values).any()
        for s in verdict.suspicions:
            assert s.cause in CAUSES
            assert s.scope in SCOPES
            assert 0 <= s.score <= 1
            assert s.eta is None or s.eta >= 0
            assert all(0 <= row < len(tick.fleet[Level.GPU]) for row in s.gpus)
    assert seen or kind.name == "novelty"


def test_no_look_ahead(kind, make_plant):
    ticks = recorded(make_plant(), 500)
    whole, part = play(kind(), ticks), play(kind(), ticks[:60])
    for left, right in zip(whole[:60], part, strict=True):
        same(left, right)


def test_same_input_same_result(kind, make_plant):
    ticks = recorded(make_plant(), 400)
    for left, right in zip(play(kind(), ticks), play(kind(), ticks), strict=True):
        same(left, right)


def test_a_restart_from_saved_state_forgets_nothing(kind, make_plant):
    ticks = recorded(make_plant(), 600)
    straight = kind()
    play(straight, ticks[:70])
    saved = {key: array.copy() for key, array in straight.state().items()}
    resumed = kind()
    resumed.restore(saved)
    for left, right in zip(play(straight, ticks[70:]), play(resumed, ticks[70:]), strict=True):
        same(left, right)


def test_a_history_learned_at_once_is_the_same_as_tick_by_tick(kind, make_plant):
    ticks = recorded(make_plant(), 400)
    stepwise, at_once = kind(), kind()
    play(stepwise, ticks)
    play(at_once, ticks[:20])
    at_once.fit(map(fresh, ticks[:50])).partial_fit(map(fresh, ticks[50:]))
    for key, array in stepwise.state().items():
        np.testing.assert_array_equal(array, at_once.state()[key])


def test_scoring_samples_says_what_observing_says_and_learns_nothing(kind, make_plant):
    ticks = recorded(make_plant(), 400)
    detector = kind().fit(map(fresh, ticks[:-1]))
    before = detector.state()
    said = detector.score_samples(fresh(ticks[-1]))
    for key, array in detector.state().items():
        np.testing.assert_array_equal(array, before[key])
    same(said, play(detector, ticks[-1:])[0])


def test_foreign_state_is_refused_and_leaves_the_detector_usable(kind, make_plant):
    detector, ticks = kind(), recorded(make_plant(), 100)
    with pytest.raises(ValueError, match=r"table|array"):
        detector.restore({"elsewhere/x": np.zeros(3)})
    play(detector, ticks)


def test_memory_does_not_grow_with_time(kind, make_plant):
    detector, plant = kind(), make_plant()
    play(detector, recorded(plant, 100))
    before = detector.nbytes
    play(detector, recorded(plant, 400))
    assert detector.nbytes == before > 0


def test_new_gpus_join_and_vanished_ones_are_let_go(kind, make_plant):
    plant, detector = make_plant(), kind()
    play(detector, recorded(plant, 200))
    gpus = plant.fleet[Level.GPU]
    n = len(gpus)
    gpus.rows(["GPU-new"], [{"uuid": "GPU-new", "gpu": "0", "node": "r00-n09", "rack": "r00"}])
    ticks = recorded(plant, 100)
    for verdict in play(detector, ticks):
        assert all(len(s.values) == n + 1 for s in verdict.scores if s.level is Level.GPU)
    keep = np.arange(8, n + 1)
    detector.keep(Level.GPU, keep)
    gpus.keep(keep)
    for tick in ticks:
        for key, values in tick.values.items():
            if len(values) >= n:
                tick.values[key] = values[8:]
        tick.now += 200
    play(detector, ticks)


def test_values_of_any_size_do_no_harm(kind, make_plant):
    plant = make_plant()
    ticks = recorded(plant, 300)
    rng = np.random.default_rng(3)
    for tick in ticks[10:]:
        for values in tick.values.values():
            wild = rng.random(len(values)) < 0.1
            values[wild] = rng.choice([0.0, -1e6, 1e12, np.nan], wild.sum())
    for verdict in play(kind(), ticks):
        for scores in verdict.scores:
            known = scores.values[np.isfinite(scores.values)]
            assert np.all((known >= 0) & (known <= 1))
