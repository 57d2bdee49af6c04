"""The kernel log as a source: followed in a growing file of records, and in the kernel's own log."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.gpu.kernel_log import KMSG, KernelLogSource
from exporters.gpu.log_reader import LogClock
from exporters.gpu.xid_ledger import XidLedger
from exporters.runtime import Lane
from gigawatch.catalogue import Metric, gpu, gpu_links, host, own

Samples = dict[tuple[Metric, tuple[str, ...]], float]
Make = Callable[..., KernelLogSource]


class Log:
    """A file of records as /dev/kmsg gives them, with numbers and times of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.sequence = path, 0
        path.write_text("")

    def write(self, *texts: str, skipping: int = 0) -> None:
        self.sequence += skipping
        with self.path.open("a") as out:
            for text in texts:
                out.write(f"3,{self.sequence},{int(time.monotonic() * 1e6)},-;{text}\n SUBSYSTEM=pci\n")
                self.sequence += 1


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "kmsg")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a source with a ledger of its own; `state` says whether that is kept."""
    made: list[tuple[KernelLogSource, XidLedger]] = []
    boot = tmp_path / "proc/sys/kernel/random"
    boot.mkdir(parents=True)
    (boot / "boot_id").write_text("boot\n")

    def new(path: Path, state: bool = False) -> KernelLogSource:
        for source, ledger in made:
            source.stop()
            ledger.close()
        ledger = XidLedger(tmp_path / "state" if state else None, tmp_path)
        ledger.identify({(0, 0x1B, 0): ("0", "GPU-a")})
        made.append((KernelLogSource(1.0, ledger, deadline=30, path=path, root=tmp_path), ledger))
        return made[-1][0]

    yield new
    for source, ledger in made:
        source.stop()
        ledger.close()


def read(source: KernelLogSource) -> Samples:
    """What is not 0, and each series once."""
    found: Samples = {}
    for reading in source.read():
        assert (reading.metric, reading.labels) not in found
        found[reading.metric, reading.labels] = reading.value
    return {key: value for key, value in found.items() if value}


def xids(samples: Samples) -> dict[tuple[str, ...], float]:
    return {labels: value for (metric, labels), value in samples.items() if metric is gpu.GPU_XID_ERRORS}


def soon(source: KernelLogSource, met: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + 30
    while not met(found := read(source)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_everything_since_boot_is_there_at_the_first_read(log: Log, make: Make) -> None:
    log.write(
        "Linux version 6.8.0",
        "NVRM: Xid (PCI:0000:1b:00): 79, pid=1, GPU has fallen off the bus.",
        "NVRM: GPU 0000:1b:00.0: GPU has fallen off the bus.",
        "NVRM: Xid (PCI:0000:99:00): 48, pid=3",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress",
        "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 33 egress",
        "INFO: task python3:12 blocked for more than 120 seconds.",
    )
    found = read(make(log.path))
    assert xids(found) == {("0", "GPU-a", "79", "kmsg"): 1, ("", "pci-0000:99:00", "48", "kmsg"): 1}
    assert found[gpu_links.NVSWITCH_SXID_ERRORS, ("0000:c1:00.0", "12028", "non_fatal")] == 2
    assert found[host.HOST_HUNG_TASKS, ()] == 1
    assert abs(found[gpu.GPU_XID_LAST_TIMESTAMP, ("0", "GPU-a", "79")] - time.time()) < 60
    assert (own.KERNEL_LOG_LOST, ()) not in found


def test_new_records_are_seen_soon(log: Log, make: Make) -> None:
    source = make(log.path)
    assert xids(read(source)) == {}
    log.write("NVRM: Xid (PCI:0000:1b:00): 31, pid=2, MMU fault")
    soon(source, lambda s: xids(s) == {("0", "GPU-a", "31", "kmsg"): 1})
    with log.path.open("ab") as out:
        out.write(b"3,9,9,-;NVRM: Xid (PCI:0000:1b")
    time.sleep(0.3)
    with log.path.open("ab") as out:
        out.write(b":00): 13, \xff\xfe\x00\n")
    soon(source, lambda s: ("0", "GPU-a", "13", "kmsg") in xids(s))


def test_overwritten_records_are_counted_as_lost(log: Log, make: Make) -> None:
    log.write("first of those that are left", skipping=500)
    source = make(log.path)
    assert (own.KERNEL_LOG_LOST, ()) not in read(source)
    log.write("after a gap", skipping=20)
    soon(source, lambda s: s.get((own.KERNEL_LOG_LOST, ())) == 20)


def test_a_restart_counts_nothing_twice_and_loses_nothing(log: Log, make: Make) -> None:
    log.write(
        *["NVRM: Xid (PCI:0000:1b:00): 31, pid=2"] * 3, "INFO: task a:1 blocked for more than 120 seconds."
    )
    assert xids(read(make(log.path, state=True))) == {("0", "GPU-a", "31", "kmsg"): 3}
    log.write(*["NVRM: Xid (PCI:0000:1b:00): 31, pid=2"] * 2, skipping=10)
    found = read(make(log.path, state=True))
    assert xids(found) == {("0", "GPU-a", "31", "kmsg"): 5}
    assert found[host.HOST_HUNG_TASKS, ()] == 1
    assert found[own.KERNEL_LOG_LOST, ()] == 10
    assert xids(read(make(log.path))) == {("0", "GPU-a", "31", "kmsg"): 5}


def test_a_file_that_was_replaced_is_read_anew(log: Log, make: Make, tmp_path: Path) -> None:
    log.write("NVRM: Xid (PCI:0000:1b:00): 31, pid=2")
    source = make(log.path)
    assert xids(read(source)) == {("0", "GPU-a", "31", "kmsg"): 1}
    fresh = Log(tmp_path / "fresh")
    fresh.write("NVRM: Xid (PCI:0000:1b:00): 31, pid=2", skipping=100)
    fresh.path.replace(log.path)
    soon(source, lambda s: xids(s) == {("0", "GPU-a", "31", "kmsg"): 2})


def test_a_log_that_comes_later_is_read_then(make: Make, tmp_path: Path) -> None:
    lane = Lane(source := make(tmp_path / "later"))
    lane.run_once()
    assert lane.health().errors == {"io": 1}
    assert any(r.metric is gpu.GPU_XID_ERRORS for r in lane.readings())
    Log(tmp_path / "later").write("NVRM: Xid (PCI:0000:1b:00): 31, pid=2")
    deadline = time.monotonic() + 30
    while not lane.health().up:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        lane.run_once()
    assert xids(read(source)) == {("0", "GPU-a", "31", "kmsg"): 1}


def test_a_log_that_may_not_be_read_names_the_remedy(log: Log) -> None:
    log.path.chmod(0)
    program = f"""
import os, pathlib
from exporters.gpu.kernel_log import KernelLogSource
from exporters.gpu.xid_ledger import XidLedger
if os.geteuid() == 0:
    os.setuid(65534)
source = KernelLogSource(1.0, XidLedger(), deadline=30, path=pathlib.Path({str(log.path)!r}))
try:
    list(source.read())
except Exception as error:
    print(error.kind, error)
"""
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert asked.stdout.startswith("permission ")
    assert "CAP_SYSLOG" in asked.stdout


def test_the_kernels_own_count_of_hung_tasks_wins_over_its_silence(
    log: Log, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "proc/sys/kernel/hung_task_detect_count").write_text("37\n")
    log.write("INFO: task a:1 blocked for more than 120 seconds.")
    assert read(make(log.path))[host.HOST_HUNG_TASKS, ()] == 37


def test_the_log_of_this_kernel_can_be_followed(make: Make) -> None:
    try:
        os.close(os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        pytest.skip(f"{KMSG}: {error.strerror}")
    started = time.monotonic()
    found = {r.metric for r in make(KMSG).read()}
    assert {own.KERNEL_LOG_LOST, host.HOST_HUNG_TASKS, gpu.GPU_XID_ERRORS} <= found
    assert time.monotonic() - started < 20


def test_the_clock_of_the_log_is_followed() -> None:
    clock = LogClock(0.5)
    assert clock.written(100, 1000) == 100.5
    for late in (3.0, 1.0, 2.0):
        clock.arrived(100, 100 + late)
    assert clock.offset == 1.0
    for late in (2.0,) * 8:
        clock.arrived(100, 100 + late)
    assert clock.written(100, 1000) == 102.0
    assert clock.written(999, 1000) == 1000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=30))
def test_whatever_stands_in_the_log_the_next_xid_is_seen(log: Log, make: Make, junk: list[bytes]) -> None:
    good = f"\n3,{2**52},1,-;NVRM: Xid (PCI:0000:1b:00): 31, pid=2\n".encode()
    log.path.write_bytes(b"\n".join(junk) + good)
    assert xids(read(make(log.path)))[("0", "GPU-a", "31", "kmsg")] >= 1
