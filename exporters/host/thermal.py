"""Thermal zones of firmware and processor (/sys/class/thermal)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from exporters import sysfs
from exporters.host.hwmon import Sensor
from gigawatch.catalogue import host

_ZONE = re.compile(r"^thermal_zone(\d+)$")
_TRIP = re.compile(r"^trip_point_(\d+)_type$")
_MILLI = 1e-3


def find(directory: Path) -> Iterator[Sensor]:
    """Temperature and critical limit of every zone that does not stand among the chips' sensors as well."""
    known: Counter[str] = Counter()
    zones = sorted((int(found[1]), found[0]) for found in map(_ZONE.match, sysfs.names(directory)) if found)
    for _, name in zones:
        zone = directory / name
        files = sysfs.names(zone)
        kind = sysfs.text(zone / "type")
        if not kind or any(file.startswith("hwmon") for file in files):
            continue
        known[kind] += 1
        place = ("thermal", kind if known[kind] == 1 else f"{kind}#{known[kind]}")
        yield Sensor(host.HOST_TEMPERATURE, place, str(zone / "temp"), _MILLI)
        for trip in filter(None, map(_TRIP.match, files)):
            if sysfs.text(zone / trip[0]) == "critical":
                limit = zone / f"trip_point_{trip[1]}_temp"
                yield Sensor(host.HOST_TEMPERATURE_CRITICAL, place, str(limit), _MILLI)
                break
