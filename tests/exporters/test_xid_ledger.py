"""Each XID is counted once, whoever tells of it, and over restarts of the agent."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.gpu.kernel_lines import HungTask, Located, Sxid, Xid
from exporters.gpu.xid_book import Book, Teller
from exporters.gpu.xid_ledger import HUNG, LOST, LogBatch, XidLedger, XidSource
from exporters.gpu.xid_state import NAME, State, StateError, load, save
from exporters.runtime import Lane
from gigawatch.catalogue import gpu

A = (0, 0x1B, 0)
B = (0, 0x1C, 0)
Counts = dict[tuple[str, ...], float]


def counted(ledger: XidLedger) -> Counts:
    """Counters that are not 0: labels and value."""
    assert ledger.flush(30)
    return {r.labels: r.value for r in ledger.readings() if r.metric is gpu.GPU_XID_ERRORS and r.value}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with a boot id of its own."""
    boot(tmp_path / "root", "first")
    return tmp_path / "root"


def boot(root: Path, name: str) -> None:
    (root / "proc/sys/kernel/random").mkdir(parents=True, exist_ok=True)
    (root / "proc/sys/kernel/random/boot_id").write_text(name + "\n")


@pytest.fixture
def ledger(root: Path) -> Iterator[XidLedger]:
    made = XidLedger(root=root)
    made.identify({A: ("0", "GPU-a"), B: ("1", "GPU-b")})
    yield made
    made.close()


def test_an_event_that_both_tell_of_counts_once_for_the_first(ledger: XidLedger) -> None:
    now = time.monotonic()
    ledger.nvml("GPU-a", 0, None, 48, now)
    ledger.kernel(A, 48, now + 2)
    ledger.kernel(B, 48, now)
    ledger.nvml("GPU-b", 1, "00000000:1C:00.0", 48, now + 2)
    assert counted(ledger) == {("0", "GPU-a", "48", "nvml"): 1, ("1", "GPU-b", "48", "kmsg"): 1}


def test_another_gpu_another_code_or_another_time_is_another_event(ledger: XidLedger) -> None:
    now = time.monotonic()
    ledger.nvml("GPU-a", 0, None, 31, now)
    ledger.kernel(B, 31, now)
    ledger.kernel(A, 13, now)
    ledger.kernel(A, 31, now + 5.5)
    assert counted(ledger) == {
        ("0", "GPU-a", "31", "nvml"): 1,
        ("0", "GPU-a", "31", "kmsg"): 1,
        ("0", "GPU-a", "13", "kmsg"): 1,
        ("1", "GPU-b", "31", "kmsg"): 1,
    }


def test_repeated_events_are_paired_one_to_one(ledger: XidLedger) -> None:
    now = time.monotonic()
    for after in range(5):
        ledger.nvml("GPU-a", 0, None, 31, now + 0.1 * after)
    for after in range(3):
        ledger.kernel(A, 31, now + 1 + 0.1 * after)
    assert counted(ledger) == {("0", "GPU-a", "31", "nvml"): 5}


def test_a_gpu_that_fell_is_counted_once_in_however_many_lines(ledger: XidLedger) -> None:
    now = time.monotonic()
    ledger.kernel(A, 79, now, spelled=False)
    ledger.kernel(A, 79, now + 0.1)
    ledger.kernel(A, 79, now + 0.2, spelled=False)
    ledger.nvml("GPU-a", 0, None, 79, now + 0.3)
    ledger.kernel(A, 79, now + 0.4, spelled=False)
    assert counted(ledger) == {("0", "GPU-a", "79", "kmsg"): 1}
    ledger.kernel(A, 79, now + 30, spelled=False)
    assert counted(ledger) == {("0", "GPU-a", "79", "kmsg"): 2}


def test_serious_codes_stand_at_zero_from_the_start(ledger: XidLedger) -> None:
    assert ledger.flush(30)
    found = [r for r in ledger.readings() if r.metric is gpu.GPU_XID_ERRORS]
    assert {r.value for r in found} == {0.0}
    expected = {(str(code), source) for code in gpu.XID_SERIOUS for source in ("nvml", "kmsg")}
    for labels in (("0", "GPU-a"), ("1", "GPU-b")):
        assert {r.labels[2:] for r in found if r.labels[:2] == labels} == expected


def test_what_a_code_means_and_when_it_was_seen_is_told(root: Path) -> None:
    ledger = XidLedger(root=root, monotonic=lambda: 1000.0, wall=lambda: 1_700_000_000.0)
    ledger.kernel(A, 79, 940.0)
    ledger.kernel(A, 59999, 1000.0)
    assert ledger.flush(30)
    told = {r.labels[2:]: r.value for r in ledger.readings() if r.metric is gpu.GPU_XID_INFO}
    assert told == {
        ("79", "the GPU fell off the bus", "power_cycle_node"): 1,
        ("59999", "not in NVIDIA's catalogue", "contact_support"): 1,
    }
    seen = {r.labels: r.value for r in ledger.readings() if r.metric is gpu.GPU_XID_LAST_TIMESTAMP}
    assert seen[("", "pci-0000:1b:00", "79")] == 1_700_000_000 - 60
    ledger.close()


def test_a_gpu_has_its_address_until_its_identity_is_known(root: Path) -> None:
    ledger = XidLedger(root=root)
    now = time.monotonic()
    ledger.kernel(A, 79, now)
    ledger.kernel(A, 31, now)
    assert set(counted(ledger)) == {
        ("", "pci-0000:1b:00", "79", "kmsg"),
        ("", "pci-0000:1b:00", "31", "kmsg"),
    }
    ledger.nvml("GPU-a", 0, None, 79, now + 1)  # the same event, but nobody can know yet
    ledger.identify({A: ("0", "GPU-a")})
    assert counted(ledger) == {("0", "GPU-a", "79", "nvml"): 1, ("0", "GPU-a", "31", "kmsg"): 1}
    ledger.identify({})
    ledger.kernel(A, 31, now + 60)
    assert counted(ledger)[("0", "GPU-a", "31", "kmsg")] == 2
    ledger.close()


def test_the_log_can_tell_the_identity_and_nvml_the_index(root: Path) -> None:
    ledger = XidLedger(root=root)
    now = time.monotonic()
    ledger.log_read(LogBatch(5, [(Located(A, "GPU-a"), now), (Xid(A, 79), now)]))
    assert counted(ledger) == {("", "GPU-a", "79", "kmsg"): 1}
    ledger.nvml("GPU-a", 3, "0000:1b:00", 79, now)
    assert counted(ledger) == {("3", "GPU-a", "79", "kmsg"): 1}
    ledger.close()


def test_another_gpu_at_the_same_address_is_another_gpu(ledger: XidLedger) -> None:
    now = time.monotonic()
    ledger.kernel(A, 48, now)
    ledger.identify({A: ("0", "GPU-new"), B: ("1", "GPU-b")})
    ledger.kernel(A, 48, now + 100)
    assert counted(ledger) == {("0", "GPU-a", "48", "kmsg"): 1, ("0", "GPU-new", "48", "kmsg"): 1}


def restarted(ledger: XidLedger, state: Path, root: Path) -> XidLedger:
    ledger.close()
    return XidLedger(state, root)


def test_a_restart_goes_on_where_the_last_agent_stopped(tmp_path: Path, root: Path) -> None:
    now = time.monotonic()
    first = XidLedger(tmp_path / "new/state", root)
    first.identify({A: ("0", "GPU-a")})
    first.nvml("GPU-a", 0, None, 94, now)
    first.nvml("GPU-a", 0, None, 62, now)
    news = [(Xid(A, 94), now), (HungTask(), now), (Sxid("0000:c1:00.0", 12028, "fatal"), now)]
    first.log_read(LogBatch(41, [*news], lost=7, offset=0.25))
    second = restarted(first, tmp_path / "new/state", root)
    assert second.resume() == (41, 0.25)
    assert second.tallies() == {HUNG: 1, LOST: 7, ("sxid", "0000:c1:00.0", "12028", "fatal"): 1}
    second.kernel(A, 62, now + 1)  # had not been read when the first one ended
    assert counted(second) == {("0", "GPU-a", "94", "nvml"): 1, ("0", "GPU-a", "62", "nvml"): 1}
    second.close()


def test_another_boot_starts_anew(tmp_path: Path, root: Path) -> None:
    first = XidLedger(tmp_path / "state", root)
    first.nvml("GPU-a", 0, "0000:1b:00", 94, 1.0)
    assert counted(first)
    boot(root, "second")
    second = restarted(first, tmp_path / "state", root)
    assert counted(second) == {}
    assert second.resume() == (-1, 0.0)
    second.close()


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"version":2}', '{"version":1,"boot":"first"}', "\x00\xff" * 99]
)
def test_a_damaged_file_is_told_of_once_and_replaced(
    tmp_path: Path, root: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).write_text(damage)
    ledger = XidLedger(tmp_path, root)
    lane = Lane(XidSource(1.0, ledger))
    ledger.kernel(A, 79, time.monotonic())
    lane.run_once()
    lane.run_once()
    assert lane.health().errors == {"state": 1}
    assert lane.health().up
    assert (
        sum("cannot be read" in record.message for record in caplog.records if "exporters.gpu" in record.name)
        == 1
    )
    assert counted(ledger) == {("", "pci-0000:1b:00", "79", "kmsg"): 1}
    ledger.close()
    assert load(tmp_path, "first").devices[0].counts == {(79, "kmsg"): 1}


def test_a_directory_that_cannot_be_written_is_told_of_and_counting_goes_on(
    tmp_path: Path, root: Path
) -> None:
    (tmp_path / "file").write_text("")
    ledger = XidLedger(tmp_path / "file", root)
    ledger.kernel(A, 79, time.monotonic())
    assert counted(ledger) == {("", "pci-0000:1b:00", "79", "kmsg"): 1}
    trouble = ledger.trouble()
    assert trouble is not None
    assert trouble.kind == "state"
    assert str(tmp_path / "file") in str(trouble)
    ledger.close()


def test_without_a_boot_id_nothing_is_kept(tmp_path: Path) -> None:
    ledger = XidLedger(tmp_path / "state", tmp_path / "nothing")
    ledger.kernel(A, 79, time.monotonic())
    assert counted(ledger)
    assert "boot id" in str(ledger.trouble())
    ledger.close()
    assert not (tmp_path / "state").exists()


def test_a_disk_that_hangs_stops_nobody_and_shows_nothing_unsaved(tmp_path: Path, root: Path) -> None:
    ledger = XidLedger(tmp_path, root)
    ledger.identify({A: ("0", "GPU-a")})
    assert ledger.flush(30)
    os.mkfifo(tmp_path / (NAME + ".new"))  # opening it hangs until somebody reads
    ledger.nvml("GPU-a", 0, None, 79, time.monotonic())
    ledger.kernel(A, 48, time.monotonic())
    assert not ledger.flush(0.3)
    assert [r.value for r in ledger.readings() if r.metric is gpu.GPU_XID_ERRORS and r.value] == []
    with pytest.raises(Exception, match="does not answer"):
        list(XidSource(1.0, ledger, deadline=0.1).read())
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            if (tmp_path / (NAME + ".new")).is_fifo():
                (tmp_path / (NAME + ".new")).read_text()

    reader = threading.Thread(target=drain, daemon=True)  # it may wait for a writer that is done
    reader.start()
    assert len(counted(ledger)) == 2
    done.set()
    (tmp_path / NAME).unlink(missing_ok=True)
    reader.join(30)
    ledger.close()


def test_a_thousand_xids_over_eight_gpus_and_two_kills_are_counted_exactly(tmp_path: Path) -> None:
    seed = 20240607
    dice = random.Random(seed)
    log = tmp_path / "kmsg"
    log.write_text("")
    truth: Counter[tuple[str, str]] = Counter()
    due: list[tuple[float, int, str, int, int]] = []
    for number in range(1000):
        index, code = dice.randrange(8), dice.choice((31, 48, 63, 79, 94, 119))
        at, odd = dice.uniform(0, 4), dice.random()
        # On an even code some events come through the log alone, on an odd one some through NVML alone.
        if odd < 0.8 or code % 2 == 0:
            heappush(due, (at + dice.uniform(0, 0.5), number, "log", index, code))
        if odd < 0.8 or code % 2 == 1:
            heappush(due, (at + dice.uniform(0, 0.5), number, "nvml", index, code))
        truth[(f"GPU-{index}", str(code))] += 1
    kills = sorted(dice.uniform(0.5, 3.5) for _ in range(2))
    worker, sequence, begun = start(log, tmp_path), 0, time.monotonic()
    try:
        while due:
            at, _, kind, index, code = heappop(due)
            time.sleep(max(0.0, begun + at - time.monotonic()))
            if kills and at > kills[0]:
                kills.pop(0)
                worker.kill()
                worker.wait()
                worker = start(log, tmp_path)
            if kind == "log":
                sequence += 1
                with log.open("a") as out:
                    now = int(time.monotonic() * 1e6)
                    out.write(
                        f"3,{sequence},{now},-;NVRM: Xid (PCI:0000:{0x10 + index:02x}:00): {code}, pid=1\n"
                    )
            else:
                ask(worker, f"nvml GPU-{index} {index} {code} {time.monotonic()}")
            if kind == "nvml" and code % 2:
                # Where some come through NVML alone, one whose NVML report is lost in a kill looks like
                # another: there a report counts as given once it is saved.
                assert ask(worker, "flush", answered=True) == "True"
        found: Counter[tuple[str, str]] = Counter()
        deadline = time.monotonic() + 30
        while sum(found.values()) < 1000 and time.monotonic() < deadline:
            time.sleep(0.3)
            found.clear()
            for uuid, code_text, _, count in json.loads(ask(worker, "show", answered=True)):
                found[(uuid, code_text)] += int(count)
    finally:
        worker.kill()
        worker.wait()
    assert found == truth


def start(log: Path, state: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "xid_worker", str(log), str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def ask(worker: subprocess.Popen[str], line: str, answered: bool = False) -> str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()
    return worker.stdout.readline().strip() if answered else ""


_EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when it happened
        st.floats(0, 2.4),  # until the log tells
        st.floats(0, 2.4),  # until NVML tells
        st.sampled_from(("both", "both", "one")),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(_EVENTS, st.sampled_from(("log", "nvml")), st.randoms(use_true_random=False))
def test_any_interleaving_with_kills_counts_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[float, float, float, str]],
    alone: str,
    dice: random.Random,
) -> None:
    """Each teller in order, one against the other as it comes. A kill forgets what was not saved: the log is
    read again from there. Where some events come through NVML alone, each of its reports is saved."""
    directory = tmp_path_factory.mktemp("state")
    log = sorted(at + late for at, late, _, kind in events if kind == "both" or alone == "log")
    nvml = sorted(at + late for at, _, late, kind in events if kind == "both" or alone == "nvml")
    state = State()
    book = Book(5.0, state.devices)
    while log[state.sequence + 1 :] or nvml:
        step = dice.random()
        if step < 0.45 and log[state.sequence + 1 :]:
            state.sequence += 1
            book.at_address(A).tell(48, Teller.KMSG, log[state.sequence], book.window)
        elif step < 0.8 and nvml:
            book.with_uuid("GPU-a", "0", None).tell(48, Teller.NVML, nvml.pop(0), book.window)
            if alone == "nvml":
                save(directory, "boot", state)
        elif step < 0.9:
            book.identify({A: ("0", "GPU-a")})
            save(directory, "boot", state)
        elif step < 0.95:
            state = load(directory, "boot")
            book = Book(5.0, state.devices)
    book.identify({A: ("0", "GPU-a")})
    assert sum(sum(one.counts.values()) for one in book.devices) == len(events)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(("version", "boot", "sequence", "offset", "tallies", "devices", "gpu", "uuid",
                         "address", "counts", "last", "open")), inner, max_size=12),
    max_leaves=30,
)  # fmt: skip


@given(_JSON | st.fixed_dictionaries({"version": st.just(1), "boot": st.just("b"), "sequence": st.integers(),
       "offset": st.floats(), "tallies": _JSON, "devices": _JSON}), st.binary(max_size=3))  # fmt: skip
def test_whatever_stands_in_the_file_is_refused_or_sound(
    tmp_path_factory: pytest.TempPathFactory, content: object, tail: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / NAME).write_bytes(json.dumps(content).encode() + tail)
    try:
        state = load(directory, "b")
    except StateError:
        return
    assert all(count >= 0 for one in state.devices for count in one.counts.values())
    save(directory, "b", state)
    assert load(directory, "b") == state
