"""Findings in words: every cause has them, every figure has its unit, and nothing rests on a bare score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.detectors.base import Evidence, Rival
from analytics.explain import CAUSES, explain, headline
from analytics.explain.words import difference, duration, quantity, thing
from analytics.fleet import Fleet, Level
from analytics.incidents.exposition import readings
from analytics.incidents.model import Incident
from gigawatch.catalogue import Unit, findings
from gigawatch.readings import sample

NOW = 1_764_000_000.0
DAY = 86400.0
R = findings.THERMAL_RESISTANCE.key
ROOT = Path(__file__).resolve().parents[2]


def incident(**more):
    given = {
        "name": "n1-gpu3-1", "cause": "thermal_interface", "scope": "gpu", "place": "n1/gpu3", "key": "U3",
        "since": NOW - 3600, "seen": NOW, "opened": NOW - 3000, "score": 0.8, "gpus": ["U3"],
    }  # fmt: skip
    return Incident(**{**given, **more})


WORN = {
    "onset": NOW - 6 * DAY, "confidence": 0.83, "eta": 3 * DAY, "earliest": DAY, "latest": 9 * DAY,
    "evidence": (
        Evidence(R, 0.0611, Unit.KELVIN_PER_WATT, 0.0518, 0.0545, 9.0),
        Evidence("temperature", 71.0, Unit.CELSIUS, 63.0, 64.0, 5.0),
        Evidence("fan_speed", 5000.0, Unit.RPM, 5000.0, speaks_for="fan"),
    ),
    "rivals": (
        Rival("sensor", 0.05, "its clock gives way"), Rival("cold_plate", 0.1, "the others did not move"),
    ),
}  # fmt: skip


def test_one_sentence_says_where_what_how_far_since_when_and_what_comes():
    assert headline(incident(**WORN), NOW) == (
        "GPU 3 of n1: its thermal paste or pad wears out (83 % sure); thermal resistance 0.0611 K/W, "
        "+18 % from its own 0.0518 K/W in 6 days, +12 % from its peers' 0.0545 K/W; "
        "it throttles in about 3 days (24 hours to 9 days)."
    )


def test_without_figures_it_says_what_is_known_and_no_score():
    text = headline(incident(), NOW)
    assert "gave no figures" in text
    assert "since 24 Nov 15:00 UTC (60 minutes)" in text
    assert "0.8" not in text


def test_the_next_likeliest_cause_is_named_with_the_reason_against_it():
    found = explain(incident(**WORN), NOW)
    assert found["against"].startswith("Less likely (10 %): “its cold plates clog")
    assert "the others did not move" in found["against"]
    assert "its fans move less air" in found["against"], "evidence that speaks for another cause is told"
    assert [one["signal"] for one in found["evidence"]] == [R, "temperature"]
    assert [one["cause"] for one in found["rivals"]] == ["cold_plate", "sensor"]
    assert found["evidence"][1]["from_usual"] == "+8.0 K"


def test_jobs_are_told_with_how_much_of_them_is_touched():
    fleet = Fleet()
    labels = [
        {"uuid": f"U{i}", "gpu": str(i), "node": f"n{i // 4}", "rack": "r1", "job": "7"} for i in range(8)
    ]
    fleet[Level.GPU].rows([one["uuid"] for one in labels], labels)
    found = explain(incident(gpus=["U0", "U3", "U5", "gone"]), NOW, fleet)
    assert found["jobs"] == [{"job": "7", "gpus_touched": 3, "gpus": 8}]
    assert found["where"] == [{"thing": "node n0", "gpus": 2}, {"thing": "node n1", "gpus": 1}]
    assert 'job_id=~"7"' in found["tokens_query"]


@pytest.mark.parametrize("cause", findings.CAUSES)
def test_every_cause_has_words_an_action_and_a_runbook(cause):
    text = CAUSES[cause]
    assert text.action.endswith(".")
    assert text.check
    assert (ROOT / "docs" / "runbooks" / f"{text.runbook}.md").exists()
    assert set(text.alike) <= set(findings.CAUSES) - {cause}
    found = explain(incident(cause=cause), NOW)
    assert text.title in found["headline"]
    page = " ".join((ROOT / "docs" / "findings.md").read_text().split())
    section = page.partition(f"### {found['anchor']} ")[2].partition("### ")[0]
    for told in (text.action, *text.check, *text.alike.values()):
        assert told.rstrip(".") in section, "docs/findings.md tells what analytics/explain/causes.py tells"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0611, Unit.KELVIN_PER_WATT, "0.0611 K/W"),
        (1.98e9, Unit.HERTZ, "1.98 GHz"),
        (690.4, Unit.WATTS, "690 W"),
        (0.631, Unit.RATIO, "63.1 %"),
        (61.25, Unit.CELSIUS, "61.2 °C"),
        (5400.0, Unit.SECONDS, "90 minutes"),
        (0.0015, Unit.CUBIC_METERS_PER_SECOND, "90 l/min"),
        (3.0, Unit.COUNT, "3"),
    ],
)
def test_figures_are_written_as_people_say_them(value, unit, text):
    assert quantity(value, unit) == text


def test_differences_are_shares_only_where_zero_is_zero():
    assert difference(71.0, 63.0, Unit.CELSIUS) == "+8.0 K"
    assert difference(0.5, 0.4, Unit.RATIO) == "+10 points"
    assert difference(90.0, 100.0, Unit.WATTS) == "-10 %"
    assert difference(4.0, 0.0, Unit.COUNT) == "+4"


def test_places_and_spans_read_well():
    assert thing("gpu", "n1/gpu3") == "GPU 3 of n1"
    assert thing("loop", "loop-a") == "loop-a"
    assert thing("rack", "r1") == "rack r1"
    assert [duration(s) for s in (1, 119, 3600, 86400, 9 * DAY)] == [
        "1 second", "119 seconds", "60 minutes", "24 hours", "9 days",
    ]  # fmt: skip


_floats = st.sampled_from((0.0, 1.5, -3.0, 5e-324, 1e308, -1e308, float("nan"), float("inf"))) | st.floats()
_maybe = st.none() | _floats
_evidence = st.builds(
    Evidence, st.text(max_size=8), _floats, st.sampled_from(Unit), _maybe, _maybe, _maybe,
    st.text(max_size=8), st.sampled_from(("", *findings.CAUSES)),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    cause=st.sampled_from(findings.CAUSES),
    scope=st.sampled_from(findings.SCOPES),
    place=st.text(max_size=10),
    evidence=st.lists(_evidence, max_size=3),
    times=st.tuples(_maybe, _maybe, _maybe, _maybe),
)
def test_whatever_a_detector_says_is_explained_in_json_and_kept(cause, scope, place, evidence, times):
    early, eta, late, onset = times
    made = incident(
        cause=cause,
        scope=scope,
        place=place,
        evidence=tuple(evidence),
        earliest=early,
        eta=eta,
        latest=late,
        onset=onset,
    )
    found = json.loads(json.dumps(explain(made, NOW), allow_nan=False))
    assert found["headline"].endswith(".")
    assert json.dumps(Incident.load(made.dump()).dump()) == json.dumps(made.dump())


def test_what_a_page_needs_is_exposed_and_what_is_unknown_is_absent():
    told = {}
    for reading in readings(incident(**WORN, children_seen=2, known="maintenance")):
        name, labels = sample(reading.metric, reading.labels)
        told[name, labels.get("bound") or labels.get("signal") or labels.get("reason") or ""] = reading.value
    assert told[findings.INCIDENT_ONSET.name, ""] == NOW - 6 * DAY
    assert told[findings.INCIDENT_CONFIDENCE.name, ""] == 0.83
    assert told[findings.INCIDENT_ETA.name, "early"] == DAY
    assert told[findings.INCIDENT_DEVIATION.name, R] == pytest.approx(0.0611 / 0.0518 - 1, abs=1e-4)
    assert told[findings.INCIDENT_KNOWN_INFO.name, "maintenance"] == 1
    bare = {reading.metric for reading in readings(incident())}
    assert bare == {
        findings.INCIDENT_INFO, findings.INCIDENT_AFFECTED_GPUS, findings.INCIDENT_ONSET,
        findings.INCIDENT_CHILDREN,
    }  # fmt: skip
