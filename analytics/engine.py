"""One tick after another through all detectors; the outcome as suspicions and incidents."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.detectors import Detector, Verdict, detector_classes
from analytics.fleet import Fleet, Tick
from analytics.fleet.columns import Floats
from analytics.incidents import Incident, Incidents

log = logging.getLogger(__name__)
FORGET_AFTER = 14 * 86400.0
"""Seconds after which a thing that is no longer seen is forgotten."""


@dataclass(slots=True)
class Outcome:
    """What a tick came to."""

    now: float
    fleet: Fleet
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Detectors that raised, with one line each."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each detector took."""


class Engine:
    """The detectors, the fleet they know, and the incidents."""

    def __init__(self, detectors: Sequence[Detector] | None = None, fleet: Fleet | None = None) -> None:
        self.detectors = list(detectors) if detectors is not None else [new() for new in detector_classes()]
        self.fleet = fleet or Fleet()
        self.incidents = Incidents()
        self._latest = 0.0

    @property
    def latest(self) -> float:
        """Unix time of the newest tick taken in; 0 before the first."""
        return self._latest

    def run(self, tick: Tick) -> Outcome:
        """Take in a tick. One that is not newer than the last changes nothing but is answered.

        A detector that fails is left out of the outcome and named there; the others are not affected.
        """
        if tick.fleet is not self.fleet:
            raise ValueError("the tick is about another fleet than the engine's")
        outcome = Outcome(tick.now, self.fleet, incidents=self.incidents.open)
        if tick.now <= self._latest:
            return outcome
        self._latest = tick.now
        for detector in self.detectors:
            detector.enrol(self.fleet)
            began = time.perf_counter()
            try:
                outcome.verdicts[detector.name] = detector.observe(tick)
            except Exception as error:  # noqa: BLE001 - one broken detector must not silence the others
                outcome.failed[detector.name] = f"{type(error).__name__}: {error}"
            outcome.seconds[detector.name] = time.perf_counter() - began
        suspicions = [s for verdict in outcome.verdicts.values() for s in verdict.suspicions]
        outcome.incidents = self.incidents.update(tick.now, suspicions, self.fleet)
        return outcome

    def forget_absent(self) -> bool:
        """Drop the state of things not seen for two weeks; True if there were any."""
        changed = False
        for level, roster in self.fleet.roster.items():
            rows = np.flatnonzero(roster.seen > self._latest - FORGET_AFTER)
            if len(rows) < len(roster):
                rows = roster.in_places(rows)
                for detector in self.detectors:
                    detector.enrol(self.fleet)
                    detector.keep(level, rows)
                roster.keep(rows)
                changed = True
        return changed

    def dump(self) -> tuple[dict[str, object], dict[str, Floats]]:
        """Everything remembered: a part for JSON, and arrays by name."""
        header = {"fleet": self.fleet.dump(), "incidents": self.incidents.dump(), "latest": self._latest}
        arrays = {}
        for detector in self.detectors:
            detector.enrol(self.fleet)
            arrays.update({f"{detector.name}/{key}": array for key, array in detector.state().items()})
        return header, arrays

    def load(self, header: Mapping[str, object], arrays: Mapping[str, Floats]) -> list[str]:
        """Take over what `dump` gave. ValueError if it does not fit; the engine must then be thrown away.

        A part that does not fit alone (a detector whose tables are others now, the incidents) starts afresh
        alone: a line for each.
        """
        fleet, incidents, latest = header.get("fleet"), header.get("incidents"), header.get("latest")
        if (
            not isinstance(fleet, dict)
            or not isinstance(incidents, list)
            or not isinstance(latest, int | float)
        ):
            raise ValueError("header lacks fleet, incidents or latest")  # noqa: TRY004 - a file, not a caller
        self.fleet.load(fleet)
        self._latest, afresh = float(latest), []
        try:
            self.incidents.load(incidents)
        except ValueError as error:
            afresh.append(f"saved incidents do not fit ({error}): they start afresh")
        for detector in self.detectors:
            own = {
                key.removeprefix(detector.name + "/"): array
                for key, array in arrays.items()
                if key.startswith(detector.name + "/")
            }
            try:
                detector.restore(own)
                detector.check(self.fleet)
            except ValueError as error:
                detector.fit(())  # learn nothing, from nothing
                reason = f"does not fit ({error})" if own else "is not there"
                afresh.append(f"saved state of detector {detector.name} {reason}: it starts afresh")
        return afresh
