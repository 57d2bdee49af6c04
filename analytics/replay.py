"""A recorded fleet (CSV or Parquet, one row per time and GPU) as ticks, and what the engine says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from analytics.columns import Floats, Ints
from analytics.detectors import detector_classes
from analytics.engine import Engine
from analytics.files import numbers, read_table, require, times
from analytics.fleet import IDENTITY, Fleet, Level, Tick
from analytics.incidents import Incident
from analytics.signals import ESSENTIAL, SIGNALS
from gigawatch.errors import FileError

LABEL_COLUMNS = ("site", "hall", "row", "rack", "node", "gpu", "uuid", "loop", "job", "job_id", "workload")
_ETA_STEP = 0.2
"""A forecast that moved by this share is reported again."""


@dataclass(slots=True)
class Recording:
    """A file as columns sorted by time; `rows` gives the GPU of every row (-1: the row is about no GPU)."""

    path: Path
    fleet: Fleet
    seconds: Floats
    columns: dict[str, Floats]
    rows: dict[Level, Ints]

    @property
    def duration(self) -> float:
        """Seconds from the first row to the last."""
        return float(self.seconds[-1] - self.seconds[0])

    def ticks(self) -> Iterator[Tick]:
        """One tick per time, oldest first."""
        edges = np.flatnonzero(np.diff(self.seconds)) + 1
        starts = np.concatenate(([0], edges))
        ends = np.concatenate((edges, [len(self.seconds)]))
        for start, end in zip(starts, ends, strict=True):
            tick = Tick(float(self.seconds[start]), self.fleet)
            for signal in SIGNALS:
                if signal.column not in self.columns:
                    continue
                values = np.full(len(self.fleet[signal.level]), np.nan)
                rows = self.rows[signal.level][start:end]
                cells = self.columns[signal.column][start:end]
                use = (rows >= 0) & np.isfinite(cells)
                values[rows[use]] = cells[use]
                tick.values[signal.key] = values  # noqa: PD011 - a dictionary, no data frame
            yield tick


def read_recording(path: Path) -> Recording:
    """Load a recorded fleet. FileError, one line, names file, line and column of the first thing wrong."""
    frame = read_table(path, text=("timestamp", *LABEL_COLUMNS))
    require(path, frame, ("timestamp", "uuid", *(signal.column for signal in ESSENTIAL)))
    seconds = times(path, frame)
    for label in LABEL_COLUMNS:
        if label in frame.columns:
            frame[label] = frame[label].fillna("").astype(str)
    twice = pd.DataFrame({"t": seconds, "uuid": frame["uuid"]}).duplicated() & (frame["uuid"] != "")
    if twice.any():
        line = int(np.argmax(twice.to_numpy())) + 2
        raise FileError(
            path, "column 'timestamp'", "a second row for this GPU and time", "keep one of the two", line
        )
    columns = {s.column: numbers(path, frame, s.column) for s in SIGNALS if s.column in frame.columns}
    order = np.argsort(seconds, kind="stable")
    fleet = Fleet()
    job = next((name for name in ("job_id", "job", "workload") if name in frame.columns), None)
    if job is not None and job != "job":
        frame["job"] = frame[job]
    rows = {level: _enrol(frame, fleet, level)[order] for level in Level}
    return Recording(path, fleet, seconds[order], {k: v[order] for k, v in columns.items()}, rows)


def _enrol(frame: pd.DataFrame, fleet: Fleet, level: Level) -> Ints:
    own = IDENTITY[level]
    if own not in frame.columns:
        return np.full(len(frame), -1, np.intp)
    codes, names = pd.factorize(frame[own])
    first = frame.drop_duplicates(own).set_index(own, drop=False)
    known = [label for label in fleet[level].labels if label in first.columns]
    keys = [name for name in names if name]
    labels = [{str(k): str(v) for k, v in row.items()} for row in first.loc[keys, known].to_dict("records")]
    found = fleet[level].rows(keys, labels)
    by_code = np.full(len(names), -1, np.intp)
    by_code[[i for i, name in enumerate(names) if name]] = found
    return by_code[codes]


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the findings file."""

    timestamp: float
    entity: str
    cause: str
    score: float
    eta: float | None
    incident: str
    gpus: tuple[str, ...]


@dataclass(slots=True)
class Replay:
    """Everything the engine said about a recording."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    ticks: int = 0
    points: int = 0

    @property
    def incidents(self) -> dict[str, Finding]:
        """The first finding of every incident."""
        first: dict[str, Finding] = {}
        for finding in self.findings:
            first.setdefault(finding.incident, finding)
        return first


def replay(recording: Recording) -> Replay:
    """Run all detectors over the recording, in time order, without knowing what comes next."""
    detectors = [new() for new in detector_classes() if new.suspects]
    engine, result = Engine(detectors, recording.fleet), Replay()
    told: dict[str, float | None] = {}
    for tick in recording.ticks():
        outcome = engine.run(tick)
        result.ticks += 1
        result.points += sum(int(np.isfinite(values).sum()) for values in tick.values.values())  # noqa: PD011 - same
        result.errors += [f"{name}: {problem}" for name, problem in outcome.failed.items()]
        for incident in outcome.incidents:
            if incident.name not in told or _moved(told[incident.name], incident.eta):
                told[incident.name] = incident.eta
                result.findings.append(_finding(tick.now, incident))
    return result


def _moved(before: float | None, now: float | None) -> bool:
    if now is None:
        return False
    return before is None or abs(now - before) > _ETA_STEP * before


def _finding(now: float, incident: Incident) -> Finding:
    eta = None if incident.eta is None else round(incident.eta, 1)
    score = round(incident.score, 4)
    return Finding(now, incident.entity, incident.cause, score, eta, incident.name, tuple(incident.gpus))
