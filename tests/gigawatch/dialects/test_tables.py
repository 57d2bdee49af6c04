"""The dialect tables, the files made of them, and what the pages say about them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import promql_parser
import pytest

from gigawatch.catalogue import facility, gpu
from gigawatch.promql.dialects import DCGM, DIALECTS, Dialect, Foreign, Pick, Row, Taken, counters, groups
from gigawatch.promql.dialects.coverage import given, lacking, not_given

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_rules_pass_both_grammars_without_a_lint(dialect: Dialect, checkout_rules: dict[str, Path]) -> None:
    for rules in groups(dialect).values():
        for rule in rules:
            promql_parser.parse(rule.expr)
    file = checkout_rules[dialect.name]
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"{sum(len(rules) for rules in groups(dialect).values())} rules found" in done.stdout


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_a_series_is_written_by_one_rule_only(dialect: Dialect) -> None:
    made = [(row.metric.name, tuple(sorted(row.fixed.items()))) for row in dialect.rows]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_a_step_stands_before_the_rules_that_use_it(dialect: Dialect) -> None:
    for rules in groups(dialect).values():
        seen: set[str] = set()
        for rule in rules:
            used = set(re.findall(r"gpu:dcgm_[a-z_]+:[a-z]+", rule.expr))
            assert used <= seen, f"{rule.record} uses {used - seen}"
            seen.add(rule.record)


def test_foreign_names_stand_in_the_tables_alone() -> None:
    pattern = re.compile(r"\bDCGM_FI_[A-Z]|[\"'{(]node_[a-z]+_[a-z_]+(total|bytes|celsius|seconds)\b")
    for room in ("gigawatch", "exporters", "analytics", "dashboards", "alerts"):
        for path in (ROOT / room).rglob("*.py"):
            if "dialects" not in path.parts:
                assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_nothing_loads_the_rules_unasked() -> None:
    """The chart and the compose file load the folder `rules` whole: these files lie beside it."""
    assert not list((ROOT / "helm/gigawatch/files/rules").glob("*dialect*"))
    assert len(list((ROOT / "helm/gigawatch/files/dialects").glob("*.yaml"))) == len(DIALECTS)


def test_the_counter_file_has_three_columns_and_every_field() -> None:
    text = counters.csv()
    lines = [line.removeprefix("# ") for line in text.splitlines() if "DCGM_FI_" in line]
    assert all(len(line.split(",")) == 3 for line in lines)
    assert {line.split(",")[1].strip() for line in lines} == {"gauge", "counter", "label"}
    named = {line.split(",")[0] for line in lines}
    assert {foreign.names[0] for foreign in DCGM.foreign} <= named
    assert (ROOT / "deploy/dcgm/counters.csv").read_text() == text


def test_what_only_some_versions_know_is_left_out_of_the_counter_file() -> None:
    """One unknown field and dcgm-exporter serves nothing at all."""
    taken = [line for line in counters.csv().splitlines() if line.startswith("DCGM_FI_")]
    assert not any("RECOVERY_ACTION" in line or "POWER_USAGE_INSTANT" in line for line in taken)
    assert len(taken) > 50


def test_what_a_cluster_without_our_agent_lacks() -> None:
    missing = {metric.name for metric in not_given()}
    assert missing.isdisjoint(given())
    assert lacking("sum(site:aif_gpu_power_watts:sum)") == ()
    assert lacking("min(aif_gpu_nvlink_up) == 0") == ("aif_gpu_nvlink_up",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Row(gpu.GPU_POWER, (), {"colour": "red"}), "no label 'colour'"),
        (lambda: Row(gpu.GPU_POWER, (), {"scope": "rack"}), "never occurs"),
        (lambda: Row(facility.POWER_ACTIVE, ()), "speaks of nodes"),
        (lambda: Row(gpu.GPU_POWER, (), absent=("pod",)), "no label 'pod'"),
        (lambda: Taken("uuid", ("U-U",)), "no label name"),
    ],
)
def test_a_wrong_row_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator] # a lambda of the table above


def test_how_a_row_reads() -> None:
    row = Row(gpu.GPU_FAN_SPEED, (Pick(Foreign(("X",)), 0.01),), {"fan": "0"})
    dialect = Dialect("x", "x", "x", (Taken("uuid", ("UUID",)),), {"all": (row,)})
    ((rule,),) = groups(dialect).values()
    assert rule.expr == (
        '(max by (site, rack, node, gpu, uuid) (label_replace((X <= 100), "uuid", "$1", "UUID", "([^;]*).*"))'
        ' / 100) unless on (site, node) aif_gpu_fan_speed_ratio{fan="0",source=""}'
    )
    assert rule.labels == {"source": "x", "fan": "0"}
