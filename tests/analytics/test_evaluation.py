"""What counts as found, as early and as false; and the page that shows it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from analytics.evaluation.metrics import YEAR, evaluate, poisson_interval
from analytics.evaluation.replay import Finding, Forecast, Replay
from analytics.evaluation.report import page
from analytics.evaluation.truth import Event
from analytics.evaluation.words import span

DAY = 86400.0
PLACES = {
    f"G{r}{n}{g}": {"node": f"n{r}{n}", "rack": f"r{r}", "loop": "l"}
    for r in range(2) for n in range(2) for g in range(4)
}  # fmt: skip
RACK = tuple(uuid for uuid in PLACES if uuid.startswith("G0"))


def found(
    when: float, entity: str, gpus: tuple[str, ...], cause: str = "thermal_interface", **more
) -> Finding:
    return Finding(
        when, entity, cause, 0.9, more.pop("eta", None), f"{cause}-{entity}-{when:g}", gpus, **more
    )


def judged(events: list[Event], *findings: Finding, **more):
    result = Replay(list(findings), gpu_seconds=2 * YEAR, places=PLACES, **more)
    return evaluate(result, events)


GPU = Event("G000", "drift", 100.0, 9 * DAY, 10 * DAY)


def test_a_call_at_the_right_place_before_the_failure():
    report = judged([GPU], found(3 * DAY, "G000", ("G000",))).report
    assert report["faults"]["drift"]["called_before_failure_ratio"] == 1
    assert report["faults"]["drift"]["median_lead_seconds"] == 7 * DAY
    assert report["false_alarms"] == 0
    assert report["precision"] == 1


def test_a_call_after_the_failure_is_found_but_not_before_it():
    report = judged([GPU], found(10 * DAY + 60, "G000", ("G000",))).report
    assert report["found"] == 1
    assert report["called_before_failure"] == 0
    assert report["faults"]["drift"]["median_lead_seconds"] == -60


@pytest.mark.parametrize(
    "finding",
    [
        found(3 * DAY, "G001", ("G001",)),
        found(50.0, "G000", ("G000",)),
        found(11 * DAY, "G000", ("G000",)),
        found(3 * DAY, "rack:r0", RACK),
    ],
    ids=["neighbour", "too early", "too late", "whole rack"],
)
def test_what_points_elsewhere_is_a_false_alarm(finding):
    report = judged([GPU], finding).report
    assert report["found"] == 0
    assert report["false_alarms"] == 1
    assert report["false_alarms_per_gpu_year"] == 0.5


def test_a_wide_incident_finds_a_narrow_fault_only_with_a_wide_fault():
    wide = Event("rack:r0", "inlet", 2 * DAY, 4 * DAY, None)
    evaluation = judged([GPU, wide], found(3 * DAY, "rack:r0", RACK, "inlet_air"))
    assert evaluation.report["found"] == 2
    assert evaluation.matches[0].through == "rack:r0"
    assert evaluation.report["false_alarms"] == 0


def test_narrow_incidents_find_a_wide_fault_once_they_cover_half_of_it_and_are_counted():
    wide = Event("rack:r0", "inlet", 0.0, DAY, None)
    calls = [found(100.0 * (i + 1), uuid, (uuid,)) for i, uuid in enumerate(RACK)]
    report = judged([wide], *calls).report
    assert report["faults"]["inlet"]["median_delay_seconds"] == 400
    assert report["faults"]["inlet"]["incidents_per_event"] == len(RACK)
    assert judged([wide], *calls[:3]).report["found"] == 0


def test_incidents_that_nobody_is_called_for_count_neither_way():
    report = judged(
        [GPU], found(3 * DAY, "G000", ("G000",), silent=True), found(DAY, "G110", ("G110",), silent=True)
    ).report
    assert (report["found"], report["false_alarms"], report["silent_incidents"]) == (0, 0, 2)


def test_the_forecast_midway_is_the_one_in_force_then():
    call = found(2 * DAY, "G000", ("G000",), eta=9 * DAY)
    track = [
        Forecast(2 * DAY, 9 * DAY, None, None),
        Forecast(5 * DAY, 4 * DAY, 3 * DAY, 6 * DAY),
        Forecast(7 * DAY, DAY, None, None),
    ]
    half = judged([GPU], call, forecasts={call.incident: track}).report["time_to_throttle_at_half_life"]
    # Midway is day 6: the forecast of day 5 then says 3 days, 4 are left.
    assert half["median_error_ratio"] == pytest.approx(0.25)
    assert half["interval_coverage_ratio"] == 1
    assert half["with_forecast"] == 1


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 2.996), (3, 0.818, 7.754), (10, 5.425, 16.962)])
def test_poisson_intervals_are_those_of_the_tables(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=2e-3)


def test_spans_are_readable():
    assert [span(v) for v in (None, 40, -90, 720, 18360, 630720)] == [
        "-",
        "40 s",
        "-90 s",
        "12 min",
        "5.1 h",
        "7.3 d",
    ]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.text, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone_and_trusts_no_name():
    bad = "G<script>"
    places = {**PLACES, bad: PLACES["G000"]}
    calls = [found(3 * DAY, "G000", ("G000",), eta=6 * DAY), found(4 * DAY, bad, (bad,), "fan")]
    tracks = {calls[0].incident: [Forecast(3 * DAY, 6 * DAY, 5 * DAY, 8 * DAY)]}
    result = Replay(
        calls, ticks=9, gpu_seconds=YEAR, step=60.0, last=12 * DAY, places=places, forecasts=tracks
    )
    evaluation = evaluate(result, [GPU, Event("G111", "drift", 0.0, DAY, None)])
    report = {
        "input": "a<b>.parquet", "gpus": len(places), "seconds_of_data": 12 * DAY, "step_seconds": 60.0,
        "points_per_second": 1e6, "detector_errors": ["x: <oops>"], **evaluation.report,
    }  # fmt: skip
    read = Page()
    read.feed(page(report, result, evaluation, []))
    assert read.links == []
    assert "script" not in read.tags
    assert read.tags.count("svg") == 4
    text = "".join(read.text)
    assert "Backtest of a<b>.parquet" in text
    assert "7 d" in text
    assert "Detector failed: x: <oops>" in text
