"""The simulated plant as sources see it: readings of a node, readings of a facility device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from gigawatch.catalogue import facility
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.simulator import snapshot
from gigawatch.simulator.emit_device import device_tables
from gigawatch.simulator.emit_gpu import gpu_table
from gigawatch.simulator.emit_node import group_table, node_table
from gigawatch.simulator.identity import fingerprint
from gigawatch.simulator.layout import Layout
from gigawatch.simulator.plant import Plant
from gigawatch.simulator.state import State
from gigawatch.topology import Inventory

OLDEST = 10.0
"""Seconds after which a published state is stale: it is dropped, not repeated."""
CATCH_UP = 60.0
"""Seconds that a plant simulates after a pause; it skips what lies before."""


class PlantUnavailableError(UserError):
    """There is no plant to read, or its newest state is too old to be passed on."""


class PlantView(Protocol):
    """Readings of one moment of the plant; `refresh` moves on to the newest."""

    def refresh(self) -> float:
        """Load the newest state and return its Unix time.

        Raises PlantUnavailableError if there is none or it is stale: readers then drop what they have.
        """
        ...

    def node_readings(self, node: str) -> Iterable[Reading]:
        """GPU, host, fabric and workload metrics of one node; nothing while the node has no power."""
        ...

    def device_readings(self, device: str) -> Iterable[Reading]:
        """Facility metrics of one facility device."""
        ...


class Emitter:
    """Turns states of one plant into readings."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._node_tables = (gpu_table(layout), node_table(layout), group_table(layout))
        self._device_tables = device_tables(layout)
        self._powered: list[bool] = []
        self._silent: list[bool] = []

    def refresh(self, state: State) -> None:
        """Take over the values of a state."""
        for table in (*self._node_tables, *self._device_tables):
            table.refresh(state)
        self._powered = (state.powered > 0).tolist()
        self._silent = (state.silent > 0).tolist()

    def node(self, name: str) -> list[Reading]:
        """All readings of a node, metric by metric; none while it has no power."""
        number = self._layout.node[name]
        if not self._powered or not self._powered[number]:
            return []
        return [reading for table in self._node_tables for reading in table.readings(number)]

    def device(self, name: str) -> list[Reading]:
        """All readings of a facility device."""
        number = self._layout.device[name]
        if not self._powered:
            return []
        if self._silent[number]:
            return [Reading(facility.FACILITY_POLL_UP, (), 0.0)]
        return [reading for table in self._device_tables for reading in table.readings(number)]


class _View:
    """What both kinds of view share. `refresh` may be called from several threads."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._emitter: Emitter | None = None
        self._lock = threading.Lock()

    def node_readings(self, node: str) -> Iterable[Reading]:
        if node not in self._inventory.node:
            raise UserError(f"the site '{self._inventory.site}' has no node '{node}'")
        emitter = self._emitter
        return emitter.node(node) if emitter else []

    def device_readings(self, device: str) -> Iterable[Reading]:
        if device not in self._inventory.device:
            raise UserError(f"the site '{self._inventory.site}' has no device '{device}'")
        emitter = self._emitter
        return emitter.device(device) if emitter else []


class AttachedView(_View):
    """Reads the state that a running plant publishes."""

    def __init__(
        self, inventory: Inventory, state: Path, clock: Callable[[], float], oldest: float = OLDEST
    ) -> None:
        super().__init__(inventory)
        self._state, self._clock, self._oldest = state, clock, oldest
        self._fingerprint = fingerprint(inventory)
        self._plant: Plant | None = None
        self._ready: Emitter | None = None

    def refresh(self) -> float:
        with self._lock:
            try:
                return self._load()
            except UserError as error:
                self._emitter = None  # stale values are dropped, never repeated
                raise (
                    error if isinstance(error, PlantUnavailableError) else PlantUnavailableError(str(error))
                ) from None

    def _load(self) -> float:
        header, body = snapshot.read(self._state)
        age = self._clock() - header.published
        if age > self._oldest:
            raise PlantUnavailableError(
                f"{self._state / snapshot.NAME}: the state is {age:.0f} s old "
                f"(allowed: {self._oldest:.0f} s); the plant has stopped"
            )
        if header.inventory != self._fingerprint:
            raise PlantUnavailableError(
                f"{self._state / snapshot.NAME}: belongs to another inventory; "
                "start the plant with the same file"
            )
        if self._plant is None or self._plant.seed != header.seed:
            self._plant = Plant(self._inventory, header.seed, header.time, warm_up=0)
            self._ready = Emitter(self._plant.layout)
        if not snapshot.restore(self._plant, header, body):
            raise PlantUnavailableError(
                f"{self._state / snapshot.NAME}: was written by another version; restart the plant"
            )
        assert self._ready is not None  # noqa: S101 - set together with the plant
        self._ready.refresh(self._plant.state)
        self._emitter = self._ready
        return header.time


class OwnView(_View):
    """Steps a plant of its own along with the clock."""

    def __init__(self, inventory: Inventory, seed: int, clock: Callable[[], float]) -> None:
        super().__init__(inventory)
        self._seed, self._clock = seed, clock
        self._plant: Plant | None = None

    def refresh(self) -> float:
        with self._lock:
            now = self._clock()
            if self._plant is None:
                self._plant = Plant(self._inventory, self._seed, now)
                emitter = Emitter(self._plant.layout)
            else:
                emitter = self._emitter or Emitter(self._plant.layout)
                if now - self._plant.time > CATCH_UP:
                    self._plant.skip_to(now - CATCH_UP)
                if now - self._plant.time > 1e-3:
                    self._plant.advance(now - self._plant.time)
            emitter.refresh(self._plant.state)
            self._emitter = emitter
            return self._plant.time


def open_view(
    inventory: Inventory,
    state: Path | None = None,
    seed: int = 1,
    clock: Callable[[], float] = time.time,
) -> PlantView:
    """A view of the plant whose state directory is `state`, or of a plant of its own if that is None.

    The seed of a running plant is taken from its state; `seed` counts only for a plant of its own.
    """
    if state is not None:
        return AttachedView(inventory, state, clock)
    return OwnView(inventory, seed, clock)
