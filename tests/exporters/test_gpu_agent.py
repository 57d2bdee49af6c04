"""The agent on GPUs, through the real ctypes path of pynvml and a fake driver library."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from gigawatch.catalogue import Metric, Origin, Presence, by_name, gpu, gpu_links, host, own

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
Start = Callable[..., Any]


def value(samples: Samples, of: Metric, /, **labels: str) -> float | None:
    """The one sample that has these labels; None if there is none."""
    wanted = set(labels.items())
    found = [v for (name, has), v in samples.items() if name == of.name and wanted <= has]
    assert len(found) < 2, f"{of.name}{labels} is {len(found)} samples"
    return found[0] if found else None


def states(samples: Samples) -> dict[str, str]:
    """The state of each GPU by index; exactly one is 1."""
    found: dict[str, str] = {}
    for (name, labels), at in samples.items():
        if name == gpu.GPU_STATE.name and at == 1:
            named = dict(labels)
            assert named["gpu"] not in found
            found[named["gpu"]] = named["state"]
    return found


def powered(samples: Samples) -> set[str]:
    """Indexes of the GPUs that have a power reading."""
    return {dict(labels)["gpu"] for name, labels in samples if name == gpu.GPU_POWER.name}


def test_healthy_gpus_give_every_metric(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 8")
    samples = agent.wait_for(lambda s: len(powered(s)) == 8 and value(s, gpu.GPU_INFO, gpu="7"))
    samples = agent.wait_for(lambda s: value(s, gpu.GPU_XID_ERRORS, gpu="7", xid="79", source="nvml") == 0)
    names = {name for name, _ in samples}
    for metric in (*vars(gpu).values(), *vars(host).values(), *vars(own).values()):
        expected = isinstance(metric, Metric) and metric.presence is Presence.ALWAYS
        if expected and metric.origin in (Origin.AGENT, Origin.EVERY):
            assert metric.name in names, f"{metric.name} is missing"
    for name, labels in samples:
        if name.startswith("aif_"):
            metric = by_name(name)
            assert {key for key, _ in labels} == set(metric.labels)
            for label, allowed in metric.values.items():
                assert dict(labels)[label] in allowed
    assert value(samples, gpu.GPU_POWER, gpu="3", scope="gpu") == 303
    assert value(samples, gpu.GPU_POWER, gpu="3", scope="module") == 403
    assert value(samples, gpu.GPU_ENERGY, gpu="3") == pytest.approx(123456.003)
    assert value(samples, gpu.GPU_TEMPERATURE, gpu="2", sensor="memory") == 62
    assert value(samples, gpu.GPU_TEMPERATURE_THRESHOLD, gpu="2", threshold="slowdown") == 89
    assert value(samples, gpu.GPU_TEMPERATURE_THRESHOLD, gpu="2", threshold="shutdown") == 95
    assert value(samples, gpu.GPU_CLOCK, gpu="0", domain="memory") == 1002e6
    assert value(samples, gpu.GPU_CLOCK_EVENT_ACTIVE, gpu="0", reason="sw_power_cap") == 1
    assert value(samples, gpu.GPU_CLOCK_EVENT_ACTIVE, gpu="0", reason="display_clock_setting") is None
    assert value(samples, gpu.GPU_CLOCK_EVENT_SECONDS, gpu="0", reason="sw_power_cap") == 1.5
    assert value(samples, gpu.GPU_ECC_ERRORS, gpu="0", severity="corrected", scope="aggregate") == 9
    crc = [value(samples, gpu_links.GPU_NVLINK_ERRORS, gpu="0", kind="crc", link=str(n)) for n in range(4)]
    assert crc == [0, 1, 2, 3]
    assert value(samples, gpu_links.GPU_NVLINK_UP, gpu="0", link="4") is None
    assert value(samples, gpu.GPU_RECOVERY_ACTION, gpu="0", action="gpu_reset") == 1
    assert value(samples, gpu.GPUS_VISIBLE, source="nvml") == 8
    info = next(dict(labels) for name, labels in samples if name == gpu.GPU_INFO.name)
    assert info["model"] == "Fake H100"
    assert info["architecture"] == "hopper"
    for xid in gpu.XID_SERIOUS:
        assert value(samples, gpu.GPU_XID_ERRORS, gpu="5", xid=str(xid), source="nvml") == 0
    assert set(states(samples).values()) == {"ok"}
    absent = {
        dict(labels)["feature"]: dict(labels)["reason"]
        for name, labels in samples
        if name == gpu.GPU_CAPABILITY_INFO.name and dict(labels)["gpu"] == "0"
    }
    assert absent["gpu_power_watts/memory"] == "not_supported"
    assert absent["gpu_utilization_ratio/ofa"] == "driver_too_old"

    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=agent.get(), text=True, capture_output=True, timeout=30
    )
    assert lint.returncode == 0, lint.stderr + lint.stdout
    families = list(parse_openmetrics(agent.get(accept="application/openmetrics-text; version=1.0.0")))
    kinds = {family.name: family.type for family in families}
    assert kinds["aif_gpu_energy_joules"] == "counter"
    assert kinds["aif_gpu"] == "info"

    agent.steer("gpus 8", "xid 79", "xid_gpu 1")
    samples = agent.wait_for(lambda s: value(s, gpu.GPU_XID_ERRORS, gpu="1", xid="79", source="nvml") == 1)
    assert value(samples, gpu.GPU_XID_ERRORS, gpu="0", xid="79", source="nvml") == 0
    agent.steer("gpus 8", "xid 31", "xid_gpu 0", "xid_times 2")
    samples = agent.wait_for(lambda s: value(s, gpu.GPU_XID_ERRORS, gpu="0", xid="31", source="nvml") == 1)
    assert value(samples, gpu.GPU_XID_ERRORS, gpu="1", xid="79", source="nvml") == 1


def test_a_gpu_lost_before_the_start_is_told_of(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 3", "enumerate_lost 0")
    samples = agent.wait_for(lambda s: len(powered(s)) == 2)
    assert states(samples) == {"0": "lost", "1": "ok", "2": "ok"}


def test_an_old_driver_gives_what_it_has(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 1", flags="-DOLD_DRIVER")
    samples = agent.wait_for(
        lambda s: (
            value(s, gpu.GPU_TEMPERATURE_THRESHOLD, threshold="slowdown")
            and value(s, gpu.GPU_POWER, scope="gpu") == 123
        )
    )
    assert value(samples, gpu.GPU_POWER_LIMIT, kind="min") == 200
    assert value(samples, gpu.GPU_TEMPERATURE, sensor="core") == 40
    assert value(samples, gpu.GPU_TEMPERATURE_THRESHOLD, threshold="slowdown") == 87
    assert value(samples, gpu.GPU_TEMPERATURE_MARGIN) == 47
    assert value(samples, gpu.GPU_CLOCK_EVENT_ACTIVE, reason="gpu_idle") == 1
    assert value(samples, gpu.GPU_RECOVERY_ACTION, action="none") is None
    features = {dict(labels)["feature"] for name, labels in samples if name == gpu.GPU_CAPABILITY_INFO.name}
    assert "gpu_recovery_action" in features
    assert "gpu_power_watts/gpu" not in features
    assert value(samples, own.COLLECTOR_UP, collector="gpu0") == 1


def test_unsupported_fields_and_sentinels_are_absent(gpu_agent: Start) -> None:
    agent = gpu_agent("gpus 1", "unsupported 82", "unsupported 94", "memory_sentinel 1")
    rejected = {"metric": gpu.GPU_MEMORY_USED.name, "reason": "sentinel"}
    samples = agent.wait_for(
        lambda s: value(s, gpu.GPU_INFO, gpu="0") and value(s, own.REJECTED_SAMPLES, **rejected)
    )
    assert value(samples, gpu.GPU_TEMPERATURE, sensor="memory") is None
    assert value(samples, gpu_links.GPU_PCIE_REPLAYS) == 3, "from a function, where the field is not offered"
    assert value(samples, gpu.GPU_MEMORY_USED) is None
    assert value(samples, gpu.GPU_MEMORY_SIZE) == 80 << 30


def test_library_and_driver_that_come_late_are_taken_up(
    gpu_agent: Start, driver_library: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = tmp_path / "lib"
    directory.mkdir()
    agent = gpu_agent("init 9", "gpus 1", library=directory)
    samples = agent.wait_for(
        lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="library_not_found")
    )
    assert value(samples, own.COLLECTOR_UP, collector="gpu") == 0
    assert value(samples, own.COLLECTOR_UP, collector="host") == 1
    shutil.copy(driver_library("") / "libnvidia-ml.so.1", directory)
    agent.wait_for(lambda s: value(s, own.COLLECTOR_ERRORS, collector="gpu", error="driver_not_loaded"))
    agent.steer("gpus 1")
    samples = agent.wait_for(lambda s: powered(s) == {"0"})
    assert value(samples, own.COLLECTOR_UP, collector="gpu") == 1
