"""Service discovery: the inventory as scrape targets and as metrics."""

from exporters.inventory.keeper import Keeper
from exporters.inventory.site import site_readings
from exporters.inventory.targets import Addresses, agent_targets, facility_targets

__all__ = ["Addresses", "Keeper", "agent_targets", "facility_targets", "site_readings"]
