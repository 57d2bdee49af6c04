"""Each node as a whole: do its signals go together, and move, as those of like nodes do?

What no detector of single signals sees: power without heat, clocks without load, GPUs of one node drifting
apart. A model of all nodes together judges every node: it is learned as the fleet runs, or given. It only
scores: it knows no causes, and nobody is called for its sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detectors.base import Detector, Scores, Verdict
from analytics.fleet import Fleet, Level, Tick
from analytics.fleet.columns import Columns, Floats, Ints
from analytics.models.kernel import SHARPNESS
from analytics.models.nodes_kernel import gather, judge, look
from analytics.models.pool import Shared
from analytics.signals import CLOCK, INLET, MEMORY_TEMPERATURE, POWER, TEMPERATURE, UTILIZATION

if TYPE_CHECKING:
    from analytics.models.estimator import MetricsModel

OF_GPUS = (POWER, TEMPERATURE, MEMORY_TEMPERATURE, UTILIZATION, CLOCK)
OF_NODES = (INLET,)
KINDS = ("mean", "highest", "lowest")
FEATURES = [f"{signal.key} {kind}" for signal in OF_GPUS for kind in KINDS] + [s.key for s in OF_NODES]
NOISE = np.array([signal.noise for signal in OF_GPUS for _ in KINDS] + [signal.noise for signal in OF_NODES])
SHORT, USUAL, HOLD = 300.0, 7 * 86400.0, 300.0
"""Seconds: memory of the short mean and of what is usual, half-life of a score."""
GAP = 900.0
WARM_UP = 30
"""Ticks of a node before it is judged."""


class Multivariate(Detector):
    """Scores every node by how unlike its own past and its peers' ways its signals are together."""

    name = "multivariate"
    suspects = False

    def __init__(self, model: MetricsModel | None = None) -> None:
        super().__init__()
        features = len(FEATURES)
        self.pool = Shared(features)
        self.table("pool", Level.NODE, self.pool)
        self._nodes = self.table(
            "nodes",
            Level.NODE,
            Columns(
                {"usual": (features,), "short": (features,), "last": (features,), "held": (), "rows": ()},
                fill={"usual": np.nan, "last": np.nan},
                dtype=np.float32,
            ),
        )
        self._clock = self.table("clock", Level.NODE, Columns({"last": ()}))
        self._owners: tuple[Ints, list[str], int, Ints] | None = None
        if model is not None:
            self.pool.adopt(model, FEATURES)

    def observe(self, tick: Tick) -> Verdict:
        nodes, pool = self._nodes, self.pool
        n = len(nodes)
        if not n:
            return Verdict([Scores("node", Level.NODE, np.zeros(0))])
        x = self._features(tick, n)
        last = self._clock["last"]
        dt = min(max(tick.now - float(last.max(initial=0.0)), 0.0), GAP)
        late = tick.now - last > GAP
        nodes["last"][:, late] = np.nan
        present = np.isfinite(x).any(axis=0)
        nodes["rows"] += present
        usual_gain = np.maximum(1 / np.maximum(nodes["rows"], 1), 1 - np.exp(-dt / USUAL)).astype(np.float32)
        z, apart, step = np.empty_like(x), np.empty_like(x), np.empty_like(x)
        tops = np.empty((3, 3, n), np.float32)
        scale = pool["scale"].astype(np.float32)
        look(
            x, nodes["usual"], nodes["short"], nodes["last"], _single(1 - np.exp(-dt / SHORT)), usual_gain,
            pool["deviation"].astype(np.float32), scale, z, apart, step, tops,
        )  # fmt: skip
        residual = pool["weights"].T.astype(np.float32) @ z
        judge(residual, scale, _single(0.5 ** (dt / HOLD)), tops, nodes["held"])
        last[present] = tick.now
        warm = present & (nodes["rows"] > WARM_UP)
        if pool.learns:
            self._learn(warm, apart, step, residual)
        if not pool.ready:
            nodes["held"][:] = 0.0
        power = (nodes["held"].astype(np.float64) / pool["level"][0]) ** SHARPNESS
        score = np.where(warm & pool.ready, power / (1.0 + power), np.nan)
        return Verdict([Scores("node", Level.NODE, score)])

    def _learn(self, warm: np.ndarray, apart: Floats, step: Floats, residual: Floats) -> None:
        rows = self.pool.sample(len(warm))
        rows = rows[warm[rows]]
        if rows.size:
            short, held = self._nodes["short"][:, rows], self._nodes["held"][rows]
            self.pool.learn(apart[:, rows], step[:, rows], residual[:, rows], short, held)
            if self.pool.due():
                self.pool.fit(NOISE)

    def _features(self, tick: Tick, n: int) -> Floats:
        """What each node shows, [features, nodes]; NaN where it shows nothing."""
        out = np.empty((len(FEATURES), n), np.float32)
        owner, room = self._owner(tick.fleet), np.empty(n, np.float32)
        for i, signal in enumerate(OF_GPUS):
            part = out[3 * i : 3 * i + 3]
            if signal.key in tick.values:
                gather(tick.value(signal.key, Level.GPU), owner, room, part)
            else:
                part[:] = np.nan
        for i, signal in enumerate(OF_NODES, start=3 * len(OF_GPUS)):
            out[i] = np.clip(tick.value(signal.key, Level.NODE), -3e38, 3e38)
        return out

    def _owner(self, fleet: Fleet) -> Ints:
        """The row of every GPU's node; -1 where it has none."""
        codes, names = fleet[Level.GPU].codes("node")
        keys = fleet[Level.NODE].keys
        known = self._owners
        if known is None or known[0] is not codes or known[1] is not keys or known[2] != len(keys):
            found = (fleet[Level.NODE].find(name) for name in names)
            rows = np.array([-1 if row is None else row for row in found], np.intp)
            owner = np.where(codes >= 0, rows[np.maximum(codes, 0)], -1) if len(rows) else codes
            self._owners = known = (codes, keys, len(keys), owner)
        return known[3]


def _single(value: float) -> Floats:
    return np.array([value], np.float32)
