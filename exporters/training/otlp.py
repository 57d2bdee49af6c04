"""Training jobs that tell of themselves by OpenTelemetry: OTLP over HTTP, for the meters of `meters.py`.

Anything else is accepted and dropped, so that a job or a collector can be pointed here with all it has.
Whoever reaches the port may claim to be any job, as whoever may write to the reporter's directory: keep it on
the loopback address.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from exporters.runtime.source import SourceError
from exporters.training import meters
from exporters.training.otlp_job import OtlpJob
from exporters.training.otlp_points import Attributes, BodyError, Point, mark, points, unpacked
from exporters.training.tally import Tally, label
from exporters.training.voices import Voices
from gigawatch.errors import UserError
from gigawatch.readings import Reading
from gigawatch.serving import App, Request, Response, Running, serve

log = logging.getLogger(__name__)

_MOST = 256
"""Jobs at a time."""
_CONNECTIONS = 16
_BODY = 2 << 20
"""Connections at a time and bytes that each may send at once: what strangers can make the agent remember."""
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_ELSEWHERE = ("/v1/traces", "/v1/logs", "/v1development/profiles")
"""Answered like metrics: an SDK writes an error into the job's log for each export that is refused."""


class OtlpSource:
    """Listens from its first read on, and hands out what it has heard."""

    name = "training_otlp"

    def __init__(
        self,
        interval: float,
        listen: str,
        voices: Voices,
        max_age: float = 3600.0,
        deadline: float = 5.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._listen, self._voices, self._max_age, self._wall = listen, voices, max_age, wall
        self._began = wall()
        self._lock = threading.Lock()
        self._parsing = threading.Lock()
        """One body at a time: a message takes many times the memory of its bytes."""
        self._jobs: dict[tuple[str, str], OtlpJob] = {}
        self._server: Running | None = None
        self._refused = self._wrong = 0
        self._doubted: set[tuple[str, str]] = set()

    @property
    def url(self) -> str:
        """Where it listens; empty while it does not."""
        return self._server.url if self._server is not None else ""

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def read(self) -> Iterator[Reading]:
        """Every job that told anything of late. Raises SourceError where it cannot listen, and after bodies
        that made no sense or were of too many jobs."""
        self._start()
        now = self._wall()
        rows: list[Reading] = []
        with self._lock:
            self._jobs = {key: job for key, job in self._jobs.items() if job.tally.shown(now, self._max_age)}
            self._doubted &= self._jobs.keys()
            for key, job in self._jobs.items():
                if self._voices.may("otlp", key[0]):
                    rows += self._readings(key, job, now)
            wrong, refused, self._wrong, self._refused = self._wrong, self._refused, 0, 0
        yield from rows
        if refused:
            raise SourceError(
                "too_many", f"more than {_MOST} jobs tell of themselves; {refused} were left out"
            )
        if wrong:
            raise SourceError("format", f"{wrong} bodies were no OTLP metrics")

    def _readings(self, key: tuple[str, str], job: OtlpJob, now: float) -> Iterator[Reading]:
        """Of a job whose records stand for nobody knows how many steps, all but what is counted from them."""
        if not job.doubtful:
            self._doubted.discard(key)
            return job.tally.readings(*key, "otlp", now)
        if key not in self._doubted:
            self._doubted.add(key)
            log.warning(
                "training: job %s: its steps fill %.0f%% of the time; if it tells of every Nth step, let it "
                "say so: OTEL_RESOURCE_ATTRIBUTES=%s=N. Until then its steps are not shown",
                key[0], 100 * job.busy / (job.tally.told - job.first), meters.STEPS_PER_RECORD,
            )  # fmt: skip
        without = ("steps", "step_seconds", "flops", *(() if job.counted else ("tokens",)))
        return job.tally.readings(*key, "otlp", now, without)

    def _start(self) -> None:
        if self._server is not None:
            return
        app = App()
        app.route("POST", "/v1/metrics", self._metrics)
        for path in _ELSEWHERE:
            app.route("POST", path, lambda request: Response(b"", _kind(request) or _PROTOBUF))
        try:
            self._server = serve(app, self._listen, most_connections=_CONNECTIONS, largest_body=_BODY)
        except UserError as error:
            told = str(error).partition(";")[0]
            raise SourceError("listen", f"training.otlp_listen: {told}") from None

    def _metrics(self, request: Request) -> Response:
        kind = _kind(request)
        try:
            if not kind:
                raise BodyError(f"content type is not known; allowed: {_PROTOBUF}, {_JSON}", 415)
            encoding = request.headers.get("Content-Encoding", "").strip().lower()
            with self._parsing:
                found = list(points(unpacked(request.body, encoding), kind == _JSON))
        except BodyError as error:
            with self._lock:
                self._wrong += 1
            return Response.text(f"{error}\n", error.status)
        with self._lock:
            for attributes, told in found:
                self._take(attributes, told)
        # A message without fields: everything was accepted. Also what nobody here wants: sent again it
        # would be no more welcome.
        return Response(b"{}" if kind == _JSON else b"", kind)

    def _take(self, attributes: Attributes, told: list[Point]) -> None:
        now = self._wall()
        name = _job(attributes)
        if not name:
            return
        model = next(filter(None, (label(attributes.get(one, "")) for one in meters.MODEL)), "unknown")
        key = name, model
        job = self._jobs.get(key)
        if job is None:
            if len(self._jobs) >= _MOST:
                self._refused += 1
                return
            job = OtlpJob(Tally(began=self._first(told, now), told=now))
        every = _number(attributes.get(meters.STEPS_PER_RECORD, ""))
        gpus = next(filter(None, (_number(attributes.get(one, "")) for one in meters.WORLD)), None)
        # All attributes: what tells one process from another is among them, whatever its name.
        if not job.take(mark(attributes), told, every, gpus, now):
            return
        self._jobs[key] = job
        number = next(filter(None, (label(attributes.get(one, "")) for one in meters.PRECISION)), "")
        job.tally.precision = number or job.tally.precision

    def _first(self, told: list[Point], now: float) -> float:
        """When the job began, if that was since this agent runs; else now."""
        starts = [one.start for one in told if self._began <= one.start <= now]
        return min(starts, default=now)


def _kind(request: Request) -> str:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind if kind in (_PROTOBUF, _JSON) else ""


def _job(attributes: Attributes) -> str:
    for names in meters.JOB:
        parts = [attributes.get(name, "") for name in names]
        if all(parts) and label("/".join(parts)):
            return label("/".join(parts))
    return ""


def _number(text: Any) -> float | None:
    """A count of 1 to 10 million; None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 1 <= value <= 1e7 else None
