"""Files from outside: whatever is wrong is said in one line, and nothing half-written is left."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.evaluation.backtest import backtest, read_truth
from analytics.score import score_file
from gigawatch.errors import UserError

CASES = {
    "missing column": (b"timestamp,wert\n1,2\n", "column 'value': is missing"),
    "text in numbers": (
        b"timestamp,value\n1,2\n2,high\n",
        ":3: column 'value': 'high' is not a finite number",
    ),
    "infinite": (b"timestamp,value\n1,inf\n", ":2: column 'value'"),
    "unsorted": (b"timestamp,value\n5,2\n4,1\n", ":3: column 'timestamp': goes back in time"),
    "no time": (b"timestamp,value\n5,2\nsoon,1\n", ":3: column 'timestamp': 'soon' is not a time"),
    "empty": (b"", "is empty"),
    "no rows": (b"timestamp,value\n", "no rows"),
    "binary": (bytes(range(256)), "in.csv"),
    "ragged": (b"timestamp,value\n1,2\n1,2,3\n", "same columns"),
    "too wide": (b"timestamp,value\n1,2,3\n1,2,3\n", "same columns"),
    "twice": (b"timestamp,value,value\n1,2,3\n", "column 'value': stands twice"),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed_series(tmp_path, case):
    content, wanted = CASES[case]
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(content)
    with pytest.raises(UserError) as caught:
        score_file(source, target)
    text = str(caught.value)
    assert wanted in text
    assert "in.csv" in text
    assert "\n" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]


def _with_header(text):
    return ("timestamp,value\n" + text).encode("utf-8", "ignore")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(_with_header)))
def test_any_bytes_end_in_scores_or_one_line(tmp_path, content):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(content)
    try:
        score_file(source, target)
    except UserError as error:
        lines = len(str(error).splitlines())
    else:
        lines = 1
    assert lines == 1


def test_repeated_times_are_accepted(tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("timestamp,value\n2014-03-09 03:00:00,1\n2014-03-09 03:00:00,2\n2014-03-09 03:05:00,\n")
    assert score_file(source, target) == 3
    assert target.read_text().splitlines()[1] == "2014-03-09 03:00:00,1,0.000000"


def recording(plant, path, seconds, fault):
    columns = "timestamp,site,rack,node,gpu,uuid,loop,gpu_power_watts,gpu_temperature_celsius,"
    columns += "gpu_temperature_margin_celsius,coolant_supply_temperature_celsius"
    rows = [columns]
    labels = plant.fleet["gpu"].labels
    start = plant.now
    for i, tick in enumerate(plant.ticks(seconds)):
        plant.factor[3] = 1.9 if fault[0] <= i * plant.step < fault[1] else 1.0
        for g in range(len(labels["uuid"])):
            v = tick.values
            rows.append(
                f"{tick.now:.0f},s,{labels['rack'][g]},{labels['node'][g]},{labels['gpu'][g]},{labels['uuid'][g]},"
                f"{labels['loop'][g]},{v['power'][g]:.1f},{v['temperature'][g]:.0f},{v['margin'][g]:.0f},30"
            )
    path.write_text("\n".join(rows) + "\n")
    return start


def test_backtest_finds_the_fault_and_reports_it(tmp_path, make_plant):
    source, truth, found = tmp_path / "data.csv", tmp_path / "truth.csv", tmp_path / "found.csv"
    plant = make_plant()
    start = recording(plant, source, 900, (400, 700))
    truth.write_text(
        "entity,fault,start,end,failure_time\n"
        f"GPU-r00-n00-3,thermal-interface,{start + 400:.0f},{start + 700:.0f},\n"
    )
    report = backtest(source, truth, found, True, True)
    assert json.dumps(report)
    assert report["detector_errors"] == []
    assert report["faults"]["thermal-interface"]["found"] == 1
    assert report["faults"]["thermal-interface"]["median_delay_seconds"] <= 75
    assert report["false_alarms"] == 0
    lines = found.read_text().splitlines()
    assert lines[0] == "timestamp,entity,cause,score,eta_seconds,incident"
    assert lines[1].split(",")[1:3] == ["GPU-r00-n00-3", "thermal_interface"]
    alone = backtest(source, None, tmp_path / "again.csv", False, False)
    assert (tmp_path / "again.csv").read_text() == found.read_text()
    assert alone["gpus"] == 16


def test_malformed_recordings_and_truths(tmp_path, make_plant):
    source = tmp_path / "data.csv"
    recording(make_plant(nodes=1), source, 50, (900, 900))
    lines = source.read_text().splitlines()
    cases = {
        "a second row for this GPU": [*lines, lines[-1]],
        "column 'uuid': is missing": [line.replace("uuid", "id", 1) for line in lines],
        "is not a finite number": [*lines[:5], lines[5].rsplit(",", 1)[0] + ",warm", *lines[6:]],
    }
    for wanted, content in cases.items():
        source.write_text("\n".join(content) + "\n")
        with pytest.raises(UserError, match=wanted):
            backtest(source, None, tmp_path / "f.csv", False, False)
        assert not (tmp_path / "f.csv").exists()
    truth = tmp_path / "truth.csv"
    truth.write_text("entity,fault,start\nx,y,1\n")
    with pytest.raises(UserError, match="column 'end': is missing"):
        read_truth(truth)
