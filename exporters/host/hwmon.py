"""Sensors of the host's chips (/sys/class/hwmon), and names for them that outlast a reboot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exporters import sysfs
from gigawatch.catalogue import Metric, host

_INPUT = re.compile(r"^(temp|fan)(\d+)_input$")
_PCI = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
_I2C = re.compile(r"^\d+-([0-9a-f]{4})$")
_CORE = re.compile(r"^Core \d+$")
_MILLI = 1e-3
_PER_MINUTE = 1 / 60


class Sensor(NamedTuple):
    """A file with one value, and what the value is."""

    metric: Metric
    labels: tuple[str, str]
    path: str
    factor: float


def find(directory: Path) -> Iterator[Sensor]:
    """Temperatures, their critical limits, and fans of every chip."""
    chips = {name: (directory / name).resolve() for name in sysfs.names(directory)}
    known: Counter[str] = Counter()
    # By where they sit, not by hwmon's numbers, which follow the order in which drivers were loaded.
    for chip in sorted(chips.values()):
        name = _chip_name(chip)
        known[name] += 1
        yield from _sensors(chip, name if known[name] == 1 else f"{name}#{known[name]}")


def _chip_name(chip: Path) -> str:
    """Name of the driver and address of the device: nvme-0000:01:00.0, coretemp.0, jc42-0000:00:1f.4-0018."""
    name = sysfs.text(chip / "name") or "chip"
    device = chip / "device"
    if not device.exists():
        return name
    parts = device.resolve().parts
    pci = [part for part in parts if _PCI.match(part)]
    address = _I2C.match(parts[-1])
    if pci:
        return "-".join([name, pci[-1], *([address[1]] if address else [])])
    return parts[-1] if parts[-1].startswith(name) else f"{name}-{parts[-1]}"


def _sensors(chip: Path, name: str) -> Iterator[Sensor]:
    files = set(sysfs.names(chip))
    inputs = sorted((found[1], int(found[2])) for found in map(_INPUT.match, files) if found)
    labels = {key: sysfs.text(chip / f"{key[0]}{key[1]}_label") for key in inputs}
    used = Counter(labels.values())
    has_package = any(label.startswith("Package id") for label in labels.values())
    for kind, index in inputs:
        label = labels[(kind, index)]
        if has_package and _CORE.match(label):
            continue  # the package's sensor shows the hottest core; reading each one would wake it
        stem = f"{kind}{index}"
        place = (name, label if label and used[label] == 1 else stem)
        if kind == "fan":
            yield Sensor(host.HOST_FAN_SPEED, place, str(chip / f"{stem}_input"), _PER_MINUTE)
            continue
        yield Sensor(host.HOST_TEMPERATURE, place, str(chip / f"{stem}_input"), _MILLI)
        if f"{stem}_crit" in files:
            yield Sensor(host.HOST_TEMPERATURE_CRITICAL, place, str(chip / f"{stem}_crit"), _MILLI)
