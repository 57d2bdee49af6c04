# ruff: noqa: RUF009 - the defaults of this dataclass describe its axes, and none is ever shared
"""Everything about a plant that changes, as named arrays over one flat buffer.

The buffer is what is published each second and what a restart continues from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from gigawatch.catalogue import gpu
from gigawatch.simulator import latency
from gigawatch.simulator.layout import Array

REASONS = gpu.CLOCK_EVENT_REASONS
TIMED_REASONS = gpu.GPU_CLOCK_EVENT_SECONDS.values["reason"]
XIDS = gpu.XID_SERIOUS
RAISED_XIDS = (48, 63, 74, 79, 94)
"""Those that faults of the plant raise."""


def _axis(*axes: str | int) -> Any:
    """An array whose axes are lengths, or letters that stand for the plant's sizes."""
    return field(metadata={"axes": axes})


@dataclass(frozen=True)
class State:
    """Arrays over GPUs (G), nodes (N), racks (R), loops (L), coolant units (C), devices (D), halls (H),
    groups (K) and rows of their latency histograms (B).

    Written in place only (`state.core[:] = ...`): the fields are views of `buffer`.
    """

    buffer: Array = field(repr=False)
    clock: Array = _axis(2)
    """Unix time of the plant, and the number of steps done."""

    # GPUs
    core: Array = _axis("G")
    memory: Array = _axis("G")
    power: Array = _axis("G")
    power_average: Array = _axis("G")
    energy: Array = _axis("G")
    frequency: Array = _axis("G")
    """SM clock against its maximum."""
    thermal_cap: Array = _axis("G")
    """Clock that the thermal governor allows, against the maximum."""
    limit: Array = _axis("G")
    activity: Array = _axis("G")
    utilization: Array = _axis("G")
    memory_utilization: Array = _axis("G")
    memory_used: Array = _axis("G")
    heat_out: Array = _axis("G")
    """Heat that left the die and its plate in the last step."""
    coolant: Array = _axis("G")
    """Temperature of the coolant or air that cools it."""
    reasons: Array = _axis(len(REASONS), "G")
    reason_seconds: Array = _axis(len(TIMED_REASONS), "G")
    lost: Array = _axis("G")
    tripped: Array = _axis("G")
    """1 after a shutdown by temperature until the GPU has cooled down."""
    ecc: Array = _axis(4, "G")
    """corrected volatile, corrected aggregate, uncorrected volatile, uncorrected aggregate."""
    remapped: Array = _axis(2, "G")
    remap_pending: Array = _axis("G")
    xid: Array = _axis(len(XIDS), "G")
    xid_at: Array = _axis(len(RAISED_XIDS), "G")
    """Unix time of the last one, 0 before the first."""
    nvlink_errors: Array = _axis(3, "G")
    nvlink_down: Array = _axis("G")
    replays: Array = _axis("G")
    nvlink_bytes: Array = _axis("G")
    """Each way."""
    pcie_bytes: Array = _axis(2, "G")
    """Received and sent by the GPU."""
    pcie_width: Array = _axis("G")
    pcie_errors: Array = _axis("G")
    rank_wait: Array = _axis("G")

    # Nodes
    node_power: Array = _axis("N")
    node_energy: Array = _axis("N")
    node_air_heat: Array = _axis("N")
    powered: Array = _axis("N")
    inlet: Array = _axis("N")
    exhaust: Array = _axis("N")
    inlet_noise: Array = _axis("N")
    fan_speed: Array = _axis("N")
    fans_lost: Array = _axis("N")
    psus_lost: Array = _axis("N")
    node_leak: Array = _axis("N")
    cpu_busy: Array = _axis("N")
    cpu_seconds: Array = _axis(5, "N")
    load: Array = _axis("N")
    memory_available: Array = _axis("N")
    disk: Array = _axis(3, "N")
    """Bytes read, bytes written, seconds busy."""
    network: Array = _axis(2, "N")
    fabric: Array = _axis(2, "N")
    """Bytes received and sent per InfiniBand port."""
    port_down: Array = _axis("N")
    port_flaps: Array = _axis("N")
    port_errors: Array = _axis(4, "N")
    storage_read: Array = _axis("N")
    mount_ok: Array = _axis("N")
    mount_seconds: Array = _axis("N")
    boot: Array = _axis("N")
    pressure: Array = _axis(3, "N")
    """Seconds: some task waited for a processor, some for storage, all for storage."""
    stalled_for: Array = _axis("N")
    hung_tasks: Array = _axis("N")
    cpu_core: Array = _axis("N")
    disk_seconds: Array = _axis(2, "N")
    disk_wear: Array = _axis("N")
    disk_spare: Array = _axis("N")
    media_errors: Array = _axis("N")
    storage_written: Array = _axis("N")
    storage_seconds: Array = _axis(2, "N")
    clock_offset: Array = _axis("N")
    clock_error: Array = _axis("N")

    # Cooling
    supply: Array = _axis("L")
    returning: Array = _axis("L")
    flow: Array = _axis("L")
    """Flow against the design flow."""
    pump_demand: Array = _axis("L")
    loop_heat: Array = _axis("L")
    pump: Array = _axis(2, "C")
    unit_flow: Array = _axis("C")
    unit_pressure: Array = _axis("C")
    unit_heat: Array = _axis("C")
    setpoint: Array = _axis("C")
    reservoir: Array = _axis("C")
    rack_flow: Array = _axis("R")
    """Coolant through a rack's branch against its design flow; 0 without one."""
    rack_heat: Array = _axis("R")
    """Heat that the coolant takes up in a rack."""
    leak: Array = _axis("C")
    room: Array = _axis("H")
    room_heat: Array = _axis("H")
    outdoor: Array = _axis(1)
    facility_supply: Array = _axis(1)
    facility_heat: Array = _axis(1)

    # Power
    live: Array = _axis("D")
    """1 while voltage stands at the device's output."""
    fed: Array = _axis("D")
    """1 while voltage stands at its input."""
    power_in: Array = _axis("D")
    power_out: Array = _axis("D")
    device_energy: Array = _axis("D")
    phase_power: Array = _axis(3, "D")
    volts: Array = _axis("D")
    foreign: Array = _axis("D")
    """Power of foreign load on phase L1."""
    breaker_heat: Array = _axis("D")
    breaker_tripped: Array = _axis("D")
    charge: Array = _axis("D")
    on_battery: Array = _axis("D")
    """Seconds for which a UPS has been without its feed."""
    lying: Array = _axis("D")
    """1 while a device's meter shows its currents in the wrong scale."""
    wet: Array = _axis("D")
    """1 while water stands at a leak sensor of the racks or of the floor."""
    silent: Array = _axis("D")
    """1 while a device answers nobody."""
    device_heat: Array = _axis("D")

    # Work
    phase: Array = _axis("K")
    step_time: Array = _axis("K")
    steps: Array = _axis("K")
    tokens: Array = _axis("K")
    next_checkpoint: Array = _axis("K")
    checkpoint_left: Array = _axis("K")
    checkpoint_done: Array = _axis("K")
    stall_left: Array = _axis("K")
    step_number: Array = _axis("K")
    """The step that all ranks work on: falls back to the last checkpoint with a restart, unlike `steps`."""
    stepping: Array = _axis("K")
    """Seconds spent in steps, held ones too."""
    elapsed: Array = _axis("K")
    began: Array = _axis("K")
    reported: Array = _axis("K")
    """Unix time at which a job did something last."""
    checkpoint_spent: Array = _axis("K")
    """Seconds of the checkpoint that is being written."""
    checkpoint_duration: Array = _axis("K")
    checkpoint_seconds: Array = _axis("K")
    checkpoints: Array = _axis("K")
    checkpoint_step: Array = _axis("K")
    since_checkpoint: Array = _axis("K")
    """Seconds of steps that a crash would undo."""
    down_left: Array = _axis("K")
    startup_left: Array = _axis("K")
    rework_left: Array = _axis("K")
    """Seconds of steps that were done before a crash and are still to be done again."""
    next_crash: Array = _axis("K")
    restarts: Array = _axis("K")
    lost_seconds: Array = _axis(3, "K")
    """Seconds not running, starting up, and doing steps again."""
    demand_noise: Array = _axis("K")
    in_system: Array = _axis("K")
    running: Array = _axis("K")
    waiting: Array = _axis("K")
    served: Array = _axis(3, "K")
    """Prompt tokens computed, prompt tokens from cache, tokens generated."""
    requests: Array = _axis(4, "K")
    first_token: Array = _axis("K")
    cache_used: Array = _axis("K")
    preempted: Array = _axis("K")
    progress: Array = _axis("K")
    stalled: Array = _axis("K")
    """Seconds for which requests have been there and nothing was done."""
    answering: Array = _axis("K")
    """1 while the engine's process is there."""
    observed: Array = _axis(2, len(latency.HISTOGRAMS), "K")
    """Number and sum of latencies that are not in their buckets yet."""
    latency_counts: Array = _axis("B", "K")
    """Cumulative counts of the latency histograms: see `latency`."""
    latency_sums: Array = _axis(len(latency.HISTOGRAMS), "K")

    @classmethod
    def empty(cls, sizes: Mapping[str, int]) -> State:
        """All zeros, for a plant of these sizes."""
        shapes = {
            f.name: tuple(sizes[a] if isinstance(a, str) else a for a in f.metadata["axes"])
            for f in fields(cls)
            if "axes" in f.metadata
        }
        buffer = np.zeros(sum(int(np.prod(shape)) for shape in shapes.values()))
        views, at = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            views[name] = buffer[at : at + size].reshape(shape)
            at += size
        return cls(buffer, **views)

    @property
    def time(self) -> float:
        """Unix time of the plant."""
        return float(self.clock[0])
