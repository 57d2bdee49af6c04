"""Capacity as metrics: reckoned every few minutes beside the scoring, which never waits for it."""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from analytics.capacity.forecast import DAY, Forecast, forecast
from analytics.capacity.measure import heat_of_loops, histories, measured_draw
from analytics.capacity.resources import Resource, resources, stranded
from analytics.ingest.prometheus import Prometheus
from gigawatch.catalogue import capacity
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.topology import Inventory, load_inventory
from gigawatch.topology.flow import Draw
from gigawatch.topology.placement import Placer

log = logging.getLogger(__name__)
SPAN = "7d"
HISTORY_DAYS = 60
_FORECASTS_EVERY = 3600.0
_EXPIRES_AFTER = 3


def forecasts(
    client: Prometheus, inventory: Inventory, found: Iterable[Resource], now: float, days: int = HISTORY_DAYS
) -> dict[tuple[str, str, str], Forecast]:
    """When the limits of racks (power), loops (cooling) and the site (power) are reached, by (scope, place,
    resource); those that are not reached are left out. Raises QueryError or AnswerError."""
    past = {scope: histories(client, inventory, scope, now, days) for scope in ("rack", "loop", "site")}
    soon: dict[tuple[str, str, str], Forecast] = {}
    for one in found:
        history = past.get(one.scope, {}).get(one.place)
        if history is None or not one.watts or (one.scope == "rack" and one.resource == "cooling"):
            continue
        result = forecast(history.days, history.watts, one.limit - one.promised, now / DAY)
        if result is not None:
            soon[one.scope, one.place, one.resource] = result
    return soon


class CapacityWatch:
    """Runs in a thread of its own; `readings` gives what it found last, unless that has grown old."""

    def __init__(
        self, client: Prometheus, path: Path, every: float = 300.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._client, self._path, self._every, self._clock = client, path, every, clock
        self._found: list[Reading] = []
        self._found_at = -math.inf
        self._soon: dict[tuple[str, str, str], Forecast] = {}
        self._soon_at = -math.inf
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capacity", daemon=True)
        self.complain: Callable[[str, Exception], None] = lambda _, error: log.warning("capacity: %s", error)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def readings(self) -> list[Reading]:
        """Metrics of `gigawatch.catalogue.capacity`; none when they could not be renewed for long."""
        age = self._clock() - self._found_at
        return self._found if age <= _EXPIRES_AFTER * self._every else []

    def step(self) -> None:
        """Reckon once. Never raises for what is outside."""
        now = self._clock()
        try:
            inventory = load_inventory(self._path)
            draw = measured_draw(self._client, inventory, now, SPAN)
            heat = heat_of_loops(self._client, inventory, now, SPAN)
            today = dt.datetime.fromtimestamp(now, dt.UTC).date()
            found = resources(inventory, draw, today, heat)
            if now - self._soon_at >= _FORECASTS_EVERY:
                self._soon = forecasts(self._client, inventory, found, now)
                self._soon_at = now
            self._found = list(self._tell(inventory, draw, today, found))
            self._found_at = now
        except UserError as error:
            self.complain("capacity", error)

    def _tell(
        self, inventory: Inventory, draw: Draw, today: dt.date, found: list[Resource]
    ) -> Iterator[Reading]:
        for one in found:
            labels = (one.scope, one.place, one.resource)
            yield Reading(capacity.CAPACITY_USED, labels, round(one.ratio, 4))
            if one.watts:
                yield Reading(capacity.CAPACITY_FREE_POWER, labels, round(one.free, 1))
        for lost in stranded(inventory, draw, today):
            yield Reading(capacity.CAPACITY_STRANDED, (lost.scope, lost.place), round(lost.watts, 1))
        since = self._clock() - self._soon_at
        for key, soon in self._soon.items():
            for bound, seconds in (("expected", soon.expected), ("early", soon.early), ("late", soon.late)):
                if math.isfinite(seconds):
                    left = max(0.0, round(seconds - since))
                    yield Reading(capacity.CAPACITY_EXHAUSTION, (*key, bound), left)
        placer = Placer(inventory, draw, today)
        for kind in inventory.kinds:
            fits = placer.fits(kind)
            for fit in fits:
                labels = (fit.scope, fit.place, kind.name)
                yield Reading(capacity.CAPACITY_NODES_FREE, labels, float(fit.count))
            labels = ("site", inventory.site, kind.name)
            yield Reading(capacity.CAPACITY_NODES_FREE, labels, float(placer.total(kind, fits)))

    def _run(self) -> None:
        # Soon after the start, so that a stack that was just started has figures.
        while not self._stop.is_set():
            try:
                self.step()
            except Exception:
                log.exception("capacity could not be reckoned")
            fresh = self._found_at > -math.inf
            self._stop.wait(self._every if fresh else min(15.0, self._every))
