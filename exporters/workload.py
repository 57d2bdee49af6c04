"""`gigawatch workload`, put together: engines, queues, pages, and settings that may change while it runs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from exporters.inference.collector import Collector
from exporters.inference.discovery import Discovery
from exporters.inference.http_sd import HttpDiscovery
from exporters.inference.kubernetes import KubernetesDiscovery, PodRule
from exporters.inference.pages import NODES
from exporters.inference.static import StaticDiscovery, access_of, objectives_of, target_of
from exporters.jobs.kube_api import KubeApi
from exporters.jobs.queue_settings import KubernetesQueueSection, SlurmQueueSection
from exporters.jobs.queues import KubernetesQueue, SlurmQueue
from exporters.runtime import Exporter, Health, Later, Source
from exporters.runtime.notify import Notifier
from exporters.workload_settings import WorkloadSettings
from exporters.workload_site import Site, answer_targets, stamp_of
from gigawatch.config import parse_duration
from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, WebConfig

log = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
"""Seconds between looks at the files."""
_READY_AFTER = 20.0
"""Seconds after which an engine that does not answer no longer makes the others wait."""


class Workload:
    """The program. `load` reads the settings (again), `path` is the file they come from."""

    def __init__(
        self,
        load: Callable[[], WorkloadSettings],
        path: Path | None = None,
        web: WebConfig | None = None,
        notifier: Notifier | None = None,
        environment: Mapping[str, str] = os.environ,
        once: bool = False,
    ) -> None:
        """With `once` every engine is scraped at once, and /metrics has all of them. Raises UserError."""
        self._load, self._path, self._web, self._environment = load, path, web, environment
        self._stamp = stamp_of(path)
        self._settings = settings = load()
        self._site = Site(settings.inventory)
        self._settings_health = Health("settings", up=True)
        engines = settings.engines
        self.collector = Collector(
            self._discoveries(settings),
            engines.seconds,
            engines.deadline_seconds,
            objectives_of(engines.objectives),
            self._site.place,
            hurry=once,
        )
        pages = self.collector.pages
        self.exporter = Exporter(
            "workload",
            list(queue_sources(settings, environment)),
            settings.seconds,
            verbatim=pages.everything if once else pages.unplaced,
            alive=notifier.alive if notifier is not None else lambda: None,
            closing=self.collector.stop,
            others=self._healths,
        )
        self._born = time.monotonic()
        self._stop, self._look = threading.Event(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="settings", daemon=True)

    def start(self) -> None:
        self.collector.start()
        self.exporter.start()
        self._watcher.start()

    def stop(self) -> None:
        """End everything."""
        self._stop.set()
        self._look.set()
        self.exporter.stop()

    def reload(self) -> None:
        """Read the settings again, changed or not. Safe to call from a signal handler."""
        self._stamp = None
        self._look.set()

    def wait_settled(self, seconds: float) -> bool:
        """Wait until everything has been asked once; False if something has not answered by then."""
        deadline = time.monotonic() + seconds
        settled = self.collector.wait_settled(seconds)
        return self.exporter.wait_settled(max(0.0, deadline - time.monotonic())) and settled

    def app(self) -> App:
        """/metrics, /nodes/NAME/metrics and /targets."""
        app = self.exporter.app()
        app.route("GET", "/-/ready", self._ready)
        app.route("GET", "/targets", self._targets)
        app.route("GET", NODES, self.collector.pages.answer)
        app.route("GET", "/", self._index)
        return app

    def _ready(self, _: Request) -> Response:
        ready = self.exporter.ready() and (
            self.collector.wait_settled(0) or time.monotonic() - self._born > _READY_AFTER
        )
        return Response.text("ready\n") if ready else Response.text("not ready\n", 503)

    def _targets(self, request: Request) -> Response:
        secure = self._web is not None and self._web.context is not None
        return answer_targets(
            request, self._settings.advertise, secure, self.collector.pages.nodes, self._site
        )

    def _index(self, request: Request) -> Response:
        if request.path != "/":
            return Response.text("not found\n", 404)
        return Response.text(
            "gigawatch workload: /metrics  /nodes/NAME/metrics  /targets  /-/healthy  /-/ready\n"
        )

    def _discoveries(self, settings: WorkloadSettings) -> list[Discovery]:
        """Where engines are looked for, the most particular place first."""
        folder = self._path.parent if self._path is not None else Path()
        engines, pods = settings.engines, settings.engines.kubernetes
        found: list[Discovery] = [StaticDiscovery(tuple(target_of(one, folder) for one in engines.targets))]
        api = KubeApi(settings.kubernetes, self._environment)
        if pods.find == "on" or (pods.find == "auto" and api.present):
            rules = tuple(PodRule(**rule.model_dump()) for rule in pods.rules)
            found.append(
                KubernetesDiscovery(
                    api,
                    parse_duration(pods.every),
                    pods.namespaces,
                    rules,
                    pods.annotated,
                    pods.group_label,
                    access_of(pods.access, folder),
                )
            )
        for one in engines.http_sd:
            every = parse_duration(one.every)
            found.append(
                HttpDiscovery(one.url, every, access_of(one, folder), access_of(one.engines, folder))
            )
        return found

    def _healths(self) -> Iterator[Health]:
        yield from self.collector.healths()
        if self._path is not None:
            yield self._settings_health
        if self._settings.inventory is not None:
            site = self._site
            yield Health("inventory", not site.problem, errors={"reload": site.errors} if site.errors else {})
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
                self._check()
            except Exception:
                log.exception("looking at the settings failed")

    def _check(self) -> None:
        """Take in changed files; what cannot be used is told, and what was in force stays."""
        stamp = stamp_of(self._path)
        moved = self._site.refresh()
        if self._path is None or stamp == self._stamp:
            if moved:
                self._apply(self._settings)
            return
        self._stamp = stamp
        health = self._settings_health
        try:
            settings = self._load()
            self._apply(settings)
        except UserError as error:
            health.up = False
            health.errors["reload"] = health.errors.get("reload", 0) + 1
            log.warning("%s; the settings as they were stay in force", error)
            return
        health.up = True
        log.info("%s: read again", self._path)

    def _apply(self, settings: WorkloadSettings) -> None:
        late = sorted(_fixed(settings).items() - _fixed(self._settings).items())
        if late:
            log.warning(
                "%s: takes effect when the program is started again", ", ".join(name for name, _ in late)
            )
        discoveries = self._discoveries(settings)
        self._settings = settings
        self.collector.replace(discoveries, objectives_of(settings.engines.objectives), self._site.place)


def _fixed(settings: WorkloadSettings) -> dict[str, str]:
    """Settings that count from start to end."""
    names = ("listen", "interval", "web_config", "inventory", "queues")
    fixed = {name: repr(getattr(settings, name)) for name in names}
    engines = settings.engines
    return fixed | {"engines.interval": engines.interval, "engines.deadline": engines.deadline}


def queue_sources(settings: WorkloadSettings, environment: Mapping[str, str]) -> Iterator[Source]:
    """The queues that the settings ask for, and those that are there."""
    queues = settings.queues
    every = parse_duration(queues.interval)
    section = KubernetesQueueSection(
        settings.kubernetes, queues.namespaces, queues.selector, queues.resources
    )
    pods = KubernetesQueue(every, section, environment)
    if queues.kubernetes == "on" or (queues.kubernetes == "auto" and pods.present):
        yield pods
    if queues.slurm != "off":
        jobs = SlurmQueue(every, SlurmQueueSection(queues.squeue, queues.partitions))
        yield jobs if queues.slurm == "on" else Later(jobs)
