"""Modbus TCP: coolant units, rear doors, chillers and meters, each described by a data profile."""

from __future__ import annotations

from exporters.facility.driver import Driver, Wiring


def make(wiring: Wiring) -> Driver:
    """A driver for one endpoint. Raises PollError(PROFILE) or FileError if it cannot be used."""
    from exporters.facility.modbus.driver import ModbusDriver

    return ModbusDriver(wiring)


__all__ = ["make"]
