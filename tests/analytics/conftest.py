"""A small plant of its own: lumped thermal physics, jobs with swings and checkpoints, faults on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from analytics.detectors import Detector
from analytics.engine import Engine, Outcome
from analytics.fleet import Fleet, Level, Tick


@dataclass
class Plant:
    """GPUs on liquid loops (or air), advanced in steps; every attribute may be changed while it runs."""

    racks: int = 1
    nodes: int = 2
    gpus: int = 8
    air: bool = False
    tau: float = 40.0
    step: float = 5.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.fleet = Fleet()
        self.names = [f"r{r:02d}-n{n:02d}" for r in range(self.racks) for n in range(self.nodes)]
        labels = [
            {
                "uuid": f"GPU-{node}-{g}",
                "gpu": str(g),
                "node": node,
                "rack": node[:3],
                "loop": "" if self.air else f"loop-{node[:3]}",
                "job": f"job-{node[:3]}",
            }
            for node in self.names
            for g in range(self.gpus)
        ]
        self.fleet[Level.GPU].rows([x["uuid"] for x in labels], labels)
        seen = {x["node"]: {"node": x["node"], "rack": x["rack"], "loop": x["loop"]} for x in labels}
        self.fleet[Level.NODE].rows(list(seen), list(seen.values()))
        racks = sorted({x["rack"] for x in labels})
        self.fleet[Level.RACK].rows(racks, [{"rack": rack} for rack in racks])
        if not self.air:
            loops = sorted({x["loop"] for x in labels})
            self.fleet[Level.LOOP].rows(loops, [{"loop": loop} for loop in loops])
        self.node = np.repeat(np.arange(len(self.names)), self.gpus)
        n = len(labels)
        self.resistance = 0.045 * np.exp(0.08 * self.rng.standard_normal(n))
        self.factor = np.ones(n)
        self.full = 620.0 * np.exp(0.03 * self.rng.standard_normal(n))
        self.cap = np.full(n, 700.0)
        self.temperature = np.full(n, 40.0)
        self.supply, self.inlet, self.flow = 30.0, 24.0, 1.0
        self.slowdown = 87.0
        self.now = 1_760_000_000.0
        self.begun = self.now
        self.load: Callable[[float], np.ndarray] = self.training

    @property
    def reference(self) -> float:
        return self.inlet if self.air else self.supply

    def training(self, t: float) -> np.ndarray:
        """Full load that swings, with a checkpoint of 25 s every five minutes; nodes out of step."""
        phase = t + 47.0 * np.arange(len(self.names))
        per_node = 0.92 + 0.08 * np.sin(2 * np.pi * phase / 37)
        per_node = np.where(phase % 300 < 25, 0.25, per_node)
        return per_node[self.node]

    def advance(self, seconds: float) -> None:
        fine = 1.0
        for _ in range(int(seconds / fine)):
            share = self.load(self.now - self.begun)
            self.power = np.minimum(70 + share * (self.full - 70), self.cap)
            self.power = self.power * (1 + 0.025 * self.rng.standard_normal(len(self.power)))
            rise = self.resistance * self.factor * self.flow**-0.8 * self.power
            target = self.reference + rise
            self.temperature += (1 - np.exp(-fine / self.tau)) * (target - self.temperature)
            self.now += fine

    def tick(self) -> Tick:
        core = np.rint(self.temperature + 0.2 * self.rng.standard_normal(len(self.temperature)))
        values = {
            "power": self.power.copy(),
            "temperature": core,
            "memory_temperature": core + 9,
            "utilization": np.clip(self.power / self.full, 0, 1),
            "clock": np.full(len(core), 1.98e9),
            "margin": self.slowdown - core,
            "inlet": np.full(len(self.names), self.inlet) + 0.2 * self.rng.standard_normal(len(self.names)),
        }
        per_rack = self.power.reshape(self.racks, -1).sum(axis=1)
        values["rack_power"] = per_rack * 1.2
        values["rack_power_budget"] = np.full(self.racks, 1.5 * self.full.sum() / self.racks)
        if not self.air:
            loops = len(self.fleet[Level.LOOP])
            values["coolant_supply"] = np.full(loops, self.supply)
            values["coolant_flow"] = np.full(loops, self.flow)
        return Tick(self.now, self.fleet, values)

    def ticks(self, seconds: float) -> Iterator[Tick]:
        for _ in range(int(seconds / self.step)):
            self.advance(self.step)
            yield self.tick()

    def engine(self, *detectors: Detector) -> Engine:
        """All detectors (or these) over this plant's fleet."""
        return Engine(detectors or None, fleet=self.fleet)

    def run(self, engine: Engine, seconds: float) -> list[Outcome]:
        return [engine.run(tick) for tick in self.ticks(seconds)]


@pytest.fixture
def make_plant() -> type[Plant]:
    return Plant
