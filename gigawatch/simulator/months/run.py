"""Physics of a plant over months, in steps of the sampling interval, and what its collectors see of it.

C dT/dt = P - (T - T_in) / R, solved exactly per step with tau = R C fixed; leakage raises power with
temperature; fans of air-cooled nodes follow their hottest GPU and so hide part of what goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigawatch.simulator.months.faults import Trouble, factor, flow_left, plan, warmer
from gigawatch.simulator.months.fleet import DAY, Array, Mask, Months
from gigawatch.simulator.months.load import Load

COLUMNS = (
    "gpu_power_watts", "gpu_temperature_celsius", "gpu_temperature_margin_celsius", "gpu_utilization_ratio",
    "inlet_temperature_celsius", "coolant_supply_temperature_celsius", "coolant_flow_cubic_meters_per_second",
)  # fmt: skip
FAN_LAG = 60.0


@dataclass(slots=True)
class Block:
    """Some moments: `times` (Unix seconds), and per column an array (moments, GPUs), float32, NaN absent."""

    times: Array
    columns: dict[str, np.ndarray]
    jobs: np.ndarray
    """Job of every node, (moments, nodes); 0 is none."""


class Run:
    """A plant that is stepped; `troubles` hold the truth once it has run."""

    def __init__(self, plant: Months) -> None:
        self.plant = plant
        self.troubles = plan(plant)
        self._load = Load(plant)
        self._rng = np.random.default_rng([plant.seed, 4])
        self._temperature = plant.rack_base[plant.rack] + 10.0
        self._share = np.zeros(plant.gpus)
        self._fan = np.full(plant.nodes, 0.6)
        self._air = ~plant.rack_liquid[plant.rack]
        self._out = np.zeros(plant.nodes)
        self._rack_out = np.zeros(plant.racks)
        self._gap = float(self._rng.uniform(*plant.mix.gaps))
        self._drift = np.zeros(plant.racks)
        self._cap = np.ones(plant.gpus)
        self._throttled_at = np.full(plant.gpus, np.inf)

    def blocks(self, moments: int = 1440) -> Iterator[Block]:
        """All moments in order, `moments` at a time."""
        total = int(self.plant.span / self.plant.step)
        for first in range(0, total, moments):
            count = min(moments, total - first)
            out = {name: np.empty((count, self.plant.gpus), np.float32) for name in COLUMNS}
            jobs = np.empty((count, self.plant.nodes), np.int64)
            for i in range(count):
                now = (first + i + 1) * self.plant.step
                for name, row in self._moment(now).items():
                    out[name][i] = row
                jobs[i] = self._load.job
            times: Array = np.asarray(self.plant.start + (first + 1.0 + np.arange(count)) * self.plant.step)
            yield Block(times, out, jobs)

    def _moment(self, now: float) -> dict[str, Array]:
        plant, rng = self.plant, self._rng
        acting = [t for t in self.troubles if t.start <= now < t.end]
        resistance, air = plant.resistance.copy(), self._inlets(now, acting)
        full = plant.resistance * plant.limit
        flow = np.ones(plant.racks)
        for trouble in acting:
            resistance[trouble.hit] *= factor(trouble, now, full[trouble.hit])
            if trouble.kind == "flow-loss":
                flow[trouble.rack] = flow_left(trouble, now)
        fan = (1 - plant.fan_share) + plant.fan_share * (self._fan[plant.node] / 0.6) ** -0.7
        resistance *= np.where(self._air, fan, 1.0)
        share = self._load.at(now)
        # A load that changes within the interval acts on the die for part of it only.
        acted = np.where(np.abs(share - self._share) > 0.1, rng.random(), 1.0)
        mean_share = self._share + acted * (share - self._share)
        self._share = share
        power = self._watts(share)
        inlet = air[plant.rack] + np.where(self._air, plant.node_shift[plant.node], 0.0)
        target = inlet + resistance * self._watts(mean_share)
        keep = np.exp(-plant.step / plant.tau)
        self._temperature = target + keep * (self._temperature - target)
        self._control_fans()
        self._fail(now, acting, inlet)
        return self._seen(now, power, air, flow)

    def _watts(self, share: Array) -> Array:
        plant = self.plant
        watts = np.maximum(plant.idle, share * plant.limit)
        watts = watts * (1 + plant.leakage * (self._temperature - 50))
        return np.asarray(watts * self._cap)

    def _inlets(self, now: float, acting: list[Trouble]) -> Array:
        plant, rng = self.plant, self._rng
        keep = np.exp(-plant.step / 1800)
        self._drift = keep * self._drift + np.sqrt(1 - keep**2) * 0.3 * rng.standard_normal(plant.racks)
        day = plant.rack_day * np.sin(2 * np.pi * now / DAY)
        air = plant.rack_base + day + plant.rack_season * now / (40 * DAY) + self._drift
        for trouble in acting:
            if trouble.rack >= 0:
                air[trouble.rack] += warmer(trouble, now)
        return np.asarray(air)

    def _control_fans(self) -> None:
        plant = self.plant
        hottest = np.full(plant.nodes, -np.inf)
        np.maximum.at(hottest, plant.node, self._temperature)
        wanted = np.clip(0.35 + (hottest - 40) / 45 * plant.fan_target, 0.35, 1.0)
        self._fan += (1 - np.exp(-plant.step / FAN_LAG)) * (wanted - self._fan)

    def _fail(self, now: float, acting: list[Trouble], inlet: Array) -> None:
        """Slow down what is too hot, and note which troubles did it.

        Only GPUs count that had not throttled before the trouble began and would not now without it: a rack
        whose air warms by 3 K has not made a GPU throttle whose paste failed days ago.
        """
        plant = self.plant
        there = (now >= plant.begins) & (now < plant.ends)
        # The driver slows the GPU down by what its own sensor says, and holds it there.
        over = self._temperature + plant.offset - plant.slowdown
        hot = (over >= 0) & there
        self._cap = np.clip(self._cap * np.where(hot, 0.8, 1.1), 0.2, 1.0)
        if not hot.any():
            return
        for trouble in acting:
            if trouble.failure == trouble.failure or trouble.kind == "update":
                continue
            mine = hot & trouble.hit & (self._throttled_at >= trouble.start)
            if mine.any():
                full = (plant.resistance * plant.limit)[mine]
                share = 1 - 1 / factor(trouble, now, full)
                added = share * (self._temperature - inlet)[mine] + warmer(trouble, now)
                if (added > over[mine]).any():
                    trouble.failure = now
        self._throttled_at = np.where(hot, np.minimum(self._throttled_at, now), self._throttled_at)

    def _seen(self, now: float, power: Array, air: Array, flow: Array) -> dict[str, Array]:
        """What is written down: with sensors' errors, steps and gaps."""
        plant, rng = self.plant, self._rng
        n = plant.gpus
        core = self._temperature + plant.offset + rng.normal(0, 0.15, n)
        core = np.round(core / plant.quantum) * plant.quantum
        lost = self._lost(now)
        watts = np.where(lost, np.nan, power * (1 + plant.power_noise * rng.standard_normal(n)))
        core = np.where(lost, np.nan, core)
        sensor = air + plant.rack_noise * rng.standard_normal(plant.racks)
        local = sensor[plant.rack] + plant.node_shift[plant.node] * self._air
        blind = plant.rack_blind[plant.rack] | lost
        use = np.where(lost, np.nan, np.clip(self._share * 1.05, 0, 1))
        nothing = np.full(n, np.nan)
        return {
            COLUMNS[0]: watts,
            COLUMNS[1]: core,
            COLUMNS[2]: plant.slowdown - core if plant.has_margin else nothing,
            COLUMNS[3]: use,
            COLUMNS[4]: np.where(blind | ~self._air, np.nan, np.round(local, 1)),
            COLUMNS[5]: np.where(blind | self._air, np.nan, np.round(sensor[plant.rack], 2)),
            COLUMNS[6]: np.where(
                blind | self._air, np.nan, 0.002 * flow[plant.rack] * (1 + 0.01 * rng.standard_normal())
            ),
        }

    def _lost(self, now: float) -> Mask:
        """Rows that never arrive: single ones, bursts of a node, restarted collectors, empty slots."""
        plant, rng = self.plant, self._rng
        step, gap = plant.step, self._gap
        # Half of the gaps are single rows, the rest bursts of half an hour at the mean.
        begin = rng.random(plant.nodes) < 0.5 * gap * step / 1800
        self._out = np.where(begin, now + rng.exponential(1800, plant.nodes), self._out)
        restart = rng.random(plant.racks) < step / (10 * DAY)
        self._rack_out = np.where(restart, now + rng.uniform(60, 900, plant.racks), self._rack_out)
        away = (now < plant.begins) | (now >= plant.ends)
        bursts = (now < self._out)[plant.node] | (now < self._rack_out)[plant.rack]
        return np.asarray(away | bursts | (rng.random(plant.gpus) < 0.5 * gap))
