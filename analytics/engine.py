"""One tick after another through all detectors; the outcome as readings of the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.columns import Floats
from analytics.detectors import Detector, Verdict, detector_classes
from analytics.detectors.thermal_outlook import risk_of
from analytics.fleet import Fleet, Level, Roster, Tick
from analytics.incidents import Incident, Incidents
from gigawatch.catalogue import Metric, findings
from gigawatch.catalogue.findings import HORIZONS, PLACE
from gigawatch.config import parse_duration
from gigawatch.readings import Reading

log = logging.getLogger(__name__)
FORGET_AFTER = 14 * 86400.0
"""Seconds after which a thing that is no longer seen is forgotten."""
_SHARED = (Level.RACK, Level.LOOP)
"""Every shard sees these whole; the one that owns the name speaks for it."""
Risk = Callable[[Floats, float], Floats]


@dataclass(slots=True)
class Outcome:
    """What a tick came to."""

    now: float
    fleet: Fleet
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Detectors that raised, with one line each."""


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
            try:
                outcome.verdicts[detector.name] = detector.observe(tick)
            except Exception as error:  # noqa: BLE001 - one broken detector must not silence the others
                outcome.failed[detector.name] = f"{type(error).__name__}: {error}"
        suspicions = [s for verdict in outcome.verdicts.values() for s in verdict.suspicions]
        outcome.incidents = self.incidents.update(tick.now, suspicions, self.fleet)
        return outcome

    def forget_absent(self) -> bool:
        """Drop the state of things not seen for two weeks; True if there were any."""
        changed = False
        for level, roster in self.fleet.roster.items():
            rows = np.flatnonzero(roster.seen > self._latest - FORGET_AFTER)
            if len(rows) < len(roster):
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

    def load(self, header: Mapping[str, object], arrays: Mapping[str, Floats]) -> None:
        """Take over what `dump` gave. ValueError if it does not fit; the engine must then be thrown away."""
        fleet, incidents, latest = header.get("fleet"), header.get("incidents"), header.get("latest")
        if (
            not isinstance(fleet, dict)
            or not isinstance(incidents, list)
            or not isinstance(latest, int | float)
        ):
            raise ValueError("header lacks fleet, incidents or latest")  # noqa: TRY004 - a file, not a caller
        self.fleet.load(fleet)
        self.incidents.load(incidents)
        self._latest = float(latest)
        for detector in self.detectors:
            own = {
                key.removeprefix(detector.name + "/"): array
                for key, array in arrays.items()
                if key.startswith(detector.name + "/")
            }
            detector.restore(own)
            detector.check(self.fleet)


class Exposition:
    """Turns outcomes into readings; label values are kept from tick to tick."""

    def __init__(self, risk: Risk = risk_of, owns: Callable[[str], bool] = lambda _name: True) -> None:
        self._risk, self._owns = risk, owns
        self._labels: dict[tuple[str, Level], tuple[tuple[object, ...], list[tuple[str, ...]]]] = {}

    def readings(self, outcome: Outcome) -> Iterator[Reading]:
        """Findings of a tick, absent where nothing can be said."""
        gpus = outcome.fleet[Level.GPU]
        for name, verdict in outcome.verdicts.items():
            for scores in verdict.scores:
                places = self._places(outcome.fleet[scores.level])
                head = (name, scores.signal)
                for row in np.flatnonzero(np.isfinite(scores.values)):
                    if scores.level in _SHARED and not self._owns(outcome.fleet[scores.level].keys[row]):
                        continue
                    value = round(float(scores.values[row]), 4)
                    yield Reading(findings.ANOMALY_SCORE, head + places[row], value)
            for estimate in verdict.estimates:
                yield from self._estimate(gpus, estimate.metric, estimate.values)
        for incident in outcome.incidents:
            if incident.scope in _SHARED and not self._owns(incident.key):
                continue
            labels = (incident.name, incident.cause, incident.scope, incident.place)
            yield Reading(findings.INCIDENT_INFO, labels, 1.0)
            yield Reading(findings.INCIDENT_AFFECTED_GPUS, (incident.name,), float(len(incident.gpus)))

    def _estimate(self, gpus: Roster, metric: Metric, values: Floats) -> Iterator[Reading]:
        for row in np.flatnonzero(np.isfinite(values)):
            yield Reading(metric, self._gpu(gpus, row), float(values[row]))
        if metric is findings.TIME_TO_THROTTLE:
            for horizon in HORIZONS:
                risk = self._risk(values, parse_duration(horizon))
                for row in np.flatnonzero(np.isfinite(risk)):
                    yield Reading(
                        findings.FAILURE_RISK, (horizon, *self._gpu(gpus, row)), round(float(risk[row]), 4)
                    )

    def _gpu(self, gpus: Roster, row: int | np.signedinteger) -> tuple[str, ...]:
        return tuple(gpus.labels[label][int(row)] for label in ("rack", "node", "gpu", "uuid"))

    def _places(self, roster: Roster) -> list[tuple[str, ...]]:
        columns = tuple(roster.labels.get(label) for label in PLACE)
        stamp = tuple(tuple(column) if column is not None else () for column in columns)
        cached = self._labels.get(("", roster.level))
        if cached is not None and cached[0] == stamp:
            return cached[1]
        empty = [""] * len(roster)
        places = list(zip(*(column if column is not None else empty for column in columns), strict=True))
        self._labels[("", roster.level)] = (stamp, places)
        return places
