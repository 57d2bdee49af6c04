"""Facility devices: power, cooling, sensors, management controllers."""

from exporters.facility.exporter import facility_exporter

__all__ = ["facility_exporter"]
