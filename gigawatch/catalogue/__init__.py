"""The catalogue: every metric of Gigawatch, declared once as typed data.

Exporters bind these constants to sources; promql, dashboards, alerts, analytics and the generated docs take
name, unit, labels and help from here. To add a metric, see docs/adding-a-metric.md.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType, ModuleType

from gigawatch.catalogue import (
    capacity,
    electrical,
    fabric,
    facility,
    findings,
    gpu,
    gpu_activity,
    gpu_links,
    host,
    inference,
    liquid,
    own,
    polling,
    room,
    site,
    storage,
    training,
    workload,
)
from gigawatch.catalogue.model import PREFIX, Kind, Metric, Origin, Presence, Target, Unit

__all__ = [
    "DOMAINS",
    "PREFIX",
    "Kind",
    "Metric",
    "Origin",
    "Presence",
    "Target",
    "Unit",
    "all_metrics",
    "by_name",
    "domain_of",
]

DOMAINS: dict[str, ModuleType] = {
    "gpu": gpu,
    "gpu_activity": gpu_activity,
    "gpu_links": gpu_links,
    "host": host,
    "fabric": fabric,
    "storage": storage,
    "workload": workload,
    "inference": inference,
    "training": training,
    "facility": facility,
    "electrical": electrical,
    "liquid": liquid,
    "room": room,
    "polling": polling,
    "site": site,
    "capacity": capacity,
    "findings": findings,
    "own": own,
}


@cache
def _index() -> MappingProxyType[str, tuple[Metric, str]]:
    index: dict[str, tuple[Metric, str]] = {}
    for domain, module in DOMAINS.items():
        for value in vars(module).values():
            if isinstance(value, Metric):
                if value.name in index:
                    raise ValueError(f"{value.name} is declared twice")
                index[value.name] = (value, domain)
    return MappingProxyType(index)


def all_metrics() -> tuple[Metric, ...]:
    """Every declared metric, domain by domain."""
    return tuple(metric for metric, _ in _index().values())


def by_name(name: str) -> Metric:
    """The metric of that full name; KeyError if the catalogue has none."""
    return _index()[name][0]


def domain_of(metric: Metric) -> str:
    """The catalogue file a metric stands in."""
    return _index()[metric.name][1]
