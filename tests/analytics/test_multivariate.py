"""Models of many metrics at once: the estimator, its file and card, tables, the fleet's detector."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import check_estimator

from analytics.detectors.multivariate import FEATURES, Multivariate
from analytics.fleet import Level, Tick
from analytics.models import train
from analytics.models.estimator import MetricsModel
from analytics.models.storage import About, load_model, save_model
from analytics.score_many import WARM_UP, score_table, train_table
from gigawatch.errors import FileError, UserError

ORDER = "rows are a time series: a step and a held score depend on the rows before"


def history(rows: int, seed: int = 0) -> np.ndarray:
    """Five metrics: three follow a load, one is noise, one never moves."""
    rng = np.random.default_rng(seed)
    load = 0.5 + 0.3 * np.sin(np.arange(rows) / 40) + 0.02 * rng.standard_normal(rows)
    noise = 0.01 * rng.standard_normal((rows, 4))
    return np.column_stack(
        (load + noise[:, 0], 40 + 30 * load + noise[:, 1], 2 * load + noise[:, 2], noise[:, 3], np.ones(rows))
    )


@pytest.fixture(scope="module")
def model() -> MetricsModel:
    return MetricsModel().fit(pd.DataFrame(history(3000), columns=list("abcde")))


def rows(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list("abcde"))


def test_is_a_scikit_learn_estimator():
    check_estimator(
        MetricsModel(),
        expected_failed_checks={
            "check_methods_sample_order_invariance": ORDER,
            "check_methods_subset_invariance": ORDER,
        },
        on_skip=None,
    )


def test_a_metric_that_leaves_the_others_is_found_and_named(model):
    later = history(600, seed=1)
    later[300:340, 1] -= 14.0  # well within all it ever showed, but not at this load
    score, shares = model.anomaly_score(rows(later)), model.contributions(rows(later))
    assert np.mean(score[:300] >= 0.5) < 0.02
    assert score[300:340].min() > 0.6
    assert shares[300].argmax() == 1


def test_contributions_add_up_to_the_strangeness_before_it_is_held(model):
    one = rows(history(1, seed=4))
    np.testing.assert_allclose(model.contributions(one).sum(axis=1), -model.score_samples(one))


def test_any_change_of_a_metric_that_never_moved_counts_and_its_size_does_not(model):
    still = history(50, seed=5)
    small, large = still.copy(), still.copy()
    small[25:, 4], large[25:, 4] = 1.001, 1e6
    quiet, one, other = (model.score_samples(rows(x)) for x in (still, small, large))
    assert one[25] < quiet[25] - 1
    np.testing.assert_allclose(one, other)


def test_no_score_depends_on_later_rows(model):
    later = history(400, seed=2)
    later[100:120, 0] += 1
    whole = model.anomaly_score(rows(later))
    for cut in (1, 99, 105, 250):
        np.testing.assert_array_equal(model.anomaly_score(rows(later[:cut])), whole[:cut])


def test_rows_taken_in_piece_by_piece_score_the_same_and_scoring_learns_nothing(model):
    later = history(300, seed=3)
    later[50:60, 2] = 5
    whole = model.begin().anomaly_score(rows(later))
    parts = [model.stream(rows(later[a:b])) for a, b in ((0, 1), (1, 57), (57, 300))]
    model.begin()
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_units_do_not_matter():
    past, later = history(1500), history(200, seed=6)
    later[80:90, 3] = 0.5
    factor = np.array([1e6, 1e-6, 3.0, 1e3, 1e9])
    plain = MetricsModel().fit(past).anomaly_score(later)
    np.testing.assert_allclose(
        MetricsModel().fit(past * factor).anomaly_score(later * factor), plain, rtol=1e-6
    )


def test_a_new_level_becomes_usual():
    fast = MetricsModel(half_life=100).fit(history(1500))
    later = history(2000, seed=7)
    later[:, 3] += 2.0
    score = fast.stream(later)
    assert score[20:60].min() > 0.6
    assert np.mean(score[1500:] >= 0.5) < 0.1


def test_absent_values_and_columns_do_no_harm():
    past, later = history(1500), history(300, seed=8)
    past[::7, 0] = np.nan
    past[:, 3] = np.nan
    later[50:90] = np.nan
    score = MetricsModel().fit(past).anomaly_score(later)
    assert np.isfinite(score).all()
    assert np.mean(score[150:] >= 0.5) < 0.02


@pytest.mark.parametrize("name", ["span", "half_life", "hold", "top", "ridge", "alarm_quantile"])
def test_parameters_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match=name):
        MetricsModel(**{name: 0}).fit(history(50))


def test_a_saved_model_says_the_same(model, tmp_path: Path):
    path, later = tmp_path / "m.npz", rows(history(100, seed=9))
    save_model(path, model, About(1.0, 2.0, 3000))
    loaded, about = load_model(path)
    np.testing.assert_array_equal(loaded.anomaly_score(later), model.anomaly_score(later))
    assert (about.begin, about.end, about.rows) == (1.0, 2.0, 3000)
    assert loaded.get_params() == model.get_params()


def test_a_broken_model_file_is_refused_in_one_line(model, tmp_path: Path):
    path = tmp_path / "m.npz"
    save_model(path, model, About(None, None, 3000))
    good = path.read_bytes()
    rng = np.random.default_rng(1)
    broken = [good[:n] for n in (0, 10, len(good) // 2)] + [b"timestamp,a\n1,2\n"]
    for _ in range(30):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        broken.append(bytes(bad))
    refused = 0
    for content in broken:
        path.write_bytes(content)
        told, loaded = "", None
        try:
            loaded, _ = load_model(path)
        except FileError as error:
            told = str(error)
        if loaded is not None:  # a bit that means nothing, in the frame of the archive
            np.testing.assert_array_equal(loaded.weights_, model.weights_)
        else:
            assert told.startswith(str(path))
            assert "\n" not in told
            refused += 1
    assert refused > 20
    np.savez(path, header=np.frombuffer(json.dumps({"kind": "other"}).encode(), np.uint8))
    with pytest.raises(FileError, match="not a model of many metrics"):
        load_model(path)


def write(path: Path, values: np.ndarray, begin: int = 0) -> Path:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("timestamp", *"abcde"[: values.shape[1]]))
        out.writerows((1_700_000_000 + 60 * (begin + i), *row) for i, row in enumerate(values.tolist()))
    return path


def scored(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_table_is_scored_after_a_history_or_with_a_saved_model(tmp_path: Path):
    later = history(300, seed=1)
    later[100:120, 2] = 9.0
    past, now = write(tmp_path / "past.csv", history(2000)), write(tmp_path / "now.csv", later)
    assert score_table(now, tmp_path / "a.csv", past) == 300
    found = scored(tmp_path / "a.csv")
    alarms = [i for i, row in enumerate(found) if float(row["anomaly_score"]) >= 0.5]
    assert alarms[0] == 100
    assert {found[i]["strongest"] for i in alarms[:5]} == {"c"}
    assert found[0]["timestamp"] == "1700000000"
    card = train_table(past, tmp_path / "model.npz")
    assert card["data"]["rows"] == 2000
    assert card["data"]["never_moved"] == ["e"]
    assert card["held_out"]["share_in_alarm"] < 0.01
    assert json.loads((tmp_path / "model.card.json").read_text()) == card
    assert "Held out" in (tmp_path / "model.card.md").read_text()
    score_table(now, tmp_path / "b.csv", tmp_path / "model.npz")
    assert (tmp_path / "b.csv").read_text() == (tmp_path / "a.csv").read_text()


def test_without_a_history_the_first_rows_are_learned_and_no_score_looks_ahead(tmp_path: Path):
    values = history(2 * WARM_UP + 200)
    values[700:710, 0] = 4.0
    score_table(write(tmp_path / "t.csv", values), tmp_path / "whole.csv")
    score_table(write(tmp_path / "t.csv", values[:900]), tmp_path / "part.csv")
    whole, part = scored(tmp_path / "whole.csv"), scored(tmp_path / "part.csv")
    assert whole[:900] == part
    assert [row["anomaly_score"] for row in whole[:WARM_UP]] == [""] * WARM_UP
    assert float(whole[702]["anomaly_score"]) > 0.5 > float(whole[650]["anomaly_score"])


def test_an_array_file_may_bring_its_history_and_parquet_is_read(tmp_path: Path):
    later = history(200, seed=3)
    later[50:60, 0] = 3.0
    np.savez(tmp_path / "a.npz", train=history(1500), test=later, label=np.zeros(200))
    score_table(tmp_path / "a.npz", tmp_path / "a.csv")
    frame = pd.DataFrame(later, columns=[str(i) for i in range(5)])
    frame.insert(0, "timestamp", np.arange(200.0))
    frame.to_parquet(tmp_path / "b.parquet")
    np.savez(tmp_path / "past.npz", values=history(1500))
    score_table(tmp_path / "b.parquet", tmp_path / "b.csv", tmp_path / "past.npz")
    assert [r["anomaly_score"] for r in scored(tmp_path / "a.csv")] == [
        r["anomaly_score"] for r in scored(tmp_path / "b.csv")
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n1,2\n", "column 'timestamp': is missing"),
        ("timestamp\n1\n", "has no column beside"),
        ("timestamp,a\n1,x\n", "'x' is not a finite number"),
        ("timestamp,a\n2,1\n1,1\n", "goes back in time"),
        ("timestamp,a\n1,1\n2,1\n", "are learned before the first score"),
    ],
)
def test_a_table_that_cannot_be_scored_is_told_in_one_line(tmp_path: Path, content: str, told: str):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        score_table(path, tmp_path / "out.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_history_and_table_must_have_the_same_columns(tmp_path: Path):
    past = write(tmp_path / "past.csv", history(100))
    now = write(tmp_path / "now.csv", history(100)[:, :4])
    with pytest.raises(FileError, match=r"now\.csv.*column 'e'"):
        score_table(now, tmp_path / "out.csv", past)
    with pytest.raises(FileError, match=r"now\.csv.*column 'e'"):
        score_table(past, tmp_path / "out.csv", now)


def disturbed(plant, ticks: int, fault: int) -> list[Tick]:
    """The first node's clocks fall at full load from `fault` on."""
    found = list(plant.ticks(ticks * plant.step))
    for tick in found[fault:]:
        tick.value("clock", Level.GPU)[:8] = 1.2e9
    return found


def scores_of(detector: Multivariate, ticks: list[Tick]) -> np.ndarray:
    found = []
    for tick in ticks:
        detector.enrol(tick.fleet)
        found += [scores.values for scores in detector.observe(tick).scores]  # noqa: PD011 - no frame
    return np.array(found)


def test_the_fleet_learns_what_is_usual_and_scores_the_node_that_differs(make_plant):
    score = scores_of(Multivariate(), disturbed(make_plant(racks=2), 400, fault=350))
    assert np.isnan(score[:60]).all()
    assert np.isfinite(score[100:]).all()
    assert score[150:350].max() < 0.5
    assert score[351, 0] > 0.5 > score[351:, 1:].max()


def test_the_fleet_can_start_from_a_model_of_its_history(make_plant, tmp_path: Path):
    plant = make_plant(racks=2)
    frames = []
    for tick in plant.ticks(300 * plant.step):
        gpus, nodes = plant.fleet[Level.GPU], plant.fleet[Level.NODE]
        table = {"uuid": gpus.keys, "node": gpus.labels["node"]}
        own = {"node": nodes.keys, "inlet_temperature_celsius": tick.value("inlet", Level.NODE)}
        for key in ("power", "temperature", "memory_temperature", "utilization", "clock"):
            column = {
                "power": "gpu_power_watts",
                "utilization": "gpu_utilization_ratio",
                "clock": "gpu_clock_hertz",
            }
            table[column.get(key, f"gpu_{key}_celsius")] = tick.value(key, Level.GPU)
        frames.append(pd.concat((pd.DataFrame(table), pd.DataFrame(own))).assign(timestamp=tick.now))
    card = train(iter([pd.concat(frames[:150]), pd.concat(frames[150:])]), tmp_path)
    assert card["features"] == FEATURES
    assert card["nodes"] == plant.names
    detector = Multivariate(load_model(tmp_path / card["file"])[0])
    score = scores_of(detector, disturbed(plant, 80, fault=70))
    assert np.isnan(score[:30]).all()
    assert score[40:70].max() < 0.5 < score[71, 0]
    assert train(iter([frames[0]]), tmp_path)["scores"]["note"]
