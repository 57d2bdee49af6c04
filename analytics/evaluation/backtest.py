"""Backtests: how well the detectors do on a recorded fleet whose faults are known.

The truth is read after detection is over; nothing here reaches the detectors.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.evaluation.metrics import Evaluation, evaluate
from analytics.evaluation.replay import Replay, rows_of
from analytics.evaluation.truth import Event, Match, read_truth
from analytics.evaluation.words import span
from analytics.recording import open_recording
from analytics.recording.ordering import Progress
from analytics.score import atomic_text
from analytics.training.jobs import Plan, run
from gigawatch.errors import FileError, UserError

__all__ = ["Wanted", "backtest", "calibrate", "read_truth", "table", "write_findings"]
_HORIZONS = (3600.0, 86400.0, 604800.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to come out beside the figures, and how the work is done."""

    html: Path | None = None
    """Where the report with pictures goes."""
    risk: Path | None = None
    """Where the calibrated failure risk goes, as settings of the service."""
    plan: Plan = field(default_factory=Plan)


def write_findings(path: Path, result: Replay) -> None:
    """All findings, one row each; the file appears only once it is complete."""
    with atomic_text(path) as file:
        csv.writer(file, lineterminator="\n").writerows(rows_of(result))


def calibrate(result: Replay, matches: Sequence[Match]) -> dict[str, Any]:
    """Fit the two numbers of the failure risk to what followed the forecasts of this history.

    Logistic regression of "failed within the horizon" on log(horizon / forecast), over all forecasts and the
    three horizons.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import brier_score_loss

    ends: dict[str, list[float]] = {}
    for one in matches:
        if one.event.failure is not None:
            for finding in one.incidents:
                ends.setdefault(finding.incident, []).append(one.event.failure)
    rows, failed = [], []
    for finding in result.findings:
        if finding.eta is None:
            continue
        left = [end - finding.timestamp for end in ends.get(finding.incident, ())]
        for horizon in _HORIZONS:
            rows.append(np.log(horizon / max(finding.eta, 1.0)))
            failed.append(any(0 <= seconds <= horizon for seconds in left))
    if len(set(failed)) < 2:
        return {"samples": len(rows), "note": "forecasts of both outcomes are needed; nothing was fitted"}
    x = np.array(rows)[:, None]
    model = LogisticRegression(C=10.0).fit(x, failed)
    if model.coef_[0][0] <= 0:
        return {
            "samples": len(rows),
            "note": "forecasts tell nothing about failures here; nothing was fitted",
        }
    brier = brier_score_loss(failed, model.predict_proba(x)[:, 1])
    return {
        "samples": len(rows),
        "intercept": round(float(model.intercept_[0]), 4),
        "slope": round(float(model.coef_[0][0]), 4),
        "brier": round(float(brier), 4),
    }


def write_risk(path: Path, risk: dict[str, Any]) -> None:
    """The calibrated risk as settings of the service. UserError if nothing could be fitted."""
    if "slope" not in risk:
        raise UserError(f"{path}: not written: {risk['note']}")
    with atomic_text(path) as file:
        file.write(
            f"# Settings of `gigawatch analytics serve`, from {risk['samples']} forecasts "
            f"(Brier score {risk['brier']:g}).\n"
            f"risk:\n  intercept: {risk['intercept']:g}\n  slope: {risk['slope']:g}\n"
        )


def backtest(
    source: Path,
    truth: Path | None,
    findings: Path | None,
    fit_risk: bool,
    second: bool,
    wanted: Wanted | None = None,
    progress: Progress = lambda _stage, _share: None,
) -> dict[str, Any]:
    """The whole backtest as one report; reads `truth` only after the detectors are done."""
    wanted = wanted or Wanted()
    _can_be_written(findings, wanted.html, wanted.risk)
    if truth is not None and not truth.is_file():
        raise FileError(truth, "", "cannot be read (no such file)", "check the path")
    plan = wanted.plan
    recording = open_recording(source, plan.scratch, plan.align, progress=progress)
    result = run(recording, plan, progress).result
    if findings is not None:
        write_findings(findings, result)
    report: dict[str, Any] = {
        "input": str(source),
        "gpus": len(result.places),
        "ticks": result.ticks,
        "rows": recording.rows,
        "points": result.points,
        "seconds_of_data": result.duration,
        "step_seconds": result.step,
        "points_per_second": round(result.points / result.seconds_spent) if result.seconds_spent else None,
        "detector_share_of_time": (
            round(result.detector_seconds / result.seconds_spent, 3) if result.seconds_spent else None
        ),
        "findings": len(result.findings),
        "detector_errors": result.errors,
    }
    evaluation: Evaluation | None = None
    events: list[Event] = []
    if truth is None:
        report["incidents"] = len(result.incidents)
    else:
        events = read_truth(truth)
        evaluation = evaluate(result, events)
        report.update(evaluation.report)
    if evaluation is not None and fit_risk:
        report["risk"] = calibrate(result, evaluation.matches)
        if wanted.risk is not None:
            write_risk(wanted.risk, report["risk"])
    if second:
        from analytics.evaluation.second_opinion import second_opinion

        report["second_opinion"] = second_opinion(recording, events)
    if wanted.html is not None:
        from analytics.evaluation.report import write_report

        write_report(wanted.html, report, recording, result, evaluation)
    return report


def _can_be_written(*paths: Path | None) -> None:
    """FileError before hours of work, not after them."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise FileError(path, "", "cannot be written (no such folder)", "make the folder first")
        if path is not None and path.is_dir():
            raise FileError(path, "", "cannot be written (it is a folder)", "name a file")


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    days = report["seconds_of_data"] / 86400.0
    lines = [
        f"{report['gpus']} GPUs, {report['ticks']} ticks over {days:.3g} days",
        f"{report['findings']} findings in {report['incidents']} incidents",
    ]
    faults = report.get("faults")
    if faults:
        lines += ["", _per_fault(faults).to_string(na_rep="-"), ""]
    if "false_alarms" in report:
        lines += _overall(report)
    lines += [f"detector failed: {problem}" for problem in report["detector_errors"]]
    return "\n".join(lines)


def _per_fault(faults: dict[str, dict[str, Any]]) -> pd.DataFrame:
    rows = {
        fault: {
            "events": row["events"],
            "found": row["found"],
            "before failure": f"{row['called_before_failure']} of {row['failures']}"
            if row["failures"]
            else "-",
            "median lead": span(row["median_lead_seconds"]),
            "p10 lead": span(row["p10_lead_seconds"]),
            "median delay": span(row["median_delay_seconds"]),
            "incidents each": "-"
            if row["incidents_per_event"] is None
            else f"{row['incidents_per_event']:.2g}",
        }
        for fault, row in faults.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _overall(report: dict[str, Any]) -> list[str]:
    lines = [f"{report['false_alarms']} false alarms in {report['gpu_years']:.3g} GPU-years"]
    if report["false_alarms_per_gpu_year"] is not None:
        low, high = report["false_alarms_per_gpu_year_90_percent"]
        lines[0] += (
            f": {report['false_alarms_per_gpu_year']:.3g} per GPU-year (90 %: {low:.2g} to {high:.2g})"
        )
    if report["precision"] is not None:
        lines.append(f"{100 * report['precision']:.0f} % of {report['incidents']} incidents were right")
    half = report["time_to_throttle_at_half_life"]
    if half["median_error_ratio"] is not None:
        text = (
            f"time to throttle, midway to the failure: median error {100 * half['median_error_ratio']:.0f} %"
        )
        if half["interval_coverage_ratio"] is not None:
            text += f", {100 * half['interval_coverage_ratio']:.0f} % inside the 90 % interval"
        lines.append(f"{text} ({half['with_forecast']} forecasts)")
    return lines
