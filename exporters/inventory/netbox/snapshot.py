"""All that we read of a site in NetBox, as plain objects; kept on disk so that an outage changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from exporters.inventory.source import SourceDownError
from gigawatch.errors import FileError

from .client import MissingError, NetBoxClient, Object
from .settings import NetBoxSettings

_BY_SITE = (
    "dcim/locations", "dcim/racks", "dcim/rack-reservations", "dcim/devices", "dcim/power-panels",
    "dcim/power-feeds", "dcim/power-ports", "dcim/power-outlets", "dcim/inventory-items",
)  # fmt: skip
_COOLING = ("dcim/cooling-sources", "dcim/cooling-feeds", "dcim/cooling-intakes", "dcim/cooling-outflows")
"""From NetBox 4.7 on."""
_UNREAD = frozenset(
    {
        "display",
        "url",
        "display_url",
        "comments",
        "tags",
        "created",
        "last_updated",
        "link_peers",
        "link_peers_type",
        "owner",
        "tenant",
        "config_context",
        "local_context_data",
        "_occupied",
        "cable",
        "manufacturer",
    }
)
"""Fields that nothing here reads, and that would make the file on disk many times as large."""
_TYPES_AT_ONCE = 100
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of one site."""

    objects: dict[str, list[Object]]
    """By path of the list; cooling lists are missing where NetBox does not know them."""
    change: int | None = None
    """Newest entry of the change log before it was read; None: not known."""

    def of(self, path: str) -> list[Object]:
        return self.objects.get(path, [])

    @property
    def knows_cooling(self) -> bool:
        return _COOLING[0] in self.objects

    @property
    def digest(self) -> str:
        """The same for the same content."""
        return sha256(_body(self.objects).encode()).hexdigest()


async def take(client: NetBoxClient, settings: NetBoxSettings) -> Snapshot:
    """Read everything. Raises SourceDownError if any part is not whole."""
    change = await client.newest("core/object-changes")
    objects: dict[str, list[Object]] = {}
    for path in _BY_SITE:
        wanted = {"site": settings.site}
        if path == "dcim/devices":
            wanted["exclude"] = "config_context"
        try:
            objects[path] = _pruned(await client.all(path, **wanted))
        except MissingError:
            raise SourceDownError(
                f"{settings.url}: knows no {path}; is this the address of a NetBox?"
            ) from None
    for path in _COOLING:
        # A list that goes missing between two others is an older NetBox all the same: feeds need sources.
        with contextlib.suppress(MissingError):
            objects[path] = _pruned(await client.all(path, site=settings.site))
    types = sorted({_type_of(device) for device in objects["dcim/devices"]} - {0})
    found: list[Object] = []
    for begin in range(0, len(types), _TYPES_AT_ONCE):
        ids = [str(number) for number in types[begin : begin + _TYPES_AT_ONCE]]
        found += _pruned(await client.all("dcim/device-types", id=ids))
    objects["dcim/device-types"] = found
    return Snapshot(objects, change)


def save(path: Path, snapshot: Snapshot, settings: NetBoxSettings, read_at: float) -> None:
    """Replace the file on disk in one step. Raises FileError."""
    body = _body(snapshot.objects)
    head = {
        "version": _VERSION, "url": settings.url, "site": settings.site, "read_at": read_at,
        "checksum": sha256(body.encode()).hexdigest(),
    }  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{json.dumps(head)}\n{body}\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(path, "", f"what NetBox said cannot be kept ({error.strerror})") from None


def load(path: Path, settings: NetBoxSettings) -> tuple[Snapshot, float] | None:
    """What was kept of this site, and when it was read; None if there is nothing whole."""
    try:
        first, _, body = path.read_text(encoding="utf-8").partition("\n")
        head = json.loads(first)
        body = body.rstrip("\n")
        if (head["version"], head["url"], head["site"]) != (_VERSION, settings.url, settings.site):
            return None
        if head["checksum"] != sha256(body.encode()).hexdigest():
            return None
        return Snapshot(json.loads(body)), float(head["read_at"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _body(objects: dict[str, list[Object]]) -> str:
    return json.dumps(objects, sort_keys=True, separators=(",", ":"))


def _type_of(device: Object) -> int:
    kind = device.get("device_type")
    number = kind.get("id") if isinstance(kind, dict) else None
    return number if isinstance(number, int) else 0


def _pruned(objects: Iterable[Object]) -> list[Object]:
    return sorted((_prune(one) for one in objects), key=lambda one: int(one["id"]))


def _prune(value: Any, depth: int = 0) -> Any:
    if depth > 8:
        return None
    if isinstance(value, dict):
        return {str(k): _prune(one, depth + 1) for k, one in value.items() if k not in _UNREAD}
    if isinstance(value, list):
        return [_prune(one, depth + 1) for one in value]
    return value
