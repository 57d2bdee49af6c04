"""However rows are stored, the same ticks come out; what is wrong with a file is said in one line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analytics.fleet import Level
from analytics.recording import open_recording, ordering
from analytics.recording.ordering import in_time_order
from gigawatch.cli import main
from gigawatch.errors import UserError

START, STEP, GPUS, TICKS = 1_760_000_000.0, 60.0, 6, 40
LATE, SWAP = 25, 30
"""Ticks at which a job begins on the first GPU, and at which the last GPU is replaced."""


def table(seed: int = 1) -> pd.DataFrame:
    """Three nodes of two GPUs; a tenth of the rows is missing; nodes have rows of their own."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(TICKS):
        for g in range(GPUS):
            uuid = f"GPU-{g}" if g < GPUS - 1 or i < SWAP else "GPU-new"
            if rng.random() < 0.1:
                continue
            row = {"timestamp": START + i * STEP, "uuid": uuid, "gpu": str(g % 2), "node": f"n{g // 2}"}
            row |= {"rack": f"r{g // 4}", "loop": "l", "job_id": "j" if g == 0 and i >= LATE else ""}
            row |= {
                "gpu_power_watts": round(rng.normal(600, 9), 2),
                "gpu_temperature_celsius": round(rng.normal(60, 2)),
            }
            row["coolant_supply_temperature_celsius"] = 30.0 + i
            rows.append(row)
        for n in range(GPUS // 2):
            rows.append(  # noqa: PERF401 - with the rows above
                {"timestamp": START + i * STEP, "uuid": "", "gpu": "", "node": f"n{n}", "rack": f"r{n // 2}",
                 "loop": "l", "job_id": "", "inlet_temperature_celsius": 24.0 + n + 0.1 * i}
            )  # fmt: skip
    return pd.DataFrame(rows)


def told(recording) -> list[tuple]:
    """What the ticks say, free of row numbers: time, values by thing, and the job and node of each GPU."""
    found = []
    for tick in recording.ticks():
        values = {}
        for signal in recording.signals:
            roster = tick.fleet[signal.level]
            for key, value in zip(roster.keys, tick.value(signal.key, signal.level).tolist(), strict=True):
                if value == value:
                    values[signal.key, key] = value
        gpus = tick.fleet[Level.GPU]
        where = {
            k: (n, j) for k, n, j in zip(gpus.keys, gpus.labels["node"], gpus.labels["job"], strict=True)
        }
        found.append((tick.now, values, where))
    return found


def store(frame: pd.DataFrame, folder, how: str):
    """The same rows, stored in one of many ways."""
    path = folder / "data.parquet"
    if how == "csv":
        path = folder / "data.csv"
        frame.to_csv(path, index=False)
    elif how == "shuffled csv":
        path = folder / "data.csv"
        frame.sample(frac=1, random_state=1).to_csv(path, index=False)
    elif how == "by entity":
        frame.sort_values(["uuid", "node", "timestamp"]).to_parquet(path, row_group_size=30)
    elif how == "small groups":
        frame.to_parquet(path, row_group_size=17)
    elif how == "folder by node":
        path = folder / "parts"
        path.mkdir()
        for node, part in frame.groupby("node"):
            part.to_parquet(path / f"{node}.parquet", row_group_size=25)
    elif how == "other types":
        frame = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s", utc=True))
        frame["gpu"] = pd.to_numeric(frame["gpu"], errors="coerce").astype("Int64")
        frame["node"] = frame["node"].astype("category")
        frame.to_parquet(path)
    else:
        frame.to_parquet(path)
    return path


HOW = ("csv", "shuffled csv", "by entity", "small groups", "folder by node", "other types")


@pytest.mark.parametrize("little", [False, True], ids=["in memory", "through scratch files"])
@pytest.mark.parametrize("how", HOW)
def test_every_way_to_store_rows_gives_the_same_ticks(tmp_path, monkeypatch, how, little):
    frame = table()
    wanted = told(open_recording(store(frame, tmp_path, "plain")))
    if little:
        monkeypatch.setattr(ordering, "HELD_VALUES", 300)
        monkeypatch.setattr("analytics.recording.csvfile.HELD", 50)
        monkeypatch.setattr("analytics.recording.csvfile._CHUNK", 40)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    recording = open_recording(store(frame, tmp_path, how), scratch)
    assert told(recording) == wanted
    again = [tick[:2] for tick in told(recording)]
    assert again == [tick[:2] for tick in wanted], "a recording can be played again"
    del recording
    assert list(scratch.iterdir()) == []


def test_ticks_hold_what_the_file_holds(tmp_path):
    frame = table()
    recording = open_recording(store(frame, tmp_path, "plain"))
    ticks = told(recording)
    assert [now for now, _, _ in ticks] == [START + i * STEP for i in range(TICKS)]
    for i, (now, values, where) in enumerate(ticks):
        rows = frame[(frame["timestamp"] == now)]
        gpus = rows[rows["uuid"] != ""]
        wanted = {("power", u): p for u, p in zip(gpus["uuid"], gpus["gpu_power_watts"], strict=True)}
        assert {k: v for k, v in values.items() if k[0] == "power"} == wanted
        assert values["inlet", "n1"] == 25.0 + 0.1 * i
        assert values["coolant_supply", "l"] == 30.0 + i
        assert ("GPU-new" in where) == any(
            n >= SWAP and ("power", "GPU-new") in t[1] for n, t in enumerate(ticks[: i + 1])
        )
        if ("power", "GPU-0") in values:
            assert where["GPU-0"] == ("n0", "j" if i >= LATE else "")
    assert recording.present == [sum(k[0] == "power" for k in values) for _, values, _ in ticks]


def test_a_returning_gpu_takes_its_slot_back(tmp_path):
    frame = table()
    frame = frame[~frame["uuid"].isin(["GPU-5", "GPU-new"])]
    row = frame[frame["uuid"] == "GPU-4"].iloc[0]
    moves = [("GPU-5", 0), ("GPU-x", 10), ("GPU-5", 35)]
    extra = [row.to_dict() | {"uuid": u, "gpu": "1", "timestamp": START + i * STEP} for u, i in moves]
    frame = pd.concat([frame, pd.DataFrame(extra)]).sort_values("timestamp", kind="stable")
    recording = open_recording(store(frame, tmp_path, "plain"))
    gone = {}
    for tick in recording.ticks():
        gpus = tick.fleet[Level.GPU]
        gone = {key: bool(out) for key, out in zip(gpus.keys, gpus.gone, strict=True)}
        if tick.now == START + 10 * STEP:
            assert gone["GPU-5"]
            assert not gone["GPU-x"]
    assert not gone["GPU-5"]
    assert gone["GPU-x"]


def test_things_that_report_at_moments_of_their_own_are_put_on_a_grid(tmp_path):
    frame = table()
    wanted = told(open_recording(store(frame, tmp_path, "plain")))
    rng = np.random.default_rng(3)
    shift = START % STEP
    frame["timestamp"] += rng.uniform(0, STEP - 1, len(frame)) - shift
    recording = open_recording(store(frame, tmp_path, "small groups"), align=STEP)
    assert told(recording) == [(now - shift, values, where) for now, values, where in wanted]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_second_row_of_a_gpu_is_told_with_its_place(tmp_path, suffix):
    frame = table()
    frame = pd.concat([frame, frame.iloc[[20]]])
    path = store(frame, tmp_path, "csv" if suffix == "csv" else "small groups")
    place = f"line {len(frame) + 1}:" if suffix == "csv" else f"row group {(len(frame) - 1) // 17}, row"
    with pytest.raises(UserError, match="a second row for this GPU") as caught:
        list(open_recording(path).ticks())
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG = {
    "no power": (lambda f: f.drop(columns="gpu_power_watts"), "column 'gpu_power_watts': is missing"),
    "words": (lambda f: f.assign(gpu_power_watts=["warm"] * len(f)), "column 'gpu_power_watts', row group 0"),
    "endless": (lambda f: f.assign(gpu_power_watts=np.inf), "not a finite number"),
    "milliseconds": (lambda f: f.assign(timestamp=f["timestamp"] * 1000), "is not a time"),
    "no time": (lambda f: f.assign(timestamp=["soon"] * len(f)), "column 'timestamp', row group 0"),
    "no rows": (lambda f: f[:0], "has no rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_parquet_is_told_in_one_line(tmp_path, case):
    change, wanted = WRONG[case]
    path = tmp_path / "data.parquet"
    change(table()).to_parquet(path)
    with pytest.raises(UserError) as caught:
        list(open_recording(path).ticks())
    assert wanted in str(caught.value)
    assert "data.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_hold_nothing(tmp_path):
    broken = tmp_path / "cut.parquet"
    table().to_parquet(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (broken, empty, tmp_path / "absent.parquet", tmp_path / "absent.csv"):
        with pytest.raises(UserError) as caught:
            open_recording(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_rows_in_time_order_are_never_torn(tmp_path, monkeypatch):
    monkeypatch.setattr(ordering, "HELD_VALUES", 200)
    recording = open_recording(store(table(), tmp_path, "by entity"))
    last, rows = -np.inf, 0
    for block in in_time_order(recording.units, recording.layout, recording.scratch, lambda _s, _d: None):
        assert block.seconds[0] > last
        assert (np.diff(block.seconds) >= 0).all()
        last, rows = block.seconds[-1], rows + len(block)
    assert rows == recording.rows


SCENARIO = """\
blueprint: starter
seed: 7
duration: 6m
step: 10s
faults:
  - {kind: coolant-pump, start: 2m, severity: 1.0}
  - {kind: psu-lost, target: r01-n01, start: 2m}
  - {kind: ecc-storm, target: r01-n02/3, start: 2m, severity: 1.0}
  - {kind: fan-failure, target: r01-n01, start: 2m, severity: 1.0}
  - {kind: nvlink-errors, target: r01-n01/2, start: 2m, severity: 1.0}
"""


def test_a_simulated_recording_holds_what_detectors_of_parts_power_and_errors_look_at(tmp_path):
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    asked = ["--scenario", str(tmp_path / "scenario.yaml"), "--out", str(tmp_path / "data.csv")]
    assert main(["simulate", *asked]) == 0
    recording = open_recording(tmp_path / "data.csv")
    ticks = list(recording.ticks())
    first, last = ticks[5], ticks[-1]

    def seen(tick, key, level):
        return dict(zip(tick.fleet[level].keys, tick.value(key, level).tolist(), strict=True))

    assert seen(first, "pumps_running", Level.LOOP) == {"loop-1": 2}
    assert seen(last, "pumps_running", Level.LOOP) == {"loop-1": 1}
    pump = [seen(tick, "pump_speed", Level.LOOP)["loop-1"] for tick in (first, last)]
    assert 0.2 < pump[0] < pump[1] <= 1, "those that are left turn faster"
    assert seen(first, "coolant_pressure", Level.LOOP)["loop-1"] > 1e4
    power, least = (seen(first, key, Level.RACK)["r01"] for key in ("rack_power", "rack_side_power_least"))
    assert 2 * least == pytest.approx(power, rel=0.1)
    gpus = np.nansum(first.value("power", Level.GPU))
    assert gpus < power < 3 * gpus
    assert seen(first, "rack_sides_live", Level.RACK) == {"r01": 2}
    assert seen(first, "rack_power_budget", Level.RACK) == {"r01": 30000}
    assert seen(last, "supplies_failed", Level.NODE) == {"r01-n01": 1, "r01-n02": 0}
    assert seen(last, "fan_speed_slowest", Level.NODE)["r01-n01"] == 0
    assert seen(last, "fan_speed_slowest", Level.NODE)["r01-n02"] > 0.1
    jobs = seen(first, "job_power", Level.JOB)
    assert sum(jobs.values()) == pytest.approx(gpus, rel=0.01)
    assert any(np.isfinite(value) for value in seen(first, "step_time", Level.JOB).values())
    labels = last.fleet[Level.GPU].labels
    places = [f"{node}/{gpu}" for node, gpu in zip(labels["node"], labels["gpu"], strict=True)]

    def sick(key):
        rose = last.value(key, Level.GPU) > np.nan_to_num(first.value(key, Level.GPU))
        return {places[row] for row in np.flatnonzero(rose)}

    assert sick("xid_memory") | sick("xid_contained") == sick("remap_pending") == {"r01-n02/3"}
    assert sick("nvlink_errors") == {"r01-n01/2"}
    assert sick("xid_lost") == set()
