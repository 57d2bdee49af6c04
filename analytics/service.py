"""The analytics service: reads, scores, exposes, remembers, at a steady pace."""

from __future__ import annotations

import logging
import platform
import signal as signals
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from analytics.capacity.watch import CapacityWatch
from analytics.detectors.thermal_outlook import risk_of
from analytics.engine import Engine, Exposition, Outcome, Risk
from analytics.fleet import Fleet, Level
from analytics.prometheus import AnswerError, Login, Prometheus, QueryError
from analytics.settings import TOKEN_VARIABLE, Settings
from analytics.source import Shard, Source
from analytics.state import StateError, StateStore
from gigawatch import package_version
from gigawatch.catalogue import Metric, findings, own
from gigawatch.config.load import environment
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import CONTENT_TYPE, App, Request, Response, serve
from gigawatch.serving.exposition import Renderer
from gigawatch.topology import load_inventory

log = logging.getLogger(__name__)
REASONS = findings.ANALYTICS_ERRORS.values["reason"]
_REPEAT_LOG = 300.0
"""Seconds before the same complaint is logged again."""


class SelfMetrics(Collector):
    """How the service itself is doing, collected by prometheus_client at each scrape."""

    def __init__(self) -> None:
        self.errors = dict.fromkeys(REASONS, 0)
        self.durations: dict[str, float] = {}
        self.series: dict[str, int] = {}
        self.last_success: float | None = None
        self.state_saved: float | None = None

    def collect(self) -> Iterable[Family]:
        """Families named, explained and labelled as in the catalogue."""
        version = (("analytics", package_version(), platform.python_version()), 1.0)
        yield _family(own.EXPORTER_BUILD_INFO, [version])
        yield _family(findings.ANALYTICS_ERRORS, [((reason,), n) for reason, n in self.errors.items()])
        yield _family(findings.ANALYTICS_RUN_DURATION, [((p,), s) for p, s in dict(self.durations).items()])
        yield _family(findings.ANALYTICS_SERIES, [((key,), n) for key, n in dict(self.series).items()])
        for metric, value in (
            (findings.ANALYTICS_LAST_SUCCESS, self.last_success),
            (findings.ANALYTICS_STATE_SAVED, self.state_saved),
        ):
            if value is not None:
                yield _family(metric, [((), value)])


def _family(metric: Metric, rows: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    counter = metric.kind.exposed_as == "counter"
    family: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        if counter
        else GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    )
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


class Service:
    """One analytics process. `clock` gives Unix time; `step` never raises for what is outside."""

    def __init__(
        self, source: Source, engine: Engine, store: StateStore, settings: Settings,
        clock: Callable[[], float] = time.time, risk: Risk = risk_of,
        capacity: Callable[[], Iterable[Reading]] = tuple,
    ) -> None:  # fmt: skip
        """`capacity` gives the readings of what is left to build on, reckoned beside the scoring."""
        self._capacity, self._capacity_renderer = capacity, Renderer()
        self._source, self._engine, self._store = source, engine, store
        self._settings, self._clock = settings, clock
        self.own = SelfMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self.own)
        self._exposition, self._renderer = Exposition(risk, source.shard.owns), Renderer()
        self._findings = b""
        self._answered = 0.0
        self._next_save = 0.0
        self._said: dict[str, float] = {}

    def complain(self, reason: str, error: Exception) -> None:
        """Count a failure; say it once, and again only after a while."""
        self.own.errors[reason] += 1
        text, now = " ".join(str(error).split()), self._clock()
        if now - self._said.get(text, -_REPEAT_LOG) >= _REPEAT_LOG:
            if len(self._said) > 1000:
                self._said.clear()
            self._said[text] = now
            log.warning("%s", text)

    def start(self) -> None:
        """Take up the saved state and read the history since, as far back as the warm-up goes."""
        now = self._clock()
        try:
            saved = self._store.load()
            if saved is not None:
                self._engine.load(*saved)
                log.info("state of %d GPUs taken up", len(self._engine.fleet[Level.GPU]))
        except (StateError, ValueError) as error:
            reason = f"{self._store.path}: saved state does not fit ({error}); starting afresh"
            self.complain("state", error if isinstance(error, StateError) else StateError(reason))
            self._engine = Engine()
            self._source.adopt(self._engine.fleet)
        step = self._settings.interval
        begin = max(self._engine.latest + step, now - self._settings.warm_up)
        if now - begin < step:
            return
        try:
            for tick in self._source.history(begin, now - step, step):
                self._engine.run(tick)
        except (QueryError, AnswerError) as error:
            self.complain("query" if isinstance(error, QueryError) else "answer", error)

    def step(self) -> Outcome | None:
        """One run. None, and no findings exposed, if Prometheus could not be read."""
        began = time.perf_counter()
        now = self._clock()
        try:
            tick = self._source.read(now)
        except (QueryError, AnswerError) as error:
            self.complain("query" if isinstance(error, QueryError) else "answer", error)
            self._findings = b""
            self.own.series = {}
            return None
        read = time.perf_counter()
        outcome = self._engine.run(tick)
        for name, problem in outcome.failed.items():
            self.complain("detector", UserError(f"detector {name} failed: {problem}"))
        scored = time.perf_counter()
        self._findings = self._renderer.render(self._exposition.readings(outcome))
        self._answered = now
        self.own.series = dict(self._source.counts)
        self.own.last_success = now
        done = time.perf_counter()
        self.own.durations = {"read": read - began, "score": scored - read, "render": done - scored}
        if now >= self._next_save:
            self.save()
        return outcome

    def save(self) -> None:
        """Write the state to disk; a failure is counted and does not stop anything."""
        now = self._clock()
        self._next_save = now + self._settings.save_every
        if not self._engine.latest:
            return
        if self._engine.forget_absent():
            self._source.forget_rows()
        try:
            self._store.save(*self._engine.dump())
            self.own.state_saved = now
        except StateError as error:
            self.complain("state", error)

    def exposition(self) -> bytes:
        """The page: findings, unless they have grown old, and how the service is doing."""
        fresh = (
            self._clock() - self._answered <= 3 * self._settings.interval + self._settings.prometheus.timeout
        )
        left = self._capacity_renderer.render(self._capacity())
        return (self._findings if fresh else b"") + left + generate_latest(self._registry)

    def app(self) -> App:
        """The HTTP routes; ready once a run has succeeded."""
        app = App(ready=lambda: self.own.last_success is not None)
        app.route("GET", "/metrics", self._metrics)
        return app

    def _metrics(self, _: Request) -> Response:
        return Response(self.exposition(), CONTENT_TYPE)

    def run(self, stop: threading.Event) -> None:
        """Start, then run at every multiple of the interval until `stop`; save at the end."""
        self.start()
        interval = self._settings.interval
        due = time.monotonic()
        while not stop.is_set():
            self.step()
            due = max(due + interval, time.monotonic())
            stop.wait(due - time.monotonic())
        self.save()


def build_service(
    settings: Settings,
    clock: Callable[[], float] = time.time,
    capacity: Callable[[], Iterable[Reading]] = tuple,
) -> Service:
    """All parts put together as the settings say."""
    p = settings.prometheus
    login = Login(p.token_file, p.username, p.password_file, environment().get(TOKEN_VARIABLE, ""))
    client = Prometheus(p.url, p.timeout, login, p.ca_file)
    fleet = Fleet()
    source = Source(client, fleet, Shard.parse(settings.shard))
    risk = settings.risk
    service = Service(
        source,
        Engine(fleet=fleet),
        StateStore(Path(settings.state)),
        settings,
        clock,
        lambda eta, horizon: risk_of(eta, horizon, risk.intercept, risk.slope),
        capacity,
    )
    source.complain = service.complain
    return service


def capacity_watch(settings: Settings) -> CapacityWatch | None:
    """What tells the capacity that is left; None without an inventory, or in all shards but the first."""
    if settings.inventory is None or not settings.shard.startswith("0/"):
        return None
    load_inventory(settings.inventory)  # what is wrong with it is said at the start
    p = settings.prometheus
    login = Login(p.token_file, p.username, p.password_file, environment().get(TOKEN_VARIABLE, ""))
    return CapacityWatch(Prometheus(p.url, max(p.timeout, 60.0), login, p.ca_file), settings.inventory)


def serve_forever(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    watch = capacity_watch(settings)
    service = build_service(settings, capacity=watch.readings if watch is not None else tuple)
    stop = threading.Event()
    for number in (signals.SIGTERM, signals.SIGINT):
        signals.signal(number, lambda *_: stop.set())
    running = serve(service.app(), settings.listen)
    log.info("analytics at %s/metrics, reading %s", running.url, settings.prometheus.url)
    try:
        if watch is not None:
            watch.complain = service.complain
            watch.start()
        service.run(stop)
    finally:
        if watch is not None:
            watch.stop()
        running.close()
    return 0
