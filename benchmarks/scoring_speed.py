"""How fast all detectors take in ticks, and how fast findings are written; prints JSON.

    python benchmarks/scoring_speed.py --gpus 100000 --output benchmarks/results/scoring-speed.json

One core. A point is one value of one series in one tick. The fleet is made up: nodes of 8 GPUs, racks of 9
nodes, jobs from 1 GPU to a fifth of the fleet of which some begin and end in every tick, a tenth of the
values missing; things become known in no order, as Prometheus may name them. Times are processor time, the
median over ticks and the least (other work on the machine only ever adds); compiling is over before they are
taken, and told apart: `--start` measures the first ticks of a new process, with nothing compiled before and
with everything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from analytics.detectors import detector_classes
from analytics.engine import Engine, Outcome
from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.serving.exposition import Exposition
from analytics.signals import SIGNALS

STEP = 15.0
GAPS = 0.1
"""Share of values that are missing: half of them with the whole GPU or node, half one by one."""
ERRING = 0.001
"""Share of things that have errors of a kind, the same ones all the time: of a healthy fleet it is less."""
USUAL = {
    "power": 600.0,
    "temperature": 58.0,
    "memory_temperature": 66.0,
    "utilization": 0.95,
    "clock": 1.9e9,
    "margin": 29.0,
    "rank_wait": 0.1,
    "inlet": 24.0,
    "rack_power": 60e3,
    "coolant_supply": 30.0,
}


def fleet_of(gpus: int, rng: np.random.Generator) -> Fleet:
    fleet, jobs = Fleet(), job_names(gpus, rng)
    labels = [
        {
            "uuid": f"GPU-{i:08x}-0000-4000-8000-{i:012x}",
            "gpu": str(i % 8),
            "node": f"n{i // 8:05}",
            "rack": f"r{i // 72:04}",
            "loop": f"l{i // 576:03}",
            "feed": f"f{i // 4608}",
            "device": f"pdu-{i // 72:04}",
            "job": jobs[i],
        }
        for i in range(gpus)
    ]
    for level, own in IDENTITY.items():
        things = {one[own]: one for one in labels if one[own]}
        keys = list(things)
        rng.shuffle(keys)
        fleet[level].rows(keys, [things[key] for key in keys], 1e9)
    return fleet


def job_names(gpus: int, rng: np.random.Generator) -> list[str]:
    """Jobs side by side: many small ones, few large ones, a tenth of the fleet idle."""
    names: list[str] = []
    while len(names) < gpus:
        size = int(rng.choice([1, 2, 4, 8, 16, 64, 512, max(gpus // 5, 1)], p=_SIZES))
        held = "" if rng.random() < 0.1 else f"job-{len(names)}"
        names += [held] * size
    return names[:gpus]


_SIZES = [0.3, 0.15, 0.15, 0.25, 0.1, 0.03, 0.0195, 0.0005]


def ticks_of(fleet: Fleet, begin: float, rng: np.random.Generator) -> Iterator[Tick]:
    """Ticks without end; jobs change between them."""
    own = {s.key: 1 + 0.03 * rng.standard_normal(len(fleet[s.level])) for s in SIGNALS}
    erring = {s.key: rng.random(len(fleet[s.level])) < ERRING for s in SIGNALS if s.sparse}
    gpus, now = fleet[Level.GPU], begin
    while True:
        missing = {level: rng.random(len(fleet[level])) < GAPS / 2 for level in Level}
        values = {}
        for signal in SIGNALS:
            n = len(fleet[signal.level])
            if signal.every and int(now) % int(max(signal.every, STEP)) >= STEP:
                continue
            if signal.sparse:
                column = np.where(erring[signal.key], 1.0, np.nan)
            else:
                column = USUAL.get(signal.key, 1.0) * own[signal.key] * (1 + 0.01 * rng.standard_normal(n))
                column[missing[signal.level] | (rng.random(n) < GAPS / 2)] = np.nan
            values[signal.key] = column.astype(np.float32)
        yield Tick(now, fleet, values)
        for name in [f"job-{now:.0f}-{i}" for i in range(5)]:
            start = int(rng.integers(len(gpus)))
            for row in range(start, min(start + 8, len(gpus))):
                gpus.set(row, "job", name)
        now += STEP


def points_of(tick: Tick) -> int:
    return sum(int(np.isfinite(column).sum()) for column in tick.values.values())


def measure(fleet: Fleet, warm_up: int, count: int, rng: np.random.Generator) -> tuple[dict, Outcome]:
    """Every detector on its own, tick by tick, then the whole engine as the service runs it."""
    detectors = [new() for new in detector_classes()]
    ticks = ticks_of(fleet, 1e9, rng)
    seconds: dict[str, list[float]] = {detector.name: [] for detector in detectors}
    points = []
    for i in range(warm_up + count):
        tick = next(ticks)
        for label in ("node", "rack", "loop", "job"):
            fleet[Level.GPU].codes(label)
        for detector in detectors:
            detector.enrol(fleet)
            began = time.process_time()
            detector.observe(tick)
            if i >= warm_up:
                seconds[detector.name].append(time.process_time() - began)
        if i >= warm_up:
            points.append(points_of(tick))
    mean = float(np.mean(points))
    table = {
        name: {
            "nanoseconds_per_point": round(1e9 * float(np.median(taken)) / mean, 1),
            "least": round(1e9 * min(taken) / mean, 1),
        }
        for name, taken in seconds.items()
    }
    for detector in detectors:
        table[detector.name]["state_bytes_per_point"] = round(detector.nbytes / mean, 1)
    engine = Engine(detectors, fleet)
    whole = []
    for _ in range(count):
        tick = next(ticks)
        began = time.process_time()
        outcome = engine.run(tick)
        whole.append(time.process_time() - began)
    assert not outcome.failed, outcome.failed
    return {
        "points_per_tick": round(mean),
        "tick_milliseconds": round(1e3 * float(np.median(whole)), 1),
        "least_tick_milliseconds": round(1e3 * min(whole), 1),
        "points_per_second": round(mean / float(np.median(whole))),
        "best_points_per_second": round(mean / min(whole)),
        "state_megabytes": round(sum(d.nbytes for d in detectors) / 1e6, 1),
        "detectors": table,
    }, outcome


def rendering(outcome: Outcome) -> dict[str, object]:
    exposition = Exposition()
    page = exposition.page(outcome)
    taken = [_timed(lambda: exposition.page(outcome)) for _ in range(5)]
    return {
        "series": page.count(b"\n"),
        "megabytes": round(len(page) / 1e6, 2),
        "milliseconds": round(1e3 * float(np.median(taken)), 1),
    }


def _timed(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def beside(n: int) -> dict[str, int]:
    """Points per second of other methods over `n` values, in this process: what is installed of them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 1)).astype(np.float32)
    found = {}
    mean, var = np.zeros(n, np.float32), np.ones(n, np.float32)

    def ewma() -> None:
        step = x[:, 0] - mean
        mean[...] += np.float32(0.01) * step
        var[...] += np.float32(0.01) * (step * step - var)

    found["numpy moving mean and variance"] = round(n / min(_timed(ewma) for _ in range(20)))
    models = {"scikit-learn IsolationForest": ("sklearn.ensemble", "IsolationForest", "score_samples")}
    for name, module in (("ECOD", "ecod"), ("HBOS", "hbos")):
        models[f"PyOD {name}"] = (f"pyod.models.{module}", name, "decision_function")
    for name, (module, kind, verb) in models.items():
        try:
            model = getattr(__import__(module, fromlist=[kind]), kind)()
        except ImportError:
            continue
        model.fit(x[:2000])
        some = x[:20_000]
        taken = min(
            _timed(lambda model=model, verb=verb, some=some: getattr(model, verb)(some)) for _ in range(3)
        )
        found[name] = round(len(some) / taken)
    return found


def start() -> dict[str, float]:
    """Seconds until a new process has taken in its first two ticks: nothing compiled yet, and all of it."""
    code = (
        "import time; t = time.perf_counter(); import numpy as np, runpy; "
        f"b = runpy.run_path({str(Path(__file__))!r}); rng = np.random.default_rng(0); "
        "f = b['fleet_of'](64, rng); e = b['Engine'](fleet=f); ticks = b['ticks_of'](f, 1e9, rng); "
        "[b['Exposition']().page(e.run(next(ticks))) for _ in range(2)]; print(time.perf_counter() - t)"
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(sys.path)}
        for name in ("nothing_compiled", "compiled_before"):
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            found[name] = round(float(done.stdout), 1)
        sizes = [file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()]
        found["cache_megabytes"] = round(sum(sizes) / 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=15)
    parser.add_argument("--start", action="store_true", help="measure the first start as well (minutes)")
    parser.add_argument("--output", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    fleet = fleet_of(arguments.gpus, rng)
    figures, outcome = measure(fleet, arguments.warm_up, arguments.ticks, rng)
    found = {
        "gpus": arguments.gpus,
        "cpu": platform.machine(),
        "load_average": round(os.getloadavg()[0], 1),
        **figures,
        "exposition": rendering(outcome),
        "other_methods_points_per_second": beside(100_000),
        "peak_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if arguments.start:
        found["start_seconds"] = start()
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
