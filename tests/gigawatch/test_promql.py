"""The PromQL builders refuse what PromQL would silently get wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from gigawatch.catalogue import Unit, facility, gpu, inference, site
from gigawatch.promql import (
    PromQLError,
    Recorded,
    age,
    avg_over_time,
    changes,
    increase,
    join,
    many_to_one,
    matches,
    max_by,
    on,
    one_minus,
    rate,
    recorded,
    series,
    sum_by,
)
from gigawatch.promql.recording import RACK_POWER, all_rules, groups

POWER = series(gpu.GPU_POWER, scope="gpu")


def test_what_it_writes() -> None:
    assert str(series(gpu.GPU_POWER, node=matches("$node"))) == 'aif_gpu_power_watts{node=~"$node"}'
    assert str(sum_by(POWER, "site", "rack")) == 'sum by (site, rack) (aif_gpu_power_watts{scope="gpu"})'
    assert str(rate(series(gpu.GPU_ENERGY), "1m")) == "rate(aif_gpu_energy_joules_total[1m])"
    assert str(sum_by(POWER)) == 'sum(aif_gpu_power_watts{scope="gpu"})'


def test_brackets_keep_the_meaning() -> None:
    expr = (max_by(POWER, "site") + max_by(POWER, "site")) * 2
    assert str(expr).startswith("(max by (site)")
    assert str(one_minus(max_by(POWER, "site") + 1)).startswith("1 - (max by")


def test_rate_turns_joules_into_watts_and_tokens_into_tokens_per_second() -> None:
    assert rate(series(gpu.GPU_ENERGY), "1m").unit is Unit.WATTS
    assert rate(series(inference.INFERENCE_TOKENS), "1m").unit is Unit.TOKENS_PER_SECOND


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: series(gpu.GPU_POWER, pod="x"), "has no label 'pod'"),
        (lambda: series(gpu.GPU_POWER, scope="chip"), "never occurs"),
        (lambda: rate(POWER, "1m"), "it is a gauge"),
        (lambda: increase(series(gpu.GPU_STATE), "1m"), "it is a state_set"),
        (lambda: avg_over_time(series(gpu.GPU_ENERGY), "1m"), "use rate"),
        (lambda: sum_by(POWER, "pod"), "has no pod"),
        (lambda: sum_by(sum_by(POWER, "site"), "rack"), "has no rack"),
        (lambda: max_by(POWER, "site") / max_by(POWER, "rack"), "labels differ in rack, site"),
        (lambda: on(max_by(POWER, "site"), "/", max_by(POWER, "rack"), "site"), "has no site"),
        (lambda: join(POWER, gpu.GPU_POWER, ("uuid",), ("scope",)), "takes an info metric"),
        (lambda: join(POWER, site.NODE_INFO, ("node",), ("uuid",)), "has no label|has no uuid"),
        (lambda: age(POWER), "takes a timestamp"),
        (lambda: recorded(RACK_POWER, node="x"), "has no label 'node'"),
        (lambda: Recorded("no_level", POWER, "x", Unit.WATTS), "level:metric:operations"),
    ],
)
def test_refusals(wrong: object, message: str) -> None:
    with pytest.raises(PromQLError, match=message):
        wrong()  # type: ignore[operator] # a lambda of the table above


def test_label_values_are_escaped() -> None:
    assert str(series(gpu.GPU_POWER, node='a"b\\c')) == 'aif_gpu_power_watts{node="a\\"b\\\\c"}'


def test_recording_rules_pass_both_grammars(tmp_path: Path) -> None:
    for rule in all_rules():
        promql_parser.parse(str(rule.expr))
    text = {
        "groups": [
            {"name": name, "rules": [{"record": r.name, "expr": str(r.expr)} for r in rules]}
            for name, rules in groups().items()
        ]
    }
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(text))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", file], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_rule_stands_after_the_rules_it_uses() -> None:
    seen: set[str] = set()
    for rule in all_rules():
        used = {other.name for other in all_rules() if other.name in str(rule.expr)}
        assert used <= seen | {rule.name}, f"{rule.name} uses {sorted(used - seen)}"
        seen.add(rule.name)


def test_every_rule_is_in_one_group() -> None:
    grouped = [rule for rules in groups().values() for rule in rules]
    assert sorted(r.name for r in grouped) == sorted(r.name for r in all_rules())


def test_changes_and_many_to_one_keep_labels() -> None:
    assert changes(series(gpu.GPU_STATE), "5m").labels == gpu.GPU_STATE.queried_labels
    info = max_by(series(site.DEVICE_INFO), "site", "device", "loop")
    found = many_to_one(series(facility.COOLANT_FLOW), "*", info, ("site", "device"), ("loop",))
    assert found.labels is not None
    assert "loop" in found.labels
