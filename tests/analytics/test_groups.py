"""Group statistics against their plain definition, on groups of every size and with values missing."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.fleet import Fleet, Level
from analytics.fleet.groups import Groups, group_count, group_quantile, spread


def grouping(seed: int, rows: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (some without a group, some groups empty) and values (some missing, some infinite)."""
    rng = np.random.default_rng(seed)
    codes = np.floor(groups * rng.random(rows) ** 2).astype(np.intp)
    codes[rng.random(rows) < 0.05] = -1
    values = rng.normal(60, 10, rows).astype(np.float32)
    values[rng.random(rows) < 0.2] = np.nan
    values[rng.random(rows) < 0.02] = np.inf
    return codes, values


@pytest.mark.parametrize(("rows", "groups"), [(0, 0), (5, 9), (300, 100), (2000, 30), (3000, 2)])
def test_quantiles_are_those_of_the_members(rows, groups):
    codes, values = grouping(rows, rows, groups)
    for quantile in (0.0, 0.25, 0.5, 1.0):
        found = group_quantile(values, codes, groups, quantile)
        assert found.dtype == values.dtype
        for g in range(groups):
            mine = values[(codes == g) & np.isfinite(values)]
            method = "linear" if quantile == 0.5 else "lower"
            wanted = np.quantile(mine, quantile, method=method) if mine.size else np.nan
            np.testing.assert_allclose(found[g], wanted, rtol=1e-6)


@pytest.mark.parametrize(("rows", "groups"), [(0, 0), (5, 9), (300, 100), (900, 60), (2000, 30), (3000, 2)])
def test_known_groups_have_the_same_medians(rows, groups):
    codes, values = grouping(rows, rows, groups)
    known = Groups.of(codes, groups)
    out, present = np.empty(len(known), np.float32), np.empty(len(known), np.int32)
    known.medians(values, out, present)
    for g in range(len(known)):
        mine = values[(known.code == g) & np.isfinite(values)]
        assert present[g] == mine.size
        np.testing.assert_allclose(out[g], np.median(mine) if mine.size else np.nan, rtol=1e-6)
    np.testing.assert_array_equal(known.code < 0, codes < 0)
    for g in range(len(known)):
        assert len(set(codes[known.code == g].tolist())) == 1


def test_split_groups_hold_the_members_of_one_group_with_one_label():
    for rows, groups in ((300, 100), (3000, 4)):
        codes, _ = grouping(7, rows, groups)
        label = np.random.default_rng(8).integers(0, 5, rows)
        parts = Groups.of(codes, groups, label)
        held = [tuple(pair) for pair in np.unique(np.stack((codes, label))[:, codes >= 0], axis=1).T]
        assert len(parts) == len(held)
        for g in range(len(parts)):
            mine = parts.code == g
            assert {(c, x) for c, x in zip(codes[mine], label[mine], strict=True)} <= set(held)
            assert len({(c, x) for c, x in zip(codes[mine], label[mine], strict=True)}) == 1
        np.testing.assert_array_equal(parts.code >= 0, codes >= 0)


def test_a_sample_is_of_every_group_and_bounded():
    codes, _ = grouping(9, 3000, 12)
    groups = Groups.of(codes, 12)
    some = groups.sample(16)
    for g in range(len(groups)):
        mine = np.flatnonzero(some.code == g)
        assert 0 < len(mine) <= 16
        assert (groups.code[mine] == g).all()
        assert len(mine) == min(16, (groups.code == g).sum()) or (groups.code == g).sum() > 16


def test_counts_and_what_belongs_to_members():
    codes = np.array([0, 0, 1, -1, 1, 1])
    use = np.array([True, False, True, True, True, False])
    assert group_count(use, codes, 3).tolist() == [1, 2, 0]
    assert spread(np.array([5.0, 7.0, 9.0]), codes, -1.0).tolist() == [5, 5, 7, -1, 7, 7]
    assert spread(np.zeros(0), np.array([-1, -1]), 2.0).tolist() == [2, 2]


def test_members_follow_what_moves_and_what_goes():
    gpus = Fleet()[Level.GPU]
    gpus.rows(
        ["a", "b", "c"], [{"node": "n1", "gpu": str(i), "job": "7" if i else ""} for i in range(3)], now=1.0
    )
    assert gpus.members("node", "n1") == (0, 1, 2)
    assert gpus.members("job", "7") == (1, 2)
    assert gpus.members("job", "") == gpus.members("node", "n9") == ()
    gpus.set(0, "job", "7")
    gpus.rows(["d"], [{"node": "n1", "gpu": "1", "job": "7"}], now=2.0)  # takes the slot of b
    assert gpus.members("job", "7") == gpus.members("node", "n1") == (0, 2, 3)
    gpus.keep(np.array([3, 0]))
    assert gpus.members("node", "n1") == (0, 1)
