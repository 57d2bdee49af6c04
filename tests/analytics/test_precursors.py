"""Precursors: events and flags become findings and a risk; noise, old events and corrected errors do not."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.failure_risk import (
    PRIOR_PER_YEAR,
    TABLE,
    YEAR,
    combine,
    learned,
    prior,
    risk_within,
    weight_of,
)
from analytics.detectors.precursors import Precursors
from analytics.fleet import Fleet, Level, Tick
from analytics.serving.figures import figure_readings

START = 1_760_000_000.0
N = 32


class Bench:
    """Four nodes of eight GPUs in one rack; `now` holds sparse signals."""

    def __init__(self) -> None:
        self.fleet, self.time = Fleet(), START
        labels = [{"uuid": f"U{i}", "gpu": str(i % 8), "node": f"n{i // 8}", "rack": "r1"} for i in range(N)]
        self.fleet[Level.GPU].rows([x["uuid"] for x in labels], labels)
        names = [f"n{i}" for i in range(4)]
        self.fleet[Level.NODE].rows(names, [{"node": n, "rack": "r1"} for n in names])
        self.now: dict[str, dict[int, float]] = {}
        self.power = np.full(N, 500.0)
        self.detector = Precursors()

    def tick(self, seconds: float = 60.0):
        self.time += seconds
        values = {"power": self.power.copy()}
        for key, told in self.now.items():
            level = Level.NODE if key.startswith("port") else Level.GPU
            values[key] = np.full(len(self.fleet[level]), np.nan)
            for row, value in told.items():
                values[key][row] = value
        tick = Tick(self.time, self.fleet, values)
        self.detector.enrol(self.fleet)
        return self.detector.observe(tick)

    def kinds(self, seconds: float = 60.0):
        return sorted((s.cause, s.scope, s.place) for s in self.tick(seconds).suspicions)

    def risk(self, row: int, horizon: str = "24h", seconds: float = 60.0) -> float:
        verdict = self.tick(seconds)
        return next(float(f.values[row]) for f in verdict.figures if f.labels == (horizon,))


def bench(**signals: dict[int, float]) -> Bench:
    made = Bench()
    made.now = {
        key: {} for key in ("xid_contained", "xid_memory", "xid_lost", "xid_link", "xid_driver")
    } | signals
    made.tick()
    return made


def test_a_first_event_is_found_though_its_counter_is_born_with_it():
    made = bench()
    made.tick()
    made.now["xid_contained"] = {5: 2.0}
    (found,) = made.tick().suspicions
    assert (found.cause, found.scope, found.place, found.key) == ("memory", "gpu", "n0/gpu5", "U5")
    assert "reset" in found.evidence[0].text
    assert found.since == made.time
    assert made.risk(5) > 5 * prior(86400)


def test_what_stood_there_before_the_first_look_is_past():
    made = bench(xid_memory={3: 7.0})
    assert made.kinds() == []
    made.now["xid_memory"] = {3: 8.0}
    assert made.kinds() == [("memory", "gpu", "n0/gpu3")]


@pytest.mark.parametrize(
    ("signal", "cause"),
    [
        ("xid_memory", "memory"),
        ("xid_remap_failed", "memory"),
        ("remap_pending", "memory"),
        ("remap_failed", "memory"),
        ("banks_without_spare", "memory"),
        ("sram_worn", "memory"),
        ("xid_link", "link"),
        ("xid_lost", "link"),
        ("nvlink_down", "link"),
        ("xid_driver", "driver"),
    ],
)
def test_every_precursor_has_its_cause(signal, cause):
    made = bench(**{signal: {}})
    made.now[signal] = {9: 1.0}
    assert made.kinds() == [(cause, "gpu", "n1/gpu1")]


def test_a_repeated_event_weighs_more_and_an_old_one_less():
    made = bench()
    made.now["xid_contained"] = {1: 1.0}
    once = made.risk(1)
    made.now["xid_contained"] = {1: 4.0}
    assert made.risk(1) > once
    assert made.risk(1, seconds=5 * 86400) < once
    assert np.isnan(made.risk(1, seconds=60 * 86400))
    assert made.kinds() == []


def test_a_reset_mends_most():
    made = bench(remap_pending={2: 1.0})
    assert made.kinds() == [("memory", "gpu", "n0/gpu2")]
    before = made.risk(2)
    made.now["remap_pending"] = {}
    assert made.kinds() == []
    assert prior(86400) < made.risk(2) < before


def test_a_gap_in_a_file_is_no_reset_and_no_event():
    made = bench(xids=dict.fromkeys(range(N), 0.0))
    for key in list(made.now):
        if key != "xids":
            del made.now[key]
    for lost in (4, 5, 6):
        made.now["xids"] = {row: 0.0 for row in range(N) if row != lost}
        assert made.kinds() == []


def test_a_few_replays_are_noise_and_many_are_a_link():
    made = bench(pcie_replays={4: 100.0}, nvlink_errors={4: 5.0})
    for minute in range(30):
        made.now["pcie_replays"] = {4: 100.0 + 5 * minute}
        assert made.kinds() == []
    for minute in range(30):
        made.now["pcie_replays"] = {4: 300.0 + 300 * minute}
        made.tick()
    assert made.kinds() == [("link", "gpu", "n0/gpu4")]


def test_links_of_most_gpus_of_a_node_are_its_switch():
    made = bench()
    made.now["xid_link"] = dict.fromkeys(range(8, 14), 1.0)
    assert made.kinds() == [("switch", "node", "n1")]


def test_ports_of_most_nodes_of_a_rack_are_their_switch():
    made = bench(port_flaps={})
    made.tick()
    made.now["port_flaps"] = {0: 5.0}
    assert made.kinds() == [("link", "node", "n0")]
    made.now["port_flaps"] = {0: 10.0, 1: 6.0, 2: 5.0}
    assert made.kinds() == [("switch", "rack", "r1")]


def test_unknown_codes_are_told_by_what_else_is_seen():
    made = Bench()
    zero = dict.fromkeys(range(N), 0.0)
    made.now = {"xids": zero, "ecc_errors": zero}
    made.tick()
    made.now = {"xids": zero | {3: 1.0, 11: 1.0, 20: 1.0}, "ecc_errors": zero | {3: 40.0}}
    made.power[20] = np.nan
    assert made.kinds() == [
        ("driver", "gpu", "n1/gpu3"), ("link", "gpu", "n2/gpu4"), ("memory", "gpu", "n0/gpu3")
    ]  # fmt: skip


def test_memory_errors_alone_are_no_risk():
    made = bench(ecc_errors=dict.fromkeys(range(N), 0.0))
    for count in (10.0, 1e4, 1e6):
        made.now["ecc_errors"] = dict.fromkeys(range(N), count)
        verdict = made.tick()
        assert verdict.suspicions == []
        assert all(np.isnan(figure.values).all() for figure in verdict.figures)


def test_a_gpu_that_was_exchanged_starts_at_the_prior():
    made = bench()
    made.now["xid_remap_failed"] = {7: 1.0}
    assert made.risk(7) > 0.3
    gpus = made.fleet[Level.GPU]
    gpus.rows(["NEW"], [{"uuid": "NEW", "gpu": "7", "node": "n0", "rack": "r1"}])
    made.power = np.append(made.power, 500.0)
    made.power[7] = np.nan
    verdict = made.tick()
    assert np.isnan(verdict.figures[0].values[gpus.find("NEW")])


def test_the_prior_is_that_of_the_published_fleet():
    per_year = 220 / 16384 / (54 / 365.25)
    assert pytest.approx(per_year, abs=0.001) == PRIOR_PER_YEAR
    assert prior(YEAR) == pytest.approx(1 - np.exp(-PRIOR_PER_YEAR))
    assert risk_within(np.zeros(1), 86400.0)[0] == pytest.approx(prior(86400.0))


def test_evidence_of_one_cause_counts_once_and_of_two_causes_twice():
    rows = {row.signal: i for i, row in enumerate(TABLE)}
    strength = np.zeros((len(TABLE), 3))
    strength[rows["xid_contained"]] = 1.0
    strength[rows["remap_pending"], 1] = 1.0
    strength[rows["xid_link"], 2] = 1.0
    alone, same, both = weight_of(strength)
    assert same == alone < both


def test_risks_combine_and_nothing_known_stays_nothing():
    thermal, own = np.array([0.5, np.nan, np.nan]), np.array([0.5, 0.2, np.nan])
    np.testing.assert_allclose(combine(thermal, own), [0.75, 0.2, np.nan])


def test_the_table_learns_from_marks():
    ratio = {row.signal: row.ratio for row in TABLE}
    after = {r.signal: r for r in learned(TABLE, {"xid_link": 30}, {"xid_driver": 30})}
    assert after["xid_link"].ratio > 2 * ratio["xid_link"]
    assert 1 <= after["xid_driver"].ratio < 0.6 * ratio["xid_driver"]
    assert after["remap_failed"].ratio == pytest.approx(ratio["remap_failed"])
    with pytest.raises(ValueError, match="negative"):
        learned(TABLE, {"xid_link": -1}, {})


def test_every_ratio_says_where_it_comes_from():
    assert all(row.source and row.action and row.ratio > 1 for row in TABLE)


def test_the_risk_is_exposed_for_gpus_that_have_one():
    made = bench()
    made.now["xid_memory"] = {12: 1.0}
    readings = list(figure_readings(made.fleet, made.tick().figures))
    assert {reading.labels for reading in readings} == {
        (horizon, "r1", "n1", "4", "U12") for horizon in ("1h", "24h", "7d")
    }
