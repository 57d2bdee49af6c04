"""What sources read from the plant: every metric of its domains, the newest state, and nothing stale."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatch import catalogue
from gigawatch.catalogue import (
    Kind,
    Origin,
    Presence,
    electrical,
    fabric,
    gpu,
    gpu_activity,
    gpu_links,
    host,
    inference,
    liquid,
    own,
    room,
    storage,
    training,
    workload,
)
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.simulator import drills, queues, snapshot
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.service import PlantService
from gigawatch.simulator.view import AttachedView, Emitter, PlantUnavailableError, open_view
from gigawatch.topology import Role, blueprint

Fresh = Callable[..., Plant]
DOMAINS = ("gpu", "gpu_activity", "gpu_links", "host", "fabric", "storage", "workload", "inference",
           "training", "facility", "electrical", "liquid", "room")  # fmt: skip
NOW = 1_767_225_600.0
SITE = blueprint("starter")


NOT_SIMULATED = {
    # Devices of the plant do not have these.
    gpu.GPU_FAN_SPEED, gpu.GPU_RETIRED_PAGES, gpu.GPU_RETIRED_PAGES_PENDING, gpu_links.GPU_PCIE_THROUGHPUT,
    host.HOST_FAN_SPEED, fabric.ROCE_EVENTS,
    # Its GPUs are not partitioned, and per process, link or location there would be too many series.
    gpu_activity.GPU_MIG_INFO, gpu_activity.GPU_MIG_MEMORY_USED, gpu_activity.GPU_MIG_SM_ACTIVE,
    gpu_activity.GPU_PROCESS_MEMORY_USED, gpu_activity.GPU_PROCESS_UTILIZATION,
    gpu.GPU_ECC_LOCATION_ERRORS, gpu_links.GPU_NVLINK_SPEED, gpu_links.GPU_NVLINK_BIT_ERROR,
    gpu_links.GPU_PCIE_ERRORS,
    # No fault of the plant brings these about.
    gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED, gpu_links.NVSWITCH_SXID_ERRORS, workload.ALLOCATION_UNMATCHED,
    # What other metrics say already, or only a real driver can.
    gpu_activity.GPU_SM_CYCLES,
    # Which GPUs an engine has is said outright.
    inference.INFERENCE_POD_INFO, inference.INFERENCE_JOB_INFO, inference.INFERENCE_PORT_INFO,
    workload.GPU_PORT_INFO,
    # Its power devices are simple ones, and it has neither transfer switches nor meters of residual current.
    electrical.LOAD, electrical.PHASE_IMBALANCE, electrical.RESIDUAL_CURRENT, electrical.TRANSFER_SOURCE,
    electrical.UPS_BATTERY_TEMPERATURE,
    # Its coolant units have clean filters and coolant, and say how fast pumps and fans are as a share.
    liquid.PUMP_SPEED_RPM, liquid.PUMP_SERVICE, liquid.FILTER_PRESSURE, liquid.CONDUCTIVITY,
    liquid.FAN_SPEED_RPM, liquid.HEAT_REUSED, liquid.WATER_CONSUMED,
    # Its hall is not divided, does not burn, and buys its power without a label.
    room.AIR_PRESSURE, room.SMOKE, room.CARBON_INTENSITY,
    # An engine of the plant answers or is not there.
    inference.INFERENCE_SCRAPE_ERRORS,
}  # fmt: skip
"""Metrics of the simulated domains that the plant does not emit; everything else it must."""
AFTER_AN_XID = {gpu.GPU_XID_INFO, gpu.GPU_XID_LAST_TIMESTAMP}
MANY_AT_ONCE = {gpu.GPU_CLOCK_EVENT_ACTIVE, gpu_links.GPU_FABRIC_UNHEALTHY, storage.NVME_CRITICAL_WARNING}


def emitted(plant: Plant) -> dict[str, list[Reading]]:
    emitter = Emitter(plant.layout)
    emitter.refresh(plant.state)
    nodes = {node.name: emitter.node(node.name) for node in plant.inventory.nodes}
    return nodes | {device.name: emitter.device(device.name) for device in plant.inventory.devices}


def test_every_metric_of_its_domains_is_emitted_with_the_labels_of_the_catalogue(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    targets = emitted(plant)
    targets["the site"] = list(queues.readings(plant.layout, plant.time))
    seen = {reading.metric for readings in targets.values() for reading in readings}
    wanted = {metric for metric in catalogue.all_metrics() if catalogue.domain_of(metric) in DOMAINS}
    facility_too = {m for m in wanted if m.origin is Origin.FACILITY} - NOT_SIMULATED
    needed = {m for m in wanted if m.presence is Presence.ALWAYS} | facility_too
    assert {metric.name for metric in needed - seen} == set()
    assert {metric.name for metric in seen - wanted} == set()
    assert {m.name for m in wanted - seen} == {m.name for m in NOT_SIMULATED | AFTER_AN_XID}
    for name, readings in targets.items():
        keys = [(reading.metric, reading.labels) for reading in readings]
        assert len(keys) == len(set(keys)), f"{name} gives a series twice"
        for reading in readings:
            part = reading.metric.kind is Kind.HISTOGRAM
            assert len(reading.labels) == len(reading.metric.labels) + part
            assert np.isfinite(reading.value)
            for label, value in zip(reading.metric.labels, reading.labels, strict=not part):
                allowed = reading.metric.values.get(label)
                assert allowed is None or value in allowed, f"{reading.metric} {label}={value}"


def test_state_sets_have_exactly_one_state(fresh_plant: Fresh) -> None:
    for readings in emitted(fresh_plant("mid-scale")).values():
        sums: dict[tuple[object, ...], float] = {}
        for metric, labels, value, _ in readings:
            if metric.kind is Kind.STATE_SET and metric not in MANY_AT_ONCE:
                place = metric.labels.index(metric.state_label)
                key = (metric, *labels[:place], *labels[place + 1 :])
                sums[key] = sums.get(key, 0) + value
        assert set(sums.values()) <= {1.0}


def test_counters_never_fall_and_ratios_stay_in_range(fresh_plant: Fresh) -> None:
    plant = fresh_plant()
    before = emitted(plant)
    plant.advance(120)
    for name, readings in emitted(plant).items():
        old = {(r.metric, r.labels): r.value for r in before[name]}
        for metric, labels, value, _ in readings:
            if metric.kind in (Kind.COUNTER, Kind.HISTOGRAM):
                assert value >= old[metric, labels]
            if metric.key.endswith("_ratio"):
                assert 0 <= value <= 1.05, f"{metric} {labels}: {value}"


def test_profiling_follows_the_work_and_never_exceeds_utilisation(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    plant.advance(30)

    def ratios(node: str) -> dict[tuple[str, ...], float]:
        emitter = Emitter(plant.layout)
        emitter.refresh(plant.state)
        first = [r for r in emitter.node(node) if r.metric.key.endswith("_ratio") and r.labels[:1] == ("0",)]
        return {(r.metric.key, *r.labels[2:]): r.value for r in first}

    training, idle = ratios("r01-n01"), ratios("r04-n04")
    active = training[("gpu_sm_active_ratio",)]
    busy = training[("gpu_utilization_ratio", "gpu")]
    assert busy + 0.01 > training[("gpu_graphics_active_ratio",)] > active
    assert active > training[("gpu_sm_occupancy_ratio",)] > 0
    assert active > training[("gpu_pipe_active_ratio", "tensor")] > 0.2
    for key in ("gpu_graphics_active_ratio", "gpu_sm_active_ratio", "gpu_dram_active_ratio"):
        assert idle[(key,)] == 0


def test_links_carry_what_the_work_needs(fresh_plant: Fresh) -> None:
    plant = fresh_plant("mid-scale")
    seconds = 60

    def counted() -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for node, readings in emitted(plant).items():
            for r in readings:
                if r.metric in (gpu_links.GPU_NVLINK_BYTES, gpu_links.GPU_PCIE_BYTES) and r.labels[0] == "0":
                    found.setdefault(node, {})[f"{r.metric.key} {r.labels[-1]}"] = r.value
        return found

    before = counted()
    plant.advance(seconds)
    rates = {
        node: {key: (value - before[node][key]) / seconds for key, value in values.items()}
        for node, values in counted().items()
    }
    training, idle = rates["r01-n01"], rates["r04-n04"]
    nvlink, pcie = "gpu_nvlink_bytes_total receive", "gpu_pcie_bytes_total receive"
    assert 10e9 < training[nvlink] < 960e9
    assert 1e8 < training[pcie] < 1e9 < training[nvlink]
    assert idle[nvlink] == 0
    assert idle[pcie] < 1e6


def test_readings_that_did_not_change_are_given_again_and_old_pages_stay_as_they_were(
    fresh_plant: Fresh,
) -> None:
    plant = fresh_plant()
    emitter = Emitter(plant.layout)
    emitter.refresh(plant.state)
    first = emitter.node("r01-n01")
    copy = list(first)
    for _ in range(3):
        plant.advance(7)
        emitter.refresh(plant.state)
        fresh = Emitter(plant.layout)
        fresh.refresh(plant.state)
        assert emitter.node("r01-n01") == fresh.node("r01-n01")
    assert first == copy
    plant.state.lost[:] = 1
    emitter.refresh(plant.state)
    fresh.refresh(plant.state)
    assert emitter.node("r01-n01") == fresh.node("r01-n01")
    plant.state.lost[:] = 0
    emitter.refresh(plant.state)
    fresh.refresh(plant.state)
    assert emitter.node("r01-n01") == fresh.node("r01-n01")


def test_an_idle_node_holds_no_job_and_a_job_counts_its_tokens_once(fresh_plant: Fresh) -> None:
    targets = emitted(fresh_plant("mid-scale"))
    idle = {reading.metric for reading in targets["r04-n04"]}
    assert workload.GPU_ALLOCATION_INFO not in idle
    assert gpu.GPU_POWER in idle
    holders = [
        n
        for n, rs in targets.items()
        for r in rs
        if r.metric is training.TRAINING_TOKENS and "pretrain-7" in r.labels
    ]
    assert holders == ["r01-n01"]
    ranks = [
        r
        for rs in targets.values()
        for r in rs
        if r.metric is training.TRAINING_RANK_WAIT and "pretrain-7" in r.labels
    ]
    assert len(ranks) == 64


def test_serious_xids_stand_at_zero_from_the_start(fresh_plant: Fresh) -> None:
    node = emitted(fresh_plant())["r01-n01"]
    found = [r for r in node if r.metric is gpu.GPU_XID_ERRORS]
    assert len(found) == 8 * len(gpu.XID_SERIOUS)
    assert {r.value for r in found} == {0.0}


def test_a_full_site_is_emitted_well_within_a_scrape(fresh_plant: Fresh) -> None:
    plant = fresh_plant("full-scale")
    emitter = Emitter(plant.layout)
    emitter.refresh(plant.state)
    first = sum(len(emitter.node(node.name)) for node in plant.inventory.nodes)
    begin = time.process_time()
    emitter.refresh(plant.state)
    again = sum(len(emitter.node(node.name)) for node in plant.inventory.nodes)
    assert first == again > 150_000
    assert time.process_time() - begin < 1.0, "about 0.12 s on a quiet machine"


def test_a_view_of_its_own_follows_the_clock_and_skips_long_gaps() -> None:
    now = [NOW]
    view = open_view(blueprint("starter"), clock=lambda: now[0])
    assert view.refresh() == pytest.approx(NOW)
    energy = [r.value for r in view.node_readings("r01-n01") if r.metric is gpu.GPU_ENERGY]
    now[0] += 5
    assert view.refresh() == pytest.approx(NOW + 5)
    later = [r.value for r in view.node_readings("r01-n01") if r.metric is gpu.GPU_ENERGY]
    assert all(5 * 60 < b - a < 5 * 750 for a, b in zip(energy, later, strict=True))
    now[0] += 1_000_000
    begin = time.process_time()
    assert view.refresh() == pytest.approx(now[0])
    assert time.process_time() - begin < 2
    with pytest.raises(UserError, match="no node 'nowhere'"):
        view.node_readings("nowhere")


def test_an_attached_view_reads_what_the_service_publishes_and_drops_what_is_stale(tmp_path: Path) -> None:
    now = [NOW]
    site = blueprint("starter")
    with pytest.raises(PlantUnavailableError, match="no plant state"):
        open_view(site, tmp_path, clock=lambda: now[0]).refresh()
    service = PlantService(site, tmp_path, 9, lambda: now[0])
    assert service.tick() == NOW + 1
    view = open_view(site, tmp_path, clock=lambda: now[0])
    assert view.refresh() == NOW
    emitter = Emitter(service.plant.layout)
    emitter.refresh(service.plant.state)
    assert list(view.node_readings("r01-n02")) == emitter.node("r01-n02")
    assert list(view.device_readings("cdu-1")) == emitter.device("cdu-1")
    now[0] += 3
    service.tick()
    assert view.refresh() == NOW + 3
    now[0] += 30
    with pytest.raises(PlantUnavailableError, match="30 s old"):
        view.refresh()
    assert list(view.node_readings("r01-n02")) == []
    assert list(view.device_readings("cdu-1")) == []
    service.tick()
    view.refresh()
    assert list(view.node_readings("r01-n02"))
    service.close()


def test_a_view_refuses_the_state_of_another_inventory(tmp_path: Path) -> None:
    service = PlantService(blueprint("starter"), tmp_path, 1, lambda: NOW)
    service.tick()
    with pytest.raises(PlantUnavailableError, match="belongs to another inventory"):
        AttachedView(blueprint("mid-scale"), tmp_path, lambda: NOW).refresh()
    service.close()


def test_a_restart_continues_and_a_long_pause_is_skipped(tmp_path: Path) -> None:
    now = [NOW]
    site = blueprint("starter")
    service = PlantService(site, tmp_path, 1, lambda: now[0])
    now[0] += 10
    service.tick()
    energy = service.plant.state.energy.copy()
    with pytest.raises(UserError, match="another plant runs"):
        PlantService(site, tmp_path, 1, lambda: now[0])
    service.close()
    now[0] += 4
    again = PlantService(site, tmp_path, 1, lambda: now[0])
    again.tick()
    assert (again.plant.state.energy > energy).all()
    assert again.plant.time == now[0]
    steps = again.plant.state.clock[1]
    now[0] += 3600
    again.tick()
    assert again.plant.time == now[0]
    assert again.plant.state.clock[1] - steps == pytest.approx(60, abs=1)
    assert again.lag == pytest.approx(3600)
    again.close()


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_a_damaged_state_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    state = tmp_path_factory.mktemp("damaged")
    (state / snapshot.NAME).write_bytes(content)
    with pytest.raises(UserError) as caught:
        snapshot.read(state)
    assert "\n" not in str(caught.value)


def test_a_drill_reaches_the_plant_within_a_tick_and_ends_in_time(tmp_path: Path) -> None:
    now = [NOW]
    site = blueprint("starter")
    service = PlantService(site, tmp_path, 5, lambda: now[0])
    service.tick()
    drill = drills.start(tmp_path, "xid-79", None, 20, None, site, now[0])
    assert drills.active(tmp_path) == [drill]
    assert drill.entity == service.plant.layout.uuids[11]
    now[0] += 2
    service.tick()
    assert service.plant.state.lost[11] == 1
    assert Reading(own.PLANT_FAULT_ACTIVE, (drill.id, "xid-79", "r01-n02/3"), 1.0) in service.readings()
    service.close()
    # A restart keeps the drill.
    service = PlantService(site, tmp_path, 5, lambda: now[0])
    now[0] += 2
    service.tick()
    assert service.plant.state.lost[11] == 1
    now[0] += 30
    service.tick()
    now[0] += 1
    service.tick()
    assert service.plant.state.lost[11] == 0
    assert drills.active(tmp_path) == []
    assert not any(r.metric is own.PLANT_FAULT_ACTIVE for r in service.readings())
    service.close()


def test_drills_are_stopped_by_id_or_all_at_once(tmp_path: Path) -> None:
    site = blueprint("starter")
    first = drills.start(tmp_path, "psu-lost", "r01-n01", None, 0.5, site, NOW)
    second = drills.start(tmp_path, "leak", None, 60, None, site, NOW)
    assert first.end == NOW + drills.DEFAULT_SECONDS
    assert drills.stop(tmp_path, first.id) == [first]
    with pytest.raises(UserError, match="no drill 'leaky' is running"):
        drills.stop(tmp_path, "leaky")
    assert drills.stop(tmp_path) == [second]
    assert drills.stop(tmp_path) == []
    assert len(drills.fault_kinds()) == 27


@pytest.mark.parametrize(
    ("kind", "target", "seconds", "severity", "words"),
    [
        ("nonsense", None, None, None, "no fault 'nonsense'"),
        ("leak", "loop-9", None, None, "no loop or cdu or node or tray 'loop-9'; did you mean loop-1"),
        ("leak", None, 0, None, "duration of 0 s; allowed: 1 s to 30 days"),
        ("leak", None, float("nan"), None, "duration of nan s"),
        ("leak", None, None, 2, "severity 2; allowed"),
    ],
)
def test_wrong_drills_are_refused_before_they_reach_the_plant(
    tmp_path: Path, kind: str, target: str | None, seconds: float | None, severity: float | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        drills.start(tmp_path, kind, target, seconds, severity, blueprint("starter"), NOW)
    assert drills.active(tmp_path) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
_DRILL = st.fixed_dictionaries({
    "id": st.sampled_from(["a-1", "../x", ""]) | _JSON, "kind": st.sampled_from(["leak", "what"]) | _JSON,
    "target": st.sampled_from(["loop-1", "nowhere"]) | _JSON, "entity": st.just("loop:loop-1") | _JSON,
    "start": st.floats() | _JSON, "end": st.floats() | _JSON, "ramp": st.just(1.0) | _JSON,
    "severity": st.just(1) | _JSON,
})  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60) | (_JSON | _DRILL).map(lambda data: json.dumps(data).encode()))
def test_a_damaged_spool_file_never_disturbs_the_plant(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    state = tmp_path_factory.mktemp("spool")
    good = drills.start(state, "leak", None, 60, None, SITE, NOW)
    (state / "drills" / "bad.json").write_bytes(content)
    assert good in drills.active(state)
    for drill in drills.sweep(state, NOW):
        try:
            fault = drills.to_fault(drill, SITE, 1)
        except UserError:
            continue
        assert 0 <= fault.level(NOW) <= 1


def test_a_drill_for_a_thing_that_is_not_there_is_left_aside(tmp_path: Path) -> None:
    site = blueprint("starter")
    drills.start(tmp_path, "psu-lost", "r02-n01", 60, None, blueprint("mid-scale"), NOW)
    service = PlantService(site, tmp_path, 1, lambda: NOW + 1)
    service.tick()
    assert service.plant.faults == ()
    service.close()


def test_a_plant_without_devices_or_loops_still_runs() -> None:
    site = blueprint("mid-scale")
    air = tuple(replace(node, loop="") for node in site.nodes)
    plant = Plant(replace(site, nodes=air, loops=(), devices=()), 1, NOW, warm_up=100)
    targets = emitted(plant)
    assert len(targets["r01-n01"]) > 500
    plant = Plant(replace(site, devices=()), 1, NOW, warm_up=100)
    assert plant.state.core.max() < 80
    sensors = tuple(d for d in site.devices if d.role is Role.SENSOR)
    assert emitted(
        Plant(replace(site, nodes=(), devices=sensors, loops=(), workloads=()), 1, NOW, warm_up=10)
    )
