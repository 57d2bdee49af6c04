"""Joins the collector's news to the ledger: who sits where, and which XIDs were told."""

from __future__ import annotations

from collections.abc import Iterable

from exporters.gpu.address import pci_address
from exporters.gpu.note import GpuNote, GpuSeen
from exporters.gpu.xid_ledger import XidLedger


class LedgerMemory:
    """What the guard remembers over restarts of the agent lies in the ledger's state."""

    def __init__(self, ledger: XidLedger) -> None:
        self._ledger = ledger
        self._buses: dict[str, str] = {}

    def hear(self, note: GpuNote) -> None:
        """Take in identities and XIDs; never waits."""
        places = {}
        for seen in note.gpus:
            address = pci_address(seen.bus) if seen.bus and seen.uuid else None
            if address is not None:
                self._buses[seen.uuid] = seen.bus
                places[address] = seen.labels
        if places:
            self._ledger.identify(places)
        for told in note.xids:
            self._ledger.nvml(told.uuid, told.gpu, self._buses.get(told.uuid), told.xid, told.at)

    def remembered(self) -> Iterable[GpuSeen]:
        """GPUs that this node had since it was started, as the last agent left them."""
        for gpu, uuid, bus in self._ledger.remembered():
            if gpu.isdigit() and uuid:
                yield GpuSeen(int(gpu), uuid, bus)
