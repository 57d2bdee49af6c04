# ruff: noqa: INP001 - a script on its own, mounted into the test pod
"""Run by `helm test`: does every part answer, and does it say what it is for?

Arguments: KIND=URL, several. KIND is agent, sd, facility, workload, analytics (metrics pages), nodes or
devices (lists of targets, whose first target is read too). Each is tried until it answers rightly or the
time is up.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request

from gigawatch.catalogue import facility as plant
from gigawatch.catalogue import findings, gpu, own, site

SERIES = {
    "agent": (own.EXPORTER_BUILD_INFO, own.COLLECTOR_UP),
    "sd": (site.NODE_INFO, site.GPUS_OWNED),
    "facility": (own.EXPORTER_BUILD_INFO,),
    "workload": (own.EXPORTER_BUILD_INFO, own.COLLECTOR_UP),
    "analytics": (own.EXPORTER_BUILD_INFO, findings.ANALYTICS_LAST_SUCCESS),
    "nodes": (gpu.GPU_POWER,),
    "devices": (plant.FACILITY_POLL_UP,),
}
"""What a sound answer holds, by kind."""


def fetch(url: str) -> str:
    """The page behind a URL; OSError where it does not answer within ten seconds."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - addresses of this release
        text: str = answer.read().decode()
    return text


def first_target(listing: str) -> str:
    """Address of the first target of a discovery answer; ValueError where there is none."""
    groups = json.loads(listing)
    for group in groups:
        for target in group["targets"]:
            return f"http://{target}{group['labels'].get('__metrics_path__', '/metrics')}"
    raise ValueError("lists no targets")


def problem(kind: str, url: str) -> str:
    """What is wrong with a part right now; empty where nothing is."""
    try:
        text = fetch(url)
        if kind in ("nodes", "devices"):
            text = fetch(first_target(text))
    except (OSError, ValueError) as error:
        return f"{url}: {error}"
    present = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    missing = [metric.name for metric in SERIES[kind] if metric.name not in present]
    return f"{url}: no series {', '.join(missing)}" if missing else ""


def main() -> int:
    """Exit status 0 if every part answers rightly in time."""
    parser = argparse.ArgumentParser(description="check the parts of a release")
    parser.add_argument("--timeout", type=float, default=120, help="seconds to wait for all parts")
    parser.add_argument("checks", nargs="+", metavar="KIND=URL")
    args = parser.parse_args()
    deadline = time.monotonic() + args.timeout
    failed = 0
    for check in args.checks:
        kind, _, url = check.partition("=")
        wrong = problem(kind, url)
        while wrong and time.monotonic() < deadline:
            time.sleep(2)
            wrong = problem(kind, url)
        print(f"FAIL {kind} {wrong}" if wrong else f"ok   {kind} {url}", flush=True)
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
