"""The figures of a backtest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.evaluation.replay import Forecast, Replay
from analytics.evaluation.truth import Event, Match, match

YEAR = 365.25 * 86400.0
_LISTED = 50


@dataclass(frozen=True, slots=True)
class HalfLife:
    """A forecast midway between the first call and the failure, in seconds; `error` is a share of `left`."""

    match: Match
    left: float
    forecast: Forecast
    moment: float

    @property
    def predicted(self) -> float:
        """Seconds left at the midway moment, as the forecast in force then has it."""
        return max(self.forecast.timestamp + self.forecast.eta - self.moment, 0.0)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 90 % interval at that moment."""
        early, late = self.forecast.earliest, self.forecast.latest
        if early is None or late is None:
            return None
        passed = self.moment - self.forecast.timestamp
        return max(early - passed, 0.0), max(late - passed, 0.0)

    @property
    def error(self) -> float:
        return abs(self.predicted - self.left) / self.left


@dataclass(slots=True)
class Evaluation:
    """Matches and what follows from them."""

    matches: list[Match]
    explained: set[str]
    half_life: list[HalfLife]
    report: dict[str, Any]


def evaluate(result: Replay, events: Sequence[Event]) -> Evaluation:
    """Per fault class and per cause: found, called before the failure, lead, pages; false alarms."""
    matches, explained = match(result, events)
    first = {name: f for name, f in result.incidents.items() if not f.silent}
    false = sorted((name for name in first if name not in explained), key=lambda n: first[n].timestamp)
    half = [one for m in matches if (one := at_half_life(m, result)) is not None]
    years = result.gpu_seconds / YEAR
    low, high = poisson_interval(len(false))
    per_class: dict[str, list[Match]] = defaultdict(list)
    for m in matches:
        per_class[m.event.fault].append(m)
    called = [one for one in matches if one.event.failure is not None]
    found = [one for one in matches if one.found is not None]
    report: dict[str, Any] = {
        "faults": {fault: summary(rows) for fault, rows in sorted(per_class.items())},
        "events": len(matches),
        "found": len(found),
        "all": summary(matches) if matches else None,
        "failures": len(called),
        "called_before_failure": sum((one.lead or 0.0) > 0 for one in called),
        "incidents": len(first),
        "silent_incidents": len(result.incidents) - len(first),
        "incidents_per_event": _pages(matches),
        "precision": len(explained) / len(first) if first else None,
        "false_alarms": len(false),
        "false_incidents": false[:_LISTED],
        "gpu_years": years,
        "false_alarms_per_gpu_year": len(false) / years if years > 0 else None,
        "false_alarms_per_gpu_year_90_percent": [low / years, high / years] if years > 0 else None,
        "causes": _causes(result, matches, explained),
        "time_to_throttle_median_error_ratio": _error_of_all(result, matches),
        "time_to_throttle_at_half_life": _half_life(half, called),
    }
    return Evaluation(matches, explained, half, report)


def summary(rows: Sequence[Match]) -> dict[str, Any]:
    """The figures of some faults. Leads are of faults that were found, late ones included."""
    delays = [one.found - one.event.start for one in rows if one.found is not None]
    leads = [one.lead for one in rows if one.lead is not None]
    failing = [one for one in rows if one.event.failure is not None]
    before = sum((one.lead or 0.0) > 0 for one in failing)
    return {
        "events": len(rows),
        "found": len(delays),
        "recall": len(delays) / len(rows),
        "median_delay_seconds": float(np.median(delays)) if delays else None,
        "median_lead_seconds": float(np.median(leads)) if leads else None,
        "p10_lead_seconds": float(np.quantile(leads, 0.1)) if leads else None,
        "failures": len(failing),
        "called_before_failure": before,
        "called_before_failure_ratio": before / len(failing) if failing else None,
        "incidents_per_event": _pages(rows),
    }


def _pages(rows: Sequence[Match]) -> float | None:
    """Mean number of incidents that one found fault made."""
    counts = [len(one.incidents) for one in rows if one.incidents]
    return float(np.mean(counts)) if counts else None


def _causes(result: Replay, matches: Sequence[Match], explained: set[str]) -> dict[str, Any]:
    """Per cause that was named: incidents, how many of them were right, faults it called first, its leads."""
    firsts: dict[str, list[Match]] = defaultdict(list)
    for one in matches:
        if one.incidents:
            firsts[one.incidents[0].cause].append(one)
    found: dict[str, Any] = {}
    incidents = [f for f in result.incidents.values() if not f.silent]
    for cause in sorted({f.cause for f in incidents}):
        own = [f for f in incidents if f.cause == cause]
        right = sum(f.incident in explained for f in own)
        leads = [one.lead for one in firsts[cause] if one.lead is not None]
        classes: dict[str, int] = defaultdict(int)
        for one in firsts[cause]:
            classes[one.event.fault] += 1
        found[cause] = {
            "incidents": len(own),
            "right": right,
            "false_alarms": len(own) - right,
            "precision": right / len(own),
            "called_first": len(firsts[cause]),
            "called_first_by_fault": dict(sorted(classes.items())),
            "median_lead_seconds": float(np.median(leads)) if leads else None,
        }
    return found


def at_half_life(one: Match, result: Replay) -> HalfLife | None:
    """The forecast in force midway between the first call and the failure; None without one."""
    failure, found = one.event.failure, one.found
    if failure is None or found is None or found >= failure:
        return None
    moment = found + 0.5 * (failure - found)
    known = [
        forecast
        for finding in one.incidents
        for forecast in result.forecasts.get(finding.incident, ())
        if forecast.timestamp <= moment
    ]
    if not known:
        return None
    return HalfLife(one, failure - moment, max(known, key=lambda forecast: forecast.timestamp), moment)


def _half_life(half: Sequence[HalfLife], called: Sequence[Match]) -> dict[str, Any]:
    errors = [one.error for one in half]
    intervals = [(one.interval, one.left) for one in half if one.interval is not None]
    inside = [low <= left <= high for (low, high), left in intervals]
    return {
        "failures_called_before": sum((one.lead or 0.0) > 0 for one in called),
        "with_forecast": len(half),
        "median_error_ratio": float(np.median(errors)) if errors else None,
        "interval_coverage_ratio": float(np.mean(inside)) if inside else None,
        "with_interval": len(inside),
    }


def _error_of_all(result: Replay, matches: Sequence[Match]) -> float | None:
    """Median error of all forecasts that were reported, as a share of the time that was left."""
    errors = []
    for one in matches:
        names = {finding.incident for finding in one.incidents}
        for finding in result.findings:
            left = (one.event.failure or 0.0) - finding.timestamp
            if finding.incident in names and finding.eta is not None and left > 0:
                errors.append(abs(finding.eta - left) / left)
    return float(np.median(errors)) if errors else None


def poisson_interval(count: int, share: float = 0.9) -> tuple[float, float]:
    """The exact interval (Garwood) of the mean of a Poisson distribution of which `count` were seen."""
    from scipy.stats import chi2

    rest = (1 - share) / 2
    low = 0.5 * float(chi2.ppf(rest, 2 * count)) if count else 0.0
    return low, 0.5 * float(chi2.ppf(1 - rest, 2 * count + 2))
