"""How many met a latency objective, from the engine's buckets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.inference.objectives import within

EDGES = (0.1, 0.5, 1.0, math.inf)
COUNTS = (2.0, 6.0, 7.0, 10.0)


@pytest.mark.parametrize(
    ("seconds", "met"),
    [
        (0.05, 1.0),  # half of the first bucket, which begins at nothing
        (0.1, 2.0),
        (0.3, 4.0),
        (0.5, 6.0),
        (1.0, 7.0),
        (2.0, 7.0),  # of those beyond the last edge nobody knows: none
        (0.0, 0.0),
    ],
)
def test_within(seconds: float, met: float) -> None:
    assert within(seconds, EDGES, COUNTS) == pytest.approx(met)


def test_an_edge_is_exact() -> None:
    counts = (0.1, 0.3, 0.7, 0.9)
    assert [within(edge, EDGES, counts) for edge in EDGES[:3]] == list(counts[:3])


def test_only_one_bucket() -> None:
    assert within(5.0, (math.inf,), (9.0,)) == 0.0


@given(st.data())
def test_never_falls_and_never_exceeds(data: st.DataObject) -> None:
    finite = st.floats(1e-6, 1e4)
    edges = [*sorted(data.draw(st.sets(finite, min_size=1, max_size=6))), math.inf]
    seconds = data.draw(finite)
    totals = [0.0] * len(edges)
    before = 0.0
    for _ in range(5):
        added = data.draw(
            st.lists(st.integers(0, 10**15), min_size=len(edges), max_size=len(edges)), label="added"
        )
        totals = [total + sum(added[: at + 1]) for at, total in enumerate(totals)]
        met = within(seconds, edges, totals)
        assert before <= met <= totals[-1]
        before = met
