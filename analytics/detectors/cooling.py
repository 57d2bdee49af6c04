"""What many GPUs share: coolant flow, coolant supply, inlet air, each against its own recent past.

One loop that loses flow is one finding here, however many GPUs get warmer.
"""

from __future__ import annotations

import numpy as np

from analytics.columns import Bools, Columns, Floats
from analytics.detectors.base import Detector, Scores, Suspicion, Verdict
from analytics.fleet import IDENTITY, Level, Tick
from analytics.signals import FLOW, INLET, POWER, SUPPLY, Signal

MEMORY = 7200.0
WARM_UP = 60.0
GAP = 900.0
HOLD = 10.0
"""Seconds that a deviation must last."""
FLOW_LOSS = 0.15
"""Share of the usual flow whose loss is abnormal while the load has not fallen."""
SUPPLY_RISE, INLET_RISE = 3.0, 5.0
"""Kelvin."""


class Cooling(Detector):
    """Calls loops that lose flow or run warm, and racks or nodes whose inlet air gets hot."""

    name = "cooling"

    def __init__(self) -> None:
        super().__init__()
        spec: dict[str, tuple[int, ...]] = {"usual": (), "load": (), "age": (), "last": (), "held": ()}
        self._watched: tuple[tuple[Signal, float, Columns], ...] = tuple(
            (signal, limit, self.table(signal.key, signal.level, Columns(spec)))
            for signal, limit in ((FLOW, -FLOW_LOSS), (SUPPLY, SUPPLY_RISE), (INLET, INLET_RISE))
        )

    def observe(self, tick: Tick) -> Verdict:
        verdict = Verdict()
        for signal, limit, columns in self._watched:
            score, alarm = self._watch(tick, signal, limit, columns)
            verdict.scores.append(Scores(signal.key, signal.level, score))
            verdict.suspicions += _suspicions(tick, signal, score, alarm)
        return verdict

    def _watch(self, tick: Tick, signal: Signal, limit: float, c: Columns) -> tuple[Floats, Bools]:
        values = tick.value(signal.key, signal.level)
        load = _load(tick, signal.level)
        present = np.isfinite(values)
        dt = np.where(present & (c["last"] > 0), np.clip(tick.now - c["last"], 0.0, GAP), 0.0)
        first = present & (c["age"] == 0) & (c["last"] == 0)
        c["usual"] = np.where(first, values, c["usual"])
        c["load"] = np.where(first, load, c["load"])
        apart = values - c["usual"]
        if signal is FLOW:
            apart = apart / np.maximum(c["usual"], 1e-6)
            # Pumps follow the load: less flow for less heat is as it should be.
            apart = np.where(load < 0.9 * c["load"], np.maximum(apart, 0.0), apart)
        share = np.maximum(np.nan_to_num(apart) / limit, 0.0)
        beyond = present & (c["age"] >= WARM_UP) & (share >= 1.0)
        c["held"] = np.where(beyond, np.minimum(c["held"] + np.maximum(dt, 1.0), 4 * HOLD), 0.0)
        memory = np.clip(c["age"], 20.0, MEMORY)
        gain = np.where(present & (share < 1.0) | (c["age"] < WARM_UP), 1 - np.exp(-dt / memory), 0.0)
        c["usual"] += gain * np.where(present, values - c["usual"], 0.0)
        c["load"] += gain * np.nan_to_num(load - c["load"])
        c["age"] += dt
        c["last"] = np.where(present, tick.now, c["last"])
        score = np.where(present & (c["age"] >= WARM_UP), share**2 / (share**2 + 1.0), np.nan)
        return score, c["held"] >= HOLD


def _load(tick: Tick, level: Level) -> Floats:
    """GPU power under each thing of a level, in watts."""
    gpus, owners = tick.fleet[Level.GPU], tick.fleet[level]
    codes, names = gpus.codes(IDENTITY[level])
    power = tick.value(POWER.key, Level.GPU)
    use = (codes >= 0) & np.isfinite(power)
    total = np.bincount(codes[use], weights=power[use], minlength=len(names))
    out = np.zeros(len(owners))
    for name, watts in zip(names, total, strict=True):
        row = owners.find(name)
        if row is not None:
            out[row] = watts
    return out


def _suspicions(tick: Tick, signal: Signal, score: Floats, alarm: Bools) -> list[Suspicion]:
    owners, gpus = tick.fleet[signal.level], tick.fleet[Level.GPU]
    hit = {owners.keys[row]: float(score[row]) for row in np.flatnonzero(alarm) if np.isfinite(score[row])}
    found = []
    if signal.level is Level.LOOP:
        for name, strength in hit.items():
            found.append(
                Suspicion("coolant_loop", "loop", name, name, _members(gpus.labels["loop"], name), strength)
            )
        return found
    by_rack: dict[str, list[str]] = {}
    for name, rack in zip(owners.keys, owners.labels["rack"], strict=True):
        by_rack.setdefault(rack, []).append(name)
    for rack, nodes in by_rack.items():
        bad = [name for name in nodes if name in hit]
        if rack and len(nodes) > 1 and 2 * len(bad) >= len(nodes) and len(bad) > 1:
            strength = max(hit[name] for name in bad)
            found.append(
                Suspicion("inlet_air", "rack", rack, rack, _members(gpus.labels["rack"], rack), strength)
            )
        else:
            found.extend(
                Suspicion("inlet_air", "node", name, name, _members(gpus.labels["node"], name), hit[name])
                for name in bad
            )
    return found


def _members(column: list[str], name: str) -> tuple[int, ...]:
    return tuple(row for row, value in enumerate(column) if value == name)
