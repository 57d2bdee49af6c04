"""All alerts, one file per domain, in the order in which they are evaluated."""

from __future__ import annotations

from functools import cache

from alerts.model import Alert
from alerts.rules import cooling, gpu, gpu_errors, node, pipeline, power, predictive, tokens

__all__ = ["all_alerts", "by_file"]


@cache
def by_file() -> dict[str, tuple[Alert, ...]]:
    """Alerts by the file they stand in, which is also their rule group."""
    return {
        "gpu": gpu.ALERTS + gpu_errors.ALERTS,
        "node": node.ALERTS,
        "power": power.ALERTS,
        "cooling": cooling.ALERTS,
        "tokens": tokens.ALERTS,
        "predictive": predictive.ALERTS,
        "pipeline": pipeline.ALERTS,
    }


@cache
def all_alerts() -> tuple[Alert, ...]:
    """Every alert; their names are unique."""
    found = tuple(alert for alerts in by_file().values() for alert in alerts)
    names = [alert.name for alert in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    return found
