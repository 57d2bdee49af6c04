"""The one place where XIDs are counted: from NVML's events and the kernel log, over restarts of the agent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from exporters.gpu.address import PciAddress, pci_address, shown
from exporters.gpu.kernel_lines import HungTask, Located, News, Sxid, Xid
from exporters.gpu.xid_book import Book, Device, Teller
from exporters.gpu.xid_readings import xid_readings
from exporters.gpu.xid_state import State, StateError, Tally, boot_id, load, save
from exporters.runtime.source import SourceError
from gigawatch.readings import Reading

log = logging.getLogger(__name__)

WINDOW = 5.0
"""Seconds within which both tellers report one event."""
_KEEP = 60.0
"""Seconds after which a report that is still missing will not come."""
_BETWEEN_SAVES = 0.2
_PROGRESS = 30.0
"""Seconds after which the place in the kernel log is saved although nothing happened."""
HUNG: Tally = ("hung_tasks",)
LOST: Tally = ("lost_records",)
SXID = "sxid"


@dataclass(slots=True)
class LogBatch:
    """What was read from the kernel log at one go: news with their times, the number of the last record, how
    many were overwritten before, whether the log's end was reached and when, and how its clock stands."""

    sequence: int
    news: list[tuple[News, float]] = field(default_factory=list)
    lost: int = 0
    read_until: float | None = None
    offset: float | None = None


Change = Callable[[], bool]
"""Applied in the ledger's thread; True if it has to be saved before anybody sees it."""


class XidLedger:
    """Each XID once, under the source that told of it first. Nothing that it is told makes a caller wait.

    A thread of its own does the counting and the saving. What was counted becomes visible only once it is
    saved, so that no restart can take back, or count anew, what a scrape has shown.
    """

    def __init__(
        self,
        state_directory: Path | None = None,
        root: Path = Path("/"),
        window: float = WINDOW,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._root = state_directory, root
        self._monotonic, self._wall = monotonic, wall
        self._book = Book(window)
        self._state = State()
        self._boot = ""
        self._read_until = -inf
        self._wake = threading.Condition()
        self._changes: list[Change] = []
        self._taken = self._done = 0
        self._waiters = 0
        self._stop = False
        self._thread: threading.Thread | None = None
        self._loaded = threading.Event()
        self._places: dict[PciAddress, tuple[str, str]] = {}
        self._remembered: tuple[tuple[str, str, str], ...] = ()
        self._trouble: SourceError | None = None
        self._said = ""
        self._saved_at, self._saved_sequence = -inf, -1
        self._readings: tuple[Reading, ...] = ()
        self._tallies: dict[Tally, int] = {}

    def nvml(self, uuid: str, gpu_index: int | str, bus_id: str | None, xid: int, at: float) -> None:
        """NVML reported an XID at this time.monotonic()."""
        address = pci_address(bus_id) if bus_id else None
        if not uuid and address is None:
            log.warning("XID %d on a GPU that nobody knows", xid)
            return
        self._submit(lambda: self._nvml(uuid, str(gpu_index), address, xid, at))

    def kernel(self, address: PciAddress, xid: int, at: float, spelled: bool = True) -> None:
        """The kernel log told of an XID, or (not `spelled`) of a GPU that fell off the bus."""
        self._submit(lambda: self._news(Xid(address, xid, spelled), at))

    def log_read(self, batch: LogBatch) -> None:
        """The kernel log was read on to here."""
        self._submit(lambda: self._log_read(batch))

    def identify(self, places: Mapping[PciAddress, tuple[str, str]]) -> None:
        """Which GPU (index, UUID) sits at which address. May be called often; what is known is kept."""
        if all(self._places.get(address) == identity for address, identity in places.items()):
            return
        self._places.update(places)
        fresh = dict(places)
        self._submit(lambda: self._book.identify(fresh))

    def readings(self) -> Iterator[Reading]:
        """Counters, times and meanings of every GPU known, as of the last save. Never waits."""
        yield from self._readings

    def tallies(self) -> Mapping[Tally, int]:
        """The other counts from the kernel log: hung tasks, lost records, SXIDs."""
        return self._tallies

    def resume(self) -> tuple[int, float]:
        """Number of the last kernel-log record that was taken (-1: none), and what to add to the log's clock
        to get time.monotonic(). Waits for the saved state."""
        self._submit(lambda: False)
        self._loaded.wait()
        return self._state.sequence, self._state.offset

    def remembered(self) -> Iterable[tuple[str, str, str]]:
        """Index, UUID and PCI address of every GPU in the saved state. Waits for it."""
        self._submit(lambda: False)
        self._loaded.wait()
        return self._remembered

    def trouble(self) -> SourceError | None:
        """What went wrong with the state file since the last call."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def flush(self, timeout: float) -> bool:
        """Wait until all that was told so far is counted, saved and visible. False if that took too long."""
        self._submit(lambda: False)
        with self._wake:
            until = self._taken
            self._waiters += 1
            self._wake.notify_all()
            try:
                return self._wake.wait_for(lambda: self._done >= until, timeout)
            finally:
                self._waiters -= 1

    def close(self, timeout: float = 2.0) -> None:
        """Save and end."""
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def _submit(self, change: Change) -> None:
        with self._wake:
            self._changes.append(change)
            self._taken += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="xid-ledger", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _work(self) -> None:
        self._load()
        self._publish()
        self._loaded.set()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._changes or self._stop)
                changes, self._changes = self._changes, []
                done, stop = self._taken, self._stop
            urgent = self._apply(changes)
            now = self._monotonic()
            progress = self._state.sequence > self._saved_sequence and now - self._saved_at >= _PROGRESS
            if urgent or progress or stop:
                self._book.forget(now, self._read_until, _KEEP)
                self._save()
            if urgent:
                self._publish()
            with self._wake:
                self._done = done
                self._wake.notify_all()
                if stop and not self._changes:
                    return
                if urgent:  # a storm of XIDs must not become a storm of files
                    self._wake.wait_for(lambda: self._waiters or self._stop, _BETWEEN_SAVES)

    def _apply(self, changes: Iterable[Change]) -> bool:
        urgent = False
        for change in changes:
            try:
                urgent = change() or urgent
            except Exception as error:
                log.exception("a report of an XID was lost")
                self._trouble = SourceError("ledger", repr(error))
        return urgent

    def _nvml(self, uuid: str, index: str, address: PciAddress | None, xid: int, at: float) -> bool:
        if uuid:
            device = self._book.with_uuid(uuid, index, address)
        else:
            assert address is not None  # noqa: S101 - nvml() has refused an event without either
            device = self._book.at_address(address)
        self._tell(device, xid, Teller.NVML, at)
        return True

    def _news(self, news: News, at: float) -> bool:
        match news:
            case Xid(address, code, spelled):
                self._tell(
                    self._book.at_address(address), code, Teller.KMSG if spelled else Teller.FALLEN, at
                )
            case Sxid(bus_id, code, severity):
                self._count((SXID, bus_id, str(code), severity), 1)
            case HungTask():
                self._count(HUNG, 1)
            case Located(address, uuid):
                if not self._book.at_address(address).uuid:
                    self._book.identify({address: ("", uuid)})
        return True

    def _log_read(self, batch: LogBatch) -> bool:
        for news, at in batch.news:
            self._news(news, at)
        if batch.lost:
            self._count(LOST, batch.lost)
        self._state.sequence = max(self._state.sequence, batch.sequence)
        if batch.offset is not None:
            self._state.offset = batch.offset
        if batch.read_until is not None:
            self._read_until = max(self._read_until, batch.read_until)
        return bool(batch.news or batch.lost)

    def _tell(self, device: Device, code: int, teller: Teller, at: float) -> None:
        device.tell(code, teller, at, self._book.window)
        seen = self._wall() - max(0.0, self._monotonic() - at)
        device.last[code] = max(device.last.get(code, 0.0), seen)

    def _count(self, key: Tally, by: int) -> None:
        self._state.tallies[key] = self._state.tallies.get(key, 0) + by

    def _load(self) -> None:
        if self._directory is None:
            return
        self._boot = boot_id(self._root)
        if not self._boot:
            self._complain("counts are not kept over a restart: the kernel does not tell its boot id")
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._state = load(self._directory, self._boot)
        except (StateError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._complain(f"{self._directory}: the saved XID counts cannot be read: {reason}; counting anew")
        self._book.devices = self._state.devices
        self._remembered = tuple(
            (device.gpu, device.uuid, shown(device.address) if device.address is not None else "")
            for device in self._book.devices
        )

    def _save(self) -> None:
        if self._directory is None or not self._boot:
            return
        self._saved_at, self._saved_sequence = self._monotonic(), self._state.sequence
        try:
            save(self._directory, self._boot, self._state)
            self._said = ""
        except OSError as error:
            self._complain(
                f"{self._directory}: XID counts cannot be saved ({error.strerror}); "
                "a restart of the agent loses those that only NVML told of"
            )

    def _complain(self, message: str) -> None:
        self._trouble = SourceError("state", message)
        if message != self._said:
            log.warning("%s", message)
        self._said = message

    def _publish(self) -> None:
        self._tallies = dict(self._state.tallies)
        self._readings = tuple(xid_readings(self._book.devices))


class XidSource:
    """Reports what a ledger has counted. For an agent that does not read the kernel log itself."""

    name = "gpu_xids"

    def __init__(self, interval: float, ledger: XidLedger, deadline: float = 5.0) -> None:
        self.interval, self.deadline = interval, deadline
        self._ledger = ledger

    def read(self) -> Iterator[Reading]:
        if not self._ledger.flush(self.deadline):
            raise SourceError("timeout", "the directory of the saved XID counts does not answer")
        yield from self._ledger.readings()
        trouble = self._ledger.trouble()
        if trouble is not None:
            raise trouble
