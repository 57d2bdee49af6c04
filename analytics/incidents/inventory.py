"""The inventory and the maintenance that runs, as Prometheus has them: what incidents know of their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from analytics.incidents.topology import Surroundings, surroundings_from
from analytics.ingest.prometheus import AnswerError, QueryError, Vector
from gigawatch.catalogue import site
from gigawatch.promql import max_by, series

NODES = max_by(series(site.NODE_INFO), "node", "rack", "row", "hall")
DEVICES = max_by(series(site.DEVICE_INFO), "device", "role", "rack", "hall", "feed", "loop")
AIR = max_by(series(site.RACK_AIR_INFO), "rack", "device")
PORTS = max_by(series(site.NODE_SWITCH_INFO), "node", "device")
WORKS = max_by(series(site.MAINTENANCE_UNTIL), "scope", "place", "reason")
_PLACES = {"nodes": NODES, "devices": DEVICES, "air": AIR, "ports": PORTS}
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
        self._answers: dict[str, Vector | None] = {}
        self._made = Surroundings()

    def at(self, now: float) -> Surroundings:
        """What surrounds the fleet now; the same object, or the same `above`, as long as nothing changed."""
        places = works = False
        if now - self._asked["places"] >= PLACES_EVERY:
            self._asked["places"] = now
            for name, query in _PLACES.items():
                places |= self._ask(name, query.text, now)
        if now - self._asked["works"] >= WORKS_EVERY:
            self._asked["works"] = now
            works = self._ask("works", WORKS.text, now)
        if places or works:
            nodes, devices, air, ports = (self._labels(name) if places else () for name in _PLACES)
            answer = self._answers.get("works")
            said = (
                zip(answer.series.labels, answer.values.tolist(), strict=True) if answer is not None else ()
            )
            made = surroundings_from(nodes, devices, said, air, ports)
            self._made = made if places else Surroundings(self._made.above, made.works)
        return self._made

    def _labels(self, name: str) -> Sequence[Mapping[str, str]]:
        found = self._answers.get(name)
        return found.series.labels if found is not None else ()

    def _ask(self, name: str, query: str, now: float) -> bool:
        """Ask one thing; True if the answer is another one."""
        try:
            found = self._prometheus.query(query, now)
        except (QueryError, AnswerError) as error:
            self._complain("query" if isinstance(error, QueryError) else "answer", error)
            return False
        before = self._answers.get(name)
        self._answers[name] = found
        if before is None or before.series is not found.series:
            return True
        return name == "works" and not np.array_equal(before.values, found.values)
