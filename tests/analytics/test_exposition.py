"""What is said about a tick, and how it is written."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from analytics.detectors.base import Estimate, Figure, Scores, Verdict
from analytics.engine import Outcome
from analytics.fleet import Fleet, Level
from analytics.serving.exposition import Exposition
from analytics.serving.lines import Digits, Texts, write_lines
from gigawatch.catalogue import findings


def fleet_of(nodes: int, rack: str = "r1") -> Fleet:
    fleet = Fleet()
    labels = [
        {"uuid": f"GPU-{n}-{g}", "gpu": str(g), "node": f"n{n}", "rack": rack}
        for n in range(nodes)
        for g in range(8)
    ]
    fleet[Level.GPU].rows([one["uuid"] for one in labels], labels)
    fleet[Level.RACK].rows([rack, "r2"], [{"rack": rack}, {"rack": "r2"}])
    return fleet


def said(page: bytes, metric) -> dict[tuple[str, ...], float]:
    """Values by the labels of the metric."""
    for family in text_string_to_metric_families(page.decode()):
        if family.name == metric.name:
            return {tuple(s.labels.get(x, "") for x in metric.labels): s.value for s in family.samples}
    return {}


def outcome(fleet, *scores, **more):
    return Outcome(1e9, fleet, {"peers": Verdict(list(scores), **more)})


def test_ordinary_scores_are_left_out_and_the_highest_is_always_there():
    fleet, exposition = fleet_of(2), Exposition()
    values = np.full(16, 0.05, np.float32)
    values[3], values[9] = np.nan, 0.07
    told = said(exposition.page(outcome(fleet, Scores("clock", Level.GPU, values))), findings.ANOMALY_SCORE)
    assert told == {("peers", "clock", "r1", "n1", "1", "GPU-1-1", "", ""): 0.07}
    values[[4, 5]] = 0.9, 0.25
    told = said(exposition.page(outcome(fleet, Scores("clock", Level.GPU, values))), findings.ANOMALY_SCORE)
    assert {key[5]: value for key, value in told.items()} == {"GPU-0-4": 0.9, "GPU-0-5": 0.25}


def test_a_score_at_the_edge_does_not_come_and_go():
    fleet, exposition = fleet_of(2), Exposition()
    for low, there in ((0.15, False), (0.21, True), (0.15, True), (0.09, False), (0.15, False)):
        values = np.full(16, 0.01)
        values[2], values[7] = low, 0.9
        told = said(
            exposition.page(outcome(fleet, Scores("clock", Level.GPU, values))), findings.ANOMALY_SCORE
        )
        assert ("GPU-0-2" in {key[5] for key in told}) is there


def test_nothing_known_is_nothing_said():
    page = Exposition().page(outcome(fleet_of(2), Scores("clock", Level.GPU, np.full(16, np.nan))))
    assert page == b""


def test_estimates_and_figures_have_their_labels():
    fleet = fleet_of(1, 'a"b\\c')
    ohm = np.full(8, np.nan)
    ohm[6] = 0.0451234567
    forecast = Figure(findings.RACK_POWER_FORECAST, Level.RACK, np.array([1234567.0, np.nan]), ("5m", "0.9"))
    verdict = Verdict(estimates=[Estimate(findings.THERMAL_RESISTANCE, ohm)], figures=[forecast])
    page = Exposition().page(Outcome(1e9, fleet, {"x": verdict}))
    assert said(page, findings.THERMAL_RESISTANCE) == {('a"b\\c', "n0", "6", "GPU-0-6"): 0.0451235}
    assert said(page, findings.RACK_POWER_FORECAST) == {("5m", "0.9", 'a"b\\c'): 1234567}


def test_risks_of_several_detectors_are_one_series():
    fleet, n = fleet_of(1), np.full(8, np.nan)
    eta, risk = n.copy(), n.copy()
    eta[[1, 2]], risk[[2, 3]] = 3600.0, 0.5
    first = Verdict(estimates=[Estimate(findings.TIME_TO_THROTTLE, eta)])
    second = Verdict(figures=[Figure(findings.FAILURE_RISK, Level.GPU, risk, ("1h",))])
    exposition = Exposition(risk=lambda seconds, _horizon: np.where(np.isfinite(seconds), 0.2, np.nan))
    told = said(exposition.page(Outcome(1e9, fleet, {"a": first, "b": second})), findings.FAILURE_RISK)
    assert {key[3]: value for key, value in told.items() if key[0] == "1h"} == {"1": 0.2, "2": 0.6, "3": 0.5}


def test_a_thing_that_moves_is_said_where_it_is():
    fleet, exposition = fleet_of(1), Exposition()
    values = np.full(8, 0.9)
    exposition.page(outcome(fleet, Scores("clock", Level.GPU, values)))
    fleet[Level.GPU].set(0, "node", "elsewhere")
    fleet[Level.GPU].rows(["GPU-x"], [{"uuid": "GPU-x", "gpu": "9", "node": "n7", "rack": "r1"}])
    page = exposition.page(outcome(fleet, Scores("clock", Level.GPU, np.append(values, 0.8))))
    told = {key[5]: key[3] for key in said(page, findings.ANOMALY_SCORE)}
    assert (told["GPU-0-0"], told["GPU-x"], told["GPU-0-1"]) == ("elsewhere", "n7", "n0")


def test_of_what_all_shards_see_one_speaks():
    fleet, values = fleet_of(1), np.array([0.9, 0.8])
    exposition = Exposition(owns=lambda name: name == "r2")
    told = said(
        exposition.page(outcome(fleet, Scores("rack_power", Level.RACK, values))), findings.ANOMALY_SCORE
    )
    assert {key[2]: value for key, value in told.items()} == {"r2": 0.8}


@pytest.mark.parametrize("digits", list(Digits))
def test_numbers_are_read_back_as_they_were(digits):
    rng = np.random.default_rng(1)
    values = np.concatenate(([0.0, 1.0, 0.5, 99.99996, 999999.5, 1e15, 3e22], 10 ** rng.uniform(-4, 14, 500)))
    values = np.concatenate((values, -values))
    if digits is Digits.SIX:
        values = np.append(values, [1e-300, 4.2e-12])
    texts = Texts.of(f'x="{i}"' for i in range(len(values)))
    lines = write_lines(b"m{", texts, np.arange(len(values)), values, digits).decode().splitlines()
    read = np.array([float(line.rpartition(" ")[2]) for line in lines])
    assert lines[2] == 'm{x="2"} 0.5'
    allowed = 0.50001e-4 if digits is Digits.FOUR_DECIMALS else 0.0
    np.testing.assert_allclose(read, values, rtol=5.1e-6, atol=allowed)
