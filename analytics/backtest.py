"""Backtests: how well the detectors do on a recorded fleet whose faults are known.

The truth is read after detection is over; nothing here reaches the detectors.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analytics.files import read_table, require, times
from analytics.fleet import Fleet, Level
from analytics.replay import Finding, Replay, read_recording, replay
from analytics.score import atomic_text
from gigawatch.errors import FileError

GRACE = 600.0
"""Seconds after the end of a fault in which a finding still counts as found late."""
YEAR = 365.25 * 86400.0
_HORIZONS = (3600.0, 86400.0, 604800.0)


@dataclass(frozen=True, slots=True)
class Event:
    """One known fault."""

    entity: str
    fault: str
    start: float
    end: float
    failure: float | None


def read_truth(path: Path) -> list[Event]:
    """Faults of a truth file. FileError, one line, if it cannot be used."""
    if not path.exists():
        raise FileError(path, "", "cannot be read (no such file)", "check the path")
    frame = read_table(path)
    require(path, frame, ("entity", "fault", "start", "end"))
    start, end = times(path, frame, "start"), times(path, frame, "end")
    failure = np.full(len(frame), np.nan)
    if "failure_time" in frame.columns:
        given = frame["failure_time"].fillna("").astype(str).str.strip() != ""
        if given.any():
            failure[given.to_numpy()] = times(path, frame[given], "failure_time")
    return [
        Event(str(entity), str(fault), float(a), float(b), float(f) if np.isfinite(f) else None)
        for entity, fault, a, b, f in zip(frame["entity"], frame["fault"], start, end, failure, strict=True)
    ]


def members(entity: str, fleet: Fleet) -> frozenset[str]:
    """UUIDs of the GPUs that an entity stands for; empty where it holds none (a feed)."""
    kind, _, name = entity.partition(":")
    gpus = fleet[Level.GPU]
    if kind in ("node", "rack", "loop") and name:
        return frozenset(u for u, owner in zip(gpus.keys, gpus.labels[kind], strict=True) if owner == name)
    return frozenset({entity}) if gpus.find(entity) is not None else frozenset()


def matches(finding: Finding, event: Event, fleet: Fleet) -> bool:
    """Whether a finding points at an event: at that time, at that thing or at mostly the same GPUs."""
    if not event.start <= finding.timestamp <= max(event.end, event.failure or 0.0) + GRACE:
        return False
    if finding.entity == event.entity:
        return True
    hit, there = frozenset(finding.gpus), members(event.entity, fleet)
    return bool(hit & there) and 2 * len(hit & there) >= min(len(hit), len(there))


def evaluate(result: Replay, events: list[Event], fleet: Fleet, duration: float) -> dict[str, object]:
    """Per fault class: events, found, lead and delay; over all: false alarms per GPU-year."""
    first = result.incidents
    explained: set[str] = set()
    per_class: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    errors = []
    for event in events:
        mine = [f for f in result.findings if matches(f, event, fleet)]
        hits = [f for f in first.values() if matches(f, event, fleet)]
        explained |= {f.incident for f in hits}
        early = min(hits, key=lambda f: f.timestamp, default=None)
        per_class[event.fault].append(
            {
                "delay": None if early is None else early.timestamp - event.start,
                "lead": None if early is None or event.failure is None else event.failure - early.timestamp,
            }
        )
        for finding in mine:
            left = (event.failure or 0.0) - finding.timestamp
            if finding.eta is not None and left > 0:
                errors.append(abs(finding.eta - left) / left)
    false = sorted(set(first) - explained)
    years = len(fleet[Level.GPU]) * duration / YEAR
    return {
        "faults": {fault: _summary(rows) for fault, rows in sorted(per_class.items())},
        "events": len(events),
        "found": sum(row["delay"] is not None for rows in per_class.values() for row in rows),
        "incidents": len(first),
        "false_alarms": len(false),
        "false_incidents": false[:50],
        "gpu_years": years,
        "false_alarms_per_gpu_year": len(false) / years if years > 0 else None,
        "time_to_throttle_median_error_ratio": float(np.median(errors)) if errors else None,
    }


def _summary(rows: list[dict[str, float | None]]) -> dict[str, object]:
    delays = [row["delay"] for row in rows if row["delay"] is not None]
    leads = [row["lead"] for row in rows if row["lead"] is not None]
    return {
        "events": len(rows),
        "found": len(delays),
        "recall": len(delays) / len(rows),
        "median_delay_seconds": float(np.median(delays)) if delays else None,
        "median_lead_seconds": float(np.median(leads)) if leads else None,
        "p10_lead_seconds": float(np.quantile(leads, 0.1)) if leads else None,
    }


def write_findings(path: Path, result: Replay) -> None:
    """All findings, one row each; the file appears only once it is complete."""
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("timestamp", "entity", "cause", "score", "eta_seconds", "incident"))
        for f in result.findings:
            eta = "" if f.eta is None else f"{f.eta:g}"
            writer.writerow(
                (f"{f.timestamp:.3f}".rstrip("0").rstrip("."), f.entity, f.cause, f.score, eta, f.incident)
            )


def calibrate(result: Replay, events: list[Event], fleet: Fleet) -> dict[str, object]:
    """Fit the two numbers of the failure risk to what followed the forecasts of this history.

    Logistic regression of "failed within the horizon" on log(horizon / forecast), over all forecasts and the
    three horizons.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import brier_score_loss

    rows, failed = [], []
    for finding in result.findings:
        if finding.eta is None:
            continue
        ends = [e.failure for e in events if e.failure is not None and matches(finding, e, fleet)]
        for horizon in _HORIZONS:
            rows.append(np.log(horizon / max(finding.eta, 1.0)))
            failed.append(any(0 <= end - finding.timestamp <= horizon for end in ends))
    if len(set(failed)) < 2:
        return {"samples": len(rows), "note": "forecasts of both outcomes are needed; nothing was fitted"}
    x = np.array(rows)[:, None]
    model = LogisticRegression(C=10.0).fit(x, failed)
    brier = brier_score_loss(failed, model.predict_proba(x)[:, 1])
    return {
        "samples": len(rows),
        "intercept": round(float(model.intercept_[0]), 4),
        "slope": round(float(model.coef_[0][0]), 4),
        "brier": round(float(brier), 4),
    }


def backtest(
    source: Path, truth: Path | None, findings: Path | None, fit_risk: bool, second: bool
) -> dict[str, object]:
    """The whole backtest as one report; reads `truth` only after the detectors are done."""
    recording = read_recording(source)
    began = time.perf_counter()
    result = replay(recording)
    spent = time.perf_counter() - began
    if findings is not None:
        write_findings(findings, result)
    report: dict[str, object] = {
        "input": str(source),
        "gpus": len(recording.fleet[Level.GPU]),
        "ticks": result.ticks,
        "seconds_of_data": recording.duration,
        "points_per_second": round(result.points / spent) if spent else None,
        "findings": len(result.findings),
        "detector_errors": sorted(set(result.errors)),
    }
    if truth is None:
        report["incidents"] = len(result.incidents)
        return report
    events = read_truth(truth)
    report.update(evaluate(result, events, recording.fleet, recording.duration))
    if fit_risk:
        report["risk"] = calibrate(result, events, recording.fleet)
    if second:
        from analytics.second_opinion import second_opinion

        report["second_opinion"] = second_opinion(recording, events)
    return report


def table(report: dict[str, object]) -> str:
    """The report for people."""
    faults = report.get("faults")
    lines = [f"{report['gpus']} GPUs, {report['ticks']} ticks, {report['findings']} findings"]
    if isinstance(faults, dict) and faults:
        lines.append(pd.DataFrame.from_dict(faults, orient="index").round(1).to_string(na_rep="-"))
        lines.append(
            f"{report['false_alarms']} false alarms, {report['false_alarms_per_gpu_year']:.3g} per GPU-year"
        )
    problems = report["detector_errors"]
    if isinstance(problems, list):
        lines += [f"detector failed: {problem}" for problem in problems]
    return "\n".join(lines)
