"""How much of what reports can be judged: what is quiet because nothing is known of it yet is not well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.detectors import detector_classes
from analytics.detectors.base import Scores
from analytics.engine import Outcome
from analytics.explain.words import signal_name
from analytics.fleet import Level, Roster, Tick
from analytics.fleet.columns import Bools
from analytics.signals import SIGNALS

_LEVELS = {signal.key: signal.level for signal in SIGNALS}


@dataclass(frozen=True, slots=True)
class Covered:
    """How many things of a level report a signal, and of how many of them a detector can say something."""

    detector: str
    signal: str
    level: Level
    judged: int
    watched: int


class Coverage:
    """Counts, tick by tick. A signal that is not asked for in every tick keeps what it had in its last."""

    def __init__(self, owned: Callable[[Roster], Bools]) -> None:
        """`owned` tells which things of a roster are this shard's to speak for."""
        self._owned = owned
        self._known: dict[tuple[str, str], Covered] = {}

    def of(self, tick: Tick, outcome: Outcome) -> list[Covered]:
        """By detector and signal; a detector that failed in this tick is not there."""
        fresh: dict[tuple[str, str], Covered] = {}
        for name, verdict in outcome.verdicts.items():
            for scores in verdict.scores:
                key = (name, scores.signal)
                there = self._reporting(tick, scores)
                if there is not None:
                    judged = int(np.count_nonzero(there & np.isfinite(scores.values)))
                    watched = int(np.count_nonzero(there))
                    fresh[key] = Covered(name, scores.signal, scores.level, judged, watched)
                elif key in self._known:
                    fresh[key] = self._known[key]
        self._known = fresh
        return [one for one in fresh.values() if one.watched]

    def _reporting(self, tick: Tick, scores: Scores) -> Bools | None:
        """Things that report what is scored; None where this tick lacks it."""
        roster = tick.fleet[scores.level]
        if _LEVELS.get(scores.signal) is not scores.level:  # not of one signal, but of all that a thing says
            there = roster.seen == tick.now
        elif scores.signal in tick.values:
            there = np.isfinite(tick.value(scores.signal, scores.level))
        else:
            return None
        mine: Bools = there & self._owned(roster) & ~roster.gone
        return mine


def learning(covered: list[Covered]) -> list[dict[str, Any]]:
    """What the detectors that findings come from cannot judge wholly yet, in words, for a page."""
    suspecting = {detector.name for detector in detector_classes() if detector.suspects}
    return [
        {
            "detector": one.detector,
            "signal": signal_name(one.signal),
            "things": one.level.value,
            "judged": one.judged,
            "watched": one.watched,
        }
        for one in covered
        if one.detector in suspecting and one.judged < one.watched
    ]
