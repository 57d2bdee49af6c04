"""The slow lane over weeks: what is one GPU's own, what its node's, and what is nobody's fault."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from analytics.detectors import thermal_loops as loops
from analytics.detectors import thermal_slow as slow
from analytics.detectors.thermal_groups import topology
from analytics.fleet import Fleet, Level

WINDOWS = 24


@dataclass
class Weeks:
    """A plant in blocks of six hours; `factor` multiplies every GPU's resistance, `share` is its load."""

    racks: int = 2
    nodes: int = 4
    gpus: int = 8
    air: bool = False
    noise: float = 0.01
    """Relative noise of the mean power of ten minutes."""
    seed: int = 1
    number: int = field(default=80_000)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        fleet = Fleet()
        names = [
            {"uuid": f"{r}-{n}-{g}", "gpu": str(g), "node": f"n{r}-{n}", "rack": f"r{r}",
             "loop": "" if self.air else f"l{r}"}
            for r in range(self.racks) for n in range(self.nodes) for g in range(self.gpus)
        ]  # fmt: skip
        fleet[Level.GPU].rows([x["uuid"] for x in names], names)
        self.top = topology(fleet, None)
        n = len(names)
        self.resistance = 0.045 * np.exp(0.05 * self.rng.standard_normal(n))
        self.factor, self.share = np.ones(n), np.full(n, 0.9)
        self.works = np.ones(n, bool)
        self.s = np.zeros((loops.SIZE, n), np.float32)
        self.c = np.zeros((slow.SLOW_SIZE, n), np.float32)
        self.ring = np.zeros((slow.RING_ROWS, slow.RING, n), np.float32)
        slow.begin(self.c, np.arange(n))
        self.ever = np.zeros((2, n), bool)

    def rows(self, rack: int, node: int) -> np.ndarray:
        first = (rack * self.nodes + node) * self.gpus
        return np.arange(first, first + self.gpus)

    def block(self) -> None:
        """Six hours of ten-minute means, as the fast loop leaves them behind, and the judgement of them."""
        n = len(self.factor)
        load = self.share * (1 + 0.01 * self.rng.standard_normal((WINDOWS, n))) * 700
        y = self.resistance * self.factor * load + 0.1 * self.rng.standard_normal((WINDOWS, n))
        x = load * (1 + self.noise * self.rng.standard_normal((WINDOWS, n)))
        self.s[loops.BN] = np.where(self.works, WINDOWS, 0)
        self.s[loops.BMX], self.s[loops.BMY] = x.mean(axis=0), y.mean(axis=0)
        dx = x - x.mean(axis=0)
        self.s[loops.BSXX] = (dx**2).sum(axis=0)
        self.s[loops.BSXY] = (dx * (y - y.mean(axis=0))).sum(axis=0)
        self.s[loops.HIGH] = np.maximum(self.s[loops.HIGH], x.max(axis=0))
        self.s[loops.PEAK], self.s[loops.PEAK_REF] = y.max(axis=0) + 30, 30
        self.number += 1
        blind = np.zeros(n, bool)
        slow.close_block(self.number * slow.BLOCK, self.s, self.c, self.ring, self.top, blind)
        self.ever |= self.c[[slow.ALARM_OWN, slow.ALARM_NODE]] > 0

    def days(self, count: float) -> None:
        for _ in range(int(count * 4)):
            self.block()

    def called(self) -> tuple[list[int], list[int]]:
        """GPUs that were ever called for themselves, and those that were with their node."""
        return np.flatnonzero(self.ever[0]).tolist(), np.flatnonzero(self.ever[1]).tolist()


@pytest.mark.parametrize("noise", [0.01, 0.04])
def test_noise_of_the_power_at_constant_load_is_no_load_swing(noise):
    plant = Weeks(noise=noise)
    plant.days(10)
    x = plant.c[slow.BASE_X]
    line = plant.c[slow.SLOPE] * x
    np.testing.assert_allclose(line, plant.resistance * x, rtol=0.12)
    plant.share[plant.rows(0, 1)] *= 1.15
    plant.share[plant.rows(1, 2)] *= 0.85
    plant.days(10)
    assert plant.called() == ([], [])


@pytest.mark.parametrize("size", [-0.09, 0.09])
@pytest.mark.parametrize("gpus", [2, 8])
def test_many_nodes_that_step_at_one_moment_are_software_and_drift_shows_after_it(size, gpus):
    plant = Weeks(racks=4, nodes=3, gpus=gpus, seed=3)
    plant.days(10)
    for _ in range(2):
        for rack, nodes in enumerate(([0, 1], [0], [2], [0, 1, 2])):
            for node in nodes:
                plant.factor[plant.rows(rack, node)] *= 1 + size
        plant.days(6)
    assert plant.called() == ([], [])
    ill = int(plant.rows(1, 0)[1])
    for _ in range(20):
        plant.factor[ill] *= 1.01
        plant.block()
    assert plant.called() == ([ill], [])


def test_a_node_that_clogs_bit_by_bit_is_called_as_a_node_and_a_small_step_is_not():
    plant = Weeks(seed=4)
    plant.days(10)
    plant.factor[plant.rows(1, 3)] *= 1.1
    clogs = plant.rows(0, 2)
    for _ in range(18):
        plant.factor[clogs] *= 1.007
        plant.block()
    assert plant.called() == ([], clogs.tolist())


def test_where_fans_slow_down_since_most_of_a_node_idles_the_rest_is_not_called():
    plant = Weeks(air=True, gpus=4, seed=5)
    plant.days(10)
    alone, *others = plant.rows(0, 1).tolist()
    plant.works[others] = False
    plant.factor[alone] *= 1.12
    plant.days(5)
    assert plant.called() == ([], [])
    plant.works[:] = True
    plant.days(5)
    assert plant.called() == ([alone], [])


def test_what_ran_cooler_for_weeks_and_returns_to_where_it_was_has_not_worn():
    plant = Weeks(seed=6)
    plant.days(8)
    plant.factor[5] = 0.85
    plant.days(12)
    plant.factor[5] = 1.0
    plant.days(8)
    assert plant.called() == ([], [])
    plant.factor[5] = 1.2
    plant.days(4)
    assert plant.called() == ([5], [])


def test_what_is_ill_does_not_tell_the_inlet_unless_all_are():
    plant = Weeks(racks=1, nodes=2, seed=7)
    plant.days(8)
    assert (plant.c[slow.WITNESS] == 1).all()
    ill = plant.rows(0, 1)
    for _ in range(40):
        plant.factor[ill] *= 1.01
        plant.block()
    assert (plant.c[slow.WITNESS, ill] == -1).all()
    assert (plant.c[slow.WITNESS, plant.rows(0, 0)] == 1).all()
