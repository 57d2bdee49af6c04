"""Racks, rows and reservations of a site in NetBox, as rows of an inventory."""

from __future__ import annotations

from typing import Any

from .client import Object
from .reading import custom, ident, kilograms, number, slug, sub, text
from .settings import NetBoxSettings
from .snapshot import Snapshot

Rows = list[tuple[dict[str, Any], Object]]
"""A row of an inventory, and the object it was read from."""


class Places:
    """Where racks stand. A hall is the outermost location; a row is the rack's group, or else its location
    within the hall."""

    def __init__(self, snapshot: Snapshot, settings: NetBoxSettings) -> None:
        self._snapshot, self._settings = snapshot, settings
        self._locations = {ident(one): one for one in snapshot.of("dcim/locations")}
        self.racks = {ident(one): slug(text(one, "name")) for one in snapshot.of("dcim/racks")}
        self.first_unit = {
            ident(one): int(number(one, "starting_unit") or 1) for one in snapshot.of("dcim/racks")
        }

    def hall(self, thing: Object) -> str:
        """Hall of a rack, device, panel or source."""
        path = self._path(thing)
        return _name(path[-1]) if path else slug(self._settings.site)

    def rows(self) -> Rows:
        """Each row that racks stand in."""
        found: dict[tuple[str, str], tuple[dict[str, Any], Object]] = {}
        for rack in self._snapshot.of("dcim/racks"):
            location = self._row_of(rack)
            hall, row = self.hall(rack), _name(location) if location else "row"
            places = custom(location, self._settings.fields.positions) if location else None
            values = {"name": row, "hall": hall, "positions": places or 0}
            found.setdefault((hall, row), (values, rack))
        return list(found.values())

    def rack_rows(self, powers: dict[int, float], liquid: set[int]) -> Rows:
        """Racks. `powers`: what the feeds of a rack carry; `liquid`: racks with nodes on a loop, and none
        without."""
        fields = self._settings.fields
        found: Rows = []
        for rack in self._snapshot.of("dcim/racks"):
            location = self._row_of(rack)
            values: dict[str, Any] = {
                "name": self.racks[ident(rack)],
                "hall": self.hall(rack),
                "row": _name(location) if location else "row",
                "units": number(rack, "u_height"),
                "power_watts": custom(rack, fields.power_watts) or powers.get(ident(rack)),
                "cooling": self._cooling(rack, liquid),
                "cooling_watts": custom(rack, fields.cooling_watts)
                or _times(number(rack, "cooling_capacity"), 1000),
                "ports": custom(rack, fields.ports),
                "position": custom(rack, fields.position),
                "max_weight_kg": kilograms(rack, "max_weight"),
            }
            found.append((stated(values), rack))
        return found

    def reservation_rows(self) -> Rows:
        """What NetBox calls rack reservations."""
        fields = self._settings.fields
        found: Rows = []
        for one in self._snapshot.of("dcim/rack-reservations"):
            units = one.get("units")
            values = {
                "name": slug(text(one, "description"))[:60] or f"reservation-{ident(one)}",
                "rack": self.racks.get(ident(one, "rack"), ""),
                "units": len(units) if isinstance(units, list) else None,
                "power_watts": custom(one, fields.power_watts),
                "ports": custom(one, fields.ports),
            }
            found.append((stated(values), one))
        return found

    def _cooling(self, rack: Object, liquid: set[int]) -> str:
        capability = text(rack, "cooling_capability")
        if capability == "liquid-only":
            return "liquid"
        return "liquid" if capability != "air-only" and ident(rack) in liquid else "air"

    def _row_of(self, rack: Object) -> Object:
        group = sub(rack, "group")
        if group:
            return group
        path = self._path(rack)
        return path[0] if len(path) > 1 else {}

    def _path(self, thing: Object) -> list[Object]:
        """Locations of a thing, from the innermost to the outermost."""
        path: list[Object] = []
        current = sub(thing, "location")
        while current and len(path) < 20:
            known = self._locations.get(ident(current), current)
            path.append(known)
            current = sub(known, "parent")
        return path


def _name(thing: Object) -> str:
    return slug(text(thing, "slug") or text(thing, "name"))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def stated(values: dict[str, Any]) -> dict[str, Any]:
    """Without what NetBox does not say: the form of the file has defaults, or asks for it."""
    return {name: value for name, value in values.items() if value is not None}
