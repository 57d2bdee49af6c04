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

from analytics.detectors.novelty import EventLayer, NoveltyKernel
from analytics.score import score_series

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
    assert nabscore.nab(corpus, scores, "standard", threshold=0.5)[0] >= 68
    assert nabscore.nab(corpus, scores, "reward_low_FP_rate")[0] >= 62
    assert nabscore.nab(corpus, scores, "reward_low_FN_rate")[0] >= 71
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


def test_constant_series_and_gaps_stay_silent():
    t = np.arange(800) * 60.0
    assert score_series(np.full(800, 7.0), t).max() == 0
    v = np.full(800, 7.0)
    v[100:300] = np.nan
    assert np.isfinite(score_series(v, t)).all()


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
