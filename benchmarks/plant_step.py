"""Cost of the simulated plant: building, one step of a second, and one emission of a whole site. Prints JSON.

python benchmarks/plant_step.py [--blueprint full-scale] [--steps 200]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from gigawatch.simulator.plant import Plant
from gigawatch.simulator.view import Emitter
from gigawatch.topology import blueprint, blueprint_names

START = 1_767_225_600.0


def milliseconds(
    action: Callable[[], object], times: int, before: Callable[[], object] = lambda: None
) -> dict[str, float]:
    """Median and 95th percentile of wall time, and mean processor time, per call; `before` is not timed."""
    wall, processor = [], 0.0
    for _ in range(times):
        before()
        spent, begin = time.process_time(), time.perf_counter()
        action()
        wall.append(1000 * (time.perf_counter() - begin))
        processor += time.process_time() - spent
    used = 1000 * processor / times
    ordered = sorted(wall)
    return {
        "median": round(statistics.median(wall), 3),
        "p95": round(ordered[int(0.95 * (times - 1))], 3),
        "processor": round(used, 3),
    }


def measure(name: str, steps: int) -> dict[str, object]:
    """All figures of one blueprint."""
    begin = time.perf_counter()
    site = blueprint(name)
    plant = Plant(site, 1, START, warm_up=60)
    build = time.perf_counter() - begin
    emitter = Emitter(plant.layout)
    count = 0

    def emit() -> None:
        nonlocal count
        emitter.refresh(plant.state)
        count = sum(len(emitter.node(node.name)) for node in site.nodes)
        count += sum(len(emitter.device(device.name)) for device in site.devices)

    emit()
    step = milliseconds(lambda: plant.step(1.0), steps)
    return {
        "blueprint": name,
        "gpus": site.gpu_count,
        "nodes": len(site.nodes),
        "devices": len(site.devices),
        "build_seconds": round(build, 3),
        "step_of_1_s_milliseconds": step,
        "times_real_time": round(1000 / step["median"]),
        "emission_milliseconds": milliseconds(emit, max(5, steps // 20), lambda: plant.step(1.0)),
        "series": count,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blueprint", choices=blueprint_names(), help="one blueprint (default: all)")
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    names = [args.blueprint] if args.blueprint else list(blueprint_names())
    print(json.dumps([measure(name, max(args.steps, 1)) for name in names], indent=2))


if __name__ == "__main__":
    main()
