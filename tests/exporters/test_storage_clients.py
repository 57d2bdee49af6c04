"""Counters of NFS and Lustre clients, and health pages of NVMe disks."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import put, put_link

from exporters.runtime import Lane, SourceError
from exporters.runtime.gate import Gate
from exporters.storage import LustreSource, NfsSource, NvmeSource, lustre, nfs, smart
from gigawatch.catalogue import Metric, storage
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures" / "storage"


def values(readings: Iterable[Reading], metric: Metric) -> dict[tuple[str, ...], float]:
    listed = [reading for reading in readings if reading.metric is metric]
    found = {reading.labels: reading.value for reading in listed}
    assert len(found) == len(listed), "a series twice"
    return found


@pytest.fixture
def server(tmp_path: Path) -> Path:
    for name in ("mountinfo", "mountstats"):
        put(tmp_path / "proc/1" / name, (FIXTURES / name).read_bytes())
    return tmp_path


def test_nfs_mounts_give_traffic_requests_time_and_repetitions(server: Path) -> None:
    source = NfsSource(30.0, root=server)
    assert source.present
    readings = list(source.read())
    data = ("/data", "nfs4")
    assert values(readings, storage.STORAGE_READ) == {
        data: 555,
        ("/with blank", "nfs"): 77,
        ("/auto", "nfs4"): 5,
    }
    assert values(readings, storage.STORAGE_WRITTEN)[data] == 666
    assert values(readings, storage.STORAGE_OPERATIONS) == {
        (*data, "read"): 1000, (*data, "write"): 500, (*data, "other"): 1 + 50 + 2,
    }  # fmt: skip
    assert values(readings, storage.STORAGE_OPERATION_SECONDS) == {
        (*data, "read"): 32.0, (*data, "write"): 9.0, (*data, "other"): pytest.approx(0.2),
    }  # fmt: skip
    assert values(readings, storage.STORAGE_RETRANSMISSIONS) == {data: 4 + 5}, (
        "sent again, or given up unsent"
    )


def test_nfs_counters_of_our_own_process_serve_where_root_alone_may_read(server: Path) -> None:
    put(server / "proc/self/mountstats", (server / "proc/1/mountstats").read_bytes())
    (server / "proc/1/mountstats").unlink()
    assert values(NfsSource(30.0, root=server).read(), storage.STORAGE_READ)[("/data", "nfs4")] == 555
    (server / "proc/self/mountstats").unlink()
    assert not NfsSource(30.0, root=server).present
    with pytest.raises(OSError, match="mountstats"):
        list(NfsSource(30.0, root=server).read())


@pytest.mark.parametrize("place", ["proc/fs/lustre/llite", "sys/kernel/debug/lustre/llite"])
def test_lustre_clients_of_old_and_new_versions(server: Path, place: str) -> None:
    (server / "sys/fs/lustre").mkdir(parents=True)
    source = LustreSource(30.0, root=server)
    assert source.present
    mount = ("/lustre", "lustre")
    put(server / place / "fast-ffff9f1c/stats", (FIXTURES / "llite-2.10").read_bytes())
    put(server / place / "other-ffff9f1d/stats", (FIXTURES / "llite-2.15").read_bytes())
    readings = list(source.read())
    assert values(readings, storage.STORAGE_READ) == {mount: 6456117248}
    assert values(readings, storage.STORAGE_WRITTEN) == {mount: 1000}
    operations = values(readings, storage.STORAGE_OPERATIONS)
    assert operations == {(*mount, "read"): 10, (*mount, "write"): 20, (*mount, "other"): 3 + 4 + 7}
    assert values(readings, storage.STORAGE_OPERATION_SECONDS) == {}, "this version measures no time"
    put(server / place / "fast-ffff9f1c/stats", (FIXTURES / "llite-2.15").read_bytes())
    readings = list(source.read())
    assert values(readings, storage.STORAGE_READ) == {mount: 419430400}
    assert values(readings, storage.STORAGE_OPERATIONS)[(*mount, "other")] == 30 + 30 + 1
    assert values(readings, storage.STORAGE_OPERATION_SECONDS) == {
        (*mount, "read"): 2.5, (*mount, "write"): 0.5, (*mount, "other"): pytest.approx(0.013),
    }  # fmt: skip


def test_lustre_counters_for_root_alone_are_called_so(server: Path) -> None:
    (server / "sys/fs/lustre").mkdir(parents=True)
    with pytest.raises(SourceError, match="root") as caught:
        list(LustreSource(30.0, root=server).read())
    assert caught.value.kind == "permission"
    put(server / "proc/1/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n")
    assert list(LustreSource(30.0, root=server).read()) == [], "nothing mounted, nothing missing"


def page(warning: int = 0, kelvin: int = 315, spare: int = 100, used: int = 3, media: int = 0) -> bytes:
    """A health page, laid out as in the NVM Express base specification (SMART / Health Information)."""
    whole = bytearray(512)
    struct.pack_into("<BHBBB", whole, 0, warning, kelvin, spare, 10, used)
    whole[32:48] = (123456789).to_bytes(16, "little")
    whole[160:176] = media.to_bytes(16, "little")
    return bytes(whole)


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    """A disk, one behind multipath, a new one without namespaces, one that is reached over the network."""
    for controller, entries, transport in (
        ("nvme0", ("nvme0n1", "nvme0n2", "hwmon1"), "pcie"),
        ("nvme1", ("nvme1c1n1",), "pcie"),
        ("nvme10", (), "pcie"),
        ("nvme11", ("nvme11n1",), "rdma"),
    ):
        place = tmp_path / "sys/devices/pci0000:00" / controller
        put(place / "transport", transport + "\n")
        for entry in entries:
            (place / entry).mkdir()
        put_link(tmp_path / "sys/class/nvme" / controller, f"../../devices/pci0000:00/{controller}")
    return tmp_path


def test_health_of_every_local_disk(disks: Path) -> None:
    pages = {
        "nvme0": page(),
        "nvme1": page(warning=0b100101, kelvin=358, spare=7, used=131, media=2**70),
        "nvme10": page(kelvin=0),
    }
    source = NvmeSource(60.0, root=disks, page=lambda device: pages[device.name])
    assert source.present
    readings = Gate().sift(list(source.read()))
    assert values(readings, storage.NVME_WEAR) == {("nvme0n1",): 0.03, ("nvme1n1",): 1.31, ("nvme10",): 0.03}
    assert values(readings, storage.NVME_SPARE)[("nvme1n1",)] == 0.07
    assert values(readings, storage.NVME_TEMPERATURE) == {("nvme0n1",): 42, ("nvme1n1",): 85}
    warnings = values(readings, storage.NVME_CRITICAL_WARNING)
    assert {labels[1] for labels, value in warnings.items() if value} == {
        "spare_low", "reliability", "memory_read_only",
    }  # fmt: skip
    assert len(warnings) == 3 * len(storage.NVME_CRITICAL_WARNING.values["reason"])
    assert storage.NVME_CRITICAL_WARNING.values["reason"] == smart.WARNINGS
    assert values(readings, storage.NVME_MEDIA_ERRORS) == {("nvme0n1",): 0, ("nvme10",): 0}, "2**70 cannot be"


def test_a_disk_that_hangs_hides_no_other_and_costs_one_thread(disks: Path) -> None:
    release = threading.Event()
    asked = []

    def ask(device: Path) -> bytes:
        asked.append(device.name)
        if device.name == "nvme1":
            release.wait()
        return page()

    lane = Lane(NvmeSource(60.0, root=disks, page=ask, patience=0.3))
    for _ in range(3):
        lane.run_once()
        assert set(values(lane.readings(), storage.NVME_WEAR)) == {("nvme0n1",), ("nvme10",)}
    release.set()
    assert lane.health().errors == {"timeout": 3}
    assert asked.count("nvme1") == 1


def test_without_the_right_to_ask_there_is_one_error_and_no_reading(disks: Path) -> None:
    def forbidden(device: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(device))

    lane = Lane(NvmeSource(60.0, root=disks, page=forbidden))
    lane.run_once()
    assert lane.readings() == []
    assert lane.health().errors == {"permission": 1}


def test_a_virtual_disk_says_nothing_and_that_is_no_error(disks: Path) -> None:
    lane = Lane(NvmeSource(60.0, root=disks, page=lambda _: bytes(512)))
    lane.run_once()
    assert lane.readings() == []
    assert lane.health().errors == {}


def test_the_kernel_is_asked_for_512_bytes_of_the_health_log(tmp_path: Path) -> None:
    """The command as the kernel's header lays it out: struct nvme_passthru_cmd, 72 bytes."""
    device = tmp_path / "nvme0"
    device.write_bytes(b"")
    asked = []

    def controller(_: int, request: int, command: bytearray, mutate: bool) -> int:
        asked.append((request, len(command), mutate))
        fields = struct.unpack("=BBHIIIQQIIIIIIIIII", command)
        opcode, _, _, nsid, _, _, _, address, _, length, dword10 = fields[:11]
        assert (opcode, nsid, length) == (0x02, 0xFFFFFFFF, 512)
        assert (dword10 & 0xFF, ((dword10 >> 16) + 1) * 4) == (0x02, 512)
        ctypes.memmove(address, page(used=9), length)
        return 0

    assert smart.parse(smart.read_page(device, controller)).wear == 0.09
    assert asked == [(0xC0484E41, 72, True)]
    with pytest.raises(SourceError) as caught:
        smart.read_page(device, lambda *_: 0x4002)
    assert caught.value.kind == "refused"


def test_what_is_no_nvme_disk_refuses_the_command(tmp_path: Path) -> None:
    device = tmp_path / "nvme0"
    device.write_bytes(b"")
    with pytest.raises(OSError, match="ioctl"):
        smart.read_page(device)


def test_a_host_without_disks_has_no_source(tmp_path: Path) -> None:
    assert not NvmeSource(60.0, root=tmp_path).present
    assert not LustreSource(60.0, root=tmp_path).present


@given(st.binary(max_size=600) | st.binary(min_size=512, max_size=512))
def test_any_page_gives_health_or_a_reason(content: bytes) -> None:
    if len(content) < smart.SIZE or not any(content[1:4]):
        with pytest.raises(SourceError):
            smart.parse(content)
        return
    health = smart.parse(content)
    assert 0 <= health.wear <= 2.55
    assert 0 <= health.spare <= 2.55
    assert health.temperature is None or health.temperature > -273
    assert health.warnings <= set(smart.WARNINGS)


_WORD = st.sampled_from(
    (b"device", b"mounted", b"on", b"/data", b"with", b"fstype", b"nfs4", b"bytes:", b"READ:", b"WRITE:",
     b"\xff", b"GETATTR:", b"-1", b"samples", b"[bytes]", b"[usec]", b"read_bytes", b"read", b"open",
     b"\xc2\xb2")
) | st.integers(0, 2**70).map(lambda n: str(n).encode()) | st.binary(max_size=8)  # fmt: skip
_TEXT = st.lists(st.lists(_WORD, max_size=13).map(b" ".join), max_size=8).map(b"\n".join)


@given(_TEXT)
def test_whatever_the_clients_count(content: bytes) -> None:
    for client in nfs.parse(b"device a:/b mounted on /data with fstype nfs4\n" + content):
        for value in (*client.operations.values(), *client.seconds.values(), client.repeated or 0.0):
            assert 0 <= value < 1e22
    traffic = lustre.parse(content.decode("utf-8", "replace"))
    for value in (*traffic.volume.values(), *traffic.operations.values(), *traffic.seconds.values()):
        assert 0 <= value < 1e22
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        put(
            root / "proc/1/mountinfo",
            "34 27 0:50 / /data rw - nfs4 a:/b rw\n35 27 0:51 / /l rw - lustre m:/f rw\n",
        )
        put(root / "proc/1/mountstats", content)
        put(root / "proc/fs/lustre/llite/f-0/stats", content)
        for source in (NfsSource(30.0, root=root), LustreSource(30.0, root=root)):
            for reading in source.read():
                assert len(reading.labels) == len(reading.metric.labels)
