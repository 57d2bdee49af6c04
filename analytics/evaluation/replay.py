"""A recorded fleet, played through the engine: every finding, and what is needed to judge them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from analytics.detectors import detector_classes
from analytics.engine import Engine
from analytics.fleet import Fleet, Level, Tick
from analytics.incidents import Incident
from analytics.recording import LABEL_COLUMNS, Recording, open_recording

__all__ = ["LABEL_COLUMNS", "Finding", "Forecast", "Recording", "Replay", "open_recording", "replay"]
_ETA_STEP = 0.2
"""A forecast that moved by this share is reported again."""
_TRACK_STEP = 0.02
"""A forecast whose moment moved by this share of the time left is kept for the evaluation."""
_PLACES = ("node", "rack", "loop")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the findings file. `silent`: nobody is called for it (maintenance, marked as known)."""

    timestamp: float
    entity: str
    cause: str
    score: float
    eta: float | None
    incident: str
    gpus: tuple[str, ...]
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """What an incident foretold at a moment: seconds until the failure and their 90 % interval, if any."""

    timestamp: float
    eta: float
    earliest: float | None
    latest: float | None


@dataclass(slots=True)
class Replay:
    """Everything the engine said about a recording, and how much it was shown."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ticks: int = 0
    points: int = 0
    gpu_seconds: float = 0.0
    """Time covered by rows that were really there."""
    step: float = 0.0
    """Seconds between ticks (median)."""
    first: float = 0.0
    last: float = 0.0
    seconds_spent: float = 0.0
    """Processor time of reading and scoring."""
    detector_seconds: float = 0.0
    forecasts: dict[str, list[Forecast]] = field(default_factory=dict)
    """By incident, oldest first."""
    places: dict[str, dict[str, str]] = field(default_factory=dict)
    """Node, rack and loop of every GPU, by UUID."""

    @property
    def incidents(self) -> dict[str, Finding]:
        """The first finding of every incident."""
        first: dict[str, Finding] = {}
        for finding in self.findings:
            first.setdefault(finding.incident, finding)
        return first

    @property
    def duration(self) -> float:
        """Seconds from the first tick to the last."""
        return self.last - self.first


def new_engine(fleet: Fleet) -> Engine:
    """An engine with all detectors that take part in backtests."""
    return Engine([new() for new in detector_classes() if new.suspects], fleet)


def replay(recording: Recording, engine: Engine | None = None) -> Replay:
    """Run all detectors over the recording, in time order, without knowing what comes next."""
    engine = engine or new_engine(recording.fleet)
    result = Replay()
    began = time.process_time()
    moments: list[float] = []
    told: dict[str, float | None] = {}
    for tick in recording.ticks():
        before = time.process_time()
        outcome = engine.run(tick)
        result.detector_seconds += time.process_time() - before
        moments.append(tick.now)
        result.points += _points(tick)
        result.errors += [
            text
            for name, problem in outcome.failed.items()
            if (text := f"{name}: {problem}") not in result.errors
        ]
        for incident in outcome.incidents:
            _note(tick.now, incident, told, result)
    result.findings.sort(key=_order)
    result.ticks = len(moments)
    result.seconds_spent = time.process_time() - began
    result.step = float(np.median(np.diff(moments))) if len(moments) > 1 else 0.0
    result.gpu_seconds = result.step * sum(recording.present)
    if moments:
        result.first, result.last = moments[0], moments[-1]
    gpus = recording.fleet[Level.GPU]
    rows = zip(gpus.keys, *(gpus.labels[label] for label in _PLACES), strict=True)
    result.places = {uuid: dict(zip(_PLACES, where, strict=True)) for uuid, *where in rows}
    return result


def _points(tick: Tick) -> int:
    return sum(int(np.count_nonzero(values == values)) for values in tick.values.values())


def _note(now: float, incident: Incident, told: dict[str, float | None], result: Replay) -> None:
    name, eta = incident.name, incident.eta
    if name not in told or _moved(told[name], eta):
        told[name] = eta
        result.findings.append(_finding(now, incident))
    if eta is None:
        return
    track = result.forecasts.setdefault(name, [])
    if not track or abs(now + eta - track[-1].timestamp - track[-1].eta) > _TRACK_STEP * eta:
        track.append(Forecast(now, eta, incident.earliest, incident.latest))


def _moved(before: float | None, now: float | None) -> bool:
    if now is None:
        return False
    return before is None or abs(now - before) > _ETA_STEP * before


def _finding(now: float, incident: Incident) -> Finding:
    eta = None if incident.eta is None else round(incident.eta, 1)
    score = round(incident.score, 4)
    return Finding(
        now, incident.entity, incident.cause, score, eta, incident.name, tuple(incident.gpus),
        bool(incident.known),
    )  # fmt: skip


def _order(finding: Finding) -> tuple[float, str]:
    return finding.timestamp, finding.incident


def combined(parts: Iterable[Replay]) -> Replay:
    """What was said about parts of one fleet, as if it had been one."""
    every = list(parts)
    whole = Replay(
        findings=sorted((f for part in every for f in part.findings), key=_order),
        errors=sorted({e for part in every for e in part.errors}),
        ticks=max((part.ticks for part in every), default=0),
        points=sum(part.points for part in every),
        gpu_seconds=sum(part.gpu_seconds for part in every),
        step=float(np.median([part.step for part in every])) if every else 0.0,
        first=min((part.first for part in every if part.ticks), default=0.0),
        last=max((part.last for part in every), default=0.0),
        seconds_spent=sum(part.seconds_spent for part in every),
        detector_seconds=sum(part.detector_seconds for part in every),
    )
    for part in every:
        whole.forecasts.update(part.forecasts)
        whole.places.update(part.places)
    return whole


def rows_of(result: Replay) -> Iterator[tuple[object, ...]]:
    """The findings as rows of the findings file, header first."""
    yield ("timestamp", "entity", "cause", "score", "eta_seconds", "incident")
    for f in result.findings:
        eta = "" if f.eta is None else f"{f.eta:g}"
        yield (f"{f.timestamp:.3f}".rstrip("0").rstrip("."), f.entity, f.cause, f.score, eta, f.incident)
