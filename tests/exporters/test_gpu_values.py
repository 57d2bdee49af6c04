"""What the GPU sources read, through the real ctypes path and a fake driver library, pass by pass."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_driver import FakeDriver
from gpu_reader import GpuReader, Pass

from gigawatch.catalogue import Metric, Origin, gpu, gpu_activity, gpu_links

Read = Callable[..., GpuReader]
_NOT_READ_FROM_NVML = {
    gpu.GPU_STATE,
    gpu.GPUS_VISIBLE,
    gpu.GPU_XID_ERRORS,
    gpu.GPU_XID_LAST_TIMESTAMP,
    gpu.GPU_XID_INFO,
}
"""Told by others: the collector, the PCI bus, events and the kernel log."""


@pytest.fixture
def read(driver_library: Callable[[str], Path], tmp_path: Path) -> Iterator[Read]:
    """Sources of a node whose driver says these lines."""
    open_readers: list[GpuReader] = []

    def start(*lines: str, flags: str = "", **options: Any) -> GpuReader:
        control = tmp_path / f"control-{len(open_readers)}"
        driver = FakeDriver(control, *lines, library=driver_library(flags))
        reader = GpuReader(driver, **({"profiling": True} | options))
        open_readers.append(reader)
        return reader

    yield start
    for reader in open_readers:
        reader.__exit__(None, None, None)
        reader.driver.close()


def missing(*passes: Pass) -> dict[str, str]:
    """Feature to reason, as the capability info tells."""
    return {feature: reason for one in passes for feature, _, reason in one.of(gpu.GPU_CAPABILITY_INFO)}


def check_labels(*passes: Pass) -> None:
    """Labels fit the catalogue, and each set of states is complete."""
    for one in passes:
        for name, labels in one.rows:
            metric = next(m for m in one.metrics if m.name == name)
            assert len(labels) == len(metric.labels)
            for label, value in zip(metric.labels, labels, strict=True):
                assert value in metric.values.get(label, (value,)), f"{name}: {label} is {value}"


def test_every_metric_of_the_catalogue_is_read_somewhere(read: Read) -> None:
    nodes = (
        read("gpus 1", "mig 0 2", f"process 0 {os.getpid()} 100", processes=True),
        read("gpus 1", "architecture 10", "name NVIDIA B200"),
        read("gpus 1", "architecture 6", "fans 0 1", "unsupported 197", "unsupported 198"),
    )
    found: set[Metric] = set()
    for node in nodes:
        passes = node.settled()
        check_labels(*passes)
        for one in passes:
            assert (one.error, one.rejected, one.condition) == ("", {}, "ok")
            found |= one.metrics
    declared = {
        metric
        for domain in (gpu, gpu_activity, gpu_links)
        for metric in vars(domain).values()
        if isinstance(metric, Metric) and metric.origin is Origin.AGENT and metric.key.startswith("gpu")
    }
    assert declared - _NOT_READ_FROM_NVML == found


def test_a_hopper_gpu(read: Read) -> None:
    fast, slow = read("gpus 4", "power 3 650.5", "temperature 3 71", "utilization 3 80").settled(3)
    assert fast.value(gpu.GPU_POWER, "gpu") == 650.5
    assert fast.value(gpu.GPU_POWER, "module") == 750.5
    assert fast.value(gpu.GPU_POWER_AVERAGE, "gpu") == 650.5
    assert fast.value(gpu.GPU_ENERGY) == pytest.approx(123456.003)
    assert fast.of(gpu.GPU_TEMPERATURE) == {("core",): 71, ("memory",): 63}
    assert fast.value(gpu.GPU_TEMPERATURE_MARGIN) == 16
    assert fast.of(gpu.GPU_CLOCK) == {
        ("graphics",): 1000e6, ("sm",): 1001e6, ("memory",): 1002e6, ("video",): 1003e6
    }  # fmt: skip
    reasons = fast.of(gpu.GPU_CLOCK_EVENT_ACTIVE)
    assert [reason for (reason,), at in reasons.items() if at] == ["sw_power_cap"]
    assert len(reasons) == 8, "the ninth reason is not one that this GPU supports"
    assert fast.value(gpu.GPU_CLOCK_EVENT_SECONDS, "sw_power_cap") == 1.5
    assert fast.of(gpu.GPU_UTILIZATION) == pytest.approx(
        {
            ("gpu",): 0.8,
            ("memory",): 0.25,
            ("encoder",): 0.1,
            ("decoder",): 0.2,
            ("jpeg",): 0.05,
            ("ofa",): 0.03,
        }
    )
    assert fast.value(gpu.GPU_MEMORY_USED) == 8 << 30
    assert fast.of(gpu_links.GPU_PCIE_BYTES) == {("transmit",): 4000003, ("receive",): 5000003}

    assert slow.of(gpu.GPU_POWER_LIMIT) == {
        ("enforced",): 700, ("requested",): 700, ("default",): 700, ("min",): 200, ("max",): 700
    }  # fmt: skip
    assert slow.of(gpu.GPU_TEMPERATURE_THRESHOLD) == {("slowdown",): 89, ("shutdown",): 95, ("gpu_max",): 87}
    assert slow.value(gpu.GPU_MEMORY_SIZE) == 80 << 30
    assert slow.value(gpu.GPU_MEMORY_RESERVED) == 1 << 29
    assert slow.value(gpu.GPU_BAR1_USED) == 1 << 24
    assert slow.of(gpu.GPU_ECC_ENABLED) == {("current",): 1, ("pending",): 1}
    assert slow.value(gpu.GPU_ECC_ERRORS, "corrected", "aggregate") == 9
    assert len(slow.of(gpu.GPU_ECC_LOCATION_ERRORS)) == 22 + 4, "fields, and a function for on-chip memory"
    assert slow.value(gpu.GPU_SRAM_ECC_THRESHOLD_EXCEEDED) == 0
    assert slow.of(gpu.GPU_ROW_REMAP_BANKS)["max",] == 639
    assert slow.value(gpu_activity.GPU_PROCESSES) == 0
    assert slow.of(gpu_links.GPU_FABRIC_STATE)["completed",] == 1
    assert set(slow.of(gpu_links.GPU_FABRIC_UNHEALTHY).values()) == {0}
    assert set(slow.of(gpu_links.GPU_PCIE_ERRORS)) == {(kind,) for kind in gpu_links.PCIE_ERROR_KINDS}
    ((labels, _),) = slow.of(gpu.GPU_INFO).items()
    assert dict(zip(gpu.GPU_INFO.labels[2:], labels, strict=True)) == {
        "model": "Fake H100", "serial": "SN3", "pci_bus_id": "0000:1e:00.0", "vbios": "96.00",
        "driver_version": "580.1", "architecture": "hopper", "board_part": "900-2G520", "minor": "3",
        "numa": "0",
    }  # fmt: skip
    assert slow.note["bus"] == "0000:1e:00.0"
    assert not slow.of(gpu.GPU_RETIRED_PAGES)
    assert not slow.of(gpu_links.GPU_PCIE_THROUGHPUT)


def test_what_a_gpu_lacks_is_told_in_few_lines(read: Read) -> None:
    assert missing(*read("gpus 1").settled()) == {
        "gpu_power_watts/memory": "not_supported",
        "gpu_fan_speed_ratio": "not_supported",
        "gpu_nvlink_bit_error_ratio": "not_supported",
    }
    bare = missing(*read("gpus 1", "architecture 8", "links 0 0").settled())
    assert {feature for feature in bare if "nvlink" in feature} == {
        "gpu_nvlink_bytes_total",
        "gpu_nvlink_up",
    }


def test_labels_stay_the_same_objects(read: Read) -> None:
    node = read("gpus 1", "architecture 10", "live 1")
    node.settled()
    assert node.fast().again


def test_profiling_needs_two_passes(read: Read) -> None:
    node = read("gpus 2", "utilization 1 60", "gpm_value 2 100.7")
    first, second = node.fast(1), node.fast(1)
    assert first.value(gpu.GPU_POWER, "gpu") is not None
    assert not first.of(gpu_activity.GPU_SM_ACTIVE)
    assert second.value(gpu_activity.GPU_SM_ACTIVE) == 1, (
        "counters read one after the other overshoot a little"
    )
    assert second.value(gpu_activity.GPU_GRAPHICS_ACTIVE) == pytest.approx(0.6)
    assert second.value(gpu_activity.GPU_SM_OCCUPANCY) == pytest.approx(0.3)
    assert second.value(gpu_activity.GPU_DRAM_ACTIVE) == pytest.approx(0.36)
    pipes = second.of(gpu_activity.GPU_PIPE_ACTIVE)
    assert set(pipes) == {(pipe,) for pipe in gpu_activity.GPU_PIPE_ACTIVE.values["pipe"]}
    assert pipes["tensor",] == pytest.approx(0.24)
    cycles = second.of(gpu_activity.GPU_SM_CYCLES)
    assert cycles["active",] / cycles["elapsed",] == pytest.approx(0.6)
    other = node.fast(0)
    assert not other.of(gpu_activity.GPU_SM_ACTIVE), "each GPU has samples of its own"


def test_profiling_of_which_a_driver_knows_only_a_part(read: Read) -> None:
    node = read("gpus 1", *(f"gpm_unsupported {number}" for number in (8, 248, 249, 250, 255, 256)))
    passes = node.settled()
    assert passes[0].value(gpu_activity.GPU_SM_ACTIVE) is not None
    assert ("dmma",) not in passes[0].of(gpu_activity.GPU_PIPE_ACTIVE)
    told = missing(*passes)
    assert told["gpu_pipe_active_ratio/dmma"] == "not_supported"
    assert told["gpu_sm_cycles_total/elapsed"] == "not_supported"
    assert "gpu_pcie_bytes_total" not in told


@pytest.mark.parametrize(
    ("lines", "flags", "reason"),
    [
        (("gpm 0",), "", "not_supported"),
        (("architecture 8",), "", "not_supported"),
        ((), "-DOLD_DRIVER", "driver_too_old"),
        (("permission nvmlGpmSampleGet",), "", "permission"),
        (("fail nvmlGpmMetricsGet 2",), "", "not_supported"),
    ],
)
def test_no_profiling(read: Read, lines: tuple[str, ...], flags: str, reason: str) -> None:
    node = read("gpus 1", *lines, flags=flags)
    for _ in range(8):
        last = node.fast()
    assert last.error == ""
    assert missing(last)[gpu_activity.GPU_SM_ACTIVE.key] == reason
    assert last.value(gpu.GPU_UTILIZATION, "gpu") == 0.5
    assert not last.of(gpu_activity.GPU_SM_ACTIVE)


def test_profiling_that_is_not_wanted_is_not_asked_for(read: Read) -> None:
    fast, slow = read("gpus 1", "mig 0 1", profiling=False).settled()
    assert gpu_activity.GPU_SM_ACTIVE.key not in missing(fast)
    assert not fast.of(gpu_activity.GPU_SM_ACTIVE)
    assert not slow.of(gpu_activity.GPU_MIG_SM_ACTIVE)


def test_a_gpu_that_is_stuck_in_profiling_holds_up_no_other(read: Read) -> None:
    node = read("gpus 2")
    before = node.settled(1)[0]
    assert before.value(gpu_activity.GPU_SM_ACTIVE) is not None
    node.driver.add("gpm_slow 4000000")
    during = node.while_profiling(busy=0, gpu=1)
    assert during.error == "gpm_busy"
    assert during.value(gpu.GPU_POWER, "gpu") == 301
    assert not during.of(gpu_activity.GPU_SM_ACTIVE)
    assert node.fast(1).error == "", "told once"
    node.driver.remove("gpm_slow*")
    limit = time.monotonic() + 60
    while not node.fast(1).of(gpu_activity.GPU_SM_ACTIVE):
        assert time.monotonic() < limit, "profiling did not come back"
        time.sleep(0.05)


def test_pcie_bytes_come_from_profiling_where_fields_lack_them(read: Read) -> None:
    fast, slow = read("gpus 1", "unsupported 197", "unsupported 198").settled()
    assert fast.of(gpu_links.GPU_PCIE_BYTES) == {("transmit",): 1e9, ("receive",): 1e9}
    assert not slow.of(gpu_links.GPU_PCIE_THROUGHPUT)
    assert "gpu_pcie_bytes_total" not in missing(fast)


def test_pcie_throughput_only_where_there_is_no_counter(read: Read) -> None:
    fast, slow = read("gpus 1", "unsupported 197", "unsupported 198", "gpm 0").settled()
    assert not fast.of(gpu_links.GPU_PCIE_BYTES)
    assert missing(fast)["gpu_pcie_bytes_total"] == "not_supported"
    assert slow.of(gpu_links.GPU_PCIE_THROUGHPUT) == {("transmit",): 1e6, ("receive",): 2e6}


def test_a_counter_of_32_bits_is_no_counter_of_pcie_bytes(read: Read) -> None:
    narrow, _ = read("gpus 1", "gpm 0", "field 197 * 3020371496:ui", "field 198 * 3893142392:ui").settled()
    assert missing(narrow)["gpu_pcie_bytes_total"] == "counter_wraps"
    node = read("gpus 1", "gpm 0", "field 197 * 4000000000:ull", "field 198 * 1:ull")
    node.settled()
    node.driver.write("gpus 1", "gpm 0", "field 197 * 1000:ull", "field 198 * 2:ull")
    after = node.fast()
    assert after.of(gpu_links.GPU_PCIE_BYTES) == {("receive",): 2}
    assert missing(after)["gpu_pcie_bytes_total/transmit"] == "counter_wraps"


def test_blackwell_tells_of_each_nvlink(read: Read) -> None:
    lines = ("gpus 1", "architecture 10", "link_down 0 3", "field 208 5 17", "field 220 5 775")
    fast, slow = read(*lines).settled()
    moved = fast.of(gpu_links.GPU_NVLINK_BYTES)
    assert set(moved) == {(str(link), way) for link in range(18) for way in ("receive", "transmit")}
    assert moved["7", "receive"] == 1000007
    up = slow.of(gpu_links.GPU_NVLINK_UP)
    assert [link for (link,), at in up.items() if not at] == ["3"]
    assert slow.value(gpu_links.GPU_NVLINK_SPEED, "5") == 53125e6
    errors = slow.of(gpu_links.GPU_NVLINK_ERRORS)
    assert errors["5", "receive"] == 17
    assert {kind for _, kind in errors} == set(gpu_links.GPU_NVLINK_ERRORS.values["kind"])
    assert len(errors) == 18 * len(gpu_links.GPU_NVLINK_ERRORS.values["kind"])
    ratios = slow.of(gpu_links.GPU_NVLINK_BIT_ERROR)
    assert ratios["5", "effective"] == pytest.approx(3e-7), "mantissa 3, exponent 7"
    assert ratios["4", "symbol"] == pytest.approx(1e-15)


def test_nvlinks_are_told_one_by_one_or_as_a_sum_never_both(read: Read) -> None:
    fast, slow = read("gpus 1", "links 0 4").settled()
    assert set(fast.of(gpu_links.GPU_NVLINK_BYTES)) == {("all", "receive"), ("all", "transmit")}
    assert fast.value(gpu_links.GPU_NVLINK_BYTES, "all", "transmit") == 1000 * 1024
    errors = slow.of(gpu_links.GPU_NVLINK_ERRORS)
    assert {link for link, _ in errors} == {"0", "1", "2", "3"}
    assert sum(count for (_, kind), count in errors.items() if kind == "crc") == 0 + 1 + 2 + 3

    older = read("gpus 1", "links 0 4", *(f"unsupported {n}" for n in (161, 162, 163)), "field 38 0 5")
    assert older.settled()[1].of(gpu_links.GPU_NVLINK_ERRORS) == {
        ("all", "crc"): 5, ("all", "replay"): 0, ("all", "recovery"): 0
    }  # fmt: skip
    one_lacks = read("gpus 1", "links 0 2", "unsupported 163", "field 33 0 7").settled()[1]
    crc = {link: n for (link, kind), n in one_lacks.of(gpu_links.GPU_NVLINK_ERRORS).items() if kind == "crc"}
    assert crc == {"1": 7}, "fields of one link each, as drivers had them before"


def test_a_gpu_before_ampere(read: Read) -> None:
    fast, slow = read("gpus 1", "architecture 6", "fans 0 2", "field 29 0 3", "fabric 0 0 0").settled()
    assert slow.of(gpu.GPU_RETIRED_PAGES) == {("corrected",): 3, ("uncorrected",): 0}
    assert slow.value(gpu.GPU_RETIRED_PAGES_PENDING) == 0
    assert slow.of(gpu.GPU_FAN_SPEED) == {("0",): 0.3, ("1",): 0.31}
    assert slow.value(gpu.GPU_TEMPERATURE_THRESHOLD, "memory_max") == 95
    told = missing(fast, slow)
    assert told["gpu_remapped_rows_total"] == "not_supported"
    assert told["gpu_fabric_state"] == "not_supported"


def test_an_old_driver_gives_what_it_has(read: Read) -> None:
    fast, slow = read("gpus 1", flags="-DOLD_DRIVER").settled()
    assert fast.value(gpu.GPU_POWER, "gpu") == 123
    assert fast.value(gpu.GPU_TEMPERATURE, "core") == 40
    assert fast.value(gpu.GPU_TEMPERATURE_MARGIN) == 47
    assert fast.value(gpu.GPU_CLOCK_EVENT_ACTIVE, "gpu_idle") == 1
    assert fast.value(gpu.GPU_MEMORY_USED) == 8 << 30
    assert slow.value(gpu.GPU_POWER_LIMIT, "min") == 200
    assert slow.value(gpu.GPU_TEMPERATURE_THRESHOLD, "slowdown") == 87
    assert slow.of(gpu_links.GPU_PCIE_THROUGHPUT)["transmit",] == 1e6
    assert not slow.of(gpu.GPU_RECOVERY_ACTION)
    told = missing(fast, slow)
    assert told["gpu_memory_reserved_bytes"] == "driver_too_old"
    assert told["gpu_mig_info"] == "driver_too_old"
    assert told["gpu_recovery_action"] == "not_supported"
    check_labels(fast, slow)


def test_what_the_driver_does_not_know_is_dropped_and_counted(read: Read) -> None:
    # One of 32 bits, one of 64, one that would become a set of states, one of a structure.
    lines = ("sentinel 82", "sentinel 83", "sentinel 230", "memory_sentinel 1", "sentinel 202")
    node = read("gpus 1", "architecture 10", *lines)
    fast, slow = node.settled()
    assert ("memory",) not in fast.of(gpu.GPU_TEMPERATURE)
    assert not fast.of(gpu.GPU_ENERGY)
    assert not fast.of(gpu.GPU_MEMORY_USED)
    assert not slow.of(gpu.GPU_RECOVERY_ACTION)
    assert {way for _, way in fast.of(gpu_links.GPU_NVLINK_BYTES)} == {"receive"}
    assert fast.value(gpu.GPU_TEMPERATURE, "core") == 40
    assert fast.rejected == {
        gpu.GPU_TEMPERATURE.name: "sentinel",
        gpu.GPU_ENERGY.name: "sentinel",
        gpu.GPU_MEMORY_USED.name: "sentinel",
        gpu_links.GPU_NVLINK_BYTES.name: "sentinel",
    }
    assert slow.rejected == {gpu.GPU_RECOVERY_ACTION.name: "sentinel"}
    node.driver.write("gpus 1", "architecture 10")
    assert node.fast().value(gpu.GPU_ENERGY) == pytest.approx(123456)


@pytest.mark.parametrize(
    ("state", "mask", "expected"),
    [
        (3, 0xAA, set()),
        (3, 0xA9, {"degraded_bandwidth"}),
        (3, 0x66, {"route_recovery", "access_timeout_recovery"}),
        (3, 0x500 | 0xAA, {"insufficient_nvlinks"}),
        (3, 0x2000 | 0x8000 | 0xAA, {"partition_unassigned", "manager_disconnected"}),
        (3, 0x1000 | 0x4000 | 0x100 | 0xAA, set()),
        (2, 0xA9, None),
        (0, 0xAA, None),
    ],
)
def test_fabric_checks(read: Read, state: int, mask: int, expected: set[str] | None) -> None:
    _, slow = read("gpus 1", f"fabric 0 {state} {mask}").settled()
    states = [name for (name,), at in slow.of(gpu_links.GPU_FABRIC_STATE).items() if at]
    assert states == ([] if state == 0 else [("not_started", "in_progress", "completed")[state - 1]])
    checks = slow.of(gpu_links.GPU_FABRIC_UNHEALTHY)
    if expected is None:
        assert not checks
    else:
        assert {name for (name,), at in checks.items() if at} == expected


def test_partitions_come_and_go(read: Read) -> None:
    node = read("gpus 2", "mig 1 2", "utilization 1 50")
    first = node.slow(1)
    assert set(first.of(gpu_activity.GPU_MIG_INFO)) == {
        ("7", "0", "1g.10gb", "MIG-fake-0001-0-0"), ("8", "0", "1g.10gb", "MIG-fake-0001-1-0")
    }  # fmt: skip
    assert first.of(gpu_activity.GPU_MIG_MEMORY_USED) == {
        ("7", "0", "MIG-fake-0001-0-0"): 1 << 30, ("8", "0", "MIG-fake-0001-1-0"): 2 << 30
    }  # fmt: skip
    assert not first.of(gpu_activity.GPU_MIG_SM_ACTIVE)
    assert first.note["mig"] == [["7", "0", "MIG-fake-0001-0-0"], ["8", "0", "MIG-fake-0001-1-0"]]
    second = node.slow(1)
    assert second.of(gpu_activity.GPU_MIG_SM_ACTIVE) == pytest.approx({("7",): 0.45, ("8",): 0.45})
    assert not node.slow(0).of(gpu_activity.GPU_MIG_INFO)

    node.driver.write("gpus 2", "mig 1 1 5", "utilization 1 50")
    third = node.slow(1)
    assert set(third.of(gpu_activity.GPU_MIG_INFO)) == {("7", "0", "1g.10gb", "MIG-fake-0001-0-5")}
    assert not third.of(gpu_activity.GPU_MIG_SM_ACTIVE), "made anew: nothing to compare with"
    assert node.slow(1).of(gpu_activity.GPU_MIG_SM_ACTIVE) == pytest.approx({("7",): 0.45})

    node.driver.write("gpus 2", "mig_mode 1 1")
    assert not node.slow(1).of(gpu_activity.GPU_MIG_INFO)
    node.driver.write("gpus 2")
    last = node.slow(1)
    assert (last.error, last.note["mig"]) == ("", [])


def test_what_was_missing_is_asked_for_again_when_the_mig_mode_changes(read: Read) -> None:
    node = read("gpus 1", "mig 0 1", "fail nvmlDeviceGetUtilizationRates 3")
    fast, _ = node.settled()
    assert missing(fast)["gpu_utilization_ratio/gpu"] == "not_supported"
    node.driver.write("gpus 1")
    assert not node.fast().value(gpu.GPU_UTILIZATION, "gpu"), "not asked for again as yet"
    node.slow()
    assert node.fast().value(gpu.GPU_UTILIZATION, "gpu") == 0.5


def test_partitions_without_permission(read: Read) -> None:
    _, slow = read("gpus 1", "mig 0 2", "permission MigDeviceHandleByIndex").settled()
    assert slow.error == ""
    assert not slow.of(gpu_activity.GPU_MIG_INFO)
    assert missing(slow)["gpu_mig_info"] == "permission"


def test_processes_are_counted(read: Read) -> None:
    _, slow = read("gpus 1", "process 0 100 512", "process 0 200 256").settled()
    assert slow.value(gpu_activity.GPU_PROCESSES) == 2
    assert slow.note["pids"] == [100, 200]
    assert not slow.of(gpu_activity.GPU_PROCESS_MEMORY_USED)


def test_each_process_where_asked_for(read: Read, tmp_path: Path) -> None:
    names = {100: b"python3\n", 200: b'\xff"odd\n'}
    for pid, name in names.items():
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_bytes(name)
    lines = ("gpus 1", "process 0 100 512", "process 0 200 256", "process 0 300 1")
    node = read(*lines, processes=True, root=str(tmp_path))
    _, slow = node.settled()
    assert slow.of(gpu_activity.GPU_PROCESS_MEMORY_USED) == {
        ("100", "python3"): 512 << 20, ("200", '\ufffd"odd'): 256 << 20, ("300", ""): 1 << 20
    }  # fmt: skip
    assert slow.value(gpu_activity.GPU_PROCESS_UTILIZATION, "100", "python3") == pytest.approx(0.13)
    node.driver.write("gpus 1")
    assert node.slow().value(gpu_activity.GPU_PROCESSES) == 0
    node.driver.write("gpus 1", "process 0 100 5", "permission ProcessUtilization")
    denied = node.slow()
    assert denied.value(gpu_activity.GPU_PROCESS_MEMORY_USED, "100", "python3") == 5 << 20
    assert missing(denied)["gpu_process_utilization_ratio"] == "permission"
    assert denied.error == ""


def test_memory_of_a_process_in_two_partitions_is_added_up(read: Read) -> None:
    lines = ("gpus 1", "mig 0 2", "process 0 100 512 7", "process 0 100 256 8")
    _, slow = read(*lines, processes=True).settled()
    assert list(slow.of(gpu_activity.GPU_PROCESS_MEMORY_USED).values()) == [768 << 20]
    assert slow.value(gpu_activity.GPU_PROCESSES) == 1


def test_a_lost_gpu_ends_the_pass_and_comes_back(read: Read) -> None:
    node = read("gpus 2")
    node.settled(1)
    node.driver.write("gpus 2", "lost 1")
    for gone in (node.fast(1), node.slow(1)):
        assert (gone.error, gone.condition) == ("lost", "lost")
    assert node.fast(0).error == ""
    node.driver.write("gpus 2", "reset_required 1")
    assert node.fast(1).condition == "reset_required"
    node.driver.write("gpus 2")
    back = node.fast(1)
    assert (back.error, back.condition) == ("", "ok")
    assert not back.of(gpu_activity.GPU_SM_ACTIVE), "samples from before the reset are not compared with"
    node.fast(1)
    assert node.fast(1).of(gpu_activity.GPU_SM_ACTIVE)


def test_one_function_in_trouble_leaves_the_others(read: Read) -> None:
    node = read("gpus 1")
    node.settled()
    node.driver.write("gpus 1", "fail nvmlDeviceGetClockInfo 999", "fail nvmlDeviceGetMemoryInfo_v2 17")
    troubled = node.fast()
    assert troubled.error == "unknown"
    assert troubled.value(gpu.GPU_POWER, "gpu") == 300
    assert not troubled.of(gpu.GPU_CLOCK)
    assert troubled.condition == "ok"
    node.driver.write("gpus 1")
    assert node.fast().value(gpu.GPU_CLOCK, "sm") == 1001e6
