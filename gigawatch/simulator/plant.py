"""The plant: one moment of a whole site, moved on step by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from gigawatch.simulator import cooling, heat, host, nodes, power, work
from gigawatch.simulator.effects import Effects
from gigawatch.simulator.faults import Fault
from gigawatch.simulator.identity import fingerprint
from gigawatch.simulator.jobs import Job, parse_jobs
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import RAISED_XIDS, XIDS, State
from gigawatch.topology import Inventory

LONGEST_STEP = 5.0
"""Seconds; longer steps are divided, so that governors and valves stay stable."""
CALM_STEP = 10.0
"""Seconds; long enough where no thermal governor is at work or near it: the rest is solved exactly."""
CALM_MARGIN = 12.0
WARM_UP = 1200.0
"""Seconds that a new plant runs before its first moment, so that it begins in balance."""


class Plant:
    """A simulated site. The same inventory, seed, start and steps give the same state, bit for bit.

    Random numbers depend on the seed and the number of steps done and on nothing else, so a plant that
    continues from a saved state goes on exactly as one that never stopped.
    """

    def __init__(
        self,
        inventory: Inventory,
        seed: int = 1,
        start: float = 0.0,
        jobs: Sequence[Job] | None = None,
        warm_up: float = WARM_UP,
    ) -> None:
        rows = parse_jobs(inventory.workloads, inventory) if jobs is None else tuple(jobs)
        self.inventory, self.seed = inventory, seed
        self.fingerprint = fingerprint(inventory)
        self.layout = Layout(inventory, rows, seed)
        self.state = State.empty(self.layout.sizes)
        self.faults: tuple[Fault, ...] = ()
        self._healthy = Effects(self.layout)
        self._begin(start, warm_up)

    @property
    def time(self) -> float:
        """Unix time of the present moment."""
        return self.state.time

    def _begin(self, start: float, warm_up: float) -> None:
        s, layout = self.state, self.layout
        s.clock[0] = start - warm_up
        for array, value in (
            (s.live, 1.0), (s.fed, 1.0), (s.powered, 1.0), (s.charge, 1.0), (s.thermal_cap, 1.0), (s.flow,
            1.0),
            (s.pump_demand, cooling.DESIGN_SPEED), (s.pump, cooling.DESIGN_SPEED), (s.fan_speed, 0.5),
            (s.mount_ok, 1.0), (s.reservoir, cooling.FULL_RESERVOIR), (s.frequency, 1.0), (s.volts, 230.0),
            (s.room, cooling.ROOM_SETPOINT), (s.inlet, cooling.ROOM_SETPOINT), (s.exhaust,
            cooling.ROOM_SETPOINT + 12),
            (s.facility_supply, cooling.FACILITY_SETPOINT), (s.core, 50.0), (s.memory, 55.0),
            (s.first_token, 0.2), (s.cpu_core, 45.0), (s.pcie_width, 16.0), (s.disk_spare, 1.0),
        ):  # fmt: skip
            array[:] = value
        s.supply[:] = layout.loop_setpoint
        s.returning[:] = layout.loop_setpoint + 5
        rng = layout.rng("begin")
        s.phase[:] = rng.uniform(0, 1, s.phase.shape)
        s.in_system[:] = 30.0 * layout.inference
        s.step_time[:] = layout.step_seconds
        s.began[:] = s.reported[:] = s.time
        s.boot[:] = np.floor(start - rng.uniform(4, 40, s.boot.shape) * 86400)
        every = layout.checkpoint_every
        s.next_checkpoint[:] = s.time + rng.uniform(0.2, 1, every.shape) * every
        s.checkpoint_done[:] = np.where(layout.training, s.next_checkpoint - every, 0.0)
        steps = math.ceil(warm_up / LONGEST_STEP)
        for _ in range(steps):
            self.step(warm_up / steps)

    def advance(self, seconds: float, longest: float | None = None) -> None:
        """Move on by `seconds`, in equal steps of at most `longest` (default: as the plant allows)."""
        if longest is None:
            state = self.state
            calm = bool(
                (state.core < self.layout.slowdown - CALM_MARGIN).all() and (state.thermal_cap == 1).all()
            )
            longest = CALM_STEP if calm else LONGEST_STEP
        count = max(1, math.ceil(seconds / longest - 1e-9))
        for _ in range(count):
            self.step(seconds / count)

    def step(self, dt: float) -> None:
        """One step of dt seconds."""
        layout, s = self.layout, self.state
        size = layout.sizes
        counter = int(s.clock[1])
        rng = np.random.Generator(np.random.Philox(key=[self.seed & 0xFFFF_FFFF_FFFF_FFFF, counter]))
        normal = rng.standard_normal(size["G"] + size["N"] + size["D"] + size["K"])
        uniform = rng.random(size["K"])
        at_gpu, at_node, at_device, at_group = np.split(normal, np.cumsum([size["G"], size["N"], size["D"]]))
        effects = Effects.of(layout, self.faults, s.time) if self.faults else self._healthy
        power.feed(layout, s, effects, dt)
        _events(s, effects, dt)
        work.advance(layout, s, effects, dt, at_group, uniform)
        heat.draw_power(layout, s, effects, dt, at_gpu)
        heat.flow_heat(layout, s, effects, dt)
        nodes.advance(layout, s, effects, dt, at_node)
        host.advance(layout, s, effects, dt)
        cooling.advance(layout, s, effects, dt)
        power.advance(layout, s, effects, dt, at_device)
        s.clock[0] += dt
        s.clock[1] += 1

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Faults that act from now on, each by its own times."""
        self.faults = tuple(faults)

    def skip_to(self, time: float) -> None:
        """Set the clock without simulating what lies between, after a pause too long to catch up."""
        self.state.clock[0] = time


def _events(s: State, effects: Effects, dt: float) -> None:
    """Driver events: lost GPUs, memory errors and row remaps, NVLink errors, with their XIDs."""

    def xid(code: int, happened: Array) -> None:
        s.xid[XIDS.index(code)] += happened
        s.xid_at[RAISED_XIDS.index(code)][happened] = s.time

    gone = (effects.gone > 0) | (s.tripped > 0)
    xid(79, gone & (s.lost == 0))
    s.lost[:] = gone
    decaying = effects.ecc > 0
    begins = decaying & (s.remap_pending == 0)
    for code in (48, 63, 94):
        xid(code, begins)
    corrected, uncorrected = 30.0 * effects.ecc * dt, 0.05 * effects.ecc * dt + begins
    s.ecc[:] += np.stack([corrected, corrected, uncorrected, uncorrected])
    s.remapped[:] += np.stack([2.0 * begins + 0.01 * effects.ecc * dt, 1.0 * begins])
    # The reset that ends the drill carries the pending remap out.
    s.remap_pending[:] = decaying
    bad_link = effects.nvlink > 0
    xid(74, bad_link & (s.nvlink_down == 0))
    s.nvlink_down[:] = bad_link
    s.nvlink_errors[:] += np.stack([60.0 * effects.nvlink, 8.0 * effects.nvlink, 0.2 * effects.nvlink]) * dt
    s.replays[:] += 0.002 * dt * (s.lost == 0)
