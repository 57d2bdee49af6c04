"""MQTT: the building management's event bus of NVIDIA DSX Exchange, read only. See README.md."""

from __future__ import annotations

from exporters.facility.driver import Driver, Wiring


def make(wiring: Wiring) -> Driver:
    """A driver for one endpoint, with `pushed()`. Raises PollError(PROFILE) if it cannot be used."""
    from exporters.facility.mqtt.driver import MqttDriver

    return MqttDriver(wiring)


__all__ = ["make"]
