"""A GPU against its peers: same node, same rack, same job.

What peers share (inlet, job phase, season) cancels out; what a GPU always had against them (its place in the
air flow, its silicon) is learned as an offset and subtracted. The rest is measured in robust standard
deviations of the peers, with a floor. A GPU is only as abnormal as the kindest of its peer groups says.
"""

from __future__ import annotations

import numpy as np

from analytics.columns import Bools, Columns, Floats, Ints
from analytics.detectors.base import Detector, Scores, Suspicion, Verdict
from analytics.fleet import Level, Tick
from analytics.groups import group_count, group_quantile, spread
from analytics.signals import CLOCK, GPU_SIGNALS, RANK_WAIT

GROUPS = ("node", "rack", "job")
LEAST_PEERS = 4
WARM_UP = 90.0
OFFSET_MEMORY = 3600.0
HALF_SCORE = 8.0
"""Robust standard deviations that score 0.5."""
GAP = 300.0
HOLD = 30.0
"""Seconds that a straggler must lag before it is called."""


class Peers(Detector):
    """Scores every GPU signal by its distance from the GPU's peers, and names stragglers."""

    name = "peers"

    def __init__(self) -> None:
        super().__init__()
        signals, groups = len(GPU_SIGNALS), len(GROUPS)
        shape = (groups, signals)
        spec = {"offset": shape, "age": shape, "last": (signals,)}
        self._c = self.table("gpus", Level.GPU, Columns(spec))
        self._lag = self.table("straggler", Level.GPU, Columns({"seconds": (), "last": ()}))
        self._noise = np.array([signal.noise for signal in GPU_SIGNALS])[:, None]

    def observe(self, tick: Tick) -> Verdict:
        values = np.stack([tick.value(signal.key, Level.GPU) for signal in GPU_SIGNALS])
        distance = self._distance(tick, values)
        score = distance**2 / (distance**2 + HALF_SCORE**2)
        verdict = Verdict([Scores(s.key, Level.GPU, score[i]) for i, s in enumerate(GPU_SIGNALS)])
        verdict.suspicions = self._stragglers(tick, distance[GPU_SIGNALS.index(CLOCK)])
        return verdict

    def _distance(self, tick: Tick, values: Floats) -> Floats:
        """Robust standard deviations from the kindest peer group, per signal and GPU; NaN without peers."""
        c = self._c
        present = np.isfinite(values)
        elapsed = np.clip(tick.now - c["last"], 0.0, GAP)
        dt = np.where(present & (c["last"] > 0), elapsed, 0.0)
        new = c["last"] == 0
        nearest = np.full(values.shape, np.nan)
        for i, label in enumerate(GROUPS):
            codes, groups = _stacked(tick.fleet[Level.GPU].codes(label), len(values))
            enough = _over_groups(present, codes, groups) >= LEAST_PEERS
            apart = values - _median(values, codes, groups)
            offset, age = c["offset"][i], c["age"][i]
            residual = apart - offset
            width = 1.4826 * _median(np.abs(residual), codes, groups)
            z = np.abs(residual) / np.maximum(width, self._noise)
            use = enough & np.isfinite(apart)
            # The offset is learned quickly at first and slowly later, and not from what is called abnormal.
            calm = use & ((z < HALF_SCORE / 2) | (age < WARM_UP))
            gain = np.where(calm, 1 - np.exp(-dt / np.clip(age, 30.0, OFFSET_MEMORY)), 0.0)
            gain = np.where(use & (age == 0) & new, 1.0, gain)
            offset += np.where(use, gain * np.nan_to_num(residual), 0.0)
            known = use & (age >= WARM_UP)
            age += np.where(use, dt, 0.0)
            nearest = np.where(known, np.fmin(nearest, z), nearest)
        c["last"] = np.where(present, tick.now, c["last"])
        return nearest

    def _stragglers(self, tick: Tick, clock_distance: Floats) -> list[Suspicion]:
        """The GPU that holds its job back: it never waits while the others do, or its clock hangs behind."""
        codes, names = tick.fleet[Level.GPU].codes("job")
        wait, clock = tick.value(RANK_WAIT.key, Level.GPU), tick.value(CLOCK.key, Level.GPU)
        usual_wait = spread(group_quantile(wait, codes, len(names)), codes)
        usual_clock = spread(group_quantile(clock, codes, len(names)), codes)
        with np.errstate(invalid="ignore"):
            never_waits = (usual_wait > 0.05) & (wait < 0.25 * usual_wait)
            lags = (clock < 0.92 * usual_clock) & (clock_distance > HALF_SCORE)
        c = self._lag
        dt = np.where(c["last"] > 0, np.clip(tick.now - c["last"], 0.0, 60.0), 0.0)
        c["last"] = np.full(len(dt), tick.now)
        held = lags | (never_waits & (clock < 0.97 * usual_clock))
        c["seconds"] = np.where(held, c["seconds"] + dt, np.maximum(c["seconds"] - 2 * dt, 0.0))
        c["seconds"] = np.minimum(c["seconds"], 2 * HOLD)
        gpus = tick.fleet[Level.GPU]
        found = []
        for row in map(int, np.flatnonzero(c["seconds"] >= HOLD)):
            place = f"{gpus.labels['node'][row]}/gpu{gpus.labels['gpu'][row]}"
            found.append(
                Suspicion(
                    "straggler", "gpu", place, gpus.labels["uuid"][row], (row,), _score(c["seconds"][row])
                )
            )
        return found


def _stacked(codes: tuple[Ints, list[str]], signals: int) -> tuple[Ints, int]:
    """Group numbers for several signals at once, each signal with groups of its own."""
    one, names = codes
    shift = np.arange(signals)[:, None] * len(names)
    return np.where(one >= 0, one + shift, -1).ravel(), signals * len(names)


def _median(values: Floats, codes: Ints, groups: int) -> Floats:
    return spread(group_quantile(values.ravel(), codes, groups), codes).reshape(values.shape)


def _over_groups(use: Bools, codes: Ints, groups: int) -> Floats:
    counts = group_count(use.ravel(), codes, groups).astype(np.float64)
    return spread(counts, codes, 0.0).reshape(use.shape)


def _score(seconds: float) -> float:
    return float(seconds / (seconds + HOLD))
