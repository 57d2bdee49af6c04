"""`gigawatch simulate` and `gigawatch plant`: files in, files out, one line for every mistake."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch.catalogue import all_metrics, own
from gigawatch.cli import main
from gigawatch.errors import UserError
from gigawatch.simulator.columns import METRICS
from gigawatch.simulator.jobs import expand, parse_jobs
from gigawatch.simulator.record import TRUTH
from gigawatch.simulator.scenario import load_scenario
from gigawatch.simulator.view import open_view
from gigawatch.topology import blueprint

SITE = blueprint("starter")
GOOD = """\
blueprint: starter
seed: 7
start: 2026-01-01T00:00:00Z
duration: 10m
step: 10s
faults:
  - {kind: thermal-interface, target: r01-n02/3, start: 2m, ramp: 1m, severity: 1.0}
  - {kind: cdu-failure, start: 4m, duration: 3m}
  - {kind: psu-lost, target: r01-n01, start: 8m}
"""


def run(folder: Path, text: str, *more: str, out: str = "data.csv") -> int:
    scenario = folder / "scenario.yaml"
    scenario.write_text(text)
    return main(["simulate", "--scenario", str(scenario), "--out", str(folder / out), *more])


def test_a_scenario_gives_data_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, GOOD, "--truth", str(tmp_path / "truth.csv"), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["gpus"], summary["moments"], summary["faults"]) == (960, 16, 60, 3)
    assert summary["simulated_seconds"] / summary["wall_seconds"] > 20
    with (tmp_path / "data.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 960
    assert float(rows[0]["timestamp"]) == 1_767_225_610
    assert float(rows[-1]["timestamp"]) == 1_767_225_600 + 600
    with (tmp_path / "truth.csv").open() as file:
        reader = csv.DictReader(file)
        truth = list(reader)
        assert tuple(reader.fieldnames or ()) == TRUTH
    assert [row["fault"] for row in truth] == ["thermal-interface", "cdu-failure", "psu-lost"]
    uuid = next(row["uuid"] for row in rows if (row["node"], row["gpu"]) == ("r01-n02", "3"))
    assert [row["entity"] for row in truth] == [uuid, "loop:loop-1", "node:r01-n01"]
    assert float(truth[1]["start"]) == 1_767_225_600 + 240
    assert 240 < float(truth[1]["failure_time"]) - 1_767_225_600 < 420, (
        "without flow, GPUs throttle in minutes"
    )
    assert truth[2]["failure_time"] == ""
    # A GPU that shuts down by heat answers no more: its cells are empty then.
    hot = [float(r["gpu_temperature_celsius"] or "nan") for r in rows if r["uuid"] == uuid]
    assert hot[23] > hot[11] + 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv", "scenario.yaml", "truth.csv"]


def test_metric_columns_are_named_as_in_the_catalogue() -> None:
    known = {metric.key for metric in all_metrics()}
    signals = pytest.importorskip("analytics.signals").SIGNALS
    own_names = {signal.column for signal in signals}
    assert set(METRICS) <= known | own_names, "others are never read"
    assert len(METRICS) == len(set(METRICS))


def test_one_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    short = GOOD.replace("duration: 10m", "duration: 500s")
    for name, text in (("a", short), ("b", short), ("c", short.replace("seed: 7", "seed: 8"))):
        assert run(tmp_path, text, out=f"{name}.csv") == 0
        digests.append(sha256((tmp_path / f"{name}.csv").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("blueprint: starter", "blueprint: starer", "scenario.yaml:1: blueprint: no blueprint 'starer'"),
        ("blueprint: starter", "blueprint: starter\ninventory: x.yaml", "by blueprint or by inventory"),
        ("blueprint: starter", "inventory: none.yaml", "none.yaml: cannot be read"),
        (
            "duration: 10m",
            "duration: 10 minutes",
            "scenario.yaml:4: duration: '10 minutes' is not a duration",
        ),
        ("duration: 10m", "", "duration: is missing"),
        ("duration: 10m", "duration: -5", "scenario.yaml:4: duration"),
        ("duration: 10m", "duration: 4000d", "scenario.yaml:4: duration"),
        ("step: 10s", "step: 20m", "step is longer than duration"),
        ("step: 10s", "stepp: 10s", "scenario.yaml:5: stepp: is not a known field; known here: blueprint"),
        ("start: 2026-01-01T00:00:00Z", "start: tomorrow", "'tomorrow' is not a time"),
        ("kind: psu-lost", "kind: psu-lots", "faults[2].kind: no fault 'psu-lots'; did you mean psu-lost"),
        (
            "target: r01-n01",
            "target: r01-n09",
            "scenario.yaml:9: faults[2].target: psu-lost: no node 'r01-n09'",
        ),
        ("start: 8m", "start: 80m", "scenario.yaml:9: faults[2].start: lies 4800 s after the start"),
        ("severity: 1.0", "severity: 7", "scenario.yaml:7: faults[0].severity"),
        ("faults:", "faults: [", "not valid YAML"),
    ],
)
def test_a_malformed_scenario_is_one_line_that_names_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    assert old in GOOD
    assert run(tmp_path, GOOD.replace(old, new, 1)) == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "data.csv").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            "[{kind: trainig, name: x, nodes: [r01-n01]}]",
            "workloads[0].kind: is 'trainig'; allowed: training",
        ),
        ("[{kind: idle, name: x, nodes: [r01-n07]}]", "workloads[0].nodes: no node 'r01-n07'; did you mean"),
        ("[{kind: idle, name: x, nodes: r01-n01}]", "is not a list of node names"),
        ("[{kind: idle, name: x, nodes: ['r01-n[02-01]']}]", "the range [02-01]"),
        (
            "[{kind: idle, name: x, nodes: [r01-n01], colour: red}]",
            "workloads[0].colour: is not a known field",
        ),
        (
            "[{kind: training, name: x, nodes: [r01-n01]}, {kind: idle, name: y, nodes: ['r01-n[01-02]']}]",
            "scenario.yaml:6: workloads[1].nodes: 'r01-n01' is held by 'x'; one job per node",
        ),
    ],
)
def test_malformed_workloads_are_one_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, words: str
) -> None:
    assert run(tmp_path, f"blueprint: starter\nseed: 1\nduration: 1m\nstep: 10s\n\nworkloads: {rows}\n") == 1
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.lists(st.text(max_size=3))
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["blueprint", "seed", "start", "duration", "step", "workloads", "faults"]), _VALUES
    )
)
def test_any_scenario_loads_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("any") / "scenario.yaml"
    path.write_text(json.dumps({"blueprint": "starter", "duration": 60, **data}))
    problem = ""
    try:
        assert load_scenario(path).samples >= 1
    except UserError as error:
        problem = str(error)
    assert "\n" not in problem


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["kind", "name", "model", "nodes", "load", "stage"]), _VALUES),
        max_size=3,
    )
)
def test_any_workload_rows_are_parsed_or_refused_in_one_line(rows: list[dict[str, object]]) -> None:
    problem = ""
    try:
        assert len(parse_jobs(rows, SITE)) == len(rows)
    except UserError as error:
        problem = str(error)
    assert "\n" not in problem


def test_default_targets_follow_the_workloads_of_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "blueprint: starter\nduration: 60\nworkloads: [{kind: training, name: x, nodes: [r01-n01]}]\n"
        "faults: [{kind: straggler}]\n"
    )
    assert load_scenario(path).faults[0].target.text == "r01-n01/3"


def test_patterns_with_several_ranges_multiply() -> None:
    assert expand("r[01-02]-n[1-2]") == ["r01-n1", "r01-n2", "r02-n1", "r02-n2"]
    with pytest.raises(UserError, match="more than 100000 names"):
        expand("[0-9999][0-9999]")


def test_output_that_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, GOOD, out="data.xlsx") == 1
    assert "write .csv or .parquet" in capsys.readouterr().err
    assert run(tmp_path, GOOD, out="missing/data.csv") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert run(tmp_path, GOOD, "--truth", str(tmp_path / "missing" / "truth.csv")) == 1
    capsys.readouterr()
    assert [p.name for p in tmp_path.iterdir()] == ["scenario.yaml"]


def test_parquet_holds_the_same_or_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-not-found,unused-ignore] # optional
    except ImportError:
        assert run(tmp_path, GOOD, out="data.parquet") == 1
        message = capsys.readouterr().err
        assert "Parquet needs the Python module 'pyarrow'" in message
        assert message.count("\n") == 1
        assert [p.name for p in tmp_path.iterdir()] == ["scenario.yaml"]
        return
    assert run(tmp_path, GOOD, out="data.parquet") == 0
    assert run(tmp_path, GOOD, out="data.csv") == 0
    table = parquet.read_table(tmp_path / "data.parquet").to_pylist()
    with (tmp_path / "data.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["uuid"] for r in table] == [r["uuid"] for r in rows]
    for name in ("timestamp", *METRICS):
        assert [r[name] for r in table] == [float(r[name]) if r[name] else None for r in rows]


def test_the_plant_process_serves_publishes_stops_cleanly_and_continues(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "gigawatch.cli", "plant", "--blueprint", "starter", "--state", str(tmp_path),
        "--listen", "127.0.0.1:0",
    ]  # fmt: skip
    energy = 0.0
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            url = ""
            while "metrics at" not in url:
                url = process.stderr.readline()
                assert url or process.poll() is None
            address = url.rsplit("metrics at ", 1)[1].strip()
            view = open_view(blueprint("starter"), tmp_path)
            deadline = time.monotonic() + 60
            while True:
                try:
                    moment = view.refresh()
                    break
                except UserError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            assert abs(time.time() - moment) < 30
            text = urllib.request.urlopen(address, timeout=30).read().decode()
            assert f"{own.PLANT_LAG.name} " in text
            assert f'{own.EXPORTER_BUILD_INFO.name}{{program="plant"' in text
            health = urllib.request.urlopen(address.replace("/metrics", "/-/healthy"), timeout=30)
            assert health.status == 200
            now = sum(
                r.value for r in view.node_readings("r01-n01") if r.metric.key == "gpu_energy_joules_total"
            )
            assert now >= energy > -1
            energy = now
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            if process.stderr:
                process.stderr.close()


def test_commands_refuse_wrong_use_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plant", "--blueprint", "nowhere", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        main(["plant", "--speed", "fast"])
    assert caught.value.code == 2
