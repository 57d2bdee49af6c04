"""Flow of each coolant loop against its own recent past, seen beside the power of its GPUs."""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Evidence, Rival, Scores, Suspicion, Verdict
from analytics.fleet import IDENTITY, Level, Tick
from analytics.fleet.columns import Columns, Floats, Ints
from analytics.fleet.named import Named
from analytics.jit import compiled
from analytics.signals import FLOW, POWER
from gigawatch.catalogue import Unit

MEMORY = 7200.0
WARM_UP = 60.0
GAP = 900.0
HOLD = 10.0
"""Seconds that a deviation must last."""
LOSS = 0.15
"""Share of the usual flow whose loss is abnormal while the load has not fallen."""
LASTING = 86400.0
"""Seconds in which a deviation that lasts becomes usual."""


class Flow:
    """Calls loops that lose flow; keeps what it knows in a table of the detector that it is part of."""

    def __init__(self, columns: Columns) -> None:
        self._c = columns
        self._loops = Named()

    @staticmethod
    def columns() -> Columns:
        return Columns(dict.fromkeys(("usual", "load", "age", "last", "held"), ()))

    def look(self, tick: Tick, verdict: Verdict) -> None:
        c, loops = self._c, tick.fleet[Level.LOOP]
        n = len(c)
        score, load = np.full(n, np.nan), np.zeros(n)
        values = np.asarray(tick.value(FLOW.key, Level.LOOP), np.float64)
        if n:
            codes, names = tick.fleet[Level.GPU].codes(IDENTITY[Level.LOOP])
            owner = np.append(self._loops.rows(names, loops), -1)[codes]
            _total(np.asarray(tick.value(POWER.key, Level.GPU), np.float64), owner, load)
        _watch(tick.now, values, load, c["usual"], c["load"], c["age"], c["last"], c["held"], score)
        verdict.scores.append(Scores(FLOW.key, Level.LOOP, score))
        for row in map(int, np.flatnonzero((c["held"] >= HOLD) & np.isfinite(score))):
            verdict.suspicions.append(_told(tick, row, float(score[row]), values, c))


@compiled
def _total(power: Floats, owner: Ints, out: Floats) -> None:
    for i in range(len(power)):
        if owner[i] >= 0 and power[i] == power[i]:
            out[owner[i]] += power[i]


@compiled
def _watch(
    now: float, values: Floats, load: Floats, usual: Floats, usual_load: Floats, age: Floats, last: Floats,
    held: Floats, score: Floats,
) -> None:  # fmt: skip
    """All loops: how much of the usual flow is gone, in multiples of what is abnormal; then learn it."""
    for i in range(len(values)):
        v = values[i]
        if not (v == v and abs(v) < 1e9):
            continue
        if last[i] == 0:
            usual[i], usual_load[i], last[i] = v, load[i], now
        dt = min(max(now - last[i], 0.0), GAP)
        last[i] = now
        lost = 1 - v / max(usual[i], 1e-6)
        # Pumps follow the load: less flow for less heat is as it should be.
        if load[i] < 0.9 * usual_load[i]:
            lost = 0.0
        share = max(lost / LOSS, 0.0)
        ready = age[i] >= WARM_UP
        if ready and share >= 1.0:
            held[i] = min(held[i] + min(max(dt, 1.0), 0.4 * HOLD), 4 * HOLD)
        else:
            held[i] = 0.0
        if share < 1.0 or not ready:
            gain = 1 - np.exp(-dt / min(max(age[i], 20.0), MEMORY))
            usual[i] += gain * (v - usual[i])
            usual_load[i] += gain * (load[i] - usual_load[i])
        elif dt > 0:
            # What lasts is the new usual in the end, else a changed set point would be called for ever.
            usual[i] += (1 - np.exp(-dt / LASTING)) * (v - usual[i])
        age[i] += dt
        if ready:
            score[i] = share**2 / (share**2 + 1.0)


def _told(tick: Tick, row: int, score: float, values: Floats, c: Columns) -> Suspicion:
    loops = tick.fleet[Level.LOOP]
    name, value, usual = loops.keys[row], float(values[row]), float(c["usual"][row])
    others = np.delete(values, row)
    others = others[np.isfinite(others)]
    peers = float(np.median(others)) if others.size else None
    evidence = (
        Evidence(FLOW.key, value, FLOW.unit, usual=usual, peers=peers),
        Evidence(
            FLOW.key, 1 - value / max(usual, 1e-9), Unit.RATIO, usual=0.0, text="of the usual flow is gone"
        ),
    )
    rivals = (
        Rival("sensor", 0.15, "one sensor alone may err; the GPUs tell"),
        Rival("pump", 0.3, "where flow falls, a pump is the first to look at"),
    )
    column = tick.fleet[Level.GPU].labels["loop"]
    gpus = tuple(i for i, loop in enumerate(column) if loop == name)
    since = tick.now - float(c["held"][row])
    return Suspicion(
        "coolant_loop", "loop", name, name, gpus, score, since=since, confidence=0.8, evidence=evidence,
        rivals=rivals,
    )  # fmt: skip
