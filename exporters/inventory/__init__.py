"""Service discovery: the inventory as scrape targets and as metrics."""

from typing import TYPE_CHECKING

from gigawatch.lazy import lazily

if TYPE_CHECKING:
    from exporters.inventory.keeper import Keeper
    from exporters.inventory.site import site_readings, source_readings
    from exporters.inventory.targets import Addresses, Devices, agent_targets, facility_targets

__all__ = [
    "Addresses",
    "Devices",
    "Keeper",
    "agent_targets",
    "facility_targets",
    "site_readings",
    "source_readings",
]
__getattr__ = lazily(
    __name__,
    {
        "Addresses": "targets", "Devices": "targets", "Keeper": "keeper", "agent_targets": "targets",
        "facility_targets": "targets", "site_readings": "site", "source_readings": "site",
    },
)  # fmt: skip
