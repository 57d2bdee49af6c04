"""The fleet part of `detector_comparison.py`: a recorded fleet with known faults, ours beside the others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import comparison_methods as methods
import numpy as np

from analytics.evaluation.metrics import evaluate
from analytics.evaluation.replay import Finding, Replay, replay
from analytics.evaluation.truth import Event, read_truth
from analytics.fleet import Level
from analytics.recording import open_recording
from analytics.signals import POWER, TEMPERATURE

GRID = 600.0
"""The others see means of ten minutes; ours every row."""
_IN_A_ROW = 3
_QUIET = 144
"""Rows for which the same GPU is not called again: a day."""
_THRESHOLDS = 30


def compare(path: Path, truth: Path) -> dict[str, Any]:
    """Every method at the threshold that is best for it on this very history; ours as it is."""
    events = read_truth(truth)
    recording = open_recording(path)
    began = time.process_time()
    result = replay(recording)
    spent = time.process_time() - began
    ours = _figures(evaluate(result, events).report)
    ours |= {"threshold": "as it is", "points_per_second": round(result.points / spent)}
    rows: dict[str, Any] = {"Gigawatch": ours}
    times, keys, power, heat = _grid(path)
    node = np.array([result.places[key]["node"] for key in keys])
    about = Replay(gpu_seconds=result.gpu_seconds, places=result.places)
    for name, series in methods.SERIES.items():
        began = time.process_time()
        if name == "Netdata-like":
            scores = methods.netdata_like(_filled(heat), times, window=36)
        else:
            scores = series(_filled(heat), times)
        rows[name] = _best(scores, times, keys, events, about)
        rows[name]["points_per_second"] = round(heat.size / max(time.process_time() - began, 1e-9))
    features = _features(power, heat, node)
    split = len(times) // 4
    for name, method in methods.tables()[0].items():
        if name == "random":
            continue
        began = time.process_time()
        scores = _by_table(method, features, split)
        rows[name] = _best(scores, times, keys, events, about)
        rows[name]["points_per_second"] = round(features.size / max(time.process_time() - began, 1e-9))
    return {
        "input": path.name,
        "gpus": len(keys),
        "events": len(events),
        "gpu_years": round(result.gpu_seconds / (365.25 * 86400), 2),
        "methods": rows,
    }


def _grid(path: Path) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
    """Means of ten minutes of power and temperature, [moments, GPUs]."""
    recording = open_recording(path)
    sums: dict[int, list[np.ndarray]] = {}
    for tick in recording.ticks():
        values = np.stack([tick.value(s.key, Level.GPU) for s in (POWER, TEMPERATURE)])
        there = np.isfinite(values)
        held = sums.setdefault(int(tick.now // GRID), [np.zeros((2, 0)), np.zeros((2, 0))])
        for i, new in enumerate((np.where(there, values, 0.0), there.astype(float))):
            old = np.pad(held[i], ((0, 0), (0, new.shape[1] - held[i].shape[1])))
            held[i] = old + new
    gpus = len(recording.fleet[Level.GPU])
    moments = np.arange(min(sums), max(sums) + 1)
    out = np.full((2, len(moments), gpus), np.nan)
    for moment, (total, count) in sums.items():
        n = total.shape[1]
        with np.errstate(invalid="ignore"):
            out[:, moment - moments[0], :n] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return moments * GRID, list(recording.fleet[Level.GPU].keys), out[0], out[1]


def _filled(values: np.ndarray) -> np.ndarray:
    """Gaps hold the last value; before the first one there is none."""
    import pandas as pd

    return pd.DataFrame(values).ffill().to_numpy()


def _features(power: np.ndarray, heat: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Power and temperature, themselves and less the node's median: [moments, GPUs, 4]."""
    columns = []
    for values in (power, heat):
        away = np.full(values.shape, np.nan)
        for name in np.unique(node):
            own = node == name
            with np.errstate(invalid="ignore"):
                import warnings

                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    away[:, own] = values[:, own] - np.nanmedian(values[:, own], axis=1, keepdims=True)
        columns += [values, away]
    return np.stack(columns, axis=2)


def _by_table(method: methods.Table, features: np.ndarray, split: int) -> np.ndarray:
    out = np.zeros(features.shape[:2])
    full = np.isfinite(features).all(axis=2)
    train = features[:split][full[:split]]
    test = features[split:][full[split:]]
    later = np.zeros(full[split:].shape)
    later[full[split:]] = method(train, test)
    out[split:] = later
    return out


def _best(
    scores: np.ndarray, times: np.ndarray, keys: list[str], events: list[Event], about: Replay
) -> dict[str, Any]:
    """The threshold with the best F1 of faults found and calls that were right."""
    lasting = np.min([np.roll(scores, k, axis=0) for k in range(_IN_A_ROW)], axis=0)
    lasting[:_IN_A_ROW] = 0.0
    best: dict[str, Any] = {"f1": -1.0}
    for threshold in np.unique(np.quantile(lasting, 1 - np.logspace(-5, -1, _THRESHOLDS))):
        if threshold <= 0:
            continue
        result = Replay(
            _calls(lasting > threshold, times, keys), gpu_seconds=about.gpu_seconds, places=about.places
        )
        report = evaluate(result, events).report
        right, found = report["precision"] or 0.0, report["found"] / max(report["events"], 1)
        f1 = 2 * right * found / (right + found) if right + found else 0.0
        if f1 > best["f1"]:
            best = _figures(report) | {"f1": round(f1, 3), "threshold": round(float(threshold), 4)}
    return best


def _calls(over: np.ndarray, times: np.ndarray, keys: list[str]) -> list[Finding]:
    """A call when it begins, and again every day for as long as it lasts."""
    found = []
    for gpu, key in enumerate(keys):
        quiet = -1
        for row in np.flatnonzero(over[:, gpu]).tolist():
            if row > quiet:
                when = float(times[row]) + GRID
                found.append(Finding(when, key, "unknown", 1.0, None, f"{key}-{row}", (key,)))
                quiet = row + _QUIET
    return sorted(found, key=lambda f: f.timestamp)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    every = report["all"] or {}
    return {
        "found": report["found"],
        "called_before_failure": report["called_before_failure"],
        "failures": report["failures"],
        "median_lead_hours": _hours(every.get("median_lead_seconds")),
        "p10_lead_hours": _hours(every.get("p10_lead_seconds")),
        "false_alarms_per_gpu_year": _rounded(report["false_alarms_per_gpu_year"]),
        "precision": _rounded(report["precision"]),
        "incidents_per_event": _rounded(report["incidents_per_event"]),
    }


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3600, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
