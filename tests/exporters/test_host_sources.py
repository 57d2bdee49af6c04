"""Host, power, PCI and kernel-log sources on trees and counters that the test lays out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from exporters.gpu import KernelLogSource, PciSource
from exporters.gpu.kernel_log import pci_address
from exporters.host import HostSource, RaplSource
from exporters.runtime import Lane
from gigawatch.catalogue import Metric, Presence, gpu, host
from gigawatch.readings import Reading


def test_this_host_gives_every_host_metric() -> None:
    readings = list(HostSource(5.0).read())
    for metric in vars(host).values():
        if isinstance(metric, Metric) and metric.presence is Presence.ALWAYS:
            assert any(r.metric is metric for r in readings), metric.name
    for reading in readings:
        assert len(reading.labels) == len(reading.metric.labels)


class Times(NamedTuple):
    """Like psutil's scputimes on Linux."""

    user: float = 1.0
    nice: float = 2.0
    system: float = 3.0
    idle: float = 4.0
    iowait: float = 5.0
    irq: float = 6.0
    steal: float = 7.0
    guest: float = 0.5


class FakePsutil(SimpleNamespace):
    """The functions of psutil that the source calls, with figures of the test's choosing."""

    def __init__(self, **changes: object) -> None:
        memory = SimpleNamespace(total=100.0, available=40.0)
        mounts = [
            _mount("/dev/sda1", "/", "ext4"),
            _mount("/dev/sda1", "/var/lib/kubelet/x", "ext4"),
            _mount("/dev/loop3", "/snap/x", "squashfs"),
            _mount("/dev/loop4", "/image", "ext4"),
            _mount("tmpfs", "/run", "tmpfs"),
            _mount("overlay", "/merged", "overlay"),
            _mount("server:/export", "/data", "nfs4"),
            _mount("proc", "/proc", "proc"),
        ]
        disks = {
            name: SimpleNamespace(read_bytes=1, write_bytes=2, busy_time=3000)
            for name in ("sda", "sda1", "loop0", "nvme0n1", "nvme0n1p2", "ram1")
        }
        nic = SimpleNamespace(bytes_sent=1, bytes_recv=2, errin=3, errout=4, dropin=5, dropout=6)
        parts: dict[str, object] = {
            "cpu_times": Times,
            "cpu_count": lambda: 4,
            "getloadavg": lambda: (1.5, 0.0, 0.0),
            "boot_time": lambda: 1e9,
            "virtual_memory": lambda: memory,
            "swap_memory": lambda: SimpleNamespace(used=3.0),
            "disk_io_counters": lambda **_: disks,
            "disk_partitions": lambda **_: mounts,
            "disk_usage": lambda _: SimpleNamespace(total=10.0, free=4.0),
            "net_io_counters": lambda **_: dict.fromkeys(("lo", "eth0", "veth12"), nic),
        }
        super().__init__(**(parts | changes))


def _mount(device: str, mountpoint: str, fstype: str) -> SimpleNamespace:
    return SimpleNamespace(device=device, mountpoint=mountpoint, fstype=fstype)


def test_modes_add_up_and_pseudo_things_are_left_out() -> None:
    readings = list(HostSource(5.0, api=FakePsutil()).read())
    modes = {r.labels[0]: r.value for r in readings if r.metric is host.HOST_CPU_SECONDS}
    assert modes == {"user": 1, "system": 3, "idle": 4, "iowait": 5, "other": 2 + 6 + 7}
    assert {r.labels for r in readings if r.metric is host.HOST_DISK_READ} == {("sda",), ("nvme0n1",)}
    assert {r.value for r in readings if r.metric is host.HOST_DISK_BUSY} == {3.0}
    assert {r.labels for r in readings if r.metric is host.HOST_FILESYSTEM_SIZE} == {("/", "ext4")}
    network = {r.labels: r.value for r in readings if r.metric is host.HOST_NETWORK_DROPS}
    assert network == {("eth0", "receive"): 5, ("eth0", "transmit"): 6}


def test_the_root_of_a_container_counts_although_it_is_on_no_device() -> None:
    mounts = [_mount("overlay", "/", "overlay"), _mount("proc", "/proc", "proc")]
    readings = list(HostSource(5.0, api=FakePsutil(disk_partitions=lambda **_: mounts)).read())
    assert {r.labels for r in readings if r.metric is host.HOST_FILESYSTEM_SIZE} == {("/", "overlay")}


def test_one_part_that_fails_leaves_the_others() -> None:
    def broken() -> object:
        raise OSError("no /proc/meminfo")

    lane = Lane(HostSource(5.0, api=FakePsutil(virtual_memory=broken)))
    lane.run_once()
    found = {r.metric for r in lane.readings()}
    assert host.HOST_MEMORY_SIZE not in found
    assert {host.HOST_LOAD, host.HOST_NETWORK_BYTES} <= found
    assert lane.health().errors == {"partial": 1}


def rapl_zone(root: Path, name: str, kind: str, energy: int) -> Path:
    zone = root / name
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


def test_gpus_on_the_pci_bus_are_counted(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0000:1b:00.0", "0x10de", "0x030200"),
        ("0000:1c:00.0", "0x10de", "0x030000"),
        ("0000:1c:00.1", "0x10de", "0x040300"),
        ("0000:00:02.0", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    (tmp_path / "broken").mkdir()
    assert list(PciSource(30.0, devices=tmp_path).read()) == [Reading(gpu.GPUS_VISIBLE, ("pci",), 2.0)]
    assert next(iter(PciSource(30.0, devices=tmp_path / "none").read())).value == 0


def test_xids_in_the_kernel_log_are_counted_by_gpu(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text("3,1,1,-;NVRM: Xid (PCI:0000:1b:00): 79, from before the start\n")
    now = [0.0]
    places = {(0, 0x1B, 0): ("0", "GPU-a"), (0, 0x1C, 0): ("1", "GPU-b")}
    source = KernelLogSource(5.0, lambda: places, device=log, clock=lambda: now[0])

    def counts() -> dict[tuple[str, ...], float]:
        return {r.labels: r.value for r in source.read() if r.value}

    assert counts() == {}
    assert len(list(source.read())) == 2 * len(gpu.XID_SERIOUS)
    with log.open("a") as out:
        out.write("3,2,2,-;NVRM: Xid (PCI:0000:1b:00): 79, pid=1, GPU has fallen off the bus.\n")
        out.write("3,3,3,-;NVRM: GPU 0000:1b:00.0: GPU has fallen off the bus.\n")
        out.write("3,4,4,-;NVRM: Xid (PCI:0000:1c:00): 31, pid=2, MMU fault\n")
        out.write("6,5,5,-;usb 1-1: new device\n")
        out.write("3,6,6,-;NVRM: Xid (PCI:0000:99:00): 48, pid=3\n")
    assert counts() == {
        ("0", "GPU-a", "79", "kmsg"): 1,
        ("1", "GPU-b", "31", "kmsg"): 1,
        ("", "pci-0000:99:00", "48", "kmsg"): 1,
    }
    now[0] += 10
    with log.open("a") as out:
        out.write("3,7,7,-;NVRM: GPU 0000:1b:00.0: GPU has fallen off the bus.\n")
    assert counts()[("0", "GPU-a", "79", "kmsg")] == 2


def test_pci_addresses_are_understood_in_both_spellings() -> None:
    assert pci_address("00000000:1B:00.0") == pci_address("0000:1b:00") == (0, 0x1B, 0)
    assert pci_address("not an address") is None
