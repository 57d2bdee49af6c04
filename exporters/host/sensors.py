"""Temperatures and fans of the host itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exporters import sysfs
from exporters.host import hwmon, thermal
from exporters.host.hwmon import Sensor
from gigawatch.catalogue import host
from gigawatch.readings import Reading

_UNSET = (0.0, 150.0)
"""A critical limit outside of these is one that nobody has set: 0, or the largest number there is."""


class SensorSource:
    """Chips' sensors and thermal zones. One that does not answer is absent; asking some takes a while."""

    name = "sensors"

    def __init__(
        self,
        interval: float,
        deadline: float = 10.0,
        root: Path = Path("/"),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._classes = root / "sys/class"
        self._sensors = sysfs.Remembered(self._find, monotonic=monotonic)

    @property
    def present(self) -> bool:
        """Whether there is any sensor."""
        return bool(self._find())

    def read(self) -> Iterator[Reading]:
        for sensor in self._sensors():
            raw = sysfs.signed(sensor.path)
            if raw is None:
                continue
            value = raw * sensor.factor
            if sensor.metric is host.HOST_TEMPERATURE_CRITICAL and not _UNSET[0] < value <= _UNSET[1]:
                continue
            yield Reading(sensor.metric, sensor.labels, value)

    def _find(self) -> list[Sensor]:
        return [*hwmon.find(self._classes / "hwmon"), *thermal.find(self._classes / "thermal")]
