"""One file of the reporter (`gigawatch/reporter.py`): what may stand in it, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

LARGEST = 1 << 14
"""Bytes; the reporter writes about one thousand."""

_FORMAT = 1
_LONGEST = 256
_LATEST = 4.2e9
_COUNT = float(2**53)
_TOTAL = 1e18
_FLOPS = 1e33
_LOSS = 1e30
_AHEAD = 60.0
"""Seconds by which a clock may be set back between a write and its reading."""


class ReportError(ValueError):
    """A file that is none of the reporter's."""


class Report(NamedTuple):
    """What one rank of a job has told. Times in seconds, points in time as Unix time; None was not told."""

    job: str
    model: str
    rank: int
    precision: str
    gpu: str
    """Index, `nvidiaN` (device file) or UUID of its GPU; empty where the rank cannot know."""
    began: float
    """When the first attempt began."""
    told: float
    """When anything was told last."""
    ended: bool
    """The job has ended well."""
    step: int | None
    steps: float
    tokens: float | None
    samples: float | None
    flops: float | None
    step_seconds: float
    step_last: float | None
    loss: float | None
    wait_seconds: float | None
    checkpoints: float
    checkpoint_seconds: float
    checkpoint_last: float | None
    checkpoint_at: float | None
    restarts: float
    downtime: float
    startup: float
    rework: float


_HIGHEST = {
    "began": _LATEST, "told": _LATEST, "checkpoint_at": _LATEST, "steps": _COUNT, "samples": _TOTAL,
    "tokens": _TOTAL, "flops": _FLOPS, "checkpoints": _COUNT, "restarts": _COUNT,
    "step_seconds": _LATEST, "step_last": _LATEST, "wait_seconds": _LATEST, "checkpoint_seconds": _LATEST,
    "checkpoint_last": _LATEST, "downtime": _LATEST, "startup": _LATEST, "rework": _LATEST,
}  # fmt: skip
_OPTIONAL = {
    "step", "tokens", "samples", "flops", "step_last", "loss", "wait_seconds", "checkpoint_last",
    "checkpoint_at",
}  # fmt: skip


def parse(data: bytes, now: float) -> Report:
    """The file's content. Raises ReportError, whose message says which field is wrong, and repeats nothing
    of what stands in it: the file may be another user's."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        raise ReportError("is no JSON object") from None
    if not isinstance(given, dict):
        raise ReportError("is no JSON object")
    if given.get("format") != _FORMAT:
        raise ReportError(f"format: is not {_FORMAT}, which this agent reads")
    fields: dict[str, Any] = {name: _number(given, name, 0.0, highest) for name, highest in _HIGHEST.items()}
    fields |= {name: _text(given, name) for name in ("job", "model", "precision", "gpu")}
    for name in ("job", "model"):
        if not fields[name]:
            raise ReportError(f"{name}: is empty")
    fields["loss"] = _number(given, "loss", -_LOSS, _LOSS)
    fields["step"] = _whole(given, "step", _COUNT)
    fields["rank"] = _whole(given, "rank", 1e7)
    if fields["rank"] is None:
        raise ReportError("rank: is missing")
    if not isinstance(given.get("ended"), bool):
        raise ReportError("ended: is neither true nor false")
    report = Report(**fields, ended=given["ended"])
    if report.told > now + _AHEAD:
        raise ReportError("told: lies in the future")
    if report.began > report.told + _AHEAD:
        raise ReportError("began: is later than told")
    return report


def _number(given: Mapping[str, Any], name: str, lowest: float, highest: float) -> float | None:
    value = given.get(name)
    if value is None and name in _OPTIONAL:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReportError(f"{name}: is no number")
    if not lowest <= value <= highest:  # also where it is not a number
        raise ReportError(f"{name}: is out of range; allowed: {lowest:g} to {highest:g}")
    return float(value)


def _whole(given: Mapping[str, Any], name: str, highest: float) -> int | None:
    value = _number(given, name, 0.0, highest)
    if value is not None and not value.is_integer():
        raise ReportError(f"{name}: is no whole number")
    return None if value is None else int(value)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise ReportError(f"{name}: is no text of at most {_LONGEST} printable characters")
    return value
