"""What each fault does to the physics: it changes a cause (a resistance, a pump, a port), never a reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from gigawatch.simulator.faults import Fault, Target
from gigawatch.simulator.layout import Array, Index, Layout
from gigawatch.topology import Role


class Effects:
    """The sum of all faults that act now. Neutral values mean a healthy plant."""

    def __init__(self, layout: Layout) -> None:
        size = layout.sizes
        self.layout = layout

        def ones(axis: str) -> Array:
            return np.ones(size[axis])

        def zeros(axis: str) -> Array:
            return np.zeros(size[axis])

        self.interface = ones("G")
        """Factor on the resistance between die and plate."""
        self.plate = ones("N")
        """Factor on the resistance between plate and coolant."""
        self.limit = ones("G")
        """Factor on the power limit."""
        self.clock = ones("G")
        """Clock held at this share of the maximum."""
        self.gone = zeros("G")
        self.ecc = zeros("G")
        self.nvlink = zeros("G")
        self.pcie = zeros("G")
        """A PCIe link that has lost half of its lanes and repeats packets."""
        self.fans = zeros("N")
        """Share of a node's fans that stand still."""
        self.psus = zeros("N")
        self.node_leak = zeros("N")
        self.flapping = zeros("N")
        self.hang = zeros("N")
        self.starved = zeros("N")
        """A host too busy to feed its inference engine."""
        self.stall = zeros("N")
        self.crash = zeros("N")
        """A node on which a rank crashes as soon as its job works again."""
        self.time_lost = zeros("N")
        """Nothing keeps the node's clock, and it runs wrong."""
        self.disk = zeros("N")
        """Share of a local disk's life that is gone before its time."""
        self.branch = ones("R")
        """Conductance of a rack's coolant branch."""
        self.hot_air = zeros("R")
        self.pumps = zeros("C")
        """Pumps that stand still, of two."""
        self.unit_dead = zeros("C")
        self.setpoint = zeros("C")
        self.leak = zeros("C")
        """Leaks that a coolant unit's own sensor sees."""
        self.drain = zeros("C")
        """Leaks that empty a unit's reservoir, wherever they are."""
        self.feed = zeros("D")
        self.ups = zeros("D")
        self.foreign = zeros("D")
        self.lying = zeros("D")
        """A meter that shows its currents in the wrong scale."""
        self.wet = zeros("D")
        """Leak sensors of racks and floors that stand in water."""
        self.silent = zeros("D")
        """A device whose network interface has died."""

    @classmethod
    def of(cls, layout: Layout, faults: Iterable[Fault], now: float) -> Effects:
        """What acts at a moment."""
        effects = cls(layout)
        for fault in faults:
            level = fault.level(now)
            if level > 0:
                EFFECTS[fault.kind](effects, fault.target, level, now - fault.start)
        return effects

    def gpus(self, target: Target) -> Index:
        """Indices of the target's GPUs."""
        layout = self.layout
        if target.kind == "gpu":
            return np.array([layout.node_gpu_start[layout.node[target.name]] + target.gpu])
        node = layout.node[target.name]
        return np.arange(layout.node_gpu_start[node], layout.node_gpu_stop[node])

    def units(self, target: Target) -> Index:
        """Indices of the target's coolant units; those of its loop for a node or a tray."""
        layout = self.layout
        if target.kind == "cdu":
            return np.array([layout.cdu[target.name]])
        name = target.name
        if target.kind == "node":
            name = layout.inventory.node[name].loop
        elif target.kind == "tray":
            name = layout.inventory.device[name].loop
        return np.flatnonzero(layout.cdu_loop == layout.loop[name]) if name else np.zeros(0, dtype=np.int64)

    def racks(self, target: Target) -> Index:
        """Indices of the target's racks; all that hang on it for a loop."""
        layout = self.layout
        if target.kind == "rack":
            return np.array([layout.rack[target.name]])
        return np.unique(layout.node_rack[layout.node_loop == layout.loop[target.name]])


Effect = Callable[[Effects, Target, float, float], None]
"""Called with the effects so far, the target, the level now (0 to 1) and the seconds since the start."""


def _thermal_interface(e: Effects, target: Target, level: float, _: float) -> None:
    e.interface[e.gpus(target)] *= 1 + 1.33 * level  # the interface is 60 % of the whole resistance


def _cold_plate(e: Effects, target: Target, level: float, _: float) -> None:
    e.plate[e.layout.node[target.name]] *= 1 + 1.5 * level  # the plate is 40 % of the whole resistance


def _fans(e: Effects, target: Target, level: float, _: float) -> None:
    node = e.layout.node[target.name]
    count = e.layout.node_fans[node]
    e.fans[node] = max(e.fans[node], max(1.0, round(count * 0.5 * level)) / count)


def _pump(e: Effects, target: Target, level: float, _: float) -> None:
    e.pumps[e.units(target)] = np.minimum(2, e.pumps[e.units(target)] + level)


def _unit(e: Effects, target: Target, level: float, _: float) -> None:
    e.unit_dead[e.units(target)] = np.maximum(e.unit_dead[e.units(target)], level)


def _restriction(e: Effects, target: Target, level: float, _: float) -> None:
    e.branch[e.racks(target)] *= 1 - 0.8 * level


def _leak(e: Effects, target: Target, level: float, _: float) -> None:
    units = e.units(target)
    if target.kind == "tray":
        e.drain[units] = np.maximum(e.drain[units], 0.5 * level)
        e.wet[e.layout.device[target.name]] = 1
    elif target.kind == "node":
        e.drain[units] = np.maximum(e.drain[units], 0.5 * level)
        e.node_leak[e.layout.node[target.name]] = 1
    else:
        e.drain[units] = np.maximum(e.drain[units], level)
        e.leak[units] = np.maximum(e.leak[units], level)


def _hot_air(e: Effects, target: Target, level: float, _: float) -> None:
    e.hot_air[e.racks(target)] += 14.0 * level


def _setpoint(e: Effects, target: Target, level: float, _: float) -> None:
    e.setpoint[e.units(target)] += 12.0 * level


def _power_cap(e: Effects, target: Target, level: float, _: float) -> None:
    e.limit[e.gpus(target)] *= 1 - 0.5 * level


def _psu(e: Effects, target: Target, level: float, _: float) -> None:
    e.psus[e.layout.node[target.name]] = level > 0


def _feed(e: Effects, target: Target, level: float, _: float) -> None:
    e.feed[e.layout.device[target.name]] = 1
    if level >= 1:
        for device in e.layout.inventory.fed_from(target.name):
            if device.role is Role.UPS:
                e.ups[e.layout.device[device.name]] = 1


def _breaker(e: Effects, target: Target, level: float, _: float) -> None:
    rack_pdus = [d for d in e.layout.inventory.devices_with(Role.RACK_PDU) if target.name in (d.name, d.rack)]
    for device in rack_pdus:
        e.foreign[e.layout.device[device.name]] = level


def _lying(e: Effects, target: Target, level: float, _: float) -> None:
    e.lying[e.layout.device[target.name]] = level > 0


def _silent(e: Effects, target: Target, level: float, _: float) -> None:
    e.silent[e.layout.device[target.name]] = level > 0


def _ecc(e: Effects, target: Target, level: float, _: float) -> None:
    e.ecc[e.gpus(target)] = level


def _gone(e: Effects, target: Target, level: float, _: float) -> None:
    e.gone[e.gpus(target)] = level > 0


def _nvlink(e: Effects, target: Target, level: float, _: float) -> None:
    e.nvlink[e.gpus(target)] = level


def _pcie(e: Effects, target: Target, level: float, _: float) -> None:
    e.pcie[e.gpus(target)] = level


def _clock(e: Effects, target: Target, level: float, _: float) -> None:
    e.time_lost[e.layout.node[target.name]] = level


def _disk(e: Effects, target: Target, level: float, _: float) -> None:
    e.disk[e.layout.node[target.name]] = level


def _flapping(e: Effects, target: Target, level: float, elapsed: float) -> None:
    # Down for the first half of each 8 s period: 1 while down, a small value while up again.
    e.flapping[e.layout.node[target.name]] = level if elapsed % 8 < 4 else 1e-9


def _straggler(e: Effects, target: Target, level: float, _: float) -> None:
    e.clock[e.gpus(target)] *= 1 - 0.5 * level


def _hang(e: Effects, target: Target, level: float, _: float) -> None:
    e.hang[e.layout.node[target.name]] = level > 0


def _starved(e: Effects, target: Target, level: float, _: float) -> None:
    node = e.layout.node[target.name]
    e.starved[node] = max(e.starved[node], level)


def _crash(e: Effects, target: Target, level: float, _: float) -> None:
    e.crash[e.layout.node[target.name]] = level > 0


def _stall(e: Effects, target: Target, level: float, _: float) -> None:
    e.stall[e.layout.node[target.name]] = level > 0


EFFECTS: dict[str, Effect] = {
    "thermal-interface": _thermal_interface,
    "cold-plate-fouling": _cold_plate,
    "fan-failure": _fans,
    "coolant-pump": _pump,
    "cdu-failure": _unit,
    "flow-restricted": _restriction,
    "leak": _leak,
    "inlet-temperature": _hot_air,
    "cdu-setpoint": _setpoint,
    "power-cap": _power_cap,
    "psu-lost": _psu,
    "feed-lost": _feed,
    "breaker-limit": _breaker,
    "ecc-storm": _ecc,
    "xid-79": _gone,
    "nvlink-errors": _nvlink,
    "pcie-degraded": _pcie,
    "link-flapping": _flapping,
    "straggler": _straggler,
    "engine-hang": _hang,
    "engine-slow": _starved,
    "training-restart": _crash,
    "storage-stall": _stall,
    "clock-drift": _clock,
    "disk-worn": _disk,
    "pdu-lies": _lying,
    "sensor-dead": _silent,
}
