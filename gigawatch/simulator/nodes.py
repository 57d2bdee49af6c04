"""Nodes: fans, air, server power, and the counters of a host and its ports."""

from __future__ import annotations

import math

import numpy as np

from gigawatch.simulator.effects import Effects
from gigawatch.simulator.heat import LIQUID_SHARE, air_flow
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.state import State
from gigawatch.simulator.work import storage_rate

AIR_HEAT_PER_KELVIN = 1206.0
"""J/(m3 K) of air at 25 °C."""
CPUS = 224.0
HOST_MEMORY = 2048 * 1024**3
MOUNT_DEADLINE = 5.0


def advance(layout: Layout, state: State, effects: Effects, dt: float, normal: Array) -> None:
    """Air, power and counters of every node after dt."""
    gpus = np.maximum(layout.node_gpus, 0)
    compute = gpus > 0
    powered = state.powered > 0
    group = layout.node_group
    target = np.where(layout.training[group], 0.22, np.where(layout.inference[group], 0.12, 0.012))
    target = np.maximum(target, 0.96 * effects.starved)
    state.cpu_busy[:] = np.clip(target * (1 + 0.06 * normal), 0.002, 1.0) * powered
    _counters(layout, state, effects, dt)

    state.fans_lost[:] = effects.fans
    state.psus_lost[:] = effects.psus
    state.node_leak[:] = effects.node_leak
    hottest = np.full(layout.sizes["N"], 0.0)
    np.maximum.at(hottest, layout.gpu_node, state.core)
    wanted = np.where(
        layout.node_liquid | ~compute,
        0.42 + 0.02 * np.clip(state.inlet - 24, 0, 25) + 0.012 * np.clip(state.exhaust - 40, 0, 30),
        0.35 + 0.022 * np.clip(hottest - 48, 0, 40),
    )
    wanted = np.clip(np.where(effects.fans > 0, 1.0, wanted), 0.3, 1.0)
    state.fan_speed[:] += (wanted - state.fan_speed) * (1 - math.exp(-dt / 6))

    cpu = np.where(compute, 230 + 420 * state.cpu_busy, 110 + 240 * state.cpu_busy)
    board = np.where(compute, 60.0 * gpus + 60.0 * gpus * (state.cpu_busy > 0.1) * 0.5, 60.0)
    fan_watts = layout.node_fans * np.where(layout.node_liquid, 30.0, np.where(compute, 75.0, 18.0))
    fans = fan_watts * (1 - state.fans_lost) * state.fan_speed**3
    gpu_power = np.bincount(layout.gpu_node, state.power, minlength=len(gpus))
    inside = gpu_power + (cpu + board + fans) * powered
    state.node_power[:] = np.where(powered, inside / efficiency(layout, inside), 0.0)
    state.node_energy[:] += state.node_power * dt

    gpu_heat = np.bincount(layout.gpu_node, state.heat_out, minlength=len(gpus))
    to_liquid = np.where(layout.node_liquid, LIQUID_SHARE * gpu_heat, 0.0)
    state.node_air_heat[:] = state.node_power - gpu_power + gpu_heat - to_liquid

    keep = math.exp(-dt / 180)
    state.inlet_noise[:] = keep * state.inlet_noise + 0.25 * math.sqrt(1 - keep * keep) * normal
    hot = effects.hot_air[layout.node_rack]
    inlet = state.room[layout.node_hall] + layout.rack_offset[layout.node_rack] + state.inlet_noise + hot
    state.inlet[:] += (inlet - state.inlet) * (1 - math.exp(-dt / 5))
    # Fans are sized for 15 K of rise at 70 % speed and full load.
    design = np.where(compute, np.where(layout.node_liquid, 340.0, 950.0) * np.maximum(gpus, 1), 450.0)
    volume = design / (15.0 * AIR_HEAT_PER_KELVIN * 0.7) * np.maximum(air_flow(state), 0.04)
    exhaust = state.inlet + state.node_air_heat / (volume * AIR_HEAT_PER_KELVIN)
    state.exhaust[:] += (np.minimum(exhaust, 110.0) - state.exhaust) * (1 - math.exp(-dt / 15))


def efficiency(layout: Layout, inside: Array) -> Array:
    """Efficiency of a node's power supplies at their present load (80 PLUS Titanium shape)."""
    rated = np.maximum(layout.node_gpus * 1500.0, 1600.0)
    load = np.clip(inside / rated, 0.02, 1.2)
    return np.asarray(0.962 - 0.012 * (load - 0.5) ** 2 * 4 - 0.004 / load * 0.5)


def _counters(layout: Layout, state: State, effects: Effects, dt: float) -> None:
    powered = state.powered > 0
    busy = state.cpu_busy
    seconds = CPUS * dt * powered
    waiting = 0.04 * effects.stall
    for row, share in enumerate(
        (0.8 * busy, 0.18 * busy, 0.002 * busy + waiting, 1 - 1.002 * busy - waiting, 0.02 * busy)
    ):
        state.cpu_seconds[row] += share * seconds
    state.load[:] += (busy * CPUS + 30 * effects.stall - state.load) * (1 - math.exp(-dt / 60)) * powered
    used = np.where(layout.node_group > 0, 0.31, 0.03)
    state.memory_available[:] = HOST_MEMORY * (1 - used) * powered
    read, written = storage_rate(layout, state, dt)
    state.storage_read[:] += read * dt
    local = np.where(powered, 2e5 + 4e6 * busy, 0.0)
    state.disk[0] += 0.3 * local * dt
    state.disk[1] += local * dt
    state.disk[2] += local / 2.5e9 * dt
    state.network[0] += (read + np.where(powered, 2e4, 0.0)) * dt
    state.network[1] += (written + np.where(powered, 2e4, 0.0)) * dt
    stepping = layout.training[layout.node_group] & (state.stall_left[layout.node_group] <= 0)
    utilization = np.bincount(layout.gpu_node, state.activity, minlength=len(busy)) / np.maximum(
        layout.node_gpus, 1
    )
    multi = np.bincount(layout.node_group, minlength=layout.sizes["K"])[layout.node_group] > 1
    per_port = np.where(stepping & (utilization > 0.4), np.where(multi, 9e9, 3e8), 1e3) * powered
    state.fabric[:] += per_port * dt
    down = effects.flapping >= 0.01
    state.port_flaps[:] += (~down) & (state.port_down > 0)
    state.port_down[:] = down
    flapping = effects.flapping > 0
    state.port_errors[0] += 40 * flapping * dt
    state.port_errors[1] += flapping * dt / 8
    state.port_errors[3] += 200 * down * dt
    state.mount_ok[:] = (effects.stall == 0) & powered
    state.mount_seconds[:] = np.where(effects.stall > 0, MOUNT_DEADLINE, 0.002 + 0.003 * busy)
