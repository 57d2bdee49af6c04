"""The analytics service: reads, scores, exposes, remembers, at a steady pace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from analytics.detectors.thermal_outlook import risk_of
from analytics.engine import Engine, Outcome
from analytics.feedback.desk import Desk
from analytics.fleet import Fleet, Level
from analytics.incidents import Incidents
from analytics.ingest.missed import Missed
from analytics.ingest.prometheus import AnswerError, QueryError
from analytics.ingest.source import Source
from analytics.serving.coverage import Coverage, learning
from analytics.serving.exposition import Exposition, Risk
from analytics.serving.pace import TOLERATED, DataClock, Pace
from analytics.serving.saver import Saver
from analytics.serving.self_metrics import SelfMetrics
from analytics.serving.settings import Settings
from analytics.serving.state import StateError, StateStore
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import CONTENT_TYPE, App, Request, Response
from gigawatch.serving.exposition import Renderer

log = logging.getLogger(__name__)
_REPEAT_LOG = 300.0
"""Seconds before the same complaint is logged again."""
_OUTAGE = 60.0
"""Seconds without a run after which what was missed is read from history."""
_SAVING = 0.1
"""Largest share of the time in which the state is copied and written."""
_FROM_THE_FUTURE = 3600.0
"""A saved state that is newer than now by so much was written by a clock that was wrong."""


class Service:
    """One analytics process. `clock` gives Unix time; `step` never raises for what is outside."""

    def __init__(
        self, source: Source, engine: Engine, store: StateStore, settings: Settings,
        clock: Callable[[], float] = time.time, risk: Risk = risk_of,
        capacity: Callable[[], Iterable[Reading]] = tuple, anew: Callable[[], Engine] = Engine,
    ) -> None:  # fmt: skip
        """`capacity` gives the readings of what is left to build on, reckoned beside the scoring; `anew` an
        engine that knows nothing, for when the saved state cannot be used."""
        self._anew = anew
        self._capacity, self._capacity_renderer = capacity, Renderer()
        self._source, self._engine, self._store = source, engine, store
        self._settings, self._clock, self._time = settings, clock, DataClock(clock)
        self._pace = Pace(settings.interval)
        self.own = SelfMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self.own)
        self._exposition = Exposition(risk, source.shard.owns)
        self._coverage = Coverage(self._exposition.owned)
        self._findings = b""
        self._answered = 0.0
        self._next_save = 0.0
        self._saver = Saver(store)
        self._missed: Missed | None = None
        self._said: dict[str, float] = {}
        self.desk: Desk | None = None
        """Where incidents are read and marked."""
        self._desk_renderer = Renderer()

    def parts(self) -> tuple[Incidents, Fleet]:
        """The incidents and the fleet that are in use now."""
        return self._engine.incidents, self._engine.fleet

    def watch(self) -> dict[str, Any]:
        """Up to when things were judged, and what cannot be judged yet."""
        return {
            "judged_at": self.own.last_success,
            "interval": self._pace.interval,
            "learning": learning(self.own.covered),
        }

    def complain(self, reason: str, error: Exception) -> None:
        """Count a failure; say it once, and again only after a while."""
        self.own.errors[reason] += 1
        text, now = " ".join(str(error).split()), self._clock()
        if now - self._said.get(text, -_REPEAT_LOG) >= _REPEAT_LOG:
            if len(self._said) > 1000:
                self._said.clear()
            self._said[text] = now
            log.warning("%s", text)

    def _failed(self, error: QueryError | AnswerError) -> None:
        self.complain("query" if isinstance(error, QueryError) else "answer", error)

    def start(self, stop: threading.Event | None = None) -> None:
        """Take up the saved state and read the history since, as far back as the warm-up goes.

        A state that is older than that is caught up with in the runs that follow.
        """
        try:
            self._source.probe(self._clock())
        except (QueryError, AnswerError) as error:
            self._failed(error)
        self._compare_clocks()
        now = self._time.now()
        self._take_up(now)
        step = self._settings.interval
        begin = max(self._engine.latest + step, now - self._settings.warm_up)
        if now - begin < step or 0 < self._engine.latest < begin - step:
            return
        try:
            for tick in self._source.history(begin, now - step, step):
                self._engine.run(tick)
                if stop is not None and stop.is_set():
                    return
        except (QueryError, AnswerError) as error:
            self._failed(error)

    def _take_up(self, now: float) -> None:
        try:
            saved = self._store.load()
            if saved is None:
                return
            for line in self._engine.load(*saved):
                self.complain("state", StateError(f"{self._store.path}: {line}"))
            if self._engine.latest > now + _FROM_THE_FUTURE:
                ahead = (self._engine.latest - now) / 3600
                raise ValueError(f"it is from {ahead:.1f} h ahead of now; check the time service here")
            log.info("state of %d GPUs taken up", len(self._engine.fleet[Level.GPU]))
        except (StateError, ValueError) as error:
            known = isinstance(error, StateError)
            self.complain(
                "state", error if known else self._store.refuse(f"saved state does not fit ({error})")
            )
            self._engine = self._anew()
            self._source.adopt(self._engine.fleet)

    def step(self) -> Outcome | None:
        """One run. None if there is nothing new to say; no findings if Prometheus could not be read."""
        began = time.perf_counter()
        if self.desk is not None:
            self.desk.equip()
        try:
            outcome = self._catch_up() or self._live(began)
        except (QueryError, AnswerError) as error:
            self._failed(error)
            self._findings = b""
            self.own.series, self.own.covered = {}, []
            self._missed, self.own.catch_up = None, 0.0
            return None
        if self._clock() >= self._next_save and self._missed is None:
            self._save_beside()
        return outcome

    def _live(self, began: float) -> Outcome | None:
        now = self._time.now()
        if now <= self._engine.latest:
            self._source.probe(now)
            self._compare_clocks()
            now = self._time.now()
        if now <= self._engine.latest:
            back = self._engine.latest - now
            if back > TOLERATED:
                line = f"time went back by {back:.0f} s; no runs until it has passed"
                self.complain("clock", UserError(line))
            return None
        if self._missed is not None:
            return None
        tick = self._source.read(now)
        if not self._compare_clocks():
            return None
        read = time.perf_counter()
        outcome = self._engine.run(tick)
        for name, problem in outcome.failed.items():
            self.complain("detector", UserError(f"detector {name} failed: {problem}"))
        scored = time.perf_counter()
        self._findings = self._exposition.page(outcome)
        self._answered = self._clock()
        self.own.series = dict(self._source.counts)
        self.own.covered = self._coverage.of(tick, outcome)
        self.own.last_success = now
        done = time.perf_counter()
        self.own.durations |= {"read": read - began, "score": scored - read, "render": done - scored}
        self.own.detectors = dict(outcome.seconds)
        self.own.lag = max(self._time.now() - now, 0.0)
        return outcome

    def _compare_clocks(self) -> bool:
        """False if clocks stand otherwise to each other than was assumed in the last questions."""
        self.own.skew = self._source.skew
        line = self._time.compare(self._source.skew)
        if line is not None:
            self.complain("clock", UserError(line))
        return line is None

    def _catch_up(self) -> Outcome | None:
        """Read some of what was missed, oldest first, for most of an interval; None once there is no more."""
        interval, latest, now = self._settings.interval, self._engine.latest, self._time.now()
        if self._missed is None:
            if not latest or now - latest <= max(_OUTAGE, 4 * self._pace.interval):
                return None
            self._source.probe(now)
            if not self._compare_clocks():
                return None
            begin, end = max(latest + interval, now - self._settings.catch_up), now - interval
            log.info("nothing was read for %.0f s: the last %.0f s are caught up", now - latest, end - begin)
            self._missed = Missed(self._source.history(begin, end, interval), self._engine, begin, end, now)
        outcome = self._missed.read(0.8 * interval, now)
        self.own.catch_up = self._missed.left
        if not self._missed.left:
            self._missed = None
        return outcome

    def save(self) -> None:
        """Write the state to disk; a failure is counted and does not stop anything."""
        self._saver.wait()
        self._save_beside()
        self._saver.wait()

    def _save_beside(self) -> None:
        now = self._clock()
        self._next_save = now + self._settings.save_every
        if self._saver.busy or not self._engine.latest:
            return

        def done(problem: StateError | None) -> None:
            self.own.durations |= self._saver.durations
            self._next_save = now + max(self._settings.save_every, self._saver.seconds / _SAVING)
            if problem is not None:
                self.complain("state", problem)
            else:
                self.own.state_saved = now

        self._saver.save(self._engine, done)

    def exposition(self) -> bytes:
        """The page: findings, unless they have grown old, and how the service is doing."""
        fresh = self._clock() - self._answered <= 3 * self._pace.interval + self._settings.prometheus.timeout
        left = self._capacity_renderer.render(self._capacity())
        if self.desk is not None:
            left += self._desk_renderer.render(self.desk.readings())
        return (self._findings if fresh else b"") + left + generate_latest(self._registry)

    def app(self) -> App:
        """The HTTP routes; ready once a run has succeeded."""
        app = App(ready=lambda: self.own.last_success is not None)
        app.route("GET", "/metrics", self._metrics)
        if self.desk is not None:
            self.desk.routes(app)
        return app

    def _metrics(self, _: Request) -> Response:
        return Response(self.exposition(), CONTENT_TYPE)

    def run(self, stop: threading.Event) -> None:
        """Start, then run at every multiple of the interval until `stop`; save at the end."""
        self.start(stop)
        while not stop.is_set():
            began = time.monotonic()
            self.step()
            if self._missed is not None:
                self._pace.restart()
                stop.wait(0.2 * self._settings.interval)
                continue
            wait, line = self._pace.after(began, time.monotonic())
            if line is not None:
                log.warning("%s", line)
            self.own.skipped, self.own.interval = self._pace.skipped, self._pace.interval
            stop.wait(wait)
        self.save()
