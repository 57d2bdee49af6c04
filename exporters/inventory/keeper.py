"""Holds the inventory in force, and takes in a changed one; a bad one changes nothing."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from exporters.inventory.endpoints import Endpoints, join, load_endpoints
from exporters.inventory.site import site_readings, source_readings
from exporters.inventory.source import BlueprintSource, FileSource, Source, SourceDownError
from exporters.inventory.targets import Addresses, agent_targets, facility_targets
from exporters.inventory.watched import Watched
from exporters.runtime import Page
from exporters.runtime.health import build_info
from exporters.runtime.process import ProcessMetrics
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import App, Request, Response, render
from gigawatch.topology import Inventory
from gigawatch.topology.history import History

log = logging.getLogger(__name__)
_LOOK = 2.0
"""Seconds between looks at files beside the inventory, and at the date."""


class Keeper:
    """The newest good inventory, as HTTP answers made once per change."""

    def __init__(
        self,
        inventory: Inventory,
        source: Source | Path | None,
        addresses: Addresses,
        endpoints: Path | None = None,
        history: History | None = None,
        accepted: Callable[[Inventory], None] = lambda _: None,
        more: Callable[[], Iterable[Reading]] = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`inventory` is in force until the source says otherwise; a path stands for a file, None for an
        inventory that cannot change.

        `endpoints` is a file with addresses of devices, which may come later. `accepted` is told of each
        inventory that comes into force; `more` gives further readings at each scrape.
        """
        if source is None:
            source = BlueprintSource(inventory, clock)
        elif isinstance(source, Path):
            source = FileSource(source, clock)
        self._source, self._addresses, self._clock = source, addresses, clock
        self._history, self._accepted, self._more = history, accepted, more
        self._endpoints: Watched[Endpoints] = Watched(
            "endpoints", endpoints, lambda: load_endpoints(endpoints) if endpoints else {}, {}
        )
        self._generation, self._errors = 0, 0
        self._refused: UserError | None = None
        self._noted = False
        self._read: Inventory | None = None
        self._process = ProcessMetrics()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="inventory", daemon=True)
        self._born = clock()
        self._day = date.min
        self._accept(inventory)
        self._look()

    @property
    def inventory(self) -> Inventory:
        return self._inventory

    def check(self) -> bool:
        """Look at the source and at the files beside it; True if a new inventory came into force."""
        self._look_beside()
        return self._look()

    def start(self) -> None:
        """Look at the source every so many seconds."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def app(self) -> App:
        """/sd/agents, /sd/facility (http_sd JSON) and /metrics."""
        app = App()
        app.route("GET", "/sd/agents", lambda _: self._json(self._agents))
        app.route("GET", "/sd/facility", lambda _: self._json(self._facility))
        app.route("GET", "/metrics", self._metrics)
        return app

    def exposition(self) -> bytes:
        """What /metrics says now."""
        age = max(0.0, self._clock() - (self._source.read_at or self._born))
        now = [*source_readings(self._source.kind, self._refused is None, age), *self._more()]
        return self._site + render(now) + self._process.render()

    def _metrics(self, request: Request) -> Response:
        return Page(self.exposition()).answer(request)

    @staticmethod
    def _json(body: bytes) -> Response:
        return Response(body, "application/json")

    def _look(self) -> bool:
        try:
            inventory = self._source.read()
        except UserError as error:
            self._refuse(error)
            return False
        if self._refused is not None:
            log.info("inventory: %s can be read again", self._source.kind)
        self._refused = None
        known, self._read = self._read, inventory
        if inventory is known or (known is None and inventory == self._inventory):
            self._note()
            return False
        self._accept(inventory)
        log.info("inventory loaded: generation %d, %d nodes", self._generation, len(inventory.nodes))
        return True

    def _refuse(self, error: UserError) -> None:
        told = self._refused
        self._refused = error
        if told is error or (isinstance(error, SourceDownError) and str(told) == str(error)):
            return
        if isinstance(error, SourceDownError):
            log.warning("%s; the last good inventory stays in force", error)
            return
        self._errors += 1
        log.warning("inventory refused, the last good one stays in force: %s", error)
        self._render()

    def _accept(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._generation += 1
        self._agents = _answer(agent_targets(inventory, self._addresses))
        self._facility = self._facility_targets()
        self._render()
        self._noted = False
        self._note()
        self._accepted(inventory)

    def _note(self) -> None:
        """Write the history; what cannot be written now is written later."""
        if self._history is None or self._noted:
            return
        try:
            self._history.note(self._inventory, self._clock())
            self._noted = True
        except UserError as error:
            log.warning("%s", error)

    def _look_beside(self) -> None:
        errors = self._endpoints.errors
        if self._endpoints.refresh():
            self._facility = self._facility_targets()
        # What is promised ends with a date.
        if self._endpoints.errors != errors or self._today() != self._day:
            self._render()

    def _facility_targets(self) -> bytes:
        site = join(self._inventory, self._endpoints.value)
        return _answer(facility_targets(site, self._addresses))

    def _render(self) -> None:
        errors = self._errors + self._endpoints.errors
        self._day = self._today()
        readings = list(site_readings(self._inventory, self._generation, errors, self._day))
        self._site = render([*readings, build_info("sd")])

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._stop.wait(min(_LOOK, self._source.every)):
            try:
                self._look_beside()
                if time.monotonic() - looked >= self._source.every:
                    looked = time.monotonic()
                    self._look()
            except Exception:
                log.exception("looking at the inventory failed")


def _answer(groups: Iterable[object]) -> bytes:
    return json.dumps(list(groups), sort_keys=True).encode()
