"""Holds the inventory in force, and takes in a changed file; a bad one changes nothing."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

from exporters.inventory.site import site_readings
from exporters.inventory.targets import Addresses, agent_targets, facility_targets
from exporters.runtime import Page
from exporters.runtime.health import build_info
from exporters.runtime.process import ProcessMetrics
from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, render
from gigawatch.topology import Inventory, load_inventory

log = logging.getLogger(__name__)


class Keeper:
    """The newest good inventory, as HTTP answers made once per change.

    `path` is watched by its modification time; None for an inventory that cannot change (a blueprint).
    """

    def __init__(self, inventory: Inventory, path: Path | None, addresses: Addresses) -> None:
        self._path, self._addresses = path, addresses
        self._generation, self._errors = 0, 0
        self._stamp = self._look()
        self._process = ProcessMetrics()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="inventory", daemon=True)
        self._accept(inventory)

    @property
    def inventory(self) -> Inventory:
        return self._inventory

    def check(self) -> bool:
        """Look at the file; True if a new inventory came into force."""
        stamp = self._look()
        if self._path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            inventory = load_inventory(self._path)
        except UserError as error:
            self._errors += 1
            log.warning("inventory refused, the last good one stays in force: %s", error)
            self._render()
            return False
        self._accept(inventory)
        log.info("inventory loaded: generation %d, %d nodes", self._generation, len(inventory.nodes))
        return True

    def start(self, every: float = 5.0) -> None:
        """Look at the file every so many seconds."""
        self._every = every
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
        return self._site + self._process.render()

    def _metrics(self, request: Request) -> Response:
        return Page(self.exposition()).answer(request)

    @staticmethod
    def _json(body: bytes) -> Response:
        return Response(body, "application/json")

    def _accept(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._generation += 1
        self._agents = json.dumps(agent_targets(inventory, self._addresses)).encode()
        self._facility = json.dumps(facility_targets(inventory, self._addresses)).encode()
        self._render()

    def _render(self) -> None:
        readings = list(site_readings(self._inventory, self._generation, self._errors))
        self._site = render([*readings, build_info("sd")])

    def _look(self) -> tuple[int, int, int]:
        """Identity of the file's content: a replaced file has another inode even within one clock tick."""
        if self._path is None:
            return (0, 0, 0)
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.check()
            except Exception:
                log.exception("looking at the inventory failed")
