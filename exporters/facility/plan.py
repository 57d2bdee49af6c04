"""From settings and inventory to jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from exporters.facility.job import Job, Jobs, labels_of
from exporters.facility.secrets import Credential
from exporters.facility.settings import FacilitySettings
from gigawatch.config import parse_duration
from gigawatch.topology import Device, Inventory

SILENT_INTERVALS = 1.75
"""How many intervals a device that does not answer is left alone at most, where the settings do not say:
with the poll itself it is back on its page within two."""


def jobs_of(settings: FacilitySettings, inventory: Inventory, folder: Path, only: str = "") -> Jobs:
    """A job for each endpoint (with `only`, those of that device), in the order of the inventory."""
    credentials = {name: one.credential(name, folder) for name, one in settings.credentials.items()}
    stamps = {name: one.stamp() for name, one in credentials.items()}
    found = {}
    for device in inventory.devices:
        if device.endpoints and only in ("", device.name):
            for job in _jobs(settings, device, credentials, stamps):
                found[job.key] = job
    return found


def _jobs(
    settings: FacilitySettings,
    device: Device,
    credentials: dict[str, Credential],
    stamps: dict[str, tuple[object, ...]],
) -> Iterator[Job]:
    retry = settings.retry
    for endpoint, label in zip(device.endpoints, labels_of(device.endpoints), strict=True):
        interval = settings.interval_of(device.role, endpoint)
        yield Job(
            device,
            endpoint,
            label,
            interval,
            parse_duration(retry.silent) if retry.silent else SILENT_INTERVALS * interval,
            parse_duration(retry.refusing),
            credentials.get(endpoint.credentials),
            stamps.get(endpoint.credentials, ()),
        )


def notes(settings: FacilitySettings, inventory: Inventory, unknown: Iterable[str]) -> Iterator[str]:
    """What inventory, file of endpoints and settings do not agree on, a line each; `unknown` are names in the
    file that no device has."""
    for name in unknown:
        yield f"{settings.endpoints}: names the device '{name}', which is not in the inventory"
    for device in inventory.devices:
        for endpoint, label in zip(device.endpoints, labels_of(device.endpoints), strict=True):
            if endpoint.credentials and endpoint.credentials not in settings.credentials:
                known = ", ".join(sorted(settings.credentials)) or "none"
                wanted = endpoint.credentials
                where = f"device {device.name}: {label}"
                yield f"{where}: the settings have no credentials '{wanted}'; there are: {known}"
