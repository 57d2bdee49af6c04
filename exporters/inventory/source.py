"""Where an inventory comes from, and whether that can be read now."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from exporters.inventory.watched import stamp_of
from gigawatch.errors import UserError
from gigawatch.topology import Inventory, load_inventory


class SourceDownError(UserError):
    """The source does not answer: nothing is known against the inventory itself."""


class Source(Protocol):
    """One place that inventories come from."""

    kind: str
    """file, netbox or blueprint: the label `source`."""
    every: float
    """Seconds from one look to the next."""

    @property
    def read_at(self) -> float:
        """When what it last gave was read (Unix time)."""
        ...

    def read(self) -> Inventory:
        """The inventory as it is now; the very same object if nothing has changed.

        Raises UserError, the very same one while nothing has changed; SourceDownError if it does not answer.
        """
        ...


class BlueprintSource:
    """An inventory that cannot change."""

    kind = "blueprint"
    every = 2.0

    def __init__(self, inventory: Inventory, clock: Callable[[], float] = time.time) -> None:
        self._inventory, self._clock = inventory, clock

    @property
    def read_at(self) -> float:
        return self._clock()

    def read(self) -> Inventory:
        return self._inventory


class FileSource:
    """An inventory file, read again when it changes."""

    kind = "file"
    every = 2.0

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._stamp: object = object()
        self._inventory: Inventory | None = None
        self._error: UserError | None = None
        self.read_at = 0.0

    def read(self) -> Inventory:
        stamp = stamp_of(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._inventory, self._error = load_inventory(self._path), None
            except UserError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        if self._inventory is None:
            raise UserError(f"{self._path}: has not been read")
        self.read_at = self._clock()
        return self._inventory
