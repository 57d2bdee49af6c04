"""llama.cpp's server, as recorded."""

from __future__ import annotations

import pytest
from engine_series import pick, recording, series

from exporters.inference.dialects.llamacpp import DIALECT
from exporters.inference.normal import Normaliser, Objective, recognise


def taken(name: str) -> Normaliser:
    normaliser = Normaliser(DIALECT, "node-2:8080", "qwen", lambda _: {"request_duration": Objective(1, 1)})
    normaliser.take(recording(f"llamacpp-b11434/{name}.txt"), 100.0)
    return normaliser


@pytest.mark.parametrize(
    ("name", "computed", "cached", "generated", "running", "waiting"),
    [("cold", 0, 0, 0, 0, 0), ("mid", 1420, 0, 0, 4, 4), ("after", 1424, 1416, 1600, 0, 0)],
)
def test_figures(name: str, computed: int, cached: int, generated: int, running: int, waiting: int) -> None:
    normaliser = taken(name)
    assert pick(normaliser, "tokens_total", kind="prompt", source="computed") == computed
    assert pick(normaliser, "tokens_total", kind="prompt", source="cached") == cached
    assert pick(normaliser, "tokens_total", kind="generation", source="computed") == generated
    assert pick(normaliser, "requests_running") == running
    assert pick(normaliser, "requests_waiting") == waiting
    assert (normaliser.unmapped, normaliser.missing, normaliser.bad_lines) == ((), (), 0)
    assert normaliser.replicas == (("qwen", "node-2:8080"),)
    assert recognise(recording(f"llamacpp-b11434/{name}.txt")) is DIALECT


def test_steps_are_progress_though_no_token_is_counted_yet() -> None:
    """Generated tokens move when a request ends; a check of tokens alone would cry that it is frozen."""
    assert pick(taken("mid"), "progress_total") == 13 + 1420
    assert pick(taken("mid"), "counting_info", granularity="request") == 1


def test_nothing_is_made_up_of_what_it_lacks() -> None:
    names = {name for name, _ in series(taken("after").blocks())}
    assert not any("seconds_bucket" in name or "objective" in name for name in names)
    assert not any("draft" in name for name in names), "speculation is off"


def test_drafts_where_there_are_any() -> None:
    body = recording("llamacpp-b11434/after.txt").replace(b"drafts_total 0", b"drafts_total 7")
    normaliser = Normaliser(DIALECT, "n:1", "m")
    normaliser.take(body, 0.0)
    assert pick(normaliser, "drafts_total") == 7


def test_six_digits() -> None:
    body = recording("llamacpp-b11434/after.txt").replace(
        b"predicted_total 1600", b"predicted_total 1.23457e+06"
    )
    normaliser = Normaliser(DIALECT, "n:1", "m")
    normaliser.take(body, 0.0)
    assert pick(normaliser, "tokens_total", kind="generation") == 1_234_570
