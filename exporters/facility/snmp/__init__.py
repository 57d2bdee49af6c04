"""Facility devices that speak SNMP: power distribution, UPS, sensors. Each model is a file in `profiles`."""

from exporters.facility.driver import Driver, Wiring

__all__ = ["make"]


def make(wiring: Wiring) -> Driver:
    """A driver for one SNMP agent. Raises UserError for an address or profile that cannot be used."""
    from exporters.facility.snmp.driver import SnmpDriver

    return SnmpDriver(wiring)
