"""Which places are under maintenance, read from Alertmanager's silences, so that dashboards can show it."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime

from exporters.runtime.health import Health, health_readings
from gigawatch.catalogue import site
from gigawatch.readings import Reading
from gigawatch.topology.maintenance import parse_comment

log = logging.getLogger(__name__)
_DEADLINE = 5.0
_LARGEST = 16 << 20
_MOST = 1000
"""Places that are told at most: labels are not for floods."""


class Maintenance:
    """Asks an Alertmanager every so many seconds. What it said last counts as long as it can be asked; a time
    that has passed is never shown."""

    def __init__(self, url: str, every: float = 10.0, clock: Callable[[], float] = time.time) -> None:
        self._url, self._every, self._clock = url.rstrip("/") + "/api/v2/silences?active=true", every, clock
        self._until: dict[tuple[str, str, str], float] = {}
        self._health = Health("maintenance")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)

    def readings(self) -> Iterator[Reading]:
        """Places under maintenance now, and until when; and whether Alertmanager answers."""
        now = self._clock()
        for labels, until in self._until.items():
            if until > now:
                yield Reading(site.MAINTENANCE_UNTIL, labels, until)
        yield from health_readings([self._health])

    def health(self) -> Health:
        """Whether Alertmanager answers."""
        return self._health

    def refresh(self) -> None:
        """Ask once."""
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(self._url, timeout=_DEADLINE) as answer:  # noqa: S310 - checked at start
                found = _places(json.loads(answer.read(_LARGEST)))
        except (OSError, ValueError, RecursionError) as error:
            self._until = {}
            self._health.up = False
            kind = "malformed" if isinstance(error, (ValueError, RecursionError)) else "unreachable"
            self._health.errors[kind] = self._health.errors.get(kind, 0) + 1
            return
        self._until = found
        self._health.up, self._health.last_success = True, self._clock()
        self._health.duration = time.perf_counter() - began

    def _run(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._every if self._health.up else min(2.0, self._every))


def _places(answer: object) -> dict[tuple[str, str, str], float]:
    """(scope, place, reason) -> Unix time of the end. Raises ValueError for what is no list of silences."""
    if not isinstance(answer, list):
        raise ValueError("no list of silences")  # noqa: TRY004 - as any other answer that cannot be read
    found: dict[tuple[str, str, str], float] = {}
    for silence in answer:
        if not isinstance(silence, dict) or len(found) >= _MOST:
            continue
        status, work = silence.get("status"), parse_comment(silence.get("comment"))
        if work is None or not isinstance(status, dict) or status.get("state") != "active":
            continue
        end = _time(silence.get("endsAt"))
        key = (work.scope, work.place, work.reason)
        if end is not None:
            found[key] = max(end, found.get(key, 0.0))
    return found


def _time(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
