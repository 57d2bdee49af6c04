"""A GPU against its peers: same node, same place in the rack's other nodes, same rack, same job.

What peers share (inlet, job phase, season) cancels out; what a GPU always had against them (its place in the
air flow, its silicon) is learned as an offset and subtracted. The rest is measured in robust standard
deviations of the peers, with a floor. A GPU is only as abnormal as the kindest of its peer groups says.
GPUs that do not work for the same job, or are of different models, are no peers; when the peers of a GPU
change, what it had against the old ones is forgotten.
"""

from __future__ import annotations

import numpy as np

from analytics.detectors.base import Detector, Scores, Verdict
from analytics.detectors.peer_groups import JOB, KINDS, Identities, PeerGroups
from analytics.detectors.peers_kernel import compare, keep_time
from analytics.detectors.straggler import Straggler
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.fleet.group_kernels import SIDE, Single, networks
from analytics.jit import compiled
from analytics.signals import CLOCK, GPU_SIGNALS

GAP = 300.0
"""Seconds: a longer break counts as this long."""
_CLOCK = GPU_SIGNALS.index(CLOCK)
_KEYS = [signal.key for signal in GPU_SIGNALS]
_NOISE = np.array([signal.noise for signal in GPU_SIGNALS], np.float32)
_NOISE = np.pad(_NOISE, (0, SIDE - len(GPU_SIGNALS)), constant_values=1.0)


class Peers(Detector):
    """Scores every GPU signal by its distance from the GPU's peers, and names stragglers."""

    name = "peers"

    def __init__(self) -> None:
        super().__init__()
        kinds = len(KINDS)
        shapes = {"offset": (kinds, SIDE), "age": (SIDE,), "held": (kinds,), "peers": (kinds,)}
        columns = Columns(shapes, {"offset": np.nan}, np.float32, beside=("offset", "age"))
        self._c = self.table("gpus", Level.GPU, columns)
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
        gain, offset = np.empty_like(self._c["held"]), self._c.together("offset")
        keep_time(self._c["held"], self._c["peers"], groups.signature, offset, dt, gain)
        found = np.empty((len(GPU_SIGNALS), len(gpus)), np.float32)
        for row, signal in zip(found, GPU_SIGNALS, strict=True):
            if signal.key in tick.values:
                _copy(tick.value(signal.key, Level.GPU), row)
            else:
                row[:] = np.nan
        score, of_jobs = np.empty_like(found), np.empty((len(GPU_SIGNALS), len(groups.jobs)), np.float32)
        compare(
            found, _NOISE, groups.peering, networks(), dt, gain, offset, self._c.together("age"), score,
            of_jobs,
        )  # fmt: skip
        values, scored, medians = (dict(zip(_KEYS, rows, strict=True)) for rows in (found, score, of_jobs))
        verdict = Verdict([Scores(key, Level.GPU, scored[key]) for key in _KEYS])
        ahead = self._c["offset"][JOB, _CLOCK]
        verdict.suspicions = self._straggler.observe(tick, groups, values, medians, scored, ahead, dt)
        return verdict

    def _elapsed(self, now: float) -> Single:
        """Seconds since the tick before, per GPU; 0 for a new one."""
        last = self._clock["last"]
        dt = np.where(last > 0, np.clip(now - last, 0.0, GAP), 0.0).astype(np.float32)
        last[...] = now
        return dt


@compiled
def _copy(values: Floats, out: Single) -> None:
    """What float32 cannot hold is absent."""
    for i in range(len(out)):
        x = np.float32(values[i])
        out[i] = x if abs(x) < np.inf else np.float32(np.nan)
