"""The inventory and the maintenance that runs, as Prometheus has them: what incidents know of their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from analytics.incidents.topology import Surroundings, surroundings_from
from analytics.ingest.prometheus import AnswerError, QueryError, Vector
from gigawatch.catalogue import site
from gigawatch.promql import max_by, series

NODES = max_by(series(site.NODE_INFO), "node", "rack", "row", "hall")
DEVICES = max_by(series(site.DEVICE_INFO), "device", "role", "rack", "hall", "feed", "loop")
WORKS = max_by(series(site.MAINTENANCE_UNTIL), "scope", "place", "reason")
PLACES_EVERY = 300.0
WORKS_EVERY = 15.0
"""Seconds after which each is asked for again; maintenance holds at once."""


class Asks(Protocol):
    """What answers queries: `analytics.ingest.prometheus.Prometheus`."""

    def query(self, expr: str, now: float) -> Vector:
        """The answer at `now`; QueryError or AnswerError without one."""


class Around:
    """Surroundings that are read anew now and then; what cannot be asked stays as it was."""

    def __init__(
        self, prometheus: Asks, complain: Callable[[str, Exception], None] = lambda _reason, _error: None
    ) -> None:
        self._prometheus, self._complain = prometheus, complain
        self._asked = {"places": -PLACES_EVERY, "works": -WORKS_EVERY}
        self._answers: dict[str, Vector | None] = {"nodes": None, "devices": None, "works": None}
        self._made = Surroundings()

    def at(self, now: float) -> Surroundings:
        """What surrounds the fleet now; the same object as long as nothing changed."""
        changed = False
        if now - self._asked["places"] >= PLACES_EVERY:
            self._asked["places"] = now
            changed = self._ask("nodes", NODES.text, now) | self._ask("devices", DEVICES.text, now)
        if now - self._asked["works"] >= WORKS_EVERY:
            self._asked["works"] = now
            changed |= self._ask("works", WORKS.text, now)
        if changed:
            nodes, devices, works = (self._answers[name] for name in ("nodes", "devices", "works"))
            self._made = surroundings_from(
                nodes.series.labels if nodes is not None else (),
                devices.series.labels if devices is not None else (),
                zip(works.series.labels, works.values.tolist(), strict=True) if works is not None else (),
            )
        return self._made

    def _ask(self, name: str, query: str, now: float) -> bool:
        """Ask one thing; True if the answer is another one."""
        try:
            found = self._prometheus.query(query, now)
        except (QueryError, AnswerError) as error:
            self._complain("query" if isinstance(error, QueryError) else "answer", error)
            return False
        before = self._answers[name]
        self._answers[name] = found
        return before is None or before.series is not found.series or name == "works"
