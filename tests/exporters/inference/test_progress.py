"""Whether an engine with requests gets anything done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_series import pick, recording
from toy_engine import TOY, counts, tell, toy

from exporters.inference.dialect import Granularity
from exporters.inference.dialects.vllm import DIALECT as VLLM
from exporters.inference.normal import ExpositionError, Normaliser


def watch(normaliser: Normaliser, *steps: tuple[float, float, float]) -> list[float | None]:
    """Seconds stalled after each (now, generated, running)."""
    found = []
    for now, done, running in steps:
        tell(normaliser, counts(done, running=running), now)
        found.append(pick(normaliser, "stalled_seconds"))
    return found


def test_standing_still_with_requests_is_a_stall() -> None:
    assert watch(toy(), (0, 5, 1), (10, 5, 1), (25, 5, 2), (30, 6, 2), (40, 6, 2)) == [0, 10, 25, 0, 10]


def test_an_idle_engine_never_stalls() -> None:
    assert watch(toy(), (0, 5, 0), (600, 5, 0), (1200, 5, 0)) == [0, 0, 0]


def test_a_request_after_a_long_idle_time_starts_the_clock() -> None:
    assert watch(toy(), (0, 5, 0), (600, 5, 1), (610, 5, 1)) == [0, 0, 10]


def test_a_restart_starts_the_clock() -> None:
    assert watch(toy(), (0, 5, 1), (10, 5, 1), (20, 0, 1), (30, 0, 1)) == [0, 10, 0, 10]


def test_failed_scrapes_neither_stall_nor_clear() -> None:
    normaliser = toy()
    assert watch(normaliser, (0, 5, 1), (10, 5, 1)) == [0, 10]
    normaliser.failed()
    assert normaliser.blocks() == {}
    with pytest.raises(ExpositionError):
        normaliser.take(b"garbage", 20.0)
    assert watch(normaliser, (30, 5, 1), (40, 7, 1)) == [30, 0]


def test_waiting_requests_count_as_present() -> None:
    normaliser = toy()
    for now in (0.0, 10.0):
        tell(normaliser, "toy_generated_total 5\ntoy_running 0\ntoy_waiting 3", now)
    assert pick(normaliser, "stalled_seconds") == 10


def test_patience_only_where_a_stall_can_be_told() -> None:
    assert pick(toy(counts(1)), "stall_patience_seconds") == 20
    assert pick(toy(counts(1), patience=90.0), "stall_patience_seconds") == 90
    silent = replace(TOY, patience=0.0, granularity=Granularity.REQUEST)
    normaliser = toy(counts(1, running=1), silent)
    assert pick(normaliser, "stall_patience_seconds") is None
    assert pick(normaliser, "stalled_seconds") is None
    assert pick(normaliser, "progress_total") == 1
    assert pick(normaliser, "counting_info", granularity="request") == 1
    assert pick(toy(counts(1, running=1), silent, patience=600.0), "stall_patience_seconds") == 600


def test_vllm_frozen_under_load() -> None:
    """The same answer again and again while 8 requests run: that is how a stopped engine looks."""
    normaliser = Normaliser(VLLM, "n:1")
    for now in (0.0, 10.0, 20.0, 30.0):
        normaliser.take(recording("vllm-0.32.0/mid.txt"), now)
    assert pick(normaliser, "stalled_seconds") == 30
    normaliser.take(recording("vllm-0.32.0/after.txt"), 40.0)
    assert pick(normaliser, "stalled_seconds") == 0
