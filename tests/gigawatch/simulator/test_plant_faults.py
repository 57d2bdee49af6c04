"""Every fault has the effect it claims, in the readings that users see, within the time of a drill."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from gigawatch.catalogue import (
    Metric,
    fabric,
    facility,
    gpu,
    gpu_links,
    host,
    inference,
    storage,
    training,
    workload,
    xids,
)
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.simulator import power
from gigawatch.simulator.effects import EFFECTS
from gigawatch.simulator.faults import FAULTS, Fault, Target, fault_kind, resolve
from gigawatch.simulator.identity import gpu_uuid
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.view import Emitter

Fresh = Callable[..., Plant]
TRAINING, SERVING = "r01-n02", "r01-n01"


class Room:
    """A plant with a fault, and its readings by metric and labels."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.emitter = Emitter(plant.layout)

    def after(self, seconds: float) -> Room:
        self.plant.advance(seconds, longest=1.0)
        self.emitter.refresh(self.plant.state)
        return self

    def node(self, name: str, metric: Metric, *labels: str) -> float:
        return self._one(self.emitter.node(name), metric, labels)

    def gpu(self, metric: Metric, *labels: str, node: str = TRAINING, index: int = 3) -> float:
        return self.node(node, metric, str(index), gpu_uuid(1, node, index), *labels)

    def device(self, name: str, metric: Metric, *labels: str) -> float:
        return self._one(self.emitter.device(name), metric, labels)

    @staticmethod
    def _one(readings: Iterable[Reading], metric: Metric, labels: tuple[str, ...]) -> float:
        found = [r.value for r in readings if r.metric is metric and r.labels == labels]
        assert len(found) == 1, f"{metric} {labels}: {len(found)} series"
        return float(found[0])


def strike(plant: Plant, kind: str, target: str | None = None, severity: float | None = None) -> Room:
    """The fault with the defaults of a drill, from now on."""
    what = FAULTS[kind]
    fault = Fault(
        kind,
        resolve(what, target, plant.inventory),
        plant.time,
        plant.time + 1e6,
        what.ramp,
        severity or what.severity,
    )
    plant.set_faults([fault])
    return Room(plant)


def test_every_fault_has_an_effect_and_a_check() -> None:
    assert set(EFFECTS) == set(FAULTS) == set(CHECKS)
    assert len(FAULTS) == 27


def thermal_interface(plant: Plant) -> None:
    before = Room(plant).after(0.01).gpu(gpu.GPU_TEMPERATURE, "core")
    room = strike(plant, "thermal-interface").after(60)
    assert room.gpu(gpu.GPU_TEMPERATURE, "core") > before + 8
    healthy = [room.gpu(gpu.GPU_TEMPERATURE, "core", index=i) for i in range(8) if i != 3]
    assert room.gpu(gpu.GPU_TEMPERATURE, "core") > max(healthy) + 5


def cold_plate(plant: Plant) -> None:
    before = plant.state.core.copy()
    strike(plant, "cold-plate-fouling").after(60)
    rise = plant.state.core - before
    assert rise[8:].min() > 4
    assert rise[:8].max() < 4


def fans(plant: Plant) -> None:
    exhaust = Room(plant).after(0.01).device(f"bmc-{TRAINING}", facility.AIR_TEMPERATURE, "exhaust", "")
    room = strike(plant, "fan-failure").after(30)
    assert room.device(f"bmc-{TRAINING}", facility.FAN_SPEED, "fan1") == 0
    assert room.device(f"bmc-{TRAINING}", facility.FAN_SPEED, "fan8") > 0.9
    assert room.device(f"bmc-{TRAINING}", facility.COMPONENT_HEALTH, "fan1", "critical") == 1
    assert room.device(f"bmc-{TRAINING}", facility.COMPONENT_HEALTH, "fan8", "ok") == 1
    assert exhaust > 30


def pump(plant: Plant) -> None:
    room = strike(plant, "coolant-pump").after(15)
    flow = room.device("cdu-1", facility.COOLANT_FLOW, "tcs")
    assert flow / room.device("cdu-1", facility.COOLANT_DESIGN_FLOW, "tcs") < 0.7
    assert room.device("cdu-1", facility.PUMP_RUNNING, "p1") == 0
    assert room.device("cdu-1", facility.PUMP_SPEED, "p2") > 0.95
    assert room.after(120).device("cdu-1", facility.COOLANT_RETURN_TEMPERATURE, "tcs") > 32.5


def unit(plant: Plant) -> None:
    room = strike(plant, "cdu-failure").after(30)
    assert room.device("cdu-1", facility.COOLANT_FLOW, "tcs") < 1e-5
    assert room.after(90).gpu(gpu.GPU_CLOCK_EVENT_ACTIVE, "sw_thermal_slowdown") == 1
    assert room.gpu(gpu.GPU_TEMPERATURE_MARGIN) < 4
    assert room.gpu(gpu.GPU_CLOCK, "sm") < 0.7 * room.gpu(gpu.GPU_CLOCK_MAX, "sm")


def restriction(plant: Plant) -> None:
    room = strike(plant, "flow-restricted").after(30)
    flow = room.device("cdu-1", facility.COOLANT_FLOW, "tcs")
    assert flow / room.device("cdu-1", facility.COOLANT_DESIGN_FLOW, "tcs") < 0.6
    assert room.device("cdu-1", facility.COOLANT_PRESSURE, "tcs") > 200e3
    assert room.device("cdu-1", facility.PUMP_RUNNING, "p1") == 1


def leak(plant: Plant) -> None:
    room = strike(plant, "leak").after(30)
    assert room.device("cdu-1", facility.LEAK_STATE, "cdu", "leak") == 1
    assert room.device("cdu-1", facility.RESERVOIR_LEVEL) < 0.80
    assert room.after(240).device("cdu-1", facility.COOLANT_FLOW, "tcs") < 1e-4


def hot_air(plant: Plant) -> None:
    room = strike(plant, "inlet-temperature").after(40)
    assert room.device(f"bmc-{TRAINING}", facility.AIR_TEMPERATURE, "inlet", "") > 35
    assert room.device(f"bmc-{TRAINING}", facility.FAN_SPEED, "fan1") > 0.55


def setpoint(plant: Plant) -> None:
    room = strike(plant, "cdu-setpoint").after(30)
    assert room.device("cdu-1", facility.COOLANT_SETPOINT, "tcs") == 42
    supply = room.device("cdu-1", facility.COOLANT_SUPPLY_TEMPERATURE, "tcs")
    assert supply > 31
    later = room.after(400).device("cdu-1", facility.COOLANT_SUPPLY_TEMPERATURE, "tcs")
    assert later == pytest.approx(42, abs=0.5)


def power_cap(plant: Plant) -> None:
    room = strike(plant, "power-cap").after(15)
    assert room.gpu(gpu.GPU_POWER_LIMIT, "enforced") == 350
    assert room.gpu(gpu.GPU_POWER_LIMIT, "default") == 700
    assert plant.state.power[8:].max() < 385
    assert max(room.after(1).gpu(gpu.GPU_CLOCK_EVENT_ACTIVE, "sw_power_cap") for _ in range(12)) == 1
    assert room.gpu(gpu.GPU_CLOCK_EVENT_SECONDS, "sw_power_cap") > 3


def psu(plant: Plant) -> None:
    room = strike(plant, "psu-lost").after(5)
    assert room.device(f"bmc-{TRAINING}", facility.COMPONENT_HEALTH, "psu1", "critical") == 1
    assert room.device(f"bmc-{TRAINING}", facility.COMPONENT_HEALTH, "psu2", "ok") == 1
    sides = [
        room.device(f"pdu-r01-{side}", facility.POWER_ACTIVE, side.upper(), "inlet", "") for side in "ab"
    ]
    assert sides[0] < 0.95 * sides[1], "side A has one supply fewer"


def feed(plant: Plant) -> None:
    room = strike(plant, "feed-lost").after(20)
    assert room.device("utility-b", facility.VOLTAGE, "B", "phase", "L1") == 0
    assert room.device("ups-b", facility.UPS_STATUS, "on_battery") == 1
    charge = room.device("ups-b", facility.UPS_CHARGE)
    assert charge < 1
    assert room.device("pdu-r01-b", facility.POWER_ACTIVE, "B", "inlet", "") > 1000
    assert room.after(30).device("ups-b", facility.UPS_CHARGE) < charge


def breaker(plant: Plant) -> None:
    room = strike(plant, "breaker-limit").after(20)
    current = room.device("pdu-r01-a", facility.CURRENT, "A", "phase", "L1")
    assert 0.95 < current / room.device("pdu-r01-a", facility.BREAKER_RATING, "A", "main") < 1
    assert room.after(200).device("pdu-r01-a", facility.BREAKER_STATE, "A", "main", "normal") == 1


def ecc(plant: Plant) -> None:
    room = strike(plant, "ecc-storm").after(20)
    assert room.gpu(gpu.GPU_ECC_ERRORS, "corrected", "volatile") > 400
    assert room.gpu(gpu.GPU_ECC_ERRORS, "uncorrected", "aggregate") >= 1
    assert room.gpu(gpu.GPU_REMAPPED_ROWS, "uncorrected") == 1
    assert room.gpu(gpu.GPU_ROW_REMAP_PENDING) == 1
    assert room.gpu(gpu.GPU_RECOVERY_ACTION, "gpu_reset") == 1
    assert [room.gpu(gpu.GPU_XID_ERRORS, code, "kmsg") for code in ("48", "63", "94", "79")] == [1, 1, 1, 0]


def rank_step(room: Room, index: int) -> float:
    """The step that a rank of the training job has finished last."""
    uuid = gpu_uuid(1, TRAINING, index)
    return room.node(TRAINING, training.TRAINING_RANK_STEP, "finetune-42", str(index), str(index), uuid)


def xid_79(plant: Plant) -> None:
    steps = plant.state.steps.copy()
    room = strike(plant, "xid-79").after(30)
    assert room.gpu(gpu.GPU_STATE, "lost") == 1
    assert room.gpu(gpu.GPU_XID_ERRORS, "79", "kmsg") == 1
    lost = [r for r in room.emitter.node(TRAINING) if gpu_uuid(1, TRAINING, 3) in r.labels]
    kept = {gpu.GPU_STATE, gpu.GPU_XID_ERRORS, workload.GPU_ALLOCATION_INFO}
    kept |= {gpu.GPU_XID_INFO, gpu.GPU_XID_LAST_TIMESTAMP, training.TRAINING_RANK_STEP}
    assert {r.metric for r in lost} == kept
    assert room.node(TRAINING, gpu.GPUS_VISIBLE, "nvml") == 7
    assert (plant.state.steps - steps).max() < 1, "the job waits in a collective"
    assert plant.state.power[11] == 0
    behind = [rank_step(room, index) for index in range(8)]
    assert [step == max(behind) for step in behind] == [index != 3 for index in range(8)]


def nvlink(plant: Plant) -> None:
    room = strike(plant, "nvlink-errors").after(20)
    assert room.gpu(gpu_links.GPU_NVLINK_ERRORS, "all", "crc") > 500
    assert room.gpu(gpu_links.GPU_NVLINK_UP, "0") == 0
    assert room.gpu(gpu_links.GPU_NVLINK_UP, "1") == 1
    assert room.gpu(gpu.GPU_XID_ERRORS, "74", "kmsg") == 1
    known = xids.describe(74)
    assert room.gpu(gpu.GPU_XID_INFO, "74", known.meaning, known.action) == 1
    assert 0 <= plant.time - room.gpu(gpu.GPU_XID_LAST_TIMESTAMP, "74") <= 21
    told = [r for r in room.emitter.node(TRAINING) if r.metric is gpu.GPU_XID_INFO]
    assert len(told) == 1, "only what was seen"
    assert room.gpu(gpu_links.GPU_FABRIC_UNHEALTHY, "degraded_bandwidth") == 1


def pcie(plant: Plant) -> None:
    room = strike(plant, "pcie-degraded").after(20)
    address = "0000:57:00.0"
    assert room.gpu(gpu_links.GPU_PCIE_LINK_WIDTH, "current") == 8
    assert room.gpu(gpu_links.GPU_PCIE_LINK_WIDTH, "max") == 16
    assert room.gpu(gpu_links.GPU_PCIE_LINK_WIDTH, "current", index=2) == 16
    assert room.gpu(gpu_links.GPU_PCIE_REPLAYS) > 40
    assert room.node(TRAINING, gpu_links.PCI_LINK_WIDTH, address, "current") == 8
    assert room.node(TRAINING, gpu_links.PCI_AER_ERRORS, address, "correctable") > 100
    assert room.node(TRAINING, gpu_links.PCI_AER_ERRORS, address, "fatal") == 0


def clock(plant: Plant) -> None:
    room = Room(plant).after(1)
    assert abs(room.node(TRAINING, host.HOST_CLOCK_OFFSET)) < 1e-4
    assert room.node(TRAINING, host.HOST_CLOCK_SYNCHRONIZED) == 1
    room = strike(plant, "clock-drift", TRAINING).after(30)
    assert room.node(TRAINING, host.HOST_CLOCK_OFFSET) > 0.2
    assert room.node(TRAINING, host.HOST_CLOCK_SYNCHRONIZED) == 0
    assert abs(room.node(SERVING, host.HOST_CLOCK_OFFSET)) < 1e-4
    plant.set_faults([])
    room.after(200)
    assert abs(room.node(TRAINING, host.HOST_CLOCK_OFFSET)) < 1e-3, "it is steered back, not left behind"
    assert room.node(TRAINING, host.HOST_CLOCK_SYNCHRONIZED) == 1


def disk(plant: Plant) -> None:
    room = Room(plant).after(1)
    assert room.node(TRAINING, storage.NVME_WEAR, "nvme0n1") < 0.4
    room = strike(plant, "disk-worn", TRAINING).after(20)
    assert 0.98 < room.node(TRAINING, storage.NVME_WEAR, "nvme0n1") < 1.4
    assert room.node(TRAINING, storage.NVME_SPARE, "nvme0n1") < 0.1
    assert room.node(TRAINING, storage.NVME_CRITICAL_WARNING, "nvme0n1", "spare_low") == 1
    assert room.node(TRAINING, storage.NVME_MEDIA_ERRORS, "nvme0n1") >= 5


def flapping(plant: Plant) -> None:
    room = strike(plant, "link-flapping")
    states = [room.after(1).node(TRAINING, fabric.IB_PORT_STATE, "mlx5_0", "1", "active") for _ in range(24)]
    assert {0.0, 1.0} == set(states)
    assert room.node(TRAINING, fabric.IB_PORT_FLAPS, "mlx5_0", "1") >= 2
    assert room.node(TRAINING, fabric.IB_PORT_FLAPS, "mlx5_1", "1") == 0


def straggler(plant: Plant) -> None:
    before = plant.state.step_time[2]
    waited = plant.state.rank_wait.copy()
    room = strike(plant, "straggler").after(30)
    assert room.gpu(gpu.GPU_CLOCK, "sm") < 1.1e9
    assert room.node(TRAINING, training.TRAINING_STEP_DURATION, "finetune-42", "llama-3.1-8b") > 1.4 * before
    wait = plant.state.rank_wait - waited
    assert wait[11] < 0.3 * np.delete(wait[8:], 3).min(), "the straggler is the one that never waits"


ENGINE = ("vllm", "llama-3.1-70b", "chat-0")
JOB = ("finetune-42", "llama-3.1-8b")


def hang(plant: Plant) -> None:
    idle = Room(plant).after(1)
    assert idle.node(SERVING, inference.INFERENCE_STALLED, *ENGINE) == 0
    room = strike(plant, "engine-hang").after(6)

    def counted() -> list[float]:
        told = (inference.INFERENCE_PROGRESS, inference.INFERENCE_TTFT, inference.INFERENCE_TOKENS)
        return [r.value for r in room.emitter.node(SERVING) if r.metric in told]

    before = counted()
    room.after(60)
    assert counted() == before
    assert room.node(SERVING, inference.INFERENCE_REQUESTS_RUNNING, *ENGINE) > 10
    assert room.node(SERVING, inference.INFERENCE_REQUESTS_WAITING, *ENGINE) > 10
    patience = room.node(SERVING, inference.INFERENCE_PATIENCE, *ENGINE)
    assert room.node(SERVING, inference.INFERENCE_STALLED, *ENGINE) > 60 > 2 * patience
    assert room.node(SERVING, inference.INFERENCE_ENGINE_HEALTHY, *ENGINE) == 1, "it says that it is well"
    assert room.node(SERVING, inference.INFERENCE_ENGINE_UP, *ENGINE) == 1
    assert plant.state.power[:8].max() < 150
    plant.set_faults([])
    room.after(2)
    assert room.node(SERVING, inference.INFERENCE_STALLED, *ENGINE) == 0
    assert counted() != before


def slow(plant: Plant) -> None:
    objective = "inter_token_latency"
    room = Room(plant).after(30)

    def missed(seconds: float) -> float:
        """Share of gaps between tokens that are too long."""
        metrics = (inference.INFERENCE_OBSERVED, inference.INFERENCE_MET)
        old = [room.node(SERVING, metric, *ENGINE, objective) for metric in metrics]
        room.after(seconds)
        new = [room.node(SERVING, metric, *ENGINE, objective) for metric in metrics]
        return 1 - (new[1] - old[1]) / (new[0] - old[0])

    allowed = 1 - room.node(SERVING, inference.INFERENCE_OBJECTIVE_SHARE, *ENGINE, objective)
    assert missed(60) < allowed
    idle = plant.state.cpu_busy[0]
    strike(plant, "engine-slow")
    assert missed(30) > 50 * allowed, "far beyond the burn rate at which one is paged"
    assert room.node(SERVING, inference.INFERENCE_STALLED, *ENGINE) == 0, "slow, not frozen"
    assert room.node(SERVING, inference.INFERENCE_REQUESTS_RUNNING, *ENGINE) > 60
    assert plant.state.cpu_busy[0] > 3 * idle, "its host has no time for it"


def restart(plant: Plant) -> None:
    room = Room(plant).after(30)
    lost = [(TRAINING, training.TRAINING_LOST, *JOB, reason) for reason in ("downtime", "startup", "rework")]
    assert [room.node(*one) for one in lost] == [0, 0, 0]  # type: ignore[arg-type] # node, metric, labels
    step = rank_step(room, 0)
    tokens = room.node(TRAINING, training.TRAINING_TOKENS, *JOB)
    room = strike(plant, "training-restart").after(10)
    assert room.node(TRAINING, training.TRAINING_RESTARTS, *JOB) == 0, "not up again yet"
    assert room.node(TRAINING, training.TRAINING_TOKENS, *JOB) - tokens < 3e6
    assert plant.state.power[8:].max() < 200
    assert room.gpu(gpu.GPU_UTILIZATION, "gpu") == 0
    room.after(35)
    assert room.node(TRAINING, training.TRAINING_RESTARTS, *JOB) == 1
    assert rank_step(room, 0) < step, "it begins again at the last checkpoint"
    downtime, startup, rework = (room.node(*one) for one in lost)  # type: ignore[arg-type] # as above
    assert (downtime, startup) == (15, 20)
    assert 5 < rework <= 10
    assert room.node(TRAINING, training.TRAINING_TOKENS, *JOB) > tokens
    age = plant.time - room.node(TRAINING, training.TRAINING_REPORT_TIMESTAMP, *JOB, "reporter")
    assert age <= 1
    room.after(120)
    assert room.node(TRAINING, training.TRAINING_RESTARTS, *JOB) == 2, "again and again"


def stall(plant: Plant) -> None:
    steps = plant.state.steps.copy()
    room = strike(plant, "storage-stall").after(30)
    assert room.node(TRAINING, storage.MOUNT_RESPONSIVE, "/shared", "lustre") == 0
    assert room.node(TRAINING, storage.MOUNT_PROBE_DURATION, "/shared", "lustre") == 5
    assert room.node(SERVING, storage.MOUNT_RESPONSIVE, "/shared", "lustre") == 1
    assert (plant.state.steps - steps).max() < 1
    pressed = room.node(TRAINING, host.HOST_PRESSURE, "io", "some")
    read = room.node(TRAINING, host.HOST_DISK_OPERATIONS, "nvme0n1", "read")
    took = room.node(TRAINING, host.HOST_DISK_OPERATION_SECONDS, "nvme0n1", "read")
    shared = room.node(TRAINING, storage.STORAGE_OPERATIONS, "/shared", "lustre", "read")
    room.after(20)
    assert room.node(TRAINING, host.HOST_PRESSURE, "io", "some") - pressed > 0.9 * 20
    assert room.node(TRAINING, host.HOST_TASKS_BLOCKED) > 10
    reads = room.node(TRAINING, host.HOST_DISK_OPERATIONS, "nvme0n1", "read") - read
    latency = (room.node(TRAINING, host.HOST_DISK_OPERATION_SECONDS, "nvme0n1", "read") - took) / reads
    assert latency > 5e-4, "loaders fall back on the node's own disk"
    assert room.node(TRAINING, storage.STORAGE_OPERATIONS, "/shared", "lustre", "read") == shared
    assert room.gpu(gpu.GPU_UTILIZATION, "gpu") < 0.1, "nothing to compute"
    assert room.node(TRAINING, host.HOST_HUNG_TASKS) == 0, "the kernel waits two minutes first"
    assert room.after(90).node(TRAINING, host.HOST_HUNG_TASKS) > 0


def lies(plant: Plant) -> None:
    before = Room(plant).after(0.01)
    amperes = before.device("pdu-r01-a", facility.CURRENT, "A", "phase", "L1")
    plug = before.device("pdu-r01-a", facility.CURRENT, "A", "outlet", "1")
    room = strike(plant, "pdu-lies", "pdu-r01-a").after(15)
    assert room.device("pdu-r01-a", facility.CURRENT, "A", "phase", "L1") > 7 * amperes
    assert room.device("pdu-r01-a", facility.CURRENT, "A", "outlet", "1") > 7 * plug
    watts = room.device("pdu-r01-a", facility.POWER_ACTIVE, "A", "inlet", "")
    volts = room.device("pdu-r01-a", facility.VOLTAGE, "A", "phase", "L1")
    shown = sum(room.device("pdu-r01-a", facility.CURRENT, "A", "phase", f"L{n}") for n in (1, 2, 3))
    assert shown * volts > 7 * watts, "its own readings contradict each other"
    assert room.device("pdu-r01-a", facility.BREAKER_STATE, "A", "main", "normal") == 1, "nothing trips"
    assert room.device("pdu-r01-b", facility.CURRENT, "B", "phase", "L1") < 2 * amperes


def dead(plant: Plant) -> None:
    room = strike(plant, "sensor-dead", "pdu-r01-b").after(15)
    assert [(r.metric, r.value) for r in room.emitter.device("pdu-r01-b")] == [(facility.FACILITY_POLL_UP, 0)]
    assert room.device("pdu-r01-a", facility.FACILITY_POLL_UP) == 1
    assert plant.state.powered.all(), "it goes on working"
    assert resolve(FAULTS["sensor-dead"], None, plant.inventory).text == "sensor-hall-1"


CHECKS: dict[str, Callable[[Plant], None]] = {
    "thermal-interface": thermal_interface,
    "cold-plate-fouling": cold_plate,
    "fan-failure": fans,
    "coolant-pump": pump,
    "cdu-failure": unit,
    "flow-restricted": restriction,
    "leak": leak,
    "inlet-temperature": hot_air,
    "cdu-setpoint": setpoint,
    "power-cap": power_cap,
    "psu-lost": psu,
    "feed-lost": feed,
    "breaker-limit": breaker,
    "ecc-storm": ecc,
    "xid-79": xid_79,
    "nvlink-errors": nvlink,
    "pcie-degraded": pcie,
    "link-flapping": flapping,
    "straggler": straggler,
    "engine-hang": hang,
    "engine-slow": slow,
    "training-restart": restart,
    "storage-stall": stall,
    "clock-drift": clock,
    "disk-worn": disk,
    "pdu-lies": lies,
    "sensor-dead": dead,
}


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_has_its_effect(kind: str, fresh_plant: Fresh) -> None:
    CHECKS[kind](fresh_plant())


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_fault_ends_and_its_truth_names_an_entity(kind: str, fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    what = FAULTS[kind]
    target = resolve(what, None, plant.inventory)
    fault = Fault(kind, target, plant.time, plant.time + 20, what.ramp, what.severity)
    assert fault.level(plant.time - 1) == fault.level(plant.time + 20) == 0
    assert fault.level(plant.time + 19.9) == pytest.approx(what.severity, rel=0.05)
    plant.set_faults([fault])
    plant.advance(20, longest=2)
    plant.advance(200)
    state = plant.state
    assert state.lost.sum() == state.node_leak.sum() == state.leak.sum() == state.port_down.sum() == 0
    assert state.mount_ok.min() == state.fed.min() == state.live.min() == state.disk_spare.min() == 1
    assert state.pcie_width.min() == 16
    assert state.clock_error.max() < 0.01
    assert state.flow == pytest.approx(1.0, abs=0.02)
    entity = target.entity(plant.inventory, 1)
    assert entity.startswith(("GPU-", "node:r01-n0", "rack:r01", "loop:loop-1", "feed:utility-", "device:"))


def test_a_feed_lost_for_good_leaves_the_other_side_to_carry_all(fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    room = strike(plant, "feed-lost", "utility-b", severity=1.0).after(10)
    assert room.device("pdu-r01-b", facility.POWER_ACTIVE, "B", "inlet", "") == 0
    assert room.device("ups-b", facility.UPS_STATUS, "off") == 1
    carried = room.device("pdu-r01-a", facility.POWER_ACTIVE, "A", "inlet", "")
    drawn = plant.state.node_power.sum() + power.SWITCH_WATTS
    assert carried == pytest.approx(drawn * 1.004, rel=1e-3)
    health = [
        room.device(f"bmc-{TRAINING}", facility.COMPONENT_HEALTH, f"psu{n}", "critical") for n in range(1, 7)
    ]
    assert health == [0, 1, 0, 1, 0, 1]
    assert plant.state.powered.min() == 1


def test_both_feeds_lost_takes_the_nodes_down_and_their_readings_away(fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    kind = FAULTS["feed-lost"]
    plant.set_faults(
        Fault(
            "feed-lost", resolve(kind, f"utility-{s}", plant.inventory), plant.time, plant.time + 60, 0, 1.0
        )
        for s in "ab"
    )
    room = Room(plant).after(5)
    assert room.emitter.node(TRAINING) == []
    assert [r.metric for r in room.emitter.device(f"bmc-{TRAINING}")] == [facility.FACILITY_POLL_UP]
    assert room.device(f"bmc-{TRAINING}", facility.FACILITY_POLL_UP) == 0
    assert room.after(80).node(TRAINING, gpu.GPUS_VISIBLE, "nvml") == 8


def test_a_gpu_that_reaches_its_shutdown_temperature_is_lost_until_it_has_cooled(fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    plant.state.core[11] = 96
    plant.step(1.0)
    plant.step(1.0)
    assert plant.state.lost[11] == 1
    plant.advance(600)
    assert plant.state.lost[11] == 0


def test_a_breaker_trips_on_overload(fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    plant.layout.breaker[plant.layout.device["pdu-r01-a"]] = 5.0
    plant.advance(120, longest=1)
    assert plant.state.breaker_tripped[plant.layout.device["pdu-r01-a"]] == 1
    assert plant.state.powered.min() == 1, "side B carries the nodes"


def test_a_rack_of_a_shared_loop_is_choked_alone(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    core = plant.state.core.copy()
    strike(plant, "flow-restricted", "r01").after(90)
    rise = plant.state.core - core
    assert rise[:32].mean() > 6 > rise[32:64].mean() + 4
    assert plant.state.flow[1] == pytest.approx(1, abs=0.01)


def test_two_coolant_units_keep_most_of_the_flow_when_one_fails(fresh_plant: Fresh) -> None:
    plant = fresh_plant("full-scale")
    strike(plant, "cdu-failure", "cdu-01-a").after(20)
    assert 0.55 < plant.state.flow[0] < 0.7
    assert plant.state.flow[1] == pytest.approx(1, abs=0.01)
    assert plant.state.unit_flow[0] < 1e-4


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("xid-79", "r01-n01/0", Target("gpu", "r01-n01", 0)),
        ("xid-79", gpu_uuid(1, "r01-n02", 7), Target("gpu", "r01-n02", 7)),
        ("psu-lost", "node:r01-n01", Target("node", "r01-n01")),
        ("engine-hang", "chat", Target("node", "r01-n01")),
        ("coolant-pump", "loop:loop-1", Target("loop", "loop-1")),
        ("coolant-pump", "cdu-1", Target("cdu", "cdu-1")),
        ("breaker-limit", "r01", Target("pdu", "pdu-r01-a")),
        ("feed-lost", "feed:utility-a", Target("feed", "utility-a")),
    ],
)
def test_targets_are_found_by_every_name_they_have(
    kind: str, text: str, expected: Target, fresh_plant: Fresh
) -> None:
    assert resolve(fault_kind(kind), text, fresh_plant().inventory) == expected


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("xid-79", "r01-n02/8", "no gpu 'r01-n02/8'; did you mean"),
        ("psu-lost", "r01-n03", "no node 'r01-n03'; did you mean r01-n0"),
        ("cdu-failure", "loop-1", "no cdu 'loop-1'; known: cdu-1"),
    ],
)
def test_unknown_targets_are_named_with_what_comes_close(
    kind: str, text: str, words: str, fresh_plant: Fresh
) -> None:
    with pytest.raises(UserError, match=words):
        resolve(fault_kind(kind), text, fresh_plant().inventory)


def test_unknown_kinds_are_named_with_what_comes_close() -> None:
    with pytest.raises(UserError, match="no fault 'xid79'; did you mean xid-79"):
        fault_kind("xid79")


def test_a_site_without_the_thing_says_so(fresh_plant: Fresh) -> None:
    bare = replace(fresh_plant().inventory, loops=(), devices=(), workloads=())
    with pytest.raises(UserError, match="has no loop that this fault could hit"):
        resolve(FAULTS["leak"], None, bare)
