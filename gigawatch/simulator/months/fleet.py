"""The population: racks, nodes and GPUs with constants of their own; a slot may see two GPUs one after
another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gigawatch.simulator.months.mix import Mix, Range

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Rng = np.random.Generator
DAY = 86400.0
PEAK = 1.06
"""Highest load against the power limit that jobs ask for."""


@dataclass(slots=True)
class Months:
    """One plant. Arrays over GPUs unless named `rack_` or `node_`; times are seconds from the start."""

    mix: Mix
    seed: int
    step: float
    span: float
    node: Index
    rack: Index
    node_rack: Index
    rack_liquid: Mask
    rack_blind: Mask
    rack_base: Array
    rack_day: Array
    rack_season: Array
    rack_noise: Array
    node_shift: Array
    node_constant: Mask
    limit: Array
    idle: Array
    resistance: Array
    tau: Array
    offset: Array
    slowdown: Array
    leakage: Array
    slot: list[str]
    uuid: list[str]
    begins: Array
    ends: Array
    quantum: float
    power_noise: float
    has_margin: bool
    fan_share: float
    """Share of an air-cooled GPU's resistance that follows the fans."""
    fan_target: float
    start: float = 1_760_000_000.0
    site: str = field(default="months")

    @property
    def gpus(self) -> int:
        return len(self.node)

    @property
    def racks(self) -> int:
        return len(self.rack_liquid)

    @property
    def nodes(self) -> int:
        return len(self.node_rack)

    def rack_name(self, rack: int) -> str:
        return f"r{rack:03d}"

    def node_name(self, node: int) -> str:
        return f"{self.rack_name(int(self.node_rack[node]))}-n{node:04d}"

    def loop_name(self, rack: int) -> str:
        """The loop of a rack; empty where it is cooled by air."""
        return f"loop-{self.rack_name(rack)}" if self.rack_liquid[rack] else ""


def draw(rng: Rng, given: Range, size: int | None = None) -> Array:
    return np.asarray(rng.uniform(given[0], given[1], size))


def populate(mix: Mix, gpus: int, days: float, step: float, seed: int) -> Months:
    """Draw a plant with `gpus` slots; GPUs that replace others come on top."""
    rng = np.random.default_rng([seed, 1])
    per_node, per_rack = int(rng.choice(mix.gpus_per_node)), int(rng.choice(mix.nodes_per_rack))
    node = np.arange(gpus) // per_node
    nodes = int(node[-1]) + 1
    node_rack = np.arange(nodes) // per_rack
    racks = int(node_rack[-1]) + 1
    liquid = rng.permutation(racks) < round(mix.liquid * racks)
    blind = rng.permutation(racks) < round(mix.blind * racks)
    span = days * DAY
    swapped = np.flatnonzero(rng.random(gpus) < mix.swaps * days / 30)
    slot = np.concatenate((np.arange(gpus), swapped))
    n = len(slot)
    begins, ends = np.zeros(n), np.full(n, np.inf)
    ends[swapped] = rng.uniform(0.2, 0.8, len(swapped)) * span
    begins[gpus:] = ends[swapped] + rng.uniform(1, 8, len(swapped)) * 3600
    node = node[slot]
    rack = node_rack[node]
    base = np.where(liquid, draw(rng, mix.supply, racks), draw(rng, mix.air_inlet, racks))
    swing = draw(rng, mix.day, racks) * np.where(liquid, 0.33, 1.0)
    season = np.full(racks, draw(rng, mix.season)) * rng.uniform(0.5, 1.0, racks)
    limit = np.full(n, round(float(draw(rng, mix.limit_watts)) / 50) * 50.0)
    slowdown = np.full(n, np.round(draw(rng, mix.slowdown)))
    spread = float(draw(rng, mix.spread))
    hottest = base[rack] + swing[rack] + np.maximum(season[rack], 0)
    room = np.clip(float(draw(rng, mix.headroom)) + rng.normal(0, 3.0, n), *mix.headroom)
    # The hottest GPU of a model keeps its headroom; the others have theirs and what their spread gives.
    rise = np.maximum(slowdown - room - hottest, 8.0) * np.exp(-np.abs(rng.normal(0, spread, n)))
    indices = slot % per_node
    return Months(
        mix, seed, step, span, node, rack, node_rack, liquid, blind, base, swing, season,
        draw(rng, mix.sensor_noise, racks), rng.normal(0, 0.8, nodes),
        rng.random(nodes) < mix.constant,
        limit, limit * rng.uniform(0.13, 0.17) * np.exp(rng.normal(0, 0.035, n)),
        rise / (PEAK * limit), float(draw(rng, mix.tau)) * np.exp(rng.normal(0, 0.1, n)),
        draw(rng, mix.offset, n) * 0.5, slowdown, np.full(n, draw(rng, mix.leakage)),
        [str(i) for i in indices], [f"GPU-{seed:x}-{i:06x}" for i in range(n)], begins, ends,
        float(rng.choice(mix.quanta)), float(draw(rng, mix.power_noise)), bool(rng.random() < mix.margin),
        float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.55, 0.8)),
    )  # fmt: skip
