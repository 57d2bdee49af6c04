"""The analytics service put together from its settings, and run until it is told to stop."""

from __future__ import annotations

import logging
import signal as signals
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from analytics.capacity.watch import CapacityWatch
from analytics.detectors import detector_classes
from analytics.detectors.multivariate import Multivariate
from analytics.detectors.thermal_outlook import risk_of
from analytics.engine import Engine
from analytics.feedback.desk import Desk
from analytics.incidents.inventory import Around
from analytics.ingest.prometheus import Login, Prometheus
from analytics.ingest.shard import Shard
from analytics.ingest.source import Source
from analytics.models.storage import load_model
from analytics.serving.service import Service
from analytics.serving.settings import TOKEN_VARIABLE, Settings
from analytics.serving.state import StateStore
from gigawatch.config.load import environment
from gigawatch.readings import Reading
from gigawatch.serving import serve
from gigawatch.topology import load_inventory

log = logging.getLogger(__name__)


def build_service(
    settings: Settings,
    clock: Callable[[], float] = time.time,
    capacity: Callable[[], Iterable[Reading]] = tuple,
) -> Service:
    """All parts put together as the settings say."""
    p = settings.prometheus
    login = Login(p.token_file, p.username, p.password_file, environment().get(TOKEN_VARIABLE, ""))
    client = Prometheus(p.url, p.timeout, login, p.ca_file, p.packed, clock)
    model = load_model(settings.model)[0] if settings.model is not None else None

    def anew() -> Engine:
        return Engine([Multivariate(model) if new is Multivariate else new() for new in detector_classes()])

    engine = anew()
    source = Source(client, engine.fleet, Shard.parse(settings.shard))
    risk = settings.risk
    service = Service(
        source,
        engine,
        StateStore(Path(settings.state), clock),
        settings,
        clock,
        lambda eta, horizon: risk_of(eta, horizon, risk.intercept, risk.slope),
        capacity,
        anew,
    )
    source.complain = service.complain
    around = Around(client, service.complain)
    service.desk = Desk(service.parts, Path(settings.state), clock, around.at, service.watch)
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
