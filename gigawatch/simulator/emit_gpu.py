"""GPU readings of the plant, quantised as NVML gives them."""

from __future__ import annotations

import numpy as np

from gigawatch.catalogue import gpu, gpu_links, inference, training, workload, xids
from gigawatch.simulator import emit_activity
from gigawatch.simulator.emit_training import rank_step
from gigawatch.simulator.identity import gpu_serial, pci_bus_id
from gigawatch.simulator.layout import Array, Layout
from gigawatch.simulator.queues import SCHEDULER
from gigawatch.simulator.state import RAISED_XIDS, REASONS, TIMED_REASONS, XIDS, State
from gigawatch.simulator.table import Labels, Table, Values, floored, rounded

DRIVER = "580.95.05"
CLOCK_STEP = 15e6


def gpu_table(layout: Layout) -> Table:
    """Readings of every GPU, owned by its node."""
    table = Table(layout.gpu_node.tolist())
    gpus = Gpus(layout, table)
    gpus.fill()
    emit_activity.fill(gpus)
    return table


def _seen_at(row: int) -> Values:
    """When the XID was seen last; nothing before the first."""
    return lambda state: np.where(state.xid_at[row] > 0, state.xid_at[row], np.nan)


def _flag(values: Values) -> Values:
    return lambda state: values(state) * 0 + 1


class Gpus:
    """Adds rows to a table of GPUs."""

    def __init__(self, layout: Layout, table: Table) -> None:
        self.layout, self.table = layout, table
        self.index = [str(g - layout.node_gpu_start[layout.gpu_node[g]]) for g in range(layout.sizes["G"])]

    def labels(self, *extra: str) -> Labels:
        """Index and UUID of each GPU, then these."""
        index, uuids = self.index, self.layout.uuids
        return lambda g: (index[g], uuids[g], *extra)

    def fill(self) -> None:
        self.identity()
        self.power_and_heat()
        self.clocks()
        self.activity()
        self.errors()
        self.links()
        self.allocation()

    def alive(self, values: Values | Array | float) -> Values:
        """The values, absent while the GPU does not answer."""
        constant = np.zeros(0) if callable(values) else np.broadcast_to(values, (self.layout.sizes["G"],))

        def masked(state: State) -> Array:
            found = values(state) if callable(values) else constant
            return np.where(state.lost > 0, np.nan, found)

        return masked

    def identity(self) -> None:
        layout, table = self.layout, self.table
        nodes = [node.name for node in layout.inventory.nodes]

        def info(g: int) -> tuple[str, ...]:
            node = layout.gpu_node[g]
            index = int(self.index[g])
            profile = layout.profiles[g]
            model = layout.inventory.nodes[node].gpu_model
            return (
                self.index[g], layout.uuids[g], model, gpu_serial(layout.seed, nodes[node], index),
                pci_bus_id(index),
                f"{90 + len(profile.name)}.00.{profile.nvlinks:02d}.00.0{len(profile.name)}", DRIVER,
                profile.architecture, "", str(index), "",
            )  # fmt: skip

        table.add(gpu.GPU_INFO, info, self.alive(1.0))
        table.add_states(
            gpu.GPU_STATE,
            self.labels(),
            gpu.GPU_STATE.values["state"],
            lambda s: (
                (s.lost == 0) & (s.remap_pending == 0), s.lost > 0, s.lost * 0,
                (s.lost == 0) & (s.remap_pending > 0),
                s.lost * 0,
            ),
        )  # fmt: skip
        capability = self.labels("gpu_fan_speed_ratio", "nvml", "not_supported")
        table.add(gpu.GPU_CAPABILITY_INFO, capability, self.alive(1.0))

    def power_and_heat(self) -> None:
        layout, add = self.layout, self.table.add
        add(gpu.GPU_POWER, self.labels("gpu"), self.alive(rounded("power", 3)))
        add(gpu.GPU_POWER_AVERAGE, self.labels("gpu"), self.alive(rounded("power_average", 3)))
        limits: dict[str, Values | Array] = {
            "enforced": rounded("limit", 0), "requested": rounded("limit", 0),
            "default": layout.tdp, "min": layout.limit_min, "max": layout.limit_max,
        }  # fmt: skip
        for kind, values in limits.items():
            add(gpu.GPU_POWER_LIMIT, self.labels(kind), self.alive(values))
        add(gpu.GPU_ENERGY, self.labels(), self.alive(rounded("energy", 3)))
        add(gpu.GPU_TEMPERATURE, self.labels("core"), self.alive(rounded("core", 0)))
        add(gpu.GPU_TEMPERATURE, self.labels("memory"), self.alive(rounded("memory", 0)))
        thresholds = np.array([p.temperatures for p in layout.profiles]).reshape(-1, 4).T
        for name, row in (("gpu_max", 0), ("slowdown", 1), ("shutdown", 2), ("memory_max", 3)):
            add(gpu.GPU_TEMPERATURE_THRESHOLD, self.labels(name), self.alive(thresholds[row]))
        add(
            gpu.GPU_TEMPERATURE_MARGIN,
            self.labels(),
            self.alive(lambda s: layout.slowdown - np.round(s.core)),
        )

    def clocks(self) -> None:
        layout, add = self.layout, self.table.add

        def sm(state: State) -> Array:
            return np.asarray(np.round(state.frequency * layout.sm_clock / CLOCK_STEP) * CLOCK_STEP)

        for domain in ("sm", "graphics"):
            add(gpu.GPU_CLOCK, self.labels(domain), self.alive(sm))
            add(gpu.GPU_CLOCK_MAX, self.labels(domain), self.alive(layout.sm_clock))
        add(gpu.GPU_CLOCK, self.labels("memory"), self.alive(layout.memory_clock))
        add(gpu.GPU_CLOCK_MAX, self.labels("memory"), self.alive(layout.memory_clock))
        for row, reason in enumerate(REASONS):
            add(gpu.GPU_CLOCK_EVENT_ACTIVE, self.labels(reason), self.alive(rounded("reasons", 6, row)))
        for row, reason in enumerate(TIMED_REASONS):
            add(
                gpu.GPU_CLOCK_EVENT_SECONDS,
                self.labels(reason),
                self.alive(rounded("reason_seconds", 3, row)),
            )
        add(
            gpu.GPU_PERFORMANCE_STATE, self.labels(), self.alive(lambda s: np.where(s.activity > 0, 0.0, 8.0))
        )

    def activity(self) -> None:
        layout, add = self.layout, self.table.add
        add(gpu.GPU_UTILIZATION, self.labels("gpu"), self.alive(rounded("utilization", 2)))
        add(
            gpu.GPU_UTILIZATION,
            self.labels("memory"),
            self.alive(rounded("memory_utilization", 2)),
        )
        for engine in ("encoder", "decoder"):
            add(gpu.GPU_UTILIZATION, self.labels(engine), self.alive(0.0))
        add(gpu.GPU_MEMORY_SIZE, self.labels(), self.alive(layout.memory))
        add(gpu.GPU_MEMORY_USED, self.labels(), self.alive(lambda s: np.round(s.memory_used / 2**20) * 2**20))
        free: Values = lambda s: layout.memory - np.round(s.memory_used / 2**20) * 2**20  # noqa: E731 - beside its twin
        add(gpu.GPU_MEMORY_FREE, self.labels(), self.alive(free))

    def errors(self) -> None:
        add = self.table.add
        for row, (severity, scope) in enumerate(
            (s, c) for s in ("corrected", "uncorrected") for c in ("volatile", "aggregate")
        ):
            add(gpu.GPU_ECC_ERRORS, self.labels(severity, scope), self.alive(floored("ecc", row)))
        for row, cause in enumerate(("corrected", "uncorrected")):
            add(gpu.GPU_REMAPPED_ROWS, self.labels(cause), self.alive(floored("remapped", row)))
        add(gpu.GPU_ROW_REMAP_PENDING, self.labels(), self.alive(lambda s: s.remap_pending))
        add(gpu.GPU_ROW_REMAP_FAILED, self.labels(), self.alive(0.0))
        # The kernel log still tells of a GPU that has fallen off the bus.
        for row, code in enumerate(XIDS):
            add(gpu.GPU_XID_ERRORS, self.labels(str(code), "kmsg"), rounded("xid", 6, row))
        for row, code in enumerate(RAISED_XIDS):
            known, seen = xids.describe(code), _seen_at(row)
            add(gpu.GPU_XID_INFO, self.labels(str(code), known.meaning, known.action.value), _flag(seen))
            add(gpu.GPU_XID_LAST_TIMESTAMP, self.labels(str(code)), seen)
        for action in gpu.RECOVERY_ACTIONS:
            wanted: dict[str, Values] = {
                "none": lambda s: s.remap_pending == 0, "gpu_reset": lambda s: s.remap_pending > 0
            }  # fmt: skip
            add(gpu.GPU_RECOVERY_ACTION, self.labels(action), self.alive(wanted.get(action, 0.0)))

    def links(self) -> None:
        layout, add = self.layout, self.table.add
        generation = np.array([float(p.pcie_generation) for p in layout.profiles])
        add(gpu_links.GPU_PCIE_REPLAYS, self.labels(), self.alive(floored("replays")))
        lanes: dict[str, Values | float] = {"current": rounded("pcie_width", 0), "max": 16.0}
        for kind, width in lanes.items():
            add(gpu_links.GPU_PCIE_LINK_GENERATION, self.labels(kind), self.alive(generation))
            add(gpu_links.GPU_PCIE_LINK_WIDTH, self.labels(kind), self.alive(width))
        links = np.array([p.nvlinks for p in layout.profiles])
        for link in range(int(links.max(initial=0))):
            up: Values | float = (lambda s: 1 - s.nvlink_down) if link == 0 else 1.0
            add(gpu_links.GPU_NVLINK_UP, self.labels(str(link)), self.alive(up), links > link)
        for row, kind in enumerate(("crc", "replay", "recovery")):
            add(
                gpu_links.GPU_NVLINK_ERRORS,
                self.labels("all", kind),
                self.alive(floored("nvlink_errors", row)),
                links > 0,
            )

    def allocation(self) -> None:
        layout, add = self.layout, self.table.add
        group_of = layout.gpu_group

        def job_labels(g: int) -> tuple[str, ...]:
            job = layout.groups[group_of[g] - 1].job
            scheduler = SCHEDULER[job.kind]
            return (
                self.index[g], layout.uuids[g], scheduler, job.namespace, "", "", job.name, job.user, "",
                job.stage, "",
            )  # fmt: skip

        def engine_labels(g: int) -> tuple[str, ...]:
            group = layout.groups[group_of[g] - 1]
            return (layout.uuids[g], group.job.engine, group.job.model, group.replica)

        def rank_labels(g: int) -> tuple[str, ...]:
            rank = g - layout.node_gpu_start[layout.groups[group_of[g] - 1].nodes[0]]
            return (layout.groups[group_of[g] - 1].job.name, str(rank), self.index[g], layout.uuids[g])

        trains = layout.training[group_of]
        # The scheduler still counts a lost GPU as held.
        add(workload.GPU_ALLOCATION_INFO, job_labels, 1.0, group_of > 0)
        add(inference.INFERENCE_GPU_INFO, engine_labels, 1.0, layout.inference[group_of])
        add(training.TRAINING_RANK_WAIT, rank_labels, self.alive(rounded("rank_wait", 3)), trains)
        # A rank's process lives on for a while when its GPU is lost.
        add(training.TRAINING_RANK_STEP, rank_labels, lambda s: rank_step(layout, s), trains)
