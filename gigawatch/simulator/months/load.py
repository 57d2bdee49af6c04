"""What the nodes run: jobs that come and go with levels as in real clusters, or one load for ever.

Levels of jobs follow the power quantiles of two A100 clusters in AcmeTrace (Hu et al., NSDI'24, CC-BY-4.0) as
shares of the power limit: about three tenths idle, the loaded ones between a half and all of it, a few above.
"""

from __future__ import annotations

import numpy as np

from gigawatch.simulator.months.fleet import PEAK, Array, Months

IDLE_SHARE = 0.29
LOADED = ((0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0), (0.30, 0.55, 0.78, 0.92, 0.98, 1.02, 1.05, PEAK))
"""Quantiles of a loaded GPU's mean power against its limit."""
_SHORT, _LONG = 1800.0, 6 * 3600.0


class Load:
    """The wanted power of every GPU (share of idle to limit, before noise), one step after another."""

    def __init__(self, plant: Months) -> None:
        self._plant, self._rng = plant, np.random.default_rng([plant.seed, 2])
        n, g = plant.nodes, plant.gpus
        rng = self._rng
        self._until = np.zeros(n)
        self._level, self._swing, self._period = np.zeros(n), np.zeros(n), np.full(n, 300.0)
        self._busy: Array = np.ones(g)
        self._own: Array = np.exp(rng.normal(0, 0.02, g))
        self._wander = np.zeros(g)
        self._steady = np.interp(rng.random(n), *LOADED)
        self.job = np.zeros(n, np.intp)
        self._jobs = 0

    def _start_jobs(self, now: float) -> None:
        plant, rng = self._plant, self._rng
        due = np.flatnonzero(now >= self._until)
        if not due.size:
            return
        k = len(due)
        steady = plant.node_constant[due]
        idle = (rng.random(k) < IDLE_SHARE) & ~steady
        level = np.where(idle, 0.0, np.interp(rng.random(k), *LOADED))
        # A constant node changes its mix at most now and then: 15 % up or down.
        first = self.job[due] == 0
        mixed = np.clip(self._steady[due] * np.where(first, 1.0, rng.uniform(0.85, 1.15, k)), 0.3, PEAK)
        self._steady[due] = np.where(steady, mixed, self._steady[due])
        self._level[due] = np.where(steady, self._steady[due], level)
        lasts = np.exp(rng.normal(np.log(_LONG), 1.2, k))
        lasts = np.where(idle, np.exp(rng.normal(np.log(_SHORT), 1.2, k)), lasts) / plant.mix.pace
        self._until[due] = now + np.where(steady, rng.exponential(30.0, k) * 86400 + 5 * 86400, lasts)
        self._swing[due] = np.where(steady, 0.0, rng.choice([0.0, 0.03, 0.1], k))
        self._period[due] = rng.uniform(20, 1800, k)
        self.job[due] = np.where(idle, 0, self._jobs + 1 + np.arange(k))
        self._jobs += k
        # One job in five holds part of a node only.
        part = (rng.random(k) < 0.2) & ~idle & ~steady
        touched = np.isin(plant.node, due)
        alone = np.zeros(plant.nodes, bool)
        alone[due[part]] = True
        self._busy[touched] = np.where(alone[plant.node[touched]], rng.random(touched.sum()) < 0.6, 1.0)

    def at(self, now: float) -> Array:
        """Share of the limit that each GPU wants at `now` (0 idle)."""
        self._start_jobs(now)
        plant = self._plant
        phase = np.sin(2 * np.pi * now / self._period)
        checkpoint = np.where((now % 3600 < 60) & (self._swing > 0.05), 0.4, 1.0)
        share = self._level * (1 + self._swing * phase) * checkpoint
        keep = np.exp(-plant.step / 3600)
        noise = self._rng.standard_normal(plant.gpus)
        self._wander = keep * self._wander + np.sqrt(1 - keep**2) * 0.012 * noise
        moving = np.where(plant.node_constant[plant.node], 0.2, 1.0)
        return np.minimum(share[plant.node] * self._busy * self._own * (1 + moving * self._wander), PEAK)
