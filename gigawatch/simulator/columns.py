"""What a recorded scenario says at one moment: a row per GPU, with what its node, rack, loop and job show."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import fabric, facility, gpu, gpu_links, host, site, training
from gigawatch.catalogue.xids import CLASSES
from gigawatch.simulator.emit_gpu import CLOCK_STEP
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import TIMED_REASONS, XIDS, State
from gigawatch.topology import Role

_OF_GPUS = (
    gpu.GPU_POWER.key, gpu.GPU_ENERGY.key, gpu.GPU_TEMPERATURE.key, "gpu_memory_temperature_celsius",
    gpu.GPU_TEMPERATURE_MARGIN.key, gpu.GPU_UTILIZATION.key, gpu.GPU_CLOCK.key, gpu.GPU_POWER_LIMIT.key,
    gpu.GPU_ECC_ERRORS.key, gpu.GPU_REMAPPED_ROWS.key, gpu.GPU_ROW_REMAP_PENDING.key,
    gpu_links.GPU_PCIE_REPLAYS.key, gpu_links.GPU_NVLINK_ERRORS.key, "gpu_nvlink_down",
    "gpu_power_brake_seconds_total", "training_rank_wait_ratio",
)  # fmt: skip
"""What a GPU that is lost no longer says."""
_OF_LOGS = (gpu.GPU_XID_ERRORS.key, *(f"gpu_xid_{name}_errors_total" for name in CLASSES))
_OF_NODES = (
    "inlet_temperature_celsius", facility.FAN_SPEED.key, "fan_speed_slowest_ratio", host.HOST_POWER.key,
    "node_supplies_failed", fabric.IB_PORT_ERRORS.key, fabric.IB_PORT_FLAPS.key,
)  # fmt: skip
_OF_RACKS = (
    "rack_power_watts",
    site.POWER_BUDGET.key,
    "rack_power_sides_live",
    "rack_side_power_least_watts",
)
_OF_LOOPS = (
    facility.COOLANT_SUPPLY_TEMPERATURE.key, facility.COOLANT_RETURN_TEMPERATURE.key,
    facility.COOLANT_FLOW.key, facility.PUMP_SPEED.key, "pumps_running",
    "coolant_differential_pressure_pascals",
)  # fmt: skip
_OF_JOBS = ("job_power_watts", training.TRAINING_STEP_DURATION.key)
METRICS = (*_OF_GPUS, *_OF_LOGS, *_OF_NODES, *_OF_RACKS, *_OF_LOOPS, *_OF_JOBS)
"""Named as in the catalogue without its prefix; where that has labels: the die's temperature, the SM clock,
the enforced limit, errors of all kinds, rows replaced for uncorrected errors. Others are named as `gigawatch
analytics backtest` reads them: the parts of a metric, or what recording rules make of several."""
_TURNS = 0.05
"""Share of its speed from which on a pump runs."""


class Columns:
    """Values of METRICS, moment by moment."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._brake = TIMED_REASONS.index("hw_power_brake_slowdown")
        self._classes = [
            [row for row, code in enumerate(XIDS) if code in codes] for codes in CLASSES.values()
        ]
        self._budget = np.array([rack.power_watts for rack in layout.inventory.racks])
        self._sides = _sides(layout)
        self._waited: tuple[float, Array] | None = None

    def at(self, s: State) -> Array:
        """One row per metric, one column per GPU; NaN where there is none."""
        layout = self._layout
        node = layout.gpu_node
        gpus = self._gpus(s)
        gpus[:, s.lost > 0] = np.nan
        logs = np.stack([s.xid.sum(axis=0), *(s.xid[rows].sum(axis=0) for rows in self._classes)])
        around = self._nodes(s)[:, node], self._racks(s)[:, layout.node_rack[node]]
        loop = layout.node_loop[node]
        cooled = np.full((len(_OF_LOOPS), len(node)), np.nan)
        if layout.sizes["L"]:
            cooled = np.where(loop >= 0, self._loops(s)[:, loop], np.nan)
        table = np.vstack([gpus, logs, *around, cooled, self._jobs(s)])
        table[:, s.powered[node] == 0] = np.nan
        return table

    def _gpus(self, s: State) -> Array:
        layout = self._layout
        core = np.round(s.core)
        return np.vstack([
            np.round(s.power, 3), np.round(s.energy), core, np.round(s.memory), layout.slowdown - core,
            np.round(s.utilization, 2), np.round(s.frequency * layout.sm_clock / CLOCK_STEP) * CLOCK_STEP,
            np.round(s.limit), np.floor(s.ecc[0] + s.ecc[2]), np.floor(s.remapped[1]), s.remap_pending,
            np.floor(s.replays), np.floor(s.nvlink_errors).sum(axis=0), s.nvlink_down > 0,
            np.round(s.reason_seconds[self._brake], 3), self._rank_wait(s),
        ])  # fmt: skip

    def _rank_wait(self, s: State) -> Array:
        """Share of the time since the last moment in which the other ranks waited for it."""
        layout, before = self._layout, self._waited
        self._waited = (s.time, s.rank_wait.copy())
        if before is None or s.time <= before[0]:
            return np.full(len(layout.gpu_node), np.nan)
        share = (s.rank_wait - before[1]) / (s.time - before[0])
        # A restarted process counts from 0 again.
        return np.where(layout.training[layout.gpu_group] & (share >= 0), np.round(share, 4), np.nan)

    def _nodes(self, s: State) -> Array:
        still = np.round(s.fans_lost * self._layout.node_fans) > 0
        speed = np.round(s.fan_speed, 2)
        return np.vstack([
            np.round(s.inlet, 1), speed, np.where(still, 0.0, speed), np.round(s.node_power), s.psus_lost,
            np.floor(s.port_errors).sum(axis=0), np.floor(s.port_flaps),
        ])  # fmt: skip

    def _racks(self, s: State) -> Array:
        sides = [np.bincount(rack, s.power_in[device], len(self._budget)) for device, rack in self._sides]
        live = [np.bincount(rack, s.fed[device] > 0, len(self._budget)) > 0 for device, rack in self._sides]
        there = np.stack([np.bincount(rack, minlength=len(self._budget)) > 0 for _, rack in self._sides])
        least = np.where(there, sides, np.inf).min(axis=0)
        metered = there.any(axis=0)
        return np.vstack([
            np.where(metered, np.round(np.sum(sides, axis=0), 1), np.nan), self._budget,
            np.where(metered, np.sum(live, axis=0), np.nan),
            np.where(there.sum(axis=0) >= 2, np.round(least, 1), np.nan),
        ])  # fmt: skip

    def _loops(self, s: State) -> Array:
        layout = self._layout
        count = len(layout.loop)
        turning = (s.pump > _TURNS).sum(axis=0)
        running = np.bincount(layout.cdu_loop, turning, count)
        speed = np.bincount(layout.cdu_loop, np.where(s.pump > _TURNS, s.pump, 0.0).sum(axis=0), count)
        pressure = np.zeros(count)
        np.maximum.at(pressure, layout.cdu_loop, s.unit_pressure)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(running > 0, np.round(speed / running, 3), np.nan)
        return np.vstack([
            np.round(s.supply, 2), np.round(s.returning, 2), np.round(s.flow * layout.loop_flow, 7), mean,
            running, np.round(pressure, -1),
        ])  # fmt: skip

    def _jobs(self, s: State) -> Array:
        group = self._layout.gpu_group
        watts = np.bincount(group, s.power, self._layout.sizes["K"])
        step = np.where(self._layout.training & (s.step_time > 0), np.round(s.step_time, 4), np.nan)
        return np.where(group > 0, np.stack([np.round(watts, 1)[group], step[group]]), np.nan)


def _sides(layout: Layout) -> list[tuple[Array, Array]]:
    """Rack PDUs by their side: their numbers as devices, and the racks that they stand in."""
    pdus = [device for device in layout.inventory.devices_with(Role.RACK_PDU) if device.rack]
    sides = sorted({layout.inventory.side_of(device) for device in pdus}) or [""]
    made = []
    for side in sides:
        own = [device for device in pdus if layout.inventory.side_of(device) == side]
        devices = np.array([layout.device[device.name] for device in own], dtype=np.int64)
        made.append((devices, np.array([layout.rack[device.rack] for device in own], dtype=np.int64)))
    return made
