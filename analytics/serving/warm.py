"""Compiling ahead: a few ticks of a made-up fleet through everything, so that a first start need not wait.

What is compiled lies beside the sources or in NUMBA_CACHE_DIR (see `analytics.jit`).
"""

from __future__ import annotations

import numpy as np

from analytics.engine import Engine, Outcome
from analytics.fleet import IDENTITY, Fleet, Tick
from analytics.score import score_series
from analytics.serving.exposition import Exposition
from analytics.signals import SIGNALS

_TICKS = 40
_STEP = 3600.0
"""Seconds between ticks: long enough that days pass, and what is done once a day is done too."""


def compile_all() -> dict[str, str]:
    """Run the made-up fleet; detectors that failed on it, with one line each."""
    fleet = _fleet()
    engine, exposition, rng = Engine(fleet=fleet), Exposition(), np.random.default_rng(0)
    failed: dict[str, str] = {}
    for i in range(_TICKS):
        now = 1_760_000_000.0 + _STEP * i
        tick = Tick(now, fleet)
        for signal in SIGNALS:
            values = 50.0 + rng.random(len(fleet[signal.level]))
            tick.values[signal.key] = values.astype(np.float32)
        for roster in fleet.roster.values():
            roster.seen[:] = now
        outcome: Outcome = engine.run(tick)
        failed |= outcome.failed
        exposition.page(outcome)
    score_series(rng.random(300), np.arange(300.0))
    return failed


def _fleet() -> Fleet:
    """Four racks on two loops, four nodes of eight GPUs in each, and one thing of every other level."""
    fleet = Fleet()
    labels: list[dict[str, str]] = []
    for rack in range(4):
        for node in range(4):
            name, loop = f"r{rack}-n{node}", f"loop{rack // 2}"
            own = {"node": name, "rack": f"r{rack}", "loop": loop, "job": f"job{node % 2}"}
            own |= {"feed": "a", "device": f"pump{rack}"}
            labels += [{**own, "uuid": f"GPU-{name}-{gpu}", "gpu": str(gpu)} for gpu in range(8)]
    for level, roster in fleet.roster.items():
        once = {one[IDENTITY[level]]: one for one in labels}
        roster.rows(list(once), list(once.values()))
    return fleet
