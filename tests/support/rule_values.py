"""Values of the recording rules over made-up series, as promtool works them out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from gigawatch.promql.recording import all_rules, groups


def evaluate(
    tmp_path: Path,
    inputs: dict[str, str],
    expected: dict[str, list[tuple[str, float]]],
    at: str = "10m",
    step: str = "15s",
) -> None:
    """Asserts what expressions give at a time; an empty list says: nothing. One sample per step."""
    needed = _needed(" ".join(expected))
    rules = {
        "groups": [
            {
                "name": name,
                "interval": step,
                "rules": [{"record": r.name, "expr": str(r.expr)} for r in rules if r.name in needed],
            }
            for name, rules in groups().items()
        ]
    }
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    tests: list[dict[str, Any]] = [
        {
            "interval": step,
            "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
            "promql_expr_test": [
                {
                    "expr": f"round({expr}, 0.0001)",
                    "eval_time": at,
                    "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
                }
                for expr, samples in expected.items()
            ],
        }
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": step,
        "group_eval_order": list(groups()),
        "tests": tests,
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _needed(text: str) -> set[str]:
    """Names of the rules on which a text rests: promtool works out all that it is given, at every step."""
    rules = {rule.name: str(rule.expr) for rule in all_rules()}
    found: set[str] = set()
    waiting = [text]
    while waiting:
        for name in rules.keys() & set(re.findall(r"[a-z]+:[a-z0-9_]+:[a-z0-9_]+", waiting.pop())):
            if name not in found:
                found.add(name)
                waiting.append(rules[name])
    return found
