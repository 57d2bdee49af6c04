"""What our node agent costs, beside nvitop-exporter on the same fake driver in one run. Prints JSON.

    python benchmarks/agent_cost.py             # eight GPUs: latency, processor, memory, what a hang does
    python benchmarks/agent_cost.py --soak 30   # our agent alone, 30 minutes of faults: does anything grow?

Ratios are theirs divided by ours. The driver's own processor time is taken off where it says `own`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agent_soak import soak
from subjects import Subject, agent, family_cpu, footprint, peer, samples

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from fake_driver import FakeDriver

ENCODINGS = {"plain": "identity", "gzip": "gzip"}
BLOCK = 25
"""Scrapes in a row of one exporter, before it is the next one's turn."""
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gigawatch-benchmarks"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--scrapes", type=int, default=300, help="of each kind")
    parser.add_argument(
        "--idle-seconds", type=float, default=30.0, help="how long the idle share is measured"
    )
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where nvitop-exporter is installed")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="faults for so long")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soaked = args.soak * 60
        result = soak(folder, soaked, args.gpus, args.seed) if soaked else compare(folder, args)
    print(json.dumps(result, indent=2))
    return 0


def compare(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Both exporters through everything, side by side."""
    driver = FakeDriver(folder / "control", f"gpus {args.gpus}", "live 1", "account 1")
    subjects: list[Subject] = []
    result: dict[str, Any] = {"machine": {"cores": os.cpu_count(), "python": platform.python_version()}}
    try:
        subjects.append(agent(folder, driver.environment))
        other = peer(folder, driver.environment, args.cache)
        if isinstance(other, Subject):
            subjects.append(other)
        else:
            print(f"skipped: {other}", file=sys.stderr)
        costs = idle(subjects, driver, args.idle_seconds)
        shares = {name: row.pop("share") for name, row in costs.items()}
        scraped = scrapes(subjects, args.scrapes, shares)
        driver.write(f"gpus {args.gpus}", "account 1")  # steady values, to be found again
        seen = reaction(subjects, driver, args.gpus)
        for subject in subjects:
            row = costs[subject.name] | scraped[subject.name] | seen[subject.name]
            result[subject.name] = row | {"processes": members(subject)}
    finally:
        for subject in subjects:
            subject.end()
        driver.close()
    if len(subjects) == 2:
        result["ratios"] = ratios(result["nvitop_exporter"], result["gigawatch"])
    else:
        result["nvitop_exporter"] = {"skipped": str(other)}
    return result


def idle(subjects: list[Subject], driver: FakeDriver, seconds: float) -> dict[str, dict[str, Any]]:
    """Processor shares of one core while nobody scrapes, and memory."""

    def spent(subject: Subject) -> float:
        told = driver.spent()
        return sum(told.get(process.pid, (0, 0))[0] for process in subject.processes()) / 1e9

    before = {s.name: (family_cpu(s), spent(s), time.monotonic()) for s in subjects}
    time.sleep(seconds)
    found: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        cpu, inside, at = before[subject.name]
        lasted = time.monotonic() - at
        cpu, inside = family_cpu(subject) - cpu, spent(subject) - inside
        held = footprint(subject)
        found[subject.name] = {
            "share": cpu / lasted,
            "idle_core_percent": round(100 * cpu / lasted, 3),
            "idle_core_percent_own": round(100 * (cpu - inside) / lasted, 3),
            "rss_mib": round(held.rss / 2**20, 1),
            "pss_mib": round(held.pss / 2**20, 1),
            "threads": held.threads,
        }
    return found


def scrapes(subjects: list[Subject], count: int, shares: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Latency and processor time of a scrape, taking turns."""
    times: dict[tuple[str, str], list[float]] = {(s.name, kind): [] for s in subjects for kind in ENCODINGS}
    cpu = dict.fromkeys(times, 0.0)
    size = dict.fromkeys(times, 0)
    for _ in range(max(1, count // BLOCK)):
        for subject in subjects:
            for kind, encoding in ENCODINGS.items():
                key = (subject.name, kind)
                before, began = family_cpu(subject), time.monotonic()
                for _ in range(BLOCK):
                    body, took = subject.scrape(encoding)
                    times[key].append(took)
                    size[key] = len(body)
                    time.sleep(0.01)
                lasted = time.monotonic() - began
                cpu[key] += family_cpu(subject) - before - shares[subject.name] * lasted
    found: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        row = found[subject.name] = {"samples": samples(subject.page())}
        for kind in ENCODINGS:
            took = times[subject.name, kind]
            row[kind] = {
                "median_milliseconds": round(1e3 * statistics.median(took), 3),
                "p99_milliseconds": round(1e3 * statistics.quantiles(took, n=100)[98], 3),
                "cpu_milliseconds": round(1e3 * max(0.0, cpu[subject.name, kind]) / len(took), 3),
                "bytes": size[subject.name, kind],
            }
    return found


def reaction(subjects: list[Subject], driver: FakeDriver, gpus: int) -> dict[str, dict[str, Any]]:
    """Seconds until a new power reading stands on the page; what one hung GPU does to the others'."""
    found: dict[str, dict[str, Any]] = {s.name: {} for s in subjects}
    common = (f"gpus {gpus}", "account 1", "power 3 517.25")
    changes: dict[str, list[float]] = {s.name: [] for s in subjects}
    for step in range(5):
        driver.write(*common, f"power 0 {600 + step}.5")
        for name, seconds in _appears(subjects, f"{600 + step}.5", 30).items():
            changes[name] += [seconds] if seconds is not None else []
        time.sleep(0.37)  # not in step with anybody's tick
    for name, seen in changes.items():
        found[name]["seconds_to_page"] = round(statistics.median(seen), 2) if seen else None
    driver.write(*common, "hang 3")
    time.sleep(15)
    driver.write(*common, "hang 3", "power 0 431.25")
    for name, seconds in _appears(subjects, "431.25", 15).items():
        found[name]["one_gpu_hangs"] = {"others_seconds_to_page": seconds}
    for subject in subjects:
        found[subject.name]["one_gpu_hangs"]["old_value_still_served"] = _shows(subject, "517.25")
    driver.write(f"gpus {gpus}", "account 1", "power 3 518.75")
    for name, seconds in _appears(subjects, "518.75", 60).items():
        found[name]["one_gpu_hangs"]["recovers_seconds"] = seconds
    return found


def _appears(subjects: list[Subject], value: str, patience: float) -> dict[str, float | None]:
    """Seconds until each page shows the value; None where it never did."""
    began = time.monotonic()
    found: dict[str, float | None] = dict.fromkeys(s.name for s in subjects)
    while time.monotonic() - began < patience and None in found.values():
        for subject in subjects:
            if found[subject.name] is None and _shows(subject, value):
                found[subject.name] = round(time.monotonic() - began, 2)
        time.sleep(0.05)
    return found


def _shows(subject: Subject, value: str) -> bool:
    return re.search(rf" {re.escape(value)}0*$", subject.page(), re.MULTILINE) is not None


def members(subject: Subject) -> list[dict[str, Any]]:
    """The processes one by one."""
    found = []
    for process in subject.processes():
        memory = process.memory_full_info()
        found.append(
            {
                "command": " ".join(Path(word).name for word in process.cmdline()[:6])[:120],
                "rss_mib": round(memory.rss / 2**20, 1),
                "pss_mib": round(memory.pss / 2**20, 1),
                "threads": process.num_threads(),
            }
        )
    return found


def ratios(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """Theirs divided by ours, number by number."""
    found: dict[str, Any] = {}
    for key, value in theirs.items():
        mine = ours.get(key)
        if isinstance(value, dict) and isinstance(mine, dict):
            found |= {key: inner} if (inner := ratios(value, mine)) else {}
        elif isinstance(value, float | int) and isinstance(mine, float | int) and not isinstance(value, bool):
            found |= {key: round(value / mine, 2)} if mine else {}
    return found


if __name__ == "__main__":
    sys.exit(main())
