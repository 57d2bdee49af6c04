"""Keeps watch over the GPUs from the serving process: what state each is in, and how one that hangs comes
back.

The collector process goes on with one thread waiting for a GPU that hangs. From here such a GPU is asked
again and again, each time by a process of its own. Once it answers there, the collector process is replaced,
since its thread may wait for ever. Where more than one GPU or the search for GPUs stands still, the driver is
likely blocked by the one that hangs: then a new collector process is started which leaves that GPU alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from exporters.gpu.note import GpuNote, GpuSeen
from exporters.gpu.probes import HANGS, Probes
from exporters.runtime import Frame
from gigawatch.catalogue import gpu, own
from gigawatch.readings import Reading

_SHOWN = ("ok", "reset_required")
_PATIENCE = 30.0
"""Seconds for the driver to open, before another process tries."""
_BETWEEN_RESTARTS = 60.0
_DRIVER_WENT = ("uninitialized", "version_mismatch", "driver_unloaded", "driver_unbind")


class Memory(Protocol):
    """Who was where, over restarts of the agent: the ledger of XIDs."""

    def hear(self, note: GpuNote) -> None:
        """Take in identities and XIDs."""

    def remembered(self) -> Iterable[GpuSeen]:
        """GPUs that this node had since it was started."""


class GpuGuard:
    """A source (probes and their counts), and the author of aif_gpu_state.

    `restart` replaces the collector process and counts why; `unseen` gives the PCI addresses of GPUs that PCI
    shows and the given driver addresses lack.
    """

    name = "gpu_guard"

    def __init__(
        self,
        interval: float,
        quarantine_after: float,
        restart: Callable[[str], None],
        memory: Memory,
        unseen: Callable[[Iterable[str]], Iterable[str]] = lambda _: (),
        probes: Probes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, 5.0
        self._after, self._restart, self._memory, self._unseen = quarantine_after, restart, memory, unseen
        self._probes = probes or Probes()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._note = GpuNote()
        self._known: dict[str, GpuSeen] = {}
        self._hung_since: dict[int, float] = {}
        self._left_out: dict[int, GpuSeen] = {}
        self._closed_since: float | None = None
        self._quiet_until = -1e9
        self._remembers = False

    def left_out(self) -> frozenset[int]:
        """Indexes that a new collector process must not touch."""
        with self._lock:
            return frozenset(self._left_out)

    def hear(self, frame: Frame) -> None:
        """Called with every frame of the collector process."""
        note = frame.note
        if not isinstance(note, GpuNote):
            return
        now = self._monotonic()
        self._memory.hear(note)
        with self._lock:
            self._note = note
            self._learn(note)
            hung = {seen.gpu for seen in note.gpus if seen.condition == "hung"} | self._left_out.keys()
            self._hung_since = {index: self._hung_since.get(index, now) for index in hung}
            if note.driver and note.blocked == 0:
                self._closed_since = None
            elif self._closed_since is None:
                self._closed_since = now
            if frame.ends in _DRIVER_WENT:
                self._left_out.clear()  # a driver that is loaded anew deserves to be asked

    def read(self) -> Iterator[Reading]:
        """Ask those who hang, and draw the consequences."""
        if not self._remembers:
            # Here, in a thread of our own: the disk with the state may hang.
            remembered = {seen.uuid: seen for seen in self._memory.remembered()}
            with self._lock:
                self._known = remembered | self._known
            self._remembers = True
        now = self._monotonic()
        with self._lock:
            waiting = [i for i, since in self._hung_since.items() if now - since >= self._after]
            others = self._hung_since.keys() - set(waiting)
        for index in waiting:
            outcome = self._probes.ask(index)
            if outcome and outcome != HANGS:
                self._welcome(index)
        for index in self._probes.asked():
            if index not in waiting and index not in others:
                self._probes.forget(index)
        self._isolate(waiting, now)
        for index, counts in self._probes.counts().items():
            uuid = next((seen.uuid for seen in self._known.values() if seen.gpu == index), "")
            for outcome, count in counts.items():
                yield Reading(own.GPU_PROBES, (str(index), uuid, outcome), float(count))

    def conclude(self, fresh: Frame | None, last: Frame | None) -> Iterator[Reading]:
        """The state of every GPU that this node has, or had since it was started; exactly one is 1."""
        with self._lock:
            note, left_out = self._note, dict(self._left_out)
            known = dict(self._known)
        if last is None and not known:
            return
        told = {seen.uuid or f"index {seen.gpu}": seen for seen in note.gpus}
        told.update({seen.uuid or f"index {index}": seen for index, seen in left_out.items()})
        for name, seen in known.items():
            told.setdefault(name, seen._replace(condition="missing"))
        closed = not note.driver
        for seen in told.values():
            condition = seen.condition
            if closed:
                condition = "missing"
            elif fresh is None or seen.gpu in left_out:
                condition = "hung"
            yield from state_readings(seen.labels, condition)
            if condition not in _SHOWN and seen.info:
                yield Reading(gpu.GPU_INFO, seen.labels + seen.info, 1.0)
        if fresh is not None and (note.enumerated or closed):
            for address in self._unseen(seen.bus for seen in told.values()):
                yield from state_readings(("", f"pci-{address}"), "missing")

    def _learn(self, note: GpuNote) -> None:
        for seen in note.gpus:
            if not seen.uuid:
                continue
            before = self._known.get(seen.uuid)
            if before is not None and not seen.info:
                self._known[seen.uuid] = seen._replace(info=before.info, bus=before.bus, minor=before.minor)
            else:
                self._known[seen.uuid] = seen
            for other in list(self._known.values()):
                if seen.bus and other.bus == seen.bus and other.uuid != seen.uuid:
                    del self._known[other.uuid]  # another GPU sits in its place: it was exchanged

    def _welcome(self, index: int) -> None:
        with self._lock:
            self._left_out.pop(index, None)
            self._hung_since.pop(index, None)
        self._probes.forget(index)
        self._restart("gpu_answers")

    def _isolate(self, waiting: list[int], now: float) -> None:
        with self._lock:
            note, closed_since = self._note, self._closed_since
            spreading = (
                len(self._hung_since.keys() - self._left_out.keys()) > 1 or note.blocked >= self._after
            )
            culprits = [i for i in waiting if i not in self._left_out and self._probes.last(i) == HANGS]
        if now < self._quiet_until:
            return
        if spreading and culprits:
            with self._lock:
                seen = {one.gpu: one for one in self._known.values()}
                for index in culprits:
                    self._left_out[index] = seen.get(index, GpuSeen(index, ""))._replace(condition="hung")
            self._quiet_until = now + _BETWEEN_RESTARTS
            self._restart("gpu_left_out")
        elif closed_since is not None and note.blocked > 0 and now - closed_since > _PATIENCE and not waiting:
            self._quiet_until = now + _BETWEEN_RESTARTS
            self._restart("driver_blocked")


def state_readings(identity: tuple[str, str], condition: str) -> Iterator[Reading]:
    """aif_gpu_state of one GPU."""
    for state in gpu.GPU_STATE.values["state"]:
        yield Reading(gpu.GPU_STATE, (*identity, state), float(state == condition))
