"""NetBox as a source of inventories: asked now and then, and its last good answer kept on disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from exporters.inventory.source import SourceDownError
from exporters.inventory.watched import stamp_of
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.topology import Inventory
from gigawatch.topology.load import Examined, examine

from . import snapshot as snapshots
from .client import NetBoxClient
from .draft import draft_of
from .settings import NetBoxSettings, load_settings
from .snapshot import Snapshot

log = logging.getLogger(__name__)
_CONFIRMED = 3
"""Readings in a row that have to show a site that has shrunk to less than half: a token that lost a right
looks the same as a site that was torn down."""


class NetBoxSource:
    """One site of one NetBox. With a cache on disk a new process begins with the last good state."""

    kind = "netbox"

    def __init__(self, settings: NetBoxSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self.every = parse_duration(settings.every)
        self.read_at = 0.0
        self._full_at = 0.0
        self._snapshot: Snapshot | None = None
        self._digest = ""
        self._overlay: object = object()
        self._inventory: Inventory | None = None
        self._refused: tuple[str, UserError] | None = None
        self._shrunk = 0

    def begin(self) -> Inventory:
        """The first inventory: NetBox's, or the one that was kept. Raises UserError if there is neither."""
        try:
            return self.read()
        except UserError as error:
            kept = self._kept()
            if kept is None:
                raise
            log.warning("%s; beginning with what NetBox said at the last reading", error)
            return kept

    def read(self) -> Inventory:
        overlay = stamp_of(self._settings.overlay)
        taken = asyncio.run(self._take())
        now = self._clock()
        if (
            taken is None
            and overlay == self._overlay
            and self._inventory is not None
            and self._refused is None
        ):
            self.read_at = now
            return self._inventory
        whole = taken or self._snapshot
        if whole is None:
            raise SourceDownError(f"NetBox at {self._settings.url} has not been read")
        self._check_shrinking(whole)
        inventory = self._built(whole, overlay)
        if taken is not None:
            self._snapshot, self._full_at = whole, now
        self.read_at = now
        if taken is not None and self._settings.cache is not None:
            self._keep(whole, now)
        return inventory

    def _built(self, whole: Snapshot, overlay: object) -> Inventory:
        """The inventory of a snapshot; the same object, or the same refusal, for the same content."""
        digest = f"{whole.digest} {overlay}"
        if self._refused is not None and self._refused[0] == digest:
            raise self._refused[1]
        if self._inventory is None or digest != self._digest:
            try:
                inventory = examine(draft_of(whole, self._settings)).accept()
            except UserError as error:
                self._refused = digest, error
                raise
            self._inventory, self._digest = inventory, digest
        self._refused, self._overlay = None, overlay
        return self._inventory

    async def _take(self) -> Snapshot | None:
        """Everything; None if the change log says that nothing has changed."""
        async with NetBoxClient(self._settings) as client:
            known = self._snapshot
            fresh = self._clock() - self._full_at < parse_duration(self._settings.full_every)
            if known is not None and known.change is not None and fresh:
                newest = await client.newest("core/object-changes")
                if newest == known.change:
                    return None
            return await snapshots.take(client, self._settings)

    def _check_shrinking(self, whole: Snapshot) -> None:
        known = self._snapshot
        before = len(known.of("dcim/devices")) if known else 0
        after = len(whole.of("dcim/devices"))
        if before < 4 or after * 2 >= before:
            self._shrunk = 0
            return
        self._shrunk += 1
        if self._shrunk < _CONFIRMED:
            raise SourceDownError(
                f"NetBox at {self._settings.url} shows {after} devices where it showed {before}; this is "
                f"believed once it has said so {_CONFIRMED} times (may the token still see all of them?)"
            )
        self._shrunk = 0

    def _keep(self, whole: Snapshot, now: float) -> None:
        try:
            if self._settings.cache is not None:
                snapshots.save(self._settings.cache, whole, self._settings, now)
        except UserError as error:
            log.warning("%s", error)

    def _kept(self) -> Inventory | None:
        found = snapshots.load(self._settings.cache, self._settings) if self._settings.cache else None
        if found is None:
            return None
        self._snapshot, self.read_at = found
        try:
            return self._built(self._snapshot, stamp_of(self._settings.overlay))
        except UserError as error:
            log.warning("what was kept of NetBox makes no inventory: %s", error)
            return None


def examine_netbox(path: Path) -> Examined:
    """The site that the settings in a file name, with all that is to be said about it. Raises UserError."""
    settings = load_settings(path)

    async def take() -> Snapshot:
        async with NetBoxClient(settings) as client:
            return await snapshots.take(client, settings)

    return examine(draft_of(asyncio.run(take()), settings))
