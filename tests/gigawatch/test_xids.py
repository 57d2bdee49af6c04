"""The table of XIDs: complete where alerts and readers rely on it."""

from __future__ import annotations

import pytest

from alerts import xids as rules
from gigawatch.artifacts import BuildOptions
from gigawatch.catalogue.gpu import XID_SERIOUS
from gigawatch.catalogue.xids import ACTION_TEXTS, SXIDS, XIDS, Action, Rating, describe, rated
from gigawatch.reference import artifacts


@pytest.mark.parametrize(
    ("code", "rating", "action"),
    [
        (79, Rating.LOST, Action.POWER_CYCLE),
        (119, Rating.RESET, Action.RESET_GPU),
        (48, Rating.SERVICE, Action.DIAGNOSE_GPU),
        (94, Rating.CONTAINED, Action.RESTART_APP),
        (31, Rating.APPLICATION, Action.RESTART_APP),
        (154, Rating.INFO, Action.SEE_OTHER_XID),
        (4711, Rating.INFO, Action.CONTACT_SUPPORT),
    ],
)
def test_what_on_call_is_told(code: int, rating: Rating, action: Action) -> None:
    assert describe(code)[1:] == (rating, action)


def test_every_serious_code_has_a_page() -> None:
    paged = {*rated(Rating.LOST), *rated(Rating.RESET), *rated(Rating.SERVICE), *rated(Rating.CONTAINED)}
    assert set(XID_SERIOUS) <= paged
    assert set(ACTION_TEXTS) == set(Action)


def test_meanings_are_short_enough_for_a_label() -> None:
    assert max(len(row.meaning) for row in XIDS.values()) < 80
    assert all(row.meaning[0].islower() or row.meaning.startswith("NV") for row in XIDS.values())


def test_fatal_switch_errors_say_how_far_they_reach() -> None:
    assert not SXIDS[20034].always
    assert SXIDS[23001].always
    assert 12028 not in SXIDS


def test_the_page_lists_every_code() -> None:
    page = artifacts(BuildOptions())["docs/reference/xids.md"]
    rows = {line.split("|")[1].strip(" *") for line in page.splitlines() if line.startswith("| ")}
    assert {str(code) for code in (*XIDS, *SXIDS)} <= rows
    assert {f"`{action}`" for action in Action} <= rows


def test_codes_with_one_meaning_stand_together_in_a_text() -> None:
    assert rules.listed({1: "a", 2: "a", 3: "a", 7: "b", 9: "a", 10: "a"}) == "1-3, 9, 10: a; 7: b"
