"""Does one machine keep up with a whole site? Starts a stack, lets it run, prints JSON.

    .venv/bin/python benchmarks/full_scale.py --blueprint full-scale --minutes 3

Reports samples per second, scrape and rule durations against their intervals, missed evaluations, and the
processor time and memory of each part. `keeps_up` is true when no scrape and no rule group takes longer
than its interval, none was missed, and the plant keeps up with real time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

CLI = (sys.executable, "-m", "gigawatch.cli")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blueprint", default="full-scale")
    parser.add_argument("--minutes", type=float, default=3.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = str(Path(folder) / "state")
        began = time.monotonic()
        subprocess.run(
            [*CLI, "up", "--blueprint", args.blueprint, "--state", state], check=True, stdout=sys.stderr
        )
        ready = time.monotonic() - began
        try:
            status = json.loads(
                subprocess.run(
                    [*CLI, "status", "--json", "--state", state], capture_output=True, check=True
                ).stdout
            )
            url = status["urls"]["prometheus"]
            time.sleep(90)  # the start is not the steady state
            cpu_before, at = cpu_seconds(url), time.monotonic()
            time.sleep(args.minutes * 60)
            result = measure(url, status["scrape_interval_seconds"], args.minutes)
            took = time.monotonic() - at
            after = cpu_seconds(url)
            result["cpu_cores"] = {
                k: round((after[k] - cpu_before.get(k, 0)) / took, 3) for k in sorted(after)
            }
            result["cpu_cores_total"] = round(sum(result["cpu_cores"].values()), 2)
            result["blueprint"], result["ready_seconds"] = args.blueprint, round(ready, 1)
            result["machine_cores"] = os.cpu_count()
            print(json.dumps(result, indent=1))
            return 0 if result["keeps_up"] else 1
        finally:
            subprocess.run([*CLI, "down", "--state", state], check=False, stdout=sys.stderr)


def ask(url: str, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=30) as answer:
        return list(json.load(answer)["data"]["result"])


def number(url: str, expression: str) -> float:
    rows = ask(url, expression)
    return float(rows[0]["value"][1]) if rows else 0.0


def cpu_seconds(url: str) -> dict[str, float]:
    rows = ask(url, "aif_process_cpu_seconds_total")
    return {row["metric"]["process"]: float(row["value"][1]) for row in rows}


def measure(url: str, interval: float, minutes: float) -> dict[str, Any]:
    window = f"{max(1, int(minutes))}m"
    slowest = ask(url, f"topk(3, max_over_time(scrape_duration_seconds[{window}]))")
    rules = ask(url, f"topk(3, max_over_time(prometheus_rule_group_last_duration_seconds[{window}]))")
    result: dict[str, Any] = {
        "interval_seconds": interval,
        "targets": int(number(url, "count(up)")),
        "targets_down_ever": int(number(url, f"count(min_over_time(up[{window}]) == 0)")),
        "series": int(number(url, "prometheus_tsdb_head_series")),
        "samples_per_second": round(
            number(url, f"rate(prometheus_tsdb_head_samples_appended_total[{window}])")
        ),
        "slowest_scrapes_seconds": {
            f"{row['metric']['job']}/{row['metric']['instance']}": round(float(row["value"][1]), 3)
            for row in slowest
        },
        "slowest_rule_groups_seconds": {
            row["metric"]["rule_group"].rsplit(";", 1)[-1]: round(float(row["value"][1]), 3) for row in rules
        },
        "missed_evaluations": number(
            url, f"sum(increase(prometheus_rule_group_iterations_missed_total[{window}]))"
        ),
        "rule_failures": number(url, f"sum(increase(prometheus_rule_evaluation_failures_total[{window}]))"),
        "plant_lag_seconds": round(number(url, f"max_over_time(aif_plant_lag_seconds[{window}])"), 2),
        "analytics_run_seconds": round(number(url, "sum(aif_analytics_run_duration_seconds)"), 3),
        "memory_mib": {
            row["metric"]["process"]: round(float(row["value"][1]) / 2**20)
            for row in ask(url, "aif_process_resident_memory_bytes")
        },
        "firing_alerts": sorted({r["metric"]["alertname"] for r in ask(url, 'ALERTS{alertstate="firing"}')}),
    }
    worst = max(
        [*result["slowest_scrapes_seconds"].values(), *result["slowest_rule_groups_seconds"].values(), 0.0]
    )
    result["keeps_up"] = (
        worst < interval
        and result["missed_evaluations"] == 0
        and result["targets_down_ever"] == 0
        and result["plant_lag_seconds"] < interval
    )
    return result


if __name__ == "__main__":
    sys.exit(main())
