"""When a GPU will throttle: about right, with intervals that hold, and silent where nothing goes on."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.detectors.thermal_outlook import remaining, room, slow_outlook
from analytics.detectors.thermal_passage import LEAK, leak_of, shared_leak
from analytics.detectors.thermal_slow import (
    BLOCK,
    R_BLOCK,
    R_OWN,
    R_PEAK,
    R_POWER,
    R_REF,
    RING,
    RING_ROWS,
)

DAY = 86400.0
FIRST = 4000.0


def blocks(pace, onset, last, loads, noise=0.01, air=28.0, grows=False, rng=None, rise=40.0, steps=1.0):
    """The ring at the end of block `last` of a GPU whose resistance rises by `pace` a day from `onset` on.

    `loads` (by block) are shares of full load, at which the healthy die is `rise` K over the air.
    """
    rng = rng or np.random.default_rng(0)
    number = np.arange(last - RING + 1, last + 1)
    days = np.maximum((number + 0.5 - onset) / 4, 0.0)
    d = (1 + pace) ** days - 1 if grows else pace * days
    ring = np.zeros((RING_ROWS, RING))
    share = loads[number - int(FIRST) + RING]
    reference = air + rng.normal(0, 0.5, RING)
    ring[R_BLOCK], ring[R_REF], ring[R_POWER] = number, reference, 700 * share
    ring[R_OWN] = d + noise * rng.standard_normal(RING)
    ring[R_PEAK] = np.round((reference + rise * share * (1 + d)) / steps) * steps
    return ring


def truth(pace, onset, loads, limit, air=28.0, grows=False, rise=40.0):
    """Block in which such a GPU first reaches its limit."""
    number = np.arange(int(FIRST) - RING, int(FIRST) - RING + len(loads))
    days = np.maximum((number + 0.5 - onset) / 4, 0.0)
    d = (1 + pace) ** days - 1 if grows else pace * days
    return int(number[np.argmax(air + rise * loads * (1 + d) >= limit)])


def ahead(ring, last, limit, since, leak=0.0):
    now = (last + 1) * BLOCK
    found = slow_outlook(ring, R_OWN, since, limit, leak, now)
    return None if found is None else np.array([found.earliest, found.at, found.latest]) - now


def test_steady_load_and_a_steady_rise_give_the_time_within_a_fifth():
    loads = np.ones(400)
    fails = truth(0.04, FIRST, loads, 88.0)
    last = int(FIRST + 0.5 * (fails - FIRST))
    low, at, high = ahead(blocks(0.04, FIRST, last, loads), last, 88.0, FIRST)
    left = (fails - last) * BLOCK
    assert at == pytest.approx(left, rel=0.2)
    assert low < left < high < 3 * left


def test_ninety_percent_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    held, errors = [], []
    for _ in range(80):
        pace, grows, limit = rng.uniform(0.015, 0.08), rng.random() < 0.5, rng.uniform(80.0, 95.0)
        jobs = rng.choice([0.5, 0.8, 0.92, 1.0, 1.05], 300)
        loads = np.repeat(jobs, rng.integers(1, 6, 300))[:600]
        fails = truth(pace, FIRST, loads, limit, grows=grows)
        last = int(FIRST + rng.uniform(0.35, 0.9) * (fails - FIRST))
        if last - FIRST < 4 or fails <= last + 1:
            continue
        got = ahead(blocks(pace, FIRST, last, loads, grows=grows, rng=rng), last, limit, FIRST + 1)
        left = (fails - last - 0.5) * BLOCK
        if got is not None:
            held.append(got[0] - BLOCK <= left <= got[2] + BLOCK)
            errors.append((got[1] - left) / left)
    assert len(held) >= 50
    assert np.mean(held) >= 0.8
    assert np.median(np.abs(errors)) < 0.4


def test_days_of_little_load_do_not_hide_what_a_full_load_would_do():
    loads = np.ones(400)
    last = int(FIRST) + 24
    idle = loads.copy()
    idle[RING + 12 : RING + 25] = 0.6
    busy = ahead(blocks(0.04, FIRST, last, loads), last, 88.0, FIRST)
    quiet = ahead(blocks(0.04, FIRST, last, idle), last, 88.0, FIRST)
    never_full = ahead(blocks(0.04, FIRST, last, 0.6 * loads), last, 88.0, FIRST)
    assert busy[1] < quiet[1] < 0.8 * never_full[1]


def test_a_step_that_rests_has_no_forecast_and_neither_has_a_rise_of_two_blocks():
    last = int(FIRST) + 20
    ring = blocks(0.0, FIRST, last, np.ones(400))
    ring[R_OWN, -20:] += 0.2
    ring[R_PEAK, -20:] += 0.2 * 40
    assert ahead(ring, last, 95.0, FIRST + 1) is None
    assert ahead(blocks(0.05, FIRST, int(FIRST) + 1, np.ones(400)), int(FIRST) + 1, 88.0, FIRST + 1) is None


def test_an_assumed_limit_is_less_certain_and_lies_above_what_was_lived_through():
    loads = np.ones(400)
    last = int(FIRST) + 24
    ring = blocks(0.04, FIRST, last, loads)
    known, assumed = ahead(ring, last, 88.0, FIRST), ahead(ring, last, np.nan, FIRST)
    assert assumed[0] < known[0]
    assert assumed[2] > known[2]
    assert known[1] == pytest.approx(assumed[1], rel=0.3)
    last = int(FIRST) + 80  # long hotter than any limit that is assumed
    low, at, high = ahead(blocks(0.04, FIRST, last, loads), last, np.nan, FIRST)
    assert 0 < at < 5 * DAY
    assert low <= at <= high
    mid, least, most = room(np.array([80.0, 105.0]), np.array([88.0, 88.0]), np.array([False, False]))
    assert np.all((least > 0) & (least <= mid) & (mid <= most))
    mid, least, most = room(np.array([80.0]), np.array([90.0]), np.array([True]))
    assert mid[0] == least[0] == most[0] == 10.0


def test_a_leaking_die_throttles_earlier_and_its_leak_is_read_from_its_power():
    loads = np.ones(400)
    last = int(FIRST) + 20
    ring = blocks(0.04, FIRST, last, loads)
    assert ahead(ring, last, 90.0, FIRST, 0.005)[1] < 0.9 * ahead(ring, last, 90.0, FIRST, 0.0)[1]
    rng = np.random.default_rng(1)
    warmer = np.linspace(0, 18, 40) + rng.normal(0, 0.5, 40)
    jobs = 700 * rng.uniform(0.6, 1.0, 40)
    power = 0.97 * jobs * (1 + 0.003 * warmer) * (1 + 0.005 * rng.standard_normal(40))
    power[::9] *= 0.6  # blocks in which it had no part in the node's job
    leak, error = leak_of(power, jobs, warmer)
    assert leak == pytest.approx(0.003, abs=0.0008)
    assert error < 0.002
    assert leak_of(power[:4], jobs[:4], warmer[:4]) == (LEAK, float("inf"))
    alone, known = shared_leak([(LEAK, float("inf")), (0.0045, 0.0005)])
    assert LEAK < alone < known < 0.0045


def test_a_forecast_counts_down_and_is_not_zero_for_ever_once_overdue():
    at, latest = np.array([5000.0, 100.0, 0.0, np.nan]), np.array([9000.0, 9000.0, 0.0, np.nan])
    left = remaining(at, latest, 1000.0)
    assert left[0] == 4000.0
    assert 1000 < left[1] < 8000
    assert np.isnan(left[2:]).all()


def test_gaps_and_nonsense_in_the_ring_give_a_finite_forecast_or_none():
    rng = np.random.default_rng(5)
    for _ in range(60):
        last = int(FIRST) + int(rng.integers(2, 60))
        ring = blocks(rng.uniform(0, 0.1), FIRST, last, np.ones(400), rng=rng)
        ring[:, rng.random(RING) < 0.3] = 0.0
        ring[R_PEAK, rng.random(RING) < 0.1] = -300.0
        ring[R_OWN, rng.random(RING) < 0.1] = np.nan
        ring[R_OWN, rng.random(RING) < 0.05] = rng.choice([-0.9, 3.0])
        limit = rng.choice([np.nan, 60.0, 90.0])
        got = ahead(ring, last, limit, FIRST, float(rng.uniform(0, 0.01)))
        if got is not None:
            assert np.isfinite(got).all()
            assert 0 <= got[0] <= got[1] <= got[2]
