"""What many GPUs share: coolant flow, coolant supply, inlet air, each against its own recent past.

One loop that loses flow is one finding here, however many GPUs get warmer.
"""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Detector, Evidence, Rival, Scores, Suspicion, Verdict
from analytics.fleet import IDENTITY, Level, Tick
from analytics.fleet.columns import Bools, Columns, Floats, Ints
from analytics.jit import compiled
from analytics.signals import FLOW, INLET, POWER, SUPPLY, Signal
from gigawatch.catalogue import Unit

MEMORY = 7200.0
WARM_UP = 60.0
GAP = 900.0
HOLD = 10.0
"""Seconds that a deviation must last."""
FLOW_LOSS = 0.15
"""Share of the usual flow whose loss is abnormal while the load has not fallen."""
SUPPLY_RISE, INLET_RISE = 3.0, 5.0
"""Kelvin."""
LASTING = 86400.0
"""Seconds in which a deviation that lasts becomes usual."""


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
        self._rows: dict[Level, tuple[Ints, int, Ints]] = {}

    def observe(self, tick: Tick) -> Verdict:
        verdict = Verdict()
        power = np.asarray(tick.value(POWER.key, Level.GPU), np.float64)
        for signal, limit, columns in self._watched:
            n = len(columns)
            score, share = np.full(n, np.nan), np.zeros(n)
            values = np.asarray(tick.value(signal.key, signal.level), np.float64)
            load = np.zeros(n)
            if signal is FLOW and n:
                _total(power, self._owner_rows(tick, signal.level), load)
            c = columns
            _watch(
                tick.now, values, load, limit, signal is FLOW,
                c["usual"], c["load"], c["age"], c["last"], c["held"], score, share,
            )  # fmt: skip
            verdict.scores.append(Scores(signal.key, signal.level, score))
            alarm = (c["held"] >= HOLD) & np.isfinite(score)
            if alarm.any():
                verdict.suspicions += _suspicions(tick, signal, score, alarm, values, c)
        return verdict

    def _owner_rows(self, tick: Tick, level: Level) -> Ints:
        """Row of the thing of `level` that each GPU belongs to, -1 where none is known."""
        codes, names = tick.fleet[Level.GPU].codes(IDENTITY[level])
        owners = tick.fleet[level]
        known = self._rows.get(level)
        if known is None or known[0] is not codes or known[1] != len(owners):
            found = [owners.find(name) for name in names]
            by_code = np.array([-1 if row is None else row for row in found] + [-1], np.intp)
            known = self._rows[level] = (codes, len(owners), by_code[codes])
        return known[2]


@compiled
def _total(power: Floats, owner: Ints, out: Floats) -> None:
    for i in range(len(power)):
        if owner[i] >= 0 and power[i] == power[i]:
            out[owner[i]] += power[i]


@compiled
def _watch(
    now: float,
    values: Floats,
    load: Floats,
    limit: float,
    follows_load: bool,
    usual: Floats,
    usual_load: Floats,
    age: Floats,
    last: Floats,
    held: Floats,
    score: Floats,
    share: Floats,
) -> None:
    """One signal over all things that have it: how far from its usual, in limits; then learn it."""
    for i in range(len(values)):
        v = values[i]
        if not (v == v and abs(v) < 1e9):
            continue
        if last[i] == 0:
            usual[i], usual_load[i], last[i] = v, load[i], now
        dt = min(max(now - last[i], 0.0), GAP)
        last[i] = now
        apart = v - usual[i]
        if follows_load:
            apart /= max(usual[i], 1e-6)
            # Pumps follow the load: less flow for less heat is as it should be.
            if load[i] < 0.9 * usual_load[i]:
                apart = max(apart, 0.0)
        share[i] = max(apart / limit, 0.0)
        ready = age[i] >= WARM_UP
        if ready and share[i] >= 1.0:
            held[i] = min(held[i] + min(max(dt, 1.0), 0.4 * HOLD), 4 * HOLD)
        else:
            held[i] = 0.0
        if share[i] < 1.0 or not ready:
            gain = 1 - np.exp(-dt / min(max(age[i], 20.0), MEMORY))
            usual[i] += gain * (v - usual[i])
            usual_load[i] += gain * (load[i] - usual_load[i])
        elif dt > 0:
            # What lasts is the new usual in the end, else a changed set point would be called for ever.
            usual[i] += (1 - np.exp(-dt / LASTING)) * (v - usual[i])
        age[i] += dt
        if ready:
            score[i] = share[i] ** 2 / (share[i] ** 2 + 1.0)


def _suspicions(
    tick: Tick, signal: Signal, score: Floats, alarm: Bools, values: Floats, c: Columns
) -> list[Suspicion]:
    """What is alarmed, each with the figures; most nodes of a rack warm at once are one rack."""
    owners = tick.fleet[signal.level]
    hit = {owners.keys[row]: int(row) for row in np.flatnonzero(alarm)}
    if signal.level is Level.LOOP:
        return [
            _told(tick, "coolant_loop", "loop", name, [row], signal, score, values, c)
            for name, row in hit.items()
        ]
    found = []
    by_rack: dict[str, list[str]] = {}
    for name, rack in zip(owners.keys, owners.labels["rack"], strict=True):
        by_rack.setdefault(rack, []).append(name)
    for rack, nodes in by_rack.items():
        bad = [name for name in nodes if name in hit]
        if rack and len(nodes) > 1 and 2 * len(bad) >= len(nodes) and len(bad) > 1:
            rows = [hit[name] for name in bad]
            found.append(_told(tick, "inlet_air", "rack", rack, rows, signal, score, values, c))
        else:
            found += [
                _told(tick, "inlet_air", "node", name, [hit[name]], signal, score, values, c) for name in bad
            ]
    return found


def _told(
    tick: Tick, cause: str, scope: str, place: str, rows: list[int], signal: Signal,
    score: Floats, values: Floats, c: Columns,
) -> Suspicion:  # fmt: skip
    worst = max(rows, key=lambda row: score[row])
    value, usual = float(values[worst]), float(c["usual"][worst])
    level = signal.level
    others = np.delete(values, rows)
    others = others[np.isfinite(others)]
    peers = float(np.median(others)) if others.size else None
    text = f"{len(rows)} of this {level} rose together" if len(rows) > 1 else ""
    evidence: tuple[Evidence, ...] = (
        Evidence(signal.key, value, signal.unit, usual=usual, peers=peers, text=text),
    )
    if signal is FLOW:
        lost = 1 - value / max(usual, 1e-9)
        evidence += (Evidence(signal.key, lost, Unit.RATIO, usual=0.0, text="of the usual flow is gone"),)
    rivals = (
        Rival("sensor", 0.15 if len(rows) == 1 else 0.03, "one sensor alone may err; the GPUs tell"),
        Rival("pump", 0.3, "where flow falls, a pump is the first to look at")
        if signal is FLOW
        else Rival("job", 0.05, "load warms the return, not what comes in"),
    )
    gpus = _members(tick.fleet[Level.GPU].labels[scope], place)
    since = tick.now - float(c["held"][worst])
    return Suspicion(
        cause, scope, place, place, gpus, float(score[worst]), since=since,
        confidence=0.8 if len(rows) > 1 or level is Level.LOOP else 0.6, evidence=evidence, rivals=rivals,
    )  # fmt: skip


def _members(column: list[str], name: str) -> tuple[int, ...]:
    return tuple(row for row, value in enumerate(column) if value == name)
