"""File systems for data: real mounts, one that hangs for real, and lists of mounts like those of servers."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from fuse_mount import silent_mount
from hypothesis import given
from hypothesis import strategies as st
from trees import put, put_link

from exporters.host import FilesystemSource
from exporters.runtime import Lane
from exporters.sections import StorageSection
from exporters.storage import MountSource, storage_sources
from exporters.storage.mountinfo import each_once, host_mounts, parse
from exporters.storage.prober import MOST_ABANDONED
from gigawatch.catalogue import Metric, host, storage
from gigawatch.readings import Reading

FIXTURES = Path(__file__).parent / "fixtures" / "storage"
SHARED = {"/data", "/with blank", "/lustre", "/bucket", "/mnt/s3", "/home", "/auto"}


def by_point(readings: Iterable[Reading], metric: Metric) -> dict[str, float]:
    listed = [reading for reading in readings if reading.metric is metric]
    found = {reading.labels[0]: reading.value for reading in listed}
    assert len(found) == len(listed), "a mount twice"
    return found


def answer(size: int = 1000, available: int = 250) -> os.statvfs_result:
    return os.statvfs_result((512, 4096, size, 300, available, 200, 50, 40, 0, 255))


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Disks and mounts: /raid lies on two NVMe disks, /logs on a disk that spins."""
    put(tmp_path / "proc/1/mountinfo", (FIXTURES / "mountinfo").read_bytes())
    block = tmp_path / "sys/devices/block"
    for name, members in (("md0", ("nvme2n1p1", "nvme3n1p1")), ("dm-1", ("sda2",))):
        for member in members:
            (block / name / "slaves").mkdir(parents=True, exist_ok=True)
            disk = member.removesuffix("p1") if "nvme" in member else "sda"
            (block / disk / member).mkdir(parents=True, exist_ok=True)
            put_link(block / name / "slaves" / member, f"../../{disk}/{member}")
    for number, name in (("9:0", "md0"), ("253:1", "dm-1"), ("8:1", "sda")):
        put_link(tmp_path / "sys/dev/block" / number, f"../../devices/block/{name}")
    return tmp_path


def test_every_file_system_for_data_has_a_tier(server: Path) -> None:
    readings = list(MountSource(30.0, root=server, probe=lambda _: answer()).read())
    info = {r.labels[0]: r.labels[1:] for r in readings if r.metric is storage.MOUNT_INFO}
    assert info == {
        "/scratch": ("xfs", "/dev/nvme1n1", "hot"),
        "/raid": ("xfs", "/dev/md0", "hot"),
        "/logs": ("ext4", "/dev/mapper/vg-logs", "unknown"),
        "/archive-disk": ("ext4", "/dev/sda1", "unknown"),
        "/data": ("nfs4", "filer:/export/data", "warm"),
        "/with blank": ("nfs", "filer:/export/b", "warm"),
        "/lustre": ("lustre", "10.0.0.1@o2ib:10.0.0.2@o2ib:/fast/project", "warm"),
        "/bucket": ("fuse.rclone", ":s3,provider=AWS,secret_access_key=***:bucket", "cold"),
        "/mnt/s3": ("fuse", "mountpoint-s3", "cold"),
        "/home": ("fuse.sshfs", "https://server/home", "warm"),
        "/auto": ("nfs4", "filer:/export/auto", "warm"),
    }, "once each, no system disks, no secrets"
    read_only = by_point(readings, storage.MOUNT_READ_ONLY)
    assert {point for point, value in read_only.items() if value} == {
        "/logs", "/archive-disk", "/with blank", "/mnt/s3",
    }  # fmt: skip
    assert by_point(readings, storage.MOUNT_RESPONSIVE) == dict.fromkeys(SHARED, 1.0)
    sizes = by_point(readings, storage.MOUNT_SIZE)
    assert set(sizes) == SHARED - {"/bucket", "/mnt/s3"}, "an object store has no size"
    assert sizes["/data"] == 4096 * 1000
    assert by_point(readings, storage.MOUNT_AVAILABLE)["/data"] == 4096 * 250


def test_the_operator_has_the_last_word_on_tiers(server: Path) -> None:
    section = StorageSection(tiers={"/data": "hot", "/d*": "cold", "/wi*": "cold", "/": "hot"})
    readings = list(MountSource(30.0, section, root=server, probe=lambda _: answer()).read())
    tiers = {r.labels[0]: r.labels[3] for r in readings if r.metric is storage.MOUNT_INFO}
    assert tiers["/data"] == "hot", "the first match"
    assert tiers["/"] == "hot", "a system disk that holds data, too"
    assert tiers["/with blank"] == "cold"
    assert (tiers["/scratch"], tiers["/lustre"]) == ("hot", "warm"), "the kind's own"


def test_a_mount_whose_server_is_gone_holds_up_nobody(server: Path) -> None:
    release = threading.Event()
    asked: list[str] = []

    def probe(path: str) -> os.statvfs_result:
        point = path.removeprefix(str(server))
        asked.append(point)
        if point == "/lustre":
            release.wait()
        if point == "/with blank":
            raise OSError(errno.ESTALE, "stale file handle")
        if point == "/home":
            raise PermissionError(errno.EACCES, "the user's own mount")
        return answer()

    source = MountSource(30.0, StorageSection(probe_deadline=0.5), root=server, probe=probe)
    for _ in range(3):
        began = time.monotonic()
        readings = list(source.read())
        assert time.monotonic() - began < 10
        responsive = by_point(readings, storage.MOUNT_RESPONSIVE)
        assert responsive == dict.fromkeys(SHARED - {"/home"}, 1.0) | {"/with blank": 0, "/lustre": 0}
        assert "/lustre" not in by_point(readings, storage.MOUNT_SIZE), "no size of yesterday"
    assert asked.count("/lustre") == 1, "one waiting thread, not one per probe"
    assert asked.count("/data") == 3
    assert by_point(readings, storage.MOUNT_PROBE_DURATION)["/lustre"] > 0.5
    release.set()
    deadline = time.monotonic() + 60
    while by_point(readings, storage.MOUNT_RESPONSIVE)["/lustre"] != 1:
        assert time.monotonic() < deadline
        readings = list(source.read())


def test_a_real_mount_that_hangs_is_seen_and_so_is_its_end(tmp_path: Path) -> None:
    point = str(tmp_path)
    source = MountSource(30.0, StorageSection(probe_deadline=0.5))
    before = threading.active_count()
    with silent_mount(tmp_path) as daemon:
        for _ in range(3):
            assert by_point(source.read(), storage.MOUNT_RESPONSIVE)[point] == 0
        assert threading.active_count() <= before + 1
        assert point not in by_point(FilesystemSource(30.0).read(), host.HOST_FILESYSTEM_SIZE)
        os.close(daemon)  # "transport endpoint is not connected": an answer, but no life
        deadline = time.monotonic() + 60
        while threading.active_count() > before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        readings = list(source.read())
        assert by_point(readings, storage.MOUNT_RESPONSIVE)[point] == 0
        assert point not in by_point(readings, storage.MOUNT_SIZE)
    assert point not in by_point(source.read(), storage.MOUNT_RESPONSIVE)


def test_mounts_that_come_and_hang_do_not_pile_up_threads(tmp_path: Path) -> None:
    release = threading.Event()
    asked: list[str] = []

    def probe(path: str) -> os.statvfs_result:
        asked.append(path)
        release.wait()
        return answer()

    source = MountSource(30.0, StorageSection(probe_deadline=0.0), root=tmp_path, probe=probe)
    lane = Lane(source)
    for number in range(3 * MOST_ABANDONED):
        line = f"9 1 0:{number} / /data rw - nfs4 filer:/{number} rw\n"
        put(tmp_path / "proc/1/mountinfo", line)
        lane.run_once()
    assert len(asked) <= MOST_ABANDONED + 1
    assert lane.health().errors["hung"] > 0
    release.set()
    deadline = time.monotonic() + 60
    while not lane.health().up:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        lane.run_once()


def test_a_container_without_the_hosts_mounts_asks_nobody_elses(tmp_path: Path) -> None:
    put(tmp_path / "proc/1/mountinfo", (FIXTURES / "mountinfo").read_bytes())
    own = f"""\
50 1 0:90 / / rw - overlay overlay rw
51 50 259:2 / {tmp_path} ro - ext4 /dev/nvme0n1p2 rw
52 51 0:50 / {tmp_path}/data ro - nfs4 filer:/export/data rw
53 51 0:99 / {tmp_path}/lustre ro - tmpfs tmpfs rw
"""
    put(tmp_path / "proc/self/mountinfo", own)
    mounts = {mount.point: mount for mount in host_mounts(tmp_path)}
    assert set(mounts) == {"/", "/data"}
    assert mounts["/data"].path == f"{tmp_path}/data"
    assert not mounts["/data"].read_only, "as the host has it, not as the container sees it"


def test_the_list_of_our_own_process_serves_where_that_of_the_first_is_hidden(tmp_path: Path) -> None:
    source = MountSource(30.0, root=tmp_path)
    assert not source.present
    with pytest.raises(OSError, match="mountinfo"):
        list(source.read())
    put(tmp_path / "proc/self/mountinfo", b"22 27 0:21 / /proc rw - proc proc rw\n")
    assert source.present
    assert list(source.read()) == []


def test_local_file_systems_give_size_space_and_inodes(server: Path) -> None:
    source = FilesystemSource(30.0, root=server, ask=lambda _: answer())
    readings = list(source.read())
    sizes = by_point(readings, host.HOST_FILESYSTEM_SIZE)
    assert set(sizes) == {"/", "/boot/efi", "/scratch", "/raid", "/logs", "/archive-disk"}
    assert sizes["/"] == 4096 * 1000
    assert by_point(readings, host.HOST_FILESYSTEM_AVAILABLE)["/"] == 4096 * 250
    assert by_point(readings, host.HOST_FILESYSTEM_FILES_FREE)["/"] == 0.25


def test_one_dead_disk_hides_no_other(server: Path) -> None:
    release = threading.Event()

    def ask(path: str) -> os.statvfs_result:
        if path.endswith("/scratch"):
            release.wait()
        return answer()

    lane = Lane(FilesystemSource(30.0, root=server, ask=ask, patience=0.3))
    lane.run_once()
    release.set()
    assert lane.health().errors == {"timeout": 1}
    sizes = by_point(lane.readings(), host.HOST_FILESYSTEM_SIZE)
    assert {"/", "/raid"} <= set(sizes)
    assert "/scratch" not in sizes


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (
            "1 0 0:9 / / rw - overlay overlay rw\n2 1 8:1 /var/lib/x/hosts /etc/hosts rw - ext4 /dev/sda1 rw",
            "/",
        ),
        ("1 0 8:1 / /sysroot ro - xfs /dev/sda1 rw\n2 1 8:1 /ostree/deploy/0 / rw - xfs /dev/sda1 rw", "/"),
        ("1 0 0:30 /@ / rw - btrfs /dev/sda1 rw\n2 1 0:31 /@home /home rw - btrfs /dev/sda1 rw", "/ /home"),
    ],
    ids=["container", "image of the system", "subvolumes"],
)
def test_the_root_counts_whatever_it_lies_on(tmp_path: Path, mounts: str, expected: str) -> None:
    put(tmp_path / "proc/1/mountinfo", mounts + "\n")
    readings = list(FilesystemSource(30.0, root=tmp_path, ask=lambda _: answer()).read())
    assert " ".join(sorted(by_point(readings, host.HOST_FILESYSTEM_SIZE))) == expected


def test_this_machine_has_a_root_and_its_own_list_of_mounts() -> None:
    names = {source.name for source in storage_sources(30.0)}
    assert {"mounts", "nfs"} <= names
    assert "/" in by_point(FilesystemSource(30.0).read(), host.HOST_FILESYSTEM_SIZE)


_FIELD = st.binary(max_size=12) | st.sampled_from(
    (
        b"/", b"/data", b"-", b"nfs4", b"ext4", b"fuse.x", b"rw", b"\\040", b"\\999", b"\xff", b"0:5",
        b"/a\\012b",
    )
)  # fmt: skip


@given(st.lists(st.lists(_FIELD, max_size=14).map(b" ".join), max_size=6).map(b"\n".join))
def test_whatever_the_list_of_mounts_says(content: bytes) -> None:
    for mount in each_once(parse(content)):
        assert mount.point.startswith("/")
        "".join((*mount.labels, mount.source)).encode()  # fit for the page
    with tempfile.TemporaryDirectory() as directory:
        put(Path(directory) / "proc/1/mountinfo", content)
        for source in (
            MountSource(30.0, root=Path(directory), probe=lambda _: answer()),
            FilesystemSource(30.0, root=Path(directory), ask=lambda _: answer()),
        ):
            for reading in source.read():
                assert reading.value >= 0
                assert len(reading.labels) == len(reading.metric.labels)
