"""InfiniBand ports and shared mounts on trees that the test lays out."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from exporters.fabric import InfinibandSource, MountSource
from gigawatch.catalogue import Metric, fabric, storage


def test_ports_give_state_bytes_and_errors(tmp_path: Path) -> None:
    source = InfinibandSource(5.0, root=tmp_path / "infiniband")
    assert not source.present
    assert list(source.read()) == []
    counters = tmp_path / "infiniband" / "mlx5_0" / "ports" / "1" / "counters"
    counters.mkdir(parents=True)
    (counters.parent / "state").write_text("4: ACTIVE\n")
    for name, text in {
        "port_rcv_data": "1000", "port_xmit_data": "2000", "symbol_error": "3", "link_error_recovery": "4",
        "port_rcv_errors": "5", "link_downed": "6", "port_xmit_discards": "N/A (not supported)",
    }.items():  # fmt: skip
        (counters / name).write_text(text + "\n")
    assert source.present
    found = {(r.metric, r.labels): r.value for r in source.read()}
    port = ("mlx5_0", "1")
    assert found[(fabric.IB_PORT_STATE, (*port, "active"))] == 1
    assert found[(fabric.IB_PORT_STATE, (*port, "down"))] == 0
    assert found[(fabric.IB_PORT_BYTES, (*port, "receive"))] == 4000
    assert found[(fabric.IB_PORT_BYTES, (*port, "transmit"))] == 8000
    assert found[(fabric.IB_PORT_ERRORS, (*port, "link_recovery"))] == 4
    assert found[(fabric.IB_PORT_FLAPS, port)] == 6
    assert (fabric.IB_PORT_ERRORS, (*port, "discard")) not in found
    (counters.parent / "state").write_text("1: DOWN\n")
    found = {(r.metric, r.labels): r.value for r in source.read()}
    assert found[(fabric.IB_PORT_STATE, (*port, "down"))] == 1


def lay_out(proc: Path) -> None:
    (proc / "mounts").write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/a /data nfs4 rw 0 0\nserver:/b /with\\040blank nfs rw 0 0\n"
        "server:/c /gone nfs4 rw 0 0\nserver:/a /data nfs4 rw 0 0\n"
    )
    (proc / "mountstats").write_text(
        "device /dev/vda mounted on / with fstype ext4\n"
        "device server:/a mounted on /data with fstype nfs4 statvers=1.1\n"
        "\tbytes:\t1 2 3 4 555 6 7 8\n"
        "device server:/c mounted on /gone with fstype nfs4 statvers=1.1\n"
        "\tbytes:\t1 2\n"
    )


def test_a_mount_whose_server_is_gone_holds_up_nobody(tmp_path: Path) -> None:
    lay_out(tmp_path)
    release = threading.Event()
    asked: list[str] = []

    def probe(path: str) -> None:
        asked.append(path)
        if path == "/gone":
            release.wait()
        if path == "/with blank":
            raise OSError("stale file handle")

    source = MountSource(30.0, patience=0.5, proc=tmp_path, probe=probe)

    def values(metric: Metric) -> dict[str, float]:
        return {r.labels[0]: r.value for r in readings if r.metric is metric}

    for _ in range(3):
        began = time.monotonic()
        readings = list(source.read())
        assert time.monotonic() - began < 10
        assert values(storage.MOUNT_RESPONSIVE) == {"/data": 1, "/with blank": 0, "/gone": 0}
    assert asked.count("/gone") == 1, "one waiting thread, not one per probe"
    assert asked.count("/data") == 3
    assert values(storage.MOUNT_PROBE_DURATION)["/gone"] > 0.5
    assert values(storage.STORAGE_READ) == {"/data": 555}
    release.set()
    deadline = time.monotonic() + 60
    while values(storage.MOUNT_RESPONSIVE)["/gone"] != 1:
        assert time.monotonic() < deadline
        readings = list(source.read())


def test_a_host_without_shared_mounts_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text("proc /proc proc rw 0 0\n")
    assert list(MountSource(30.0, proc=tmp_path).read()) == []
    (tmp_path / "mounts").unlink()
    with pytest.raises(OSError, match="mounts"):
        list(MountSource(30.0, proc=tmp_path).read())
