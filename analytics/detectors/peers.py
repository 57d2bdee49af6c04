"""A GPU against its peers: same node, same place in the rack's other nodes, same rack, same job.

What peers share (inlet, job phase, season) cancels out; what a GPU always had against them (its place in the
air flow, its silicon) is learned as an offset and subtracted. The rest is measured in robust standard
deviations of the peers, with a floor. A GPU is only as abnormal as the kindest of its peer groups says.
GPUs that do not work for the same job, or are of different models, are no peers; when the peers of a GPU
change, what it had against the old ones is forgotten.
"""

from __future__ import annotations

import numpy as np

from analytics.columns import Columns
from analytics.detectors.base import Detector, Scores, Verdict
from analytics.detectors.peer_groups import JOB, KINDS, Identities, PeerGroups
from analytics.detectors.peers_kernel import LEAST_PEERS, in_deviations, judge, keep_time, residuals
from analytics.detectors.straggler import Straggler
from analytics.fleet import Level, Tick
from analytics.groups import Groups, Single
from analytics.signals import CLOCK, GPU_SIGNALS

GAP = 300.0
"""Seconds: a longer break counts as this long."""
_CLOCK = GPU_SIGNALS.index(CLOCK)
_TO_DEVIATION = 1.4826
"""Standard deviations in a median absolute deviation of normal values."""


class Peers(Detector):
    """Scores every GPU signal by its distance from the GPU's peers, and names stragglers."""

    name = "peers"

    def __init__(self) -> None:
        super().__init__()
        kinds, signals = len(KINDS), len(GPU_SIGNALS)
        shapes = {"offset": (kinds, signals), "age": (signals,), "held": (kinds,), "peers": (kinds,)}
        self._c = self.table("gpus", Level.GPU, Columns(shapes, fill={"offset": np.nan}, dtype=np.float32))
        self._clock = self.table("clock", Level.GPU, Columns({"last": ()}))
        self._straggler = Straggler()
        self.table("straggler", Level.GPU, self._straggler.columns)
        self.table("straggler_since", Level.GPU, self._straggler.times)
        self._groups: PeerGroups | None = None
        self._identities = Identities()

    def observe(self, tick: Tick) -> Verdict:
        gpus = tick.fleet[Level.GPU]
        groups = self._groups
        if groups is None or not groups.fits(gpus):
            groups = self._groups = PeerGroups(gpus, self._identities.of(gpus))
        dt = self._elapsed(tick.now)
        gain = np.empty_like(self._c["held"])
        keep_time(self._c["held"], self._c["peers"], groups.signature, self._c["offset"], dt, gain)
        verdict, of_jobs = Verdict(), {}
        scored: dict[str, Single] = {}
        values: dict[str, Single] = {}
        for i, signal in enumerate(GPU_SIGNALS):
            with np.errstate(over="ignore"):  # what float32 cannot hold is absent
                values[signal.key] = tick.value(signal.key, Level.GPU).astype(np.float32, copy=False)
            centre = _centres(groups, values[signal.key])
            scored[signal.key] = self._judge(i, groups, values[signal.key], centre, dt, gain)
            of_jobs[signal.key] = centre[JOB]
            verdict.scores.append(Scores(signal.key, Level.GPU, scored[signal.key]))
        ahead = self._c["offset"][JOB, _CLOCK]
        verdict.suspicions = self._straggler.observe(tick, groups, values, of_jobs, scored, ahead, dt)
        return verdict

    def _elapsed(self, now: float) -> Single:
        """Seconds since the tick before, per GPU; 0 for a new one."""
        last = self._clock["last"]
        dt = np.where(last > 0, np.clip(now - last, 0.0, GAP), 0.0).astype(np.float32)
        last[...] = now
        return dt

    def _judge(
        self, i: int, groups: PeerGroups, values: Single, centre: list[Single], dt: Single, gain: Single
    ) -> Single:
        offset, noise = self._c["offset"], GPU_SIGNALS[i].noise
        apart = np.empty((len(KINDS), len(values)), np.float32)
        for kind in range(len(KINDS)):
            residuals(values, groups.code[kind], centre[kind], offset[kind, i], apart[kind])
        far = np.abs(apart)
        for kind in range(len(KINDS)):
            own, scatter = (groups.teams, 1) if kind == JOB else (groups.pools, 0)
            in_deviations(far[kind], groups.scatter[scatter], _weight(own, far[kind], noise))
        score = values.copy()
        judge(apart, far, dt, gain, self._c["offset"], i, self._c["age"][i], score)
        return score


def _centres(groups: PeerGroups, values: Single) -> list[Single]:
    """Median of every group by kind of peers; NaN where fewer than `LEAST_PEERS` have a value."""
    placed = values[groups.by_place]
    cells, present = _medians(groups.placed_cells, placed)
    slots, there = _medians(groups.placed_slots, placed)
    found = [_enough(cells, present), _enough(slots, there)]
    for wider in (groups.racks, groups.jobs):
        centre, _ = _medians(wider, cells)
        found.append(_enough(centre, wider.total(present)))
    return found


def _enough(centre: Single, present: np.ndarray) -> Single:
    return np.where(present >= LEAST_PEERS, centre, np.float32(np.nan))


def _weight(groups: Groups, distance: Single, noise: float) -> Single:
    """One over the robust standard deviation of each group's residuals, which is at least `noise`."""
    width, _ = _medians(groups, distance)
    deviation: Single = np.fmax(_TO_DEVIATION * width, np.float32(noise))
    return np.float32(1) / deviation


def _medians(groups: Groups, values: Single) -> tuple[Single, np.ndarray]:
    out, present = np.empty(len(groups), np.float32), np.empty(len(groups), np.int32)
    groups.medians(values, out, present)
    return out, present
