"""Time that was missed, by an outage of Prometheus or of ours, read and scored a part at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from analytics.engine import Engine, Outcome
from analytics.fleet import Tick

log = logging.getLogger(__name__)


class Missed:
    """History from `begin` to `end`; `now` is when reading it began (all Unix times)."""

    def __init__(self, ticks: Iterator[Tick], engine: Engine, begin: float, end: float, now: float) -> None:
        self._ticks, self._engine = ticks, engine
        self._span, self._end, self._began = end - begin, end, now
        self.left = self._span
        """Seconds that are still to be read; 0 when all is done."""

    def read(self, seconds: float, now: float) -> Outcome | None:
        """Score ticks for so long; the last outcome, or None if there were none left.

        Reading that takes longer than the time it covers would never end: the rest is then left out.
        """
        until, outcome = time.monotonic() + seconds, None
        while time.monotonic() < until:
            tick = next(self._ticks, None)
            if tick is None:
                self.left = 0.0
                return None
            outcome = self._engine.run(tick)
        self.left = max(self._end - self._engine.latest, 0.0)
        if self.left and now - self._began > self._span:
            log.warning("reading what was missed takes longer than it lasted: %.0f s stay a gap", self.left)
            self.left = 0.0
        return outcome
