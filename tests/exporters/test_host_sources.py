"""Processor, memory, tasks, pressure, power and PCI bus of the host, on trees that the test lays out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import lay_out, put

from exporters.host import HostSource, PressureSource, RaplSource, host_sources
from exporters.runtime import Lane
from gigawatch.catalogue import Metric, Presence, host
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures"


def values(readings: Iterable[Reading]) -> dict[tuple[Metric, tuple[str, ...]], float]:
    return {(r.metric, r.labels): r.value for r in readings}


def test_this_host_gives_every_host_metric() -> None:
    readings = [reading for source in host_sources(5.0, 30.0) for reading in source.read()]
    for metric in vars(host).values():
        if isinstance(metric, Metric) and metric.presence is Presence.ALWAYS:
            assert any(r.metric is metric for r in readings), metric.name
    for reading in readings:
        assert len(reading.labels) == len(reading.metric.labels)
    series = [(r.metric, r.labels) for r in readings]
    assert len(series) == len(set(series)), "two sources give the same series"


def test_what_the_host_lacks_has_no_source(tmp_path: Path) -> None:
    names = {source.name for source in host_sources(5.0, 30.0, root=tmp_path)}
    assert names <= {"clock"}, "the clock is this machine's, whatever the root"


@pytest.fixture
def hgx(tmp_path: Path) -> Path:
    return lay_out(tmp_path, FIXTURES / "sysfs-hgx" / "tree.txt")


def test_processor_memory_and_tasks(hgx: Path) -> None:
    found = values(HostSource(5.0, root=hgx).read())
    tick = 1 / os.sysconf("SC_CLK_TCK")
    modes = {labels[0]: v / tick for (metric, labels), v in found.items() if metric is host.HOST_CPU_SECONDS}
    assert modes == pytest.approx(
        {"user": 100, "system": 300, "idle": 400, "iowait": 500, "other": 200 + 600 + 700 + 800}
    ), "guests are in user already"
    assert found[(host.HOST_CPUS, ())] == 2
    assert found[(host.HOST_LOAD, ())] >= 0, "of the kernel, whatever the root"
    assert found[(host.HOST_BOOT_TIMESTAMP, ())] == 1.7e9
    assert found[(host.HOST_TASKS_BLOCKED, ())] == 3
    assert found[(host.HOST_MEMORY_SIZE, ())] == 2113585000 * 1024
    assert found[(host.HOST_MEMORY_AVAILABLE, ())] == 2000000000 * 1024
    assert found[(host.HOST_SWAP_USED, ())] == 3072 * 1024
    assert found[(host.HOST_OOM_KILLS, ())] == 2


def test_idle_time_that_steps_back_does_not_look_like_a_restart(tmp_path: Path) -> None:
    put(tmp_path / "proc/meminfo", "MemTotal: 1 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")
    put(tmp_path / "proc/vmstat", "")
    source = HostSource(5.0, root=tmp_path)
    ticks = os.sysconf("SC_CLK_TCK")

    def idle(seconds: float) -> float:
        put(tmp_path / "proc/stat", f"cpu  0 0 0 {int(seconds * ticks)} 0 0 0 0 0 0\nbtime 5\n")
        return values(source.read())[(host.HOST_CPU_SECONDS, ("idle",))]

    assert [idle(100), idle(99), idle(101), idle(5)] == [100, 100, 101, 5]


def test_one_part_that_fails_leaves_the_others(hgx: Path) -> None:
    (hgx / "proc/meminfo").unlink()
    lane = Lane(HostSource(5.0, root=hgx))
    lane.run_once()
    found = {r.metric for r in lane.readings()}
    assert host.HOST_MEMORY_SIZE not in found
    assert {host.HOST_LOAD, host.HOST_CPUS, host.HOST_OOM_KILLS} <= found
    assert lane.health().errors == {"partial": 1}


def test_pressure_in_seconds(hgx: Path, tmp_path: Path) -> None:
    source = PressureSource(5.0, root=hgx)
    assert source.present
    assert {r.labels: r.value for r in source.read()} == {
        ("cpu", "some"): 1.5, ("cpu", "full"): 0.0, ("memory", "some"): 2.5, ("memory", "full"): 0.25,
        ("io", "some"): 3.5, ("io", "full"): 3.0,
    }  # fmt: skip
    (hgx / "proc/pressure/memory").write_text("")
    assert {r.labels[0] for r in source.read()} == {"cpu", "io"}
    assert not PressureSource(5.0, root=tmp_path / "none").present


_FILES = ("stat", "meminfo", "loadavg", "vmstat", "pressure/cpu", "pressure/io")


@given(
    st.fixed_dictionaries(
        {
            name: st.binary(max_size=200)
            | st.from_regex(
                rb"(cpu|btime|\noom_kill|MemTotal:|SwapFree:|some avg10=0 total=)"
                rb"[ ]?[0-9]{0,25}( [0-9]{1,22}){0,9}\n.{0,9}"
            )
            for name in _FILES
        }
    )
)
def test_whatever_the_kernel_writes(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            put(Path(directory) / "proc" / name, content)
        for source in (HostSource(5.0, root=Path(directory)), PressureSource(5.0, root=Path(directory))):
            lane = Lane(source)
            lane.run_once()
            assert set(lane.health().errors) <= {"partial"}
            for reading in lane.readings():
                assert 0 <= reading.value < 1e24


def rapl_zone(root: Path, name: str, kind: str, energy: int) -> Path:
    zone = root / "sys/class/powercap" / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text(f"{kind}\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    (zone / "max_energy_range_uj").write_text("999999999\n")
    return zone


def test_rapl_counters_become_watts(tmp_path: Path) -> None:
    now = [0.0]
    source = RaplSource(5.0, root=tmp_path, monotonic=lambda: now[0])
    assert not source.present
    assert list(source.read()) == []
    package = rapl_zone(tmp_path, "intel-rapl:0", "package-0", 999_000_000)
    memory = rapl_zone(tmp_path, "intel-rapl:0/intel-rapl:0:1", "dram", 0)
    rapl_zone(tmp_path, "intel-rapl:0/intel-rapl:0:0", "core", 0)
    assert source.present
    assert list(source.read()) == []
    now[0] += 2
    (package / "energy_uj").write_text("99000000\n")  # wrapped: 1 J + 99 J
    (memory / "energy_uj").write_text("20000000\n")
    (reading,) = source.read()
    assert reading.metric is host.HOST_POWER
    assert reading.labels == ("rapl",)
    assert reading.value == pytest.approx((100 + 20) / 2)
    now[0] += 2
    (memory / "energy_uj").unlink()
    assert list(source.read()) == []
