"""How a collector is doing, as plain data that crosses from the collector process to the HTTP process."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gigawatch import package_version
from gigawatch.catalogue import own
from gigawatch.readings import Reading


@dataclass(slots=True)
class Health:
    """State of one collector at one moment."""

    name: str
    up: bool = False
    duration: float | None = None
    """Seconds the last finished run took; None before the first."""
    last_success: float | None = None
    """Unix time; None before the first."""
    stuck: float = 0.0
    """Seconds the present run has been over its deadline."""
    errors: dict[str, int] = field(default_factory=dict)
    rejected: dict[tuple[str, str], int] = field(default_factory=dict)
    """Values refused by the range gate, by metric name and reason."""


def health_readings(healths: Iterable[Health]) -> Iterator[Reading]:
    """The self-metrics of collectors. Rejections of one metric are summed over the collectors."""
    rejected: dict[tuple[str, str], int] = {}
    for health in healths:
        label = (health.name,)
        yield Reading(own.COLLECTOR_UP, label, float(health.up and health.stuck == 0))
        yield Reading(own.COLLECTOR_STUCK, label, health.stuck)
        yield Reading(own.COLLECTOR_DURATION, label, health.duration or 0.0)
        if health.last_success is not None:
            yield Reading(own.COLLECTOR_LAST_SUCCESS, label, health.last_success)
        for kind, count in sorted(health.errors.items()):
            yield Reading(own.COLLECTOR_ERRORS, (health.name, kind), float(count))
        for key, count in health.rejected.items():
            rejected[key] = rejected.get(key, 0) + count
    for key, count in sorted(rejected.items()):
        yield Reading(own.REJECTED_SAMPLES, key, float(count))


def build_info(program: str) -> Reading:
    """Which program this is."""
    return Reading(own.EXPORTER_BUILD_INFO, (program, package_version(), platform.python_version()), 1.0)
