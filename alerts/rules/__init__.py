"""All alerts. A file holds one subject; the files of one group are evaluated together, in this order."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType, ModuleType

from alerts.model import Alert
from alerts.rules import (
    cooling_aftercare,
    cooling_air,
    cooling_condition,
    cooling_leaks,
    cooling_temperatures,
    cooling_units,
    disks,
    fabric,
    gpu_errors,
    gpu_fabric,
    gpu_heat,
    gpu_links,
    gpu_memory,
    gpu_power,
    gpu_presence,
    gpu_together,
    host,
    inference_health,
    inference_load,
    inventory,
    node,
    pci,
    pipeline_facility,
    pipeline_node,
    pipeline_paging,
    pipeline_processes,
    pipeline_prometheus,
    pipeline_services,
    pipeline_sources,
    power_condition,
    power_feeds,
    power_meters,
    power_racks,
    power_redundancy,
    power_supplies,
    predictive,
    predictive_parts,
    predictive_trends,
    readings,
    room,
    storage,
    tokens,
    training,
    training_lost,
)

__all__ = ["all_alerts", "by_group", "source_of"]

_GROUPS: MappingProxyType[str, tuple[ModuleType, ...]] = MappingProxyType(
    {
        "gpu": (
            gpu_presence,
            gpu_heat,
            gpu_power,
            gpu_links,
            gpu_fabric,
            gpu_memory,
            gpu_errors,
            gpu_together,
        ),
        "node": (node, fabric, pci, host, disks, storage),
        "power": (
            power_feeds,
            power_racks,
            power_supplies,
            power_meters,
            power_redundancy,
            power_condition,
            readings,
        ),
        "cooling": (
            cooling_units,
            cooling_leaks,
            cooling_temperatures,
            cooling_air,
            cooling_condition,
            cooling_aftercare,
            room,
        ),
        "tokens": (inference_health, inference_load, tokens, training, training_lost),
        "predictive": (predictive, predictive_trends, predictive_parts),
        "pipeline": (
            pipeline_processes,
            pipeline_sources,
            pipeline_facility,
            inventory,
            pipeline_node,
            pipeline_services,
            pipeline_prometheus,
            pipeline_paging,
        ),
    }
)


def _alerts(module: ModuleType) -> tuple[Alert, ...]:
    found: tuple[Alert, ...] = module.ALERTS
    return found


@cache
def by_group() -> dict[str, tuple[Alert, ...]]:
    """Alerts by rule group."""
    return {
        group: tuple(alert for module in modules for alert in _alerts(module))
        for group, modules in _GROUPS.items()
    }


@cache
def _sources() -> dict[str, str]:
    return {
        alert.name: f"{module.__name__.replace('.', '/')}.py"
        for modules in _GROUPS.values()
        for module in modules
        for alert in _alerts(module)
    }


def source_of(alert: Alert) -> str:
    """The file that declares the alert, from the root of the checkout."""
    return _sources()[alert.name]


@cache
def all_alerts() -> tuple[Alert, ...]:
    """Every alert; their names are unique."""
    found = tuple(alert for alerts in by_group().values() for alert in alerts)
    names = [alert.name for alert in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    return found
