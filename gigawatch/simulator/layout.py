"""The inventory as index arrays: what the physics needs to know about who stands where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gigawatch.simulator import latency, profiles
from gigawatch.simulator.identity import digest, gpu_uuid
from gigawatch.simulator.jobs import Job
from gigawatch.simulator.profiles import GpuProfile
from gigawatch.topology import Device, Inventory, Role

Array = npt.NDArray[Any]
"""Numbers, counts or flags, one per thing."""
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Group:
    """GPUs that work in lockstep: one training job, or one replica of an inference engine (one node)."""

    job: Job
    nodes: tuple[int, ...]
    number: int = 0
    """Position among the replicas of one engine."""

    @property
    def replica(self) -> str:
        """Name of the replica of an inference engine."""
        return f"{self.job.name}-{self.number}"


def index_of(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


class Layout:
    """Constants of a plant: arrays over GPUs, nodes, racks, loops, coolant units and devices, in inventory
    order."""

    def __init__(self, inventory: Inventory, jobs: tuple[Job, ...], seed: int) -> None:
        self.inventory, self.jobs, self.seed = inventory, jobs, seed
        self.node = index_of([node.name for node in inventory.nodes])
        self.rack = index_of([rack.name for rack in inventory.racks])
        self.loop = index_of([loop.name for loop in inventory.loops])
        self.device = index_of([device.name for device in inventory.devices])
        halls = sorted({rack.hall for rack in inventory.racks} | {d.hall for d in inventory.devices})
        self.hall = index_of(halls)
        self._nodes()
        self._gpus()
        self._loops()
        self._power()
        self._groups()

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, by the letter that `State` uses."""
        return {
            "G": len(self.gpu_node), "N": len(self.inventory.nodes), "R": len(self.inventory.racks),
            "L": len(self.inventory.loops), "C": len(self.cdus), "D": len(self.inventory.devices),
            "H": len(self.hall), "K": len(self.groups) + 1, "B": latency.ROWS,
        }  # fmt: skip

    def rng(self, what: str) -> np.random.Generator:
        """Random numbers for building, the same for one seed."""
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest(self.seed, what)[:8])))

    def _nodes(self) -> None:
        nodes = self.inventory.nodes
        self.node_rack = np.array([self.rack[n.rack] for n in nodes], dtype=np.int64)
        self.node_hall = np.array(
            [self.hall[self.inventory.rack[n.rack].hall] for n in nodes], dtype=np.int64
        )
        self.node_loop = np.array([self.loop.get(n.loop, -1) for n in nodes], dtype=np.int64)
        self.node_liquid = self.node_loop >= 0
        self.node_gpus = np.array([n.gpus for n in nodes], dtype=np.int64)
        self.node_fans = np.array([max(1, n.fans) for n in nodes], dtype=np.float64)
        starts = np.concatenate([[0], np.cumsum(self.node_gpus)]).astype(np.int64)
        self.node_gpu_start = starts[:-1]
        self.node_gpu_stop = starts[1:]
        rng = self.rng("hosts")
        self.disk_wear = rng.uniform(0.01, 0.30, len(nodes))
        self.clock_phase = rng.uniform(0.0, 6.3, len(nodes))
        self.rack_offset = self.rng("rack air").uniform(0.0, 1.5, len(self.rack))

    def _gpus(self) -> None:
        nodes = self.inventory.nodes
        self.gpu_node = np.repeat(np.arange(len(nodes)), self.node_gpus)
        found: list[GpuProfile] = []
        for node in nodes:
            found += [profiles.profile_of(node.gpu_model, node.name)] * node.gpus if node.gpus else []
        self.profiles = found
        self.uuids = [gpu_uuid(self.seed, node.name, i) for node in nodes for i in range(node.gpus)]
        count = len(found)
        rng = self.rng("gpus")
        spread = rng.standard_normal((5, count))

        def column(values: list[float]) -> Array:
            return np.array(values, dtype=np.float64)

        liquid = self.node_liquid[self.gpu_node] if count else np.zeros(0, dtype=bool)
        self.gpu_liquid = liquid
        self.tdp = column([p.tdp for p in found])
        self.limit_min = column([p.limits[0] for p in found])
        self.limit_max = column([p.limits[1] for p in found])
        self.idle = column([p.idle for p in found]) * np.exp(profiles.IDLE_SPREAD * spread[0])
        self.peak = 1.02 * self.tdp * np.exp(profiles.PEAK_SPREAD * spread[1])
        self.memory = column([p.memory for p in found])
        self.sm_clock = column([p.sm_clock for p in found])
        self.memory_clock = column([p.memory_clock for p in found])
        self.slowdown = column([p.temperatures[1] for p in found])
        self.shutdown = column([p.temperatures[2] for p in found])
        base = np.where(
            liquid, column([p.resistance_liquid for p in found]), column([p.resistance_air for p in found])
        )
        tau = np.where(liquid, column([p.tau_liquid for p in found]), column([p.tau_air for p in found]))
        self.resistance = base * np.exp(profiles.RESISTANCE_SPREAD * spread[2])
        self.heat_capacity = tau / base * np.exp(profiles.TAU_SPREAD * np.clip(spread[3], -2.5, 2.5))
        self.memory_offset = profiles.MEMORY_OFFSET + profiles.MEMORY_OFFSET_SPREAD * spread[4]
        self.tflops = column([p.tflops for p in found])
        self.nvlink_speed = column([p.nvlinks * p.nvlink_speed for p in found])

    def _loops(self) -> None:
        inventory = self.inventory
        self.cdus: tuple[Device, ...] = inventory.devices_with(Role.CDU)
        self.cdu = index_of([device.name for device in self.cdus])
        self.cdu_device = np.array([self.device[d.name] for d in self.cdus], dtype=np.int64)
        self.cdu_loop = np.array([self.loop[d.loop] for d in self.cdus], dtype=np.int64)
        loops = len(inventory.loops)
        self.loop_units = np.bincount(self.cdu_loop, minlength=loops).astype(np.float64)
        self.loop_flow = np.array([loop.flow_cubic_meters_per_second for loop in inventory.loops])
        self.loop_setpoint = np.array([loop.supply_celsius for loop in inventory.loops])
        units = np.maximum(self.loop_units, 1.0)
        self.cdu_flow = self.loop_flow[self.cdu_loop] / units[self.cdu_loop]
        heat = (
            self.loop_flow * 1030 * 3974 * 8.0
        )  # a unit without a stated capacity carries design flow at 8 K
        stated = np.array([d.capacity_watts for d in self.cdus])
        self.cdu_capacity = np.where(stated > 0, stated, heat[self.cdu_loop] / units[self.cdu_loop])
        self.loop_capacity = np.bincount(self.cdu_loop, self.cdu_capacity, minlength=loops)
        on_loop = self.node_loop[self.node_liquid]
        self.loop_nodes = np.maximum(np.bincount(on_loop, minlength=loops), 1).astype(np.float64)
        self.hall_of_device = np.array([self.hall[d.hall] for d in inventory.devices], dtype=np.int64)

    def _power(self) -> None:
        devices = self.inventory.devices
        self.role = np.array([list(Role).index(d.role) for d in devices], dtype=np.int64)
        self.parent = np.array([self.device.get(d.fed_by, -1) for d in devices], dtype=np.int64)
        self.capacity = np.array([d.capacity_watts for d in devices])
        self.voltage = np.array([d.voltage for d in devices])
        self.phases = np.array([float(d.phases) for d in devices])
        self.breaker = np.array([d.breaker_amperes for d in devices])
        depth = np.zeros(len(devices), dtype=np.int64)
        for i in range(len(devices)):
            up = self.parent[i]
            while up >= 0:
                depth[i] += 1
                up = self.parent[up]
        self.levels = [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=0)) + 1)]
        """Devices by distance from their intake, intakes first."""
        pdus: dict[str, list[int]] = {}
        for device in self.inventory.devices_with(Role.RACK_PDU):
            pdus.setdefault(device.rack, []).append(self.device[device.name])
        slots = max((len(found) for found in pdus.values()), default=1)
        nodes = self.inventory.nodes
        self.slot_pdu = np.full((len(nodes), slots), -1, dtype=np.int64)
        self.slot_psus = np.zeros((len(nodes), slots))
        for n, node in enumerate(nodes):
            found = pdus.get(node.rack, [])
            for psu in range(max(1, node.psus) if found else 0):
                self.slot_psus[n, psu % len(found)] += 1
            self.slot_pdu[n, : len(found)] = found
        self.metered = self.slot_psus.sum(axis=1) > 0
        """Nodes with a rack PDU in the inventory; others are taken to have power."""
        shares = self.rng("phases").normal(1 / 3, 0.008, (3, len(devices)))
        self.phase_share = np.where(self.phases == 3, shares / shares.sum(axis=0), [[1.0], [0.0], [0.0]])

        self._by_role = {role: np.flatnonzero(self.role == number) for number, role in enumerate(Role)}
        self.is_ups = self.role == list(Role).index(Role.UPS)
        self.is_rack_pdu = self.role == list(Role).index(Role.RACK_PDU)
        bmcs = self.inventory.devices_with(Role.BMC)
        self.bmc_node = np.array([self.node[device.node] for device in bmcs], dtype=np.int64)

    def with_role(self, role: Role) -> Index:
        """Indices of the devices of a role."""
        return self._by_role[role]

    def _groups(self) -> None:
        groups: list[Group] = []
        for job in self.jobs:
            members = tuple(self.node[name] for name in job.nodes)
            if job.kind == "training":
                groups.append(Group(job, members))
            elif job.kind == "inference":
                groups += [Group(job, (member,), number) for number, member in enumerate(members)]
        self.groups = groups
        """Group 0 is everything that has no work; group k is groups[k - 1]."""
        self.node_group = np.zeros(len(self.node), dtype=np.int64)
        for number, group in enumerate(groups, 1):
            self.node_group[list(group.nodes)] = number
        self.gpu_group = self.node_group[self.gpu_node]
        count = len(groups) + 1
        self.group_gpus = np.bincount(self.gpu_group, minlength=count).astype(np.float64)
        flops = np.bincount(self.gpu_group, self.tflops, minlength=count) * 1e12
        kinds = ["idle", *(group.job.kind for group in groups)]
        self.training = np.array([kind == "training" for kind in kinds])
        self.inference = np.array([kind == "inference" for kind in kinds])
        parameters = np.array([8e9, *(group.job.parameters for group in groups)])
        # Training at 40 % of peak, 6 floating-point operations per parameter and token.
        self.training_rate = np.where(self.training, 0.40 * flops / (6 * parameters), 0.0)
        # Decoding is bound by memory: about 500 tokens/s per H100 with 70e9 parameters.
        self.decode_rate = np.where(self.inference, flops / 989e12 * 500 * (70e9 / parameters) ** 0.8, 0.0)
        self.parameters = parameters
        self.latency = latency.Latency(["", *(group.job.engine for group in groups)])
        self.load = np.array([0.0, *(group.job.load for group in groups)])
        self.checkpoint_every = np.array([1e18, *(group.job.checkpoint_seconds for group in groups)])
        rng = self.rng("groups")
        self.step_seconds = rng.uniform(3.0, 7.0, count)
        self.comm_share = rng.uniform(0.12, 0.22, count)
