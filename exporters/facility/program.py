"""`gigawatch facility`, put together: devices, pages, and files that may change while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exporters.facility.driver import Make
from exporters.facility.job import Jobs
from exporters.facility.pages import DEVICES
from exporters.facility.plan import jobs_of, notes
from exporters.facility.poller import Poller, maker
from exporters.facility.settings import FacilitySettings
from exporters.inventory.endpoints import Endpoints, join, load_endpoints, strangers
from exporters.inventory.watched import Watched
from exporters.runtime import Exporter, Health
from exporters.runtime.notify import Notifier
from gigawatch.serving import App, Request, Response, WebConfig
from gigawatch.topology import Inventory

log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0
"""Seconds between looks at the files."""
_READY_AFTER = 20.0
"""Seconds after which devices that do not answer no longer make the others wait."""
_FIXED = ("listen", "web_config", "inventory", "blueprint", "endpoints", "simulate", "limits")
"""Settings that count from start to end."""


class Facility:
    """The program. `load` reads the settings (again), `path` is the file they come from, `folder` where names
    of files in them begin; with `only` it asks no other device than that."""

    def __init__(
        self,
        load: Callable[[], FacilitySettings],
        path: Path | None = None,
        web: WebConfig | None = None,
        notifier: Notifier | None = None,
        once: bool = False,
        only: str = "",
        makers: Callable[[str], Make] = maker,
    ) -> None:
        """With `once` each device is asked at once instead of at its own moment. Raises UserError."""
        self.folder = path.parent if path is not None else Path()
        self._web, self._only = web, only
        self._settings = Watched("settings", path, load)
        settings = self._accepted = self._settings.value
        self._inventory = Watched("inventory", settings.inventory, settings.real_site)
        self._endpoints: Watched[Endpoints] = Watched("endpoints", settings.endpoints, self._listed, {})
        self._told: set[str] = set()
        self._jobs: Jobs = {}
        self.poller = Poller(settings.limits.model_dump(), makers, once)
        alive = notifier.alive if notifier is not None else lambda: None
        self.exporter = Exporter(
            "facility",
            (),
            settings.seconds,
            # Where a driver holds up all others, only a new process helps: the watchdog is for that.
            alive=lambda: alive() if self.poller.beats else None,
            closing=self.poller.stop,
            others=self._healths,
        )
        self._born = time.monotonic()
        self._stop, self._look = threading.Event(), threading.Event()
        self._anyway = False
        self._watcher = threading.Thread(target=self._watch, name="files", daemon=True)
        self._apply()

    @property
    def site(self) -> Inventory:
        """The inventory in force, with the endpoints of their file."""
        return join(self._inventory.value, self._endpoints.value)

    @property
    def settings(self) -> FacilitySettings:
        return self._accepted

    @property
    def waits(self) -> bool:
        """Whether the file of endpoints has not come yet."""
        return self._endpoints.waiting

    @property
    def jobs(self) -> Jobs:
        """What is asked."""
        return self._jobs

    def start(self) -> None:
        self.poller.start()
        self.exporter.start()
        self._watcher.start()

    def stop(self) -> None:
        """End everything."""
        self._stop.set()
        self._look.set()
        self.exporter.stop()

    def reload(self) -> None:
        """Read all files again, changed or not. Safe to call from a signal handler."""
        self._anyway = True
        self._look.set()

    def notes(self) -> list[str]:
        """What the files do not agree on, a line each."""
        unknown = strangers(self._inventory.value, self._endpoints.value)
        return list(notes(self._accepted, self.site, unknown))

    def app(self) -> App:
        """/metrics and /devices/NAME/metrics."""
        app = self.exporter.app()
        app.route("GET", "/-/ready", self._ready)
        app.route("GET", DEVICES, self.poller.pages.answer)
        app.route("GET", "/", self._index)
        return app

    def _ready(self, _: Request) -> Response:
        ready = self.exporter.ready() and (
            self.poller.settled or time.monotonic() - self._born > _READY_AFTER
        )
        return Response.text("ready\n") if ready else Response.text("not ready\n", 503)

    def _index(self, request: Request) -> Response:
        if request.path != "/":
            return Response.text("not found\n", 404)
        pages = sorted(f"{DEVICES}{name}/metrics\n" for name in self.poller.pages.names)
        return Response.text(f"gigawatch facility: /metrics  /-/healthy  /-/ready\n{''.join(pages)}")

    def _listed(self) -> Endpoints:
        path = self._accepted.endpoints
        return load_endpoints(path) if path is not None else {}

    def _healths(self) -> Iterator[Health]:
        yield self.poller.health()
        for file in (self._settings, self._inventory, self._endpoints):
            if file.path is not None:
                yield file.health()
        if self._web is not None:
            failures = self._web.failures
            yield Health("web_config", not self._web.problem, errors={"reload": failures} if failures else {})

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._look.wait(_LOOK_EVERY)
            self._look.clear()
            if self._stop.is_set():
                return
            try:
                self.refresh()
            except Exception:
                log.exception("looking at the files failed")

    def refresh(self) -> None:
        """Take in changed files, those of credentials too; what cannot be used is told, and what was in force
        stays."""
        anyway, self._anyway = self._anyway, False
        changed = self._settings.refresh(anyway)
        if changed:
            self._accept(self._settings.value)
        changed |= self._inventory.refresh(anyway)
        changed |= self._endpoints.refresh(anyway)
        if changed or self._stamps() != self._seen:
            self._apply()

    def _stamps(self) -> dict[str, tuple[object, ...]]:
        """Change with the files of the credentials."""
        entries = self._accepted.credentials.items()
        return {name: entry.credential(name, self.folder).stamp() for name, entry in entries}

    def _accept(self, settings: FacilitySettings) -> None:
        before = self._accepted
        late = [name for name in _FIXED if getattr(settings, name) != getattr(before, name)]
        if late:
            log.warning("%s: takes effect when the program is started again", ", ".join(late))
        self._accepted = settings.model_copy(update={name: getattr(before, name) for name in _FIXED})

    def _apply(self) -> None:
        self._seen = self._stamps()
        settings, site = self._accepted, self.site
        self._jobs = jobs_of(settings, site, self.folder, self._only)
        self._tell(self.notes())
        if not self._jobs and not self._endpoints.waiting:
            log.warning("no device of the site has an endpoint: there is nothing to ask")
        self.poller.arrange(self._jobs, site, settings.options())

    def _tell(self, told: list[str]) -> None:
        """Each once, for as long as it holds."""
        for note in told:
            if note not in self._told:
                log.warning("%s", note)
        self._told = set(told)
