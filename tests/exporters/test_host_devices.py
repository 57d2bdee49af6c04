"""Disks, interfaces, sensors, memory and clock of the host, on trees like those of a real server."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import lay_out, put, put_link

from exporters.host import (
    ClockSource,
    DiskSource,
    MemoryErrorSource,
    NetworkSource,
    SensorSource,
    ThrottleSource,
)
from exporters.host.clock import Timex
from exporters.runtime import Lane
from gigawatch.catalogue import Metric, host
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def hgx(tmp_path: Path) -> Path:
    return lay_out(tmp_path, FIXTURES / "sysfs-hgx" / "tree.txt")


def values(readings: Iterable[Reading], metric: Metric) -> dict[tuple[str, ...], float]:
    listed = [reading for reading in readings if reading.metric is metric]
    found = {reading.labels: reading.value for reading in listed}
    assert len(found) == len(listed), "a series twice"
    return found


def test_whole_disks_give_volume_requests_and_time(hgx: Path) -> None:
    readings = list(DiskSource(5.0, root=hgx).read())
    assert values(readings, host.HOST_DISK_READ) == {
        ("nvme0n1",): 2000 * 512,
        ("sda",): 1024,
        ("dm-0",): 1024,
    }
    assert values(readings, host.HOST_DISK_WRITTEN)[("nvme0n1",)] == 4000 * 512
    assert values(readings, host.HOST_DISK_BUSY)[("nvme0n1",)] == 6.0
    operations = values(readings, host.HOST_DISK_OPERATIONS)
    seconds = values(readings, host.HOST_DISK_OPERATION_SECONDS)
    assert (operations[("nvme0n1", "read")], operations[("nvme0n1", "write")]) == (100, 200)
    assert (seconds[("nvme0n1", "read")], seconds[("nvme0n1", "write")]) == (3.0, 5.0)


def test_interfaces_of_the_host_give_traffic_link_speed_and_flaps(hgx: Path) -> None:
    readings = list(NetworkSource(5.0, root=hgx).read())
    volume = values(readings, host.HOST_NETWORK_BYTES)
    assert volume[("eth0", "receive")] == 1000
    assert volume[("eth0", "transmit")] == 2000
    assert {device for device, _ in volume} == {"eth0", "eth1", "wg0"}, "no loopback, no container"
    assert values(readings, host.HOST_NETWORK_ERRORS)[("eth0", "receive")] == 2
    assert values(readings, host.HOST_NETWORK_DROPS)[("eth0", "transmit")] == 5
    assert values(readings, host.HOST_NETWORK_UP) == {("eth0",): 1, ("eth1",): 0, ("wg0",): 1}
    assert values(readings, host.HOST_NETWORK_FLAPS) == {("eth0",): 3, ("eth1",): 1}
    assert values(readings, host.HOST_NETWORK_SPEED) == {("eth0",): 12.5e9}


def test_the_speed_is_asked_for_again_after_the_link_was_lost(hgx: Path) -> None:
    source = NetworkSource(5.0, root=hgx)
    place = hgx / "sys/class/net/eth0"

    def speed() -> dict[tuple[str, ...], float]:
        return values(source.read(), host.HOST_NETWORK_SPEED)

    assert speed() == {("eth0",): 12.5e9}
    put(place / "operstate", "down\n")
    assert speed() == {}
    put(place / "operstate", "up\n")
    put(place / "speed", "25000\n")
    assert speed() == {("eth0",): 3.125e9}


def test_a_process_list_that_hides_the_first_process_gives_our_own_network(hgx: Path) -> None:
    (hgx / "proc/1/net/dev").rename(hgx / "proc/net-dev")
    (hgx / "proc/net").mkdir()
    (hgx / "proc/net-dev").rename(hgx / "proc/net/dev")
    assert NetworkSource(5.0, root=hgx).present
    assert values(NetworkSource(5.0, root=hgx).read(), host.HOST_NETWORK_BYTES)


def test_sensors_have_names_that_outlast_a_reboot(hgx: Path) -> None:
    source = SensorSource(30.0, root=hgx)
    assert source.present
    readings = list(source.read())
    assert values(readings, host.HOST_TEMPERATURE) == {
        ("nvme-0000:01:00.0", "Composite"): pytest.approx(41.85),
        ("nvme-0000:01:00.0", "Sensor 1"): pytest.approx(50.85),
        ("coretemp.0", "Package id 0"): 55.0,
        ("coretemp.1", "Package id 1"): 57.0,
        ("jc42-0000:00:1f.4-0018", "temp1"): -5.25,
        ("nct6798-nct6775.656", "temp7"): 31.0,
        ("nct6798-nct6775.656", "temp8"): 32.0,
        ("board", "temp1"): 30.0,
        ("board#2", "temp1"): 33.0,
        ("thermal", "x86_pkg_temp"): 55.0,
        ("thermal", "x86_pkg_temp#2"): 57.0,
    }
    assert values(readings, host.HOST_TEMPERATURE_CRITICAL) == {
        ("nvme-0000:01:00.0", "Composite"): pytest.approx(84.85),
        ("coretemp.0", "Package id 0"): 100.0,
        ("thermal", "x86_pkg_temp#2"): 105.0,
    }, "limits that nobody has set are absent"
    assert values(readings, host.HOST_FAN_SPEED) == {
        ("nct6798-nct6775.656", "fan1"): 150.0,
        ("nct6798-nct6775.656", "Exhaust"): 0.0,
    }


def test_other_numbers_after_a_reboot_change_no_name(tmp_path: Path) -> None:
    names = []
    for boot, order in (("first", (0, 1)), ("second", (1, 0))):
        root = tmp_path / boot
        for number, bus in zip(order, ("0000:01:00.0", "0000:02:00.0"), strict=True):
            disk = f"sys/devices/pci0000:00/{bus}/nvme/nvme{number}"
            put(root / disk / f"hwmon{number}/name", "nvme\n")
            put(root / disk / f"hwmon{number}/temp1_input", f"{bus[6]}0000\n")
            put_link(root / disk / f"hwmon{number}/device", f"../../nvme{number}")
            put_link(root / f"sys/class/hwmon/hwmon{number}", f"../../../{disk}/hwmon{number}")
        names.append(values(SensorSource(30.0, root=root).read(), host.HOST_TEMPERATURE))
    assert names[0] == names[1]
    assert names[0] == {("nvme-0000:01:00.0", "temp1"): 10.0, ("nvme-0000:02:00.0", "temp1"): 20.0}


def test_a_sensor_that_fails_is_absent(hgx: Path) -> None:
    source = SensorSource(30.0, root=hgx)
    assert values(source.read(), host.HOST_TEMPERATURE)[("coretemp.0", "Package id 0")] == 55.0
    (hgx / "sys/class/hwmon/hwmon1/temp1_input").unlink()
    assert ("coretemp.0", "Package id 0") not in values(source.read(), host.HOST_TEMPERATURE)


def test_throttles_count_once_for_all_threads_of_a_core(hgx: Path) -> None:
    source = ThrottleSource(30.0, root=hgx)
    assert source.present
    before = values(source.read(), host.HOST_CPU_THROTTLES)
    assert before == {("core",): 7 + 100, ("package",): 30 + 1001}
    for cpu in ("cpu2", "cpu3"):
        for file in (hgx / "sys/devices/system/cpu" / cpu / "thermal_throttle").iterdir():
            file.unlink()
    assert values(source.read(), host.HOST_CPU_THROTTLES) == before, "a core switched off: no fall"


def test_memory_errors_by_module_add_up_to_the_controllers(hgx: Path) -> None:
    source = MemoryErrorSource(30.0, root=hgx)
    assert source.present
    found = values(source.read(), host.HOST_MEMORY_ERRORS)
    assert found == {
        ("mc0", "CPU_SrcID#0_MC#0_Chan#0_DIMM#0", "corrected"): 10,
        ("mc0", "CPU_SrcID#0_MC#0_Chan#0_DIMM#0", "uncorrected"): 1,
        ("mc0", "dimm1", "corrected"): 0,
        ("mc0", "dimm1", "uncorrected"): 0,
        ("mc0", "", "corrected"): 2,
        ("mc0", "", "uncorrected"): 0,
        ("mc1", "", "corrected"): 4,
        ("mc1", "", "uncorrected"): 0,
    }
    total = (hgx / "sys/devices/system/edac/mc/mc0/ce_count").read_text()
    assert sum(v for labels, v in found.items() if labels[0] == "mc0" and labels[2] == "corrected") == float(
        total
    )


def test_this_machines_clock_says_whether_it_is_in_step() -> None:
    source = ClockSource(30.0)
    if not source.present:
        pytest.skip("adjtimex is forbidden here")
    readings = list(source.read())
    (in_step,) = values(readings, host.HOST_CLOCK_SYNCHRONIZED).values()
    (bound,) = values(readings, host.HOST_CLOCK_MAX_ERROR).values()
    offsets = values(readings, host.HOST_CLOCK_OFFSET)
    assert 0 <= bound < 1e4
    assert len(offsets) == in_step
    assert all(abs(offset) < 1 for offset in offsets.values()), "the kernel steps larger ones"


@pytest.mark.parametrize(
    ("said", "in_step", "offset"),
    [
        (Timex(0, -2500, 16000, 0x0001), 1, -2.5e-3),
        (Timex(0, -2500, 16000, 0x2001), 1, -2.5e-6),
        (Timex(5, 0, 16_000_000, 0x0040), 0, None),
        (Timex(5, 0, 16_000_000, 0x2000), 0, None),
    ],
    ids=["microseconds", "nanoseconds", "nobody sets it", "clock error"],
)
def test_offsets_of_the_clock_in_seconds(said: Timex, in_step: int, offset: float | None) -> None:
    lane = Lane(ClockSource(30.0, adjtimex=lambda: said))
    lane.run_once()  # its gate too: an offset may be negative
    readings = lane.readings()
    assert values(readings, host.HOST_CLOCK_SYNCHRONIZED) == {(): in_step}
    assert values(readings, host.HOST_CLOCK_MAX_ERROR) == {(): pytest.approx(said.max_error / 1e6)}
    expected = {} if offset is None else {(): pytest.approx(offset)}
    assert values(readings, host.HOST_CLOCK_OFFSET) == expected


def test_a_clock_that_we_may_not_ask_has_no_source() -> None:
    def forbidden() -> Timex:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    assert not ClockSource(30.0, adjtimex=forbidden).present


_NUMBER = st.binary(max_size=30) | st.from_regex(rb"-?[0-9]{1,25}\n")


@given(_NUMBER, _NUMBER, _NUMBER, st.binary(max_size=20))
def test_whatever_stands_in_sysfs(one: bytes, two: bytes, three: bytes, text: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name, content in {
            "class/hwmon/hwmon0/temp1_input": one, "class/hwmon/hwmon0/temp1_crit": two,
            "class/hwmon/hwmon0/temp1_label": text, "class/hwmon/hwmon0/name": text,
            "class/hwmon/hwmon0/fan1_input": three, "class/thermal/thermal_zone0/type": text,
            "class/thermal/thermal_zone0/temp": two,
            "class/thermal/thermal_zone0/trip_point_0_type": b"critical",
            "class/thermal/thermal_zone0/trip_point_0_temp": three,
            "devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": one,
            "devices/system/cpu/cpu0/topology/core_id": text,
            "devices/system/edac/mc/mc0/ce_count": one, "devices/system/edac/mc/mc0/dimm0/dimm_ce_count": two,
            "devices/system/edac/mc/mc0/dimm0/dimm_label": text,
        }.items():  # fmt: skip
            put(root / "sys" / name, content)
        for source in (
            SensorSource(9, root=root),
            ThrottleSource(9, root=root),
            MemoryErrorSource(9, root=root),
        ):
            for reading in source.read():
                assert abs(reading.value) < 1e21
                assert len(reading.labels) == len(reading.metric.labels)
                "".join(reading.labels).encode()  # fit for the page
                if reading.metric is host.HOST_TEMPERATURE_CRITICAL:
                    assert 0 < reading.value <= 150


@given(
    st.binary(max_size=300)
    | st.from_regex(rb"( [0-9]{1,3}){2} [a-z]{1,4}[0-9]? ([0-9]{1,22} ){0,20}\n", fullmatch=True)
    | st.from_regex(rb" {0,3}[a-z/:]{1,9}:( ?[0-9]{1,22} ){0,20}\n", fullmatch=True)
)
def test_whatever_the_kernel_lists(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        put(root / "proc/diskstats", content)
        put(root / "proc/1/net/dev", content)
        for source in (DiskSource(9, root=root), NetworkSource(9, root=root)):
            for reading in source.read():
                assert 0 <= reading.value < 1e24
                assert len(reading.labels) == len(reading.metric.labels)
