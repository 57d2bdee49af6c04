"""Redfish (DMTF): coolant units, power distribution, servers and sensors over HTTP. See README.md here."""

from exporters.facility.redfish.driver import make

__all__ = ["make"]
