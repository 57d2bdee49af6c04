"""The novelty score: benchmark floor, causality, and what it must do on plain signals."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from analytics.detectors.novelty import EventLayer, NoveltyKernel
from analytics.score import score_series
from analytics.univariate.estimator import NoveltyEstimator

SHARED = Path(__file__).resolve().parents[3] / "shared"
SCORER = SHARED / "tools/scorer/nabscore.py"
NAB = SHARED / "data/nab"
needs_data = pytest.mark.skipif(
    not (SCORER.exists() and NAB.exists()), reason="no ../shared with scorer and NAB data"
)


@pytest.fixture(scope="module")
def nabscore():
    spec = importlib.util.spec_from_file_location("nabscore", SCORER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def score_all(corpus):
    """All files side by side, one column each: the same arithmetic as one by one, but faster."""
    names = list(corpus)
    rows = max(len(corpus[name]["v"]) for name in names)
    values, times = (np.full((rows, len(names)), np.nan) for _ in range(2))
    for i, name in enumerate(names):
        values[: len(corpus[name]["v"]), i] = corpus[name]["v"]
        times[: len(corpus[name]["t"]), i] = corpus[name]["t"]
    kernel, events = NoveltyKernel(), EventLayer()
    scores = np.array([events.step(kernel.step(values[i], times[i])) for i in range(rows)])
    return {name: scores[: len(corpus[name]["v"]), i] for i, name in enumerate(names)}


@needs_data
def test_development_part_of_nab_stays_above_the_floor(nabscore):
    corpus = nabscore.load_corpus(NAB / "data", NAB / "windows.json")
    scores = score_all(corpus)
    for profile, floor in (("standard", 78), ("reward_low_FP_rate", 74), ("reward_low_FN_rate", 81)):
        assert nabscore.nab(corpus, scores, profile, threshold=0.5)[0] >= floor
    quiet = [name for name, file in corpus.items() if name.startswith("artificialNoAnomaly")]
    assert quiet
    assert all(row[3] == 0 for name, row in nabscore.per_file(corpus, scores, 0.5).items() if name in quiet)
    name = "realAWSCloudwatch/ec2_cpu_utilization_53ea38.csv"
    alone = score_series(corpus[name]["v"][:1500], corpus[name]["t"][:1500])
    np.testing.assert_allclose(alone, scores[name][:1500], atol=1e-9)


def day(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n) * 300.0 + 1.7e9
    return t, 50 + 10 * np.sin(2 * np.pi * t / 86400) + rng.standard_normal(n)


def test_a_prefix_scores_the_same():
    t, v = day()
    v[1500:1520] += 40
    whole = score_series(v, t)
    for cut in (200, 900, 1510):
        np.testing.assert_array_equal(score_series(v[:cut], t[:cut]), whole[:cut])


def test_level_spread_and_flat_line_are_found():
    for event in (day()[1][1500:1560] + 40, 50.0 + 25 * (np.arange(200) % 2), np.full(200, 50.0)):
        t, v = day()
        v[1500 : 1500 + len(event)] = event
        score = score_series(v, t)
        assert np.sum(score[600:1500] >= 0.5) <= 2
        hits = 1500 + np.flatnonzero(score[1500:] >= 0.5)
        assert hits.size
        assert 1500 <= hits[0] <= 1600
        assert hits.size <= 12


def test_a_missing_cycle_is_found():
    t = np.arange(4000) * 300.0 + 1.7e9
    v = np.where((t % 86400) < 28800, 80.0, 20.0) + np.random.default_rng(1).standard_normal(4000)
    missing = slice(*np.searchsorted(t, (t[0] // 86400 + 11) * 86400 + np.array((0.0, 28800.0))))
    v[missing] = 20.0 + np.random.default_rng(2).standard_normal(missing.stop - missing.start)
    score = score_series(v, t)
    assert np.sum(score[1500 : missing.start] >= 0.5) <= 1
    assert score[missing].max() >= 0.5


def test_constant_series_and_gaps_stay_silent():
    t = np.arange(800) * 60.0
    assert score_series(np.full(800, 7.0), t).max() == 0
    v = np.full(800, 7.0)
    v[100:300] = np.nan
    assert np.isfinite(score_series(v, t)).all()


def test_unit_and_offset_do_not_matter():
    t, v = day()
    v[1500:1520] += 40
    usual = score_series(v, t)
    np.testing.assert_allclose(score_series(v * 1024.0, t), usual, atol=2e-3)
    # A counter of 1e12 is as good as a small one: values are kept relative to where the series began.
    large = np.round(v * 1024.0) + 1e12
    np.testing.assert_array_equal(score_series(large, t) >= 0.5, usual >= 0.5)


def test_samples_that_come_faster_count_less():
    _, v = day(800)
    v[600:660] += 40
    faster = score_series(np.repeat(v, 4), np.arange(3200) * 75.0)
    slower = score_series(v, np.arange(800) * 300.0)
    hits = [np.flatnonzero(score >= 0.5)[0] for score in (faster, slower)]
    assert abs(hits[0] / 4 - hits[1]) <= 5


@pytest.mark.parametrize("seed", range(5))
def test_any_values_and_times_give_scores(seed):
    rng = np.random.default_rng(seed)
    kernel = NoveltyKernel()
    wild = np.array([0.0, -0.0, 1e-300, 1e12, -1e30, 1.7e308, np.inf, -np.inf, np.nan])
    now = 0.0
    for _ in range(400):
        now += rng.choice([0.0, 0.5, 15.0, 300.0, 1e6])
        values = np.where(rng.random(7) < 0.2, rng.choice(wild, 7), rng.standard_normal(7))
        known = kernel.step(values, now)
        assert np.isnan(known[~np.isfinite(values)]).all()
        known = known[np.isfinite(known)]
        assert np.all((known >= 0) & (known <= 1))
    calm = [kernel.step(np.full(7, 3.0), now + 300.0 * i) for i in range(50)]
    assert np.isfinite(calm[-1]).all()


def test_a_series_scores_the_same_among_others_and_after_rows_were_dropped():
    t, v = day(900)
    v[700:720] += 40
    alone, among = NoveltyKernel(), NoveltyKernel()
    rng = np.random.default_rng(4)
    for i in range(900):
        others = rng.standard_normal(700 if i < 600 else 299)
        place = 400 if i < 600 else 0
        row = np.insert(others, place, v[i])
        if i == 600:
            among.columns.take(np.arange(400, 700))
        expected = alone.step(v[i : i + 1], t[i])
        np.testing.assert_array_equal(among.step(row, t[i])[place], expected[0])


def test_estimator_keeps_to_scikit_learn():
    not_apt = dict.fromkeys(
        ("check_outliers_train", "check_outliers_fit_predict"),
        "wants outliers among 300 shuffled rows; an alarm is no share of rows, and 150 are a warm-up",
    )
    results = check_estimator(NoveltyEstimator(), expected_failed_checks=not_apt, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) >= 35


def test_estimator_scores_rows_that_follow_and_learns_nothing_from_them():
    t, v = day(1600)
    matrix = np.column_stack((v, np.random.default_rng(5).standard_normal(1600)))
    matrix[1550:] += 40
    model = NoveltyEstimator(interval=300.0, start=t[0]).fit(matrix[:800]).partial_fit(matrix[800:1500])
    first = model.score_samples(matrix[1500:])
    np.testing.assert_array_equal(first, model.score_samples(matrix[1500:]))
    assert np.all(first[:50] > -0.5)
    assert model.predict(matrix[1500:])[50] == -1
    with pytest.raises(ValueError, match="interval"):
        NoveltyEstimator(interval=0.0).fit(matrix)


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "value"))
        writer.writerows(rows)


def test_score_command(tmp_path):
    t, v = day(600)
    v[500:] += 60
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    stamps = [np.datetime64(int(x), "s").item().isoformat(sep=" ") for x in t]
    write(source, zip(stamps, v, strict=True))
    command = [sys.executable, "-m", "gigawatch.cli", "analytics", "score"]
    subprocess.run([*command, "--input", source, "--output", target], check=True)
    rows = list(csv.DictReader(target.open()))
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score"]
    assert [row["timestamp"] for row in rows] == stamps
    scores = np.array([float(row["anomaly_score"]) for row in rows])
    assert np.all((scores >= 0) & (scores <= 1))
    assert scores[500:505].max() >= 0.5
    np.testing.assert_allclose(scores, score_series(v, t), atol=1e-6)
    assert json.dumps(scores.tolist())
