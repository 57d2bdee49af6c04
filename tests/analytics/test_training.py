"""Parts of a fleet: the same findings and the same memory as in one go, kept and resumed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analytics.engine import Engine
from analytics.evaluation.backtest import Wanted, backtest
from analytics.fleet import Level
from analytics.recording import open_recording
from analytics.serving.state import StateStore
from analytics.signals import SIGNALS
from analytics.training.groups import Groups, Parts
from analytics.training.jobs import Plan
from analytics.training.train import CARDS, Order, train
from gigawatch.errors import UserError


def quiet(_stage: str, _share: float) -> None:
    return


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", memory_limit=0,
    ) as made:  # fmt: skip
        yield made.scheduler_address


@pytest.fixture
def history(tmp_path, make_plant):
    """Two racks of one node with a fault in the first, as Parquet."""
    plant = make_plant(racks=2, nodes=1, gpus=4)
    labels, columns = plant.fleet["gpu"].labels, {s.key: s.column for s in SIGNALS if s.level is Level.GPU}
    frames = []
    for i, tick in enumerate(plant.ticks(520)):
        plant.factor[2] = 1.9 if i * plant.step > 250 else 1.0
        values = {columns[k]: v.copy() for k, v in tick.values.items() if k in columns}  # noqa: PD011 - a dict
        frames.append(
            pd.DataFrame(
                {"timestamp": tick.now, **labels, **values, "coolant_supply_temperature_celsius": 30.0}
            )
        )
    path = tmp_path / "history.parquet"
    pd.concat(frames).to_parquet(path, row_group_size=100)
    truth = tmp_path / "truth.csv"
    begin = plant.begun + 250
    truth.write_text(
        f"entity,fault,start,end\nGPU-r00-n00-2,thermal-interface,{begin:.0f},{begin + 300:.0f}\n"
    )
    return path, truth


def told(report: dict) -> dict:
    """A report without what depends on the clock."""
    return {k: v for k, v in report.items() if k not in ("points_per_second", "detector_share_of_time")}


def test_parts_on_a_cluster_find_what_one_process_finds_and_are_not_done_twice(history, cluster, tmp_path):
    source, truth = history
    one, parts = tmp_path / "one.csv", tmp_path / "parts.csv"
    alone = backtest(source, truth, one, False, False)
    assert alone["found"] == 1
    work = tmp_path / "work"
    wanted = Wanted(plan=Plan(parts=2, dask=cluster, work=work))
    spread = backtest(source, truth, parts, False, False, wanted)
    assert parts.read_text() == one.read_text()
    assert told(spread) == told(alone)
    done = sorted(work.glob("part-*/done.json"))
    assert len(done) == 2
    before = [path.stat().st_mtime_ns for path in done]
    (done[0].parent / "result.json.gz").write_bytes(b"torn")
    assert told(backtest(source, truth, parts, False, False, wanted)) == told(alone)
    after = [path.stat().st_mtime_ns for path in done]
    assert after[0] > before[0], "the damaged part is done again"
    assert after[1] == before[1], "the other one is not"


def test_what_parts_remember_is_what_one_process_remembers(history, cluster, tmp_path):
    source, _ = history
    engines = []
    for name, plan in (
        ("one", Plan(states=True)),
        ("two", Plan(parts=2, dask=cluster, work=tmp_path / "w", states=True)),
    ):
        out = tmp_path / name
        cards = train(Order(source, None, None, out, None, plan), quiet)
        assert json.loads((out / CARDS).read_text()) == cards
        assert cards[0]["scores"]["gpus"] == 8
        saved = StateStore(out).load()
        assert saved is not None
        engine = Engine()
        engine.load(*saved)
        engines.append(engine)
    one, two = engines
    assert one.latest == two.latest
    assert {i.name for i in one.incidents.open} == {i.name for i in two.incidents.open} != set()
    order = {level: [two.fleet[level].find(key) for key in one.fleet[level].keys] for level in Level}
    sizes = {level: len(rows) for level, rows in order.items()}
    assert sizes[Level.GPU] == 8
    mine, theirs = one.dump()[1], two.dump()[1]
    gpus = [name for name, array in mine.items() if array.shape[-1] == 8]
    assert gpus
    for name in gpus:
        np.testing.assert_array_equal(mine[name], theirs[name][..., order[Level.GPU]], err_msg=name)


def test_groups_keep_what_belongs_together_together():
    entries = [
        {"node": f"n{n}", "rack": f"r{n // 2}", "loop": f"l{n // 4}", "uuid": f"g{n}"} for n in range(8)
    ]
    for by, count in (("auto", 2), ("loop", 2), ("rack", 4), ("node", 8)):
        groups = Groups(entries, by)
        assert len(groups) == count
        parts = Parts(groups, entries, 2)
        for tie in {"auto": ("rack", "loop"), "loop": ("loop",), "rack": ("rack",)}.get(by, ()):
            for name in {entry[tie] for entry in entries}:
                assert len({parts.of(entry) for entry in entries if entry[tie] == name}) == 1
        if by != "node":
            assert sorted(parts.of(entry) for entry in entries) == [0] * 4 + [1] * 4


def test_no_cluster_and_no_truth_are_told_in_one_line(history, tmp_path):
    source, _ = history
    with pytest.raises(UserError, match="no such file"):
        backtest(source, tmp_path / "absent.csv", None, False, False)
    with pytest.raises(UserError, match="no such folder"):
        backtest(source, None, tmp_path / "absent" / "f.csv", False, False)
    assert open_recording(source).rows == 8 * 104
