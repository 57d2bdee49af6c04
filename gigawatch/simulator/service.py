"""The plant as a process: real time, drills from the spool, a published state each second."""

from __future__ import annotations

import fcntl
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from platform import python_version
from typing import IO

from gigawatch import package_version
from gigawatch.catalogue import own
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.simulator import drills, queues, snapshot
from gigawatch.simulator.faults import Fault
from gigawatch.simulator.plant import Plant
from gigawatch.topology import Inventory

log = logging.getLogger(__name__)
CATCH_UP = 60.0
"""Seconds of plant time that one tick makes up for at most; what lies before is skipped."""


class PlantService:
    """One plant in one state directory, moved on by `tick`.

    `speed` is plant seconds per real second. Raises UserError if the directory cannot be used or another
    plant runs there.
    """

    def __init__(
        self, inventory: Inventory, state: Path, seed: int, clock: Callable[[], float], speed: float = 1.0
    ) -> None:
        self._state, self._clock, self._speed = state, clock, speed
        self._lock = _lock(state)
        self._broken: set[str] = set()
        self._drills: tuple[Fault, ...] = ()
        self.lag = 0.0
        """Seconds of plant time that were still missing when the last tick began."""
        now = math.floor(clock())
        self.plant = self._resume(inventory, seed, now) or Plant(inventory, seed, now)
        self._real, self._simulated = float(now), float(now) if speed == 1 else self.plant.time

    def _resume(self, inventory: Inventory, seed: int, now: float) -> Plant | None:
        try:
            header, body = snapshot.read(self._state)
        except UserError:
            return None
        plant = Plant(inventory, seed, now, warm_up=0)
        if not snapshot.restore(plant, header, body):
            log.info("the saved state belongs to another inventory, seed or version: starting anew")
            return None
        if self._speed == 1 and (plant.time < now - CATCH_UP or plant.time > now):
            plant.skip_to(now - 1)
        return plant

    def tick(self) -> float:
        """Move the plant on to the present, publish it, and return the Unix time of the next tick."""
        now = self._clock()
        if now < self._real - 1:
            # The system's clock was set back: the plant goes on from there, and its counters do not fall.
            self._real, self._simulated = now, now if self._speed == 1 else self.plant.time
            self.plant.skip_to(math.floor(self._simulated))
        target = self._simulated + (now - self._real) * self._speed
        self.lag = max(0.0, target - self.plant.time)
        longest = CATCH_UP * max(1.0, self._speed)
        if self.lag > longest:
            self.plant.skip_to(math.floor(target - longest))
        self._take_drills(now)
        while self.plant.time + 1 <= target:
            self.plant.step(1.0)
        try:
            snapshot.publish(self._state, self.plant, now)
        except OSError as error:
            log.warning("%s: the state cannot be written (%s)", self._state, error.strerror)
        return math.floor(now) + 1.0

    def _take_drills(self, now: float) -> None:
        faults = []
        for drill in drills.sweep(self._state, now):
            try:
                fault = drills.to_fault(drill, self.plant.inventory, self.plant.seed)
            except UserError as error:
                if drill.id not in self._broken:
                    log.warning("drill %s is ignored: %s", drill.id, error)
                    self._broken.add(drill.id)
                continue
            begin, end = self._plant_time(drill.start), self._plant_time(drill.end)
            faults.append(replace(fault, start=begin, end=end))
        self._drills = tuple(faults)
        self.plant.set_faults(self._drills)

    def _plant_time(self, real: float) -> float:
        return self._simulated + (real - self._real) * self._speed

    def readings(self) -> list[Reading]:
        """What the plant says of itself (drills that act, its lag, its version), and the queues of its
        schedulers: only this program speaks for the whole site, as the one that asks real schedulers does."""
        found = [
            Reading(own.PLANT_FAULT_ACTIVE, (fault.drill, fault.kind, fault.target.text), 1.0)
            for fault in self._drills
            if fault.start <= self.plant.time < fault.end
        ]
        return [
            *found,
            *queues.readings(self.plant.layout, self.plant.time),
            Reading(own.PLANT_LAG, (), round(self.lag, 3)),
            Reading(own.EXPORTER_BUILD_INFO, ("plant", package_version(), python_version()), 1.0),
        ]

    def close(self) -> None:
        """Publish a last time and free the state directory."""
        try:
            snapshot.publish(self._state, self.plant, self._clock())
        except OSError as error:
            log.warning("%s: the state cannot be written (%s)", self._state, error.strerror)
        self._lock.close()


def _lock(state: Path) -> IO[str]:
    """An exclusive lock on the state directory, held until the file is closed."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "plant.lock").open("w")
    except OSError as error:
        raise UserError(f"{state}: cannot be used as state directory ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UserError(
            f"{state}: another plant runs with this state directory; stop it or use another --state"
        ) from None
    return file
