"""What an expression of a board gives, computed by Prometheus itself over made-up series."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from gigawatch.promql import Expr


def fill(expr: Expr) -> str:
    text = expr.text.replace("$__rate_interval", "1m")
    for name in ("site", "rack", "node", "gpu", "job_id", "loop", "engine", "model", "hall", "row"):
        text = text.replace(f"${name}", ".+")
    return text


def ask(tmp_path: Path, expr: Expr, given: dict[str, str], at: str, wanted: dict[str, float]) -> None:
    """Fails unless the expression gives exactly the wanted series (labels -> value) at that time."""
    test = {
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "promql_expr_test": [
                    {
                        "expr": fill(expr),
                        "eval_time": at,
                        "exp_samples": [
                            {"labels": labels, "value": value} for labels, value in wanted.items()
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
