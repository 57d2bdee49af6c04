"""Months of a fleet: a seed gives one plant, faults do what the truth says, the rest is healthy."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from gigawatch.errors import UserError
from gigawatch.simulator.months.faults import Trouble
from gigawatch.simulator.months.fleet import populate
from gigawatch.simulator.months.mix import MIXES
from gigawatch.simulator.months.run import COLUMNS, Run
from gigawatch.simulator.months.write import record_months

POWER, TEMPERATURE, MARGIN = COLUMNS[:3]


def played(mix: str, gpus: int, days: float, step: float, seed: int):
    run = Run(populate(MIXES[mix], gpus, days, step, seed))
    blocks = list(run.blocks(200))
    return run, {name: np.concatenate([b.columns[name] for b in blocks]) for name in COLUMNS}


def test_a_seed_gives_the_same_plant_bit_for_bit_and_another_seed_another():
    one, two, other = (played("hard", 32, 0.5, 300.0, seed)[1] for seed in (1, 1, 2))
    for name in COLUMNS:
        np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(one[POWER], other[POWER], equal_nan=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_fleet_never_throttles_and_has_gaps_as_promised(seed):
    run, columns = played("healthy", 64, 3, 600.0, seed)
    hot = columns[TEMPERATURE] >= run.plant.slowdown
    events = np.zeros_like(hot)
    times = (1 + np.arange(len(hot))) * run.plant.step
    for t in run.troubles:
        events |= ((times >= t.start) & (times < t.end + 3600))[:, None] & t.hit
    assert not (hot & ~events).any()
    lost = np.isnan(columns[POWER]).mean()
    assert 0.02 < lost < 0.45
    assert [t for t in run.troubles if t.kind.startswith("thermal")] == []


def test_the_failure_time_is_when_the_gpu_first_reaches_its_slowdown_temperature():
    run, columns = played("fast", 64, 0.15, 10.0, 3)
    failed = [t for t in run.troubles if t.kind == "ramp" and t.failure == t.failure]
    assert failed
    for t in failed:
        row = int(np.flatnonzero(t.hit)[0])
        seen = columns[TEMPERATURE][: int(t.failure / run.plant.step) - 1, row]
        assert np.nanmax(seen) <= run.plant.slowdown[row] + run.plant.quantum
        assert t.start < t.failure <= t.end


def test_only_what_makes_a_gpu_throttle_that_did_not_before_is_told_as_its_failure():
    plant = populate(MIXES["healthy"], 32, 4, 300.0, 1)
    run, sick, everywhere = Run(plant), np.arange(32) == 0, np.ones(32, bool)
    wear = Trouble("thermal-interface", plant.uuid[0], sick, 0.0, plant.span, 2.0)
    rack = int(plant.rack[0])
    here = plant.rack == rack
    day = 86400.0
    mild = Trouble("inlet-temperature", "rack", here, 2 * day, 3 * day, 3.0, rack=rack)
    torrid = Trouble("inlet-temperature", "rack", here, 3.2 * day, 4 * day, 80.0, rack=rack)
    update = Trouble("update", "", everywhere, 0.5 * day, np.inf, 0.01, known=False)
    run.troubles = [wear, mild, torrid, update]
    for _ in run.blocks():
        pass
    assert 0 < wear.failure < mild.start
    assert np.isnan(mild.failure)
    assert torrid.start < torrid.failure < torrid.end
    assert np.isnan(update.failure)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_has_one_row_per_moment_and_gpu_and_the_truth_beside_it(tmp_path, suffix):
    out, truth = tmp_path / f"fleet{suffix}", tmp_path / "truth.csv"
    summary = record_months("fast", 16, 0.02, "10s", 5, out, truth, lambda _: None)
    if suffix == ".csv":
        with out.open() as file:
            rows = list(csv.DictReader(file))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()
    assert len(rows) == summary.rows > 0
    assert {"timestamp", "uuid", "node", "rack", "loop", "job_id", *COLUMNS} <= set(rows[0])
    assert len({(row["timestamp"], row["uuid"]) for row in rows}) == len(rows)
    assert truth.read_text().startswith("entity,fault,start,end,failure_time\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mix": "odd"}, "--mix"),
        ({"gpus": 1}, "--gpus"),
        ({"step": "soon"}, "--step"),
        ({"days": -1.0}, "--days"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, change, named):
    given = {"mix": "hard", "gpus": 16, "days": 1.0, "step": "60s", "seed": 1} | change
    with pytest.raises(UserError, match=named):
        record_months(**given, out=tmp_path / "x.csv", truth=None, progress=lambda _: None)
    assert list(tmp_path.iterdir()) == []
