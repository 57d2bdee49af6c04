"""What the reporter costs a training job: a call of step() without and with a write, and of the spans. Prints
JSON; times in microseconds.

python benchmarks/reporter_cost.py [--directory /dev/shm]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable

from gigawatch.reporter import Reporter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    memory = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
    parser.add_argument("--directory", default=memory, help="on a file system of the kind that /run is")
    parser.add_argument("--calls", type=int, default=20000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        result = {
            "directory": args.directory,
            "step": _quiet(directory, args.calls, lambda one: one.step(tokens=4_000_000, loss=2.1)),
            "waiting": _quiet(directory, args.calls, _wait),
            "step_with_write": _writing(directory, max(args.calls // 20, 50)),
            "switched_off": _switched_off(args.calls),
        }
        # What a rank spends per second at the most: its writes, in the rhythm that they then have.
        writer = Reporter("bench", job_id="rhythm", rank=0, directory=directory)
        spent, until = time.process_time(), time.monotonic() + 5
        while time.monotonic() < until:
            writer.step(tokens=1)
            time.sleep(0.01)
        result["processor_share_at_100_steps_per_second"] = round((time.process_time() - spent) / 5, 6)
        writer.close()
    print(json.dumps(result, indent=2))


def _wait(reporter: Reporter) -> None:
    with reporter.waiting():
        pass


def _quiet(directory: str, calls: int, call: Callable[[Reporter], None]) -> dict[str, float]:
    """Of calls that write nothing."""
    reporter = Reporter("bench", job_id="quiet", rank=0, directory=directory, every=1e9)
    reporter.step()
    blocks = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(calls // 20):
            call(reporter)
        blocks.append((time.perf_counter() - began) / (calls // 20))
    reporter.close()
    return _figures(blocks)


def _writing(directory: str, calls: int) -> dict[str, float]:
    """Of calls each of which writes: they are further apart than the reporter's own rhythm."""
    reporter = Reporter("bench", job_id="writing", rank=0, directory=directory, every=0.01)
    times = []
    for _ in range(calls):
        reporter._due = 0.0  # noqa: SLF001 - rather than wait for it
        began = time.perf_counter()
        reporter.step(tokens=4_000_000, loss=2.1)
        times.append(time.perf_counter() - began)
    reporter.close()
    return _figures(times)


def _switched_off(calls: int) -> dict[str, float]:
    """Of calls on a machine without the directory."""
    reporter = Reporter("bench", job_id="off", rank=0, directory="/nonexistent")
    blocks = []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(calls // 20):
            reporter.step(tokens=1)
        blocks.append((time.perf_counter() - began) / (calls // 20))
    return _figures(blocks)


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered) * 1e6, 2),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))] * 1e6, 2),
    }


if __name__ == "__main__":
    main()
