"""Cooling of a site in NetBox (4.7 and newer; older ones name loops in a custom field)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .client import Object
from .places import Places, Rows, stated
from .reading import custom, ident, liters_per_minute, number, slug, text
from .settings import NetBoxSettings
from .snapshot import Snapshot

_SOURCES = {
    "chiller": "chiller", "cooling-tower": "cooling_tower", "dry-cooler": "dry_cooler", "crac": "crah",
    "crah": "crah",
}  # fmt: skip
_LONGEST_WAY = 10
"""Ports from a cold plate to a coolant unit."""


class Cooling:
    """Which loop a device hangs on: by a custom field of it or its rack; else by the coolant unit that its
    intakes lead to; else, in a liquid-cooled rack, by the rack's cooling feed."""

    def __init__(self, snapshot: Snapshot, settings: NetBoxSettings, places: Places) -> None:
        self._snapshot, self._settings, self._places = snapshot, settings, places
        self._racks = {ident(one): one for one in snapshot.of("dcim/racks")}
        self._devices = {ident(one): one for one in snapshot.of("dcim/devices")}
        self.sources = {ident(one): slug(text(one, "name")) for one in snapshot.of("dcim/cooling-sources")}
        self._feeds: dict[int, list[Object]] = defaultdict(list)
        for feed in snapshot.of("dcim/cooling-feeds"):
            if ident(feed, "rack"):
                self._feeds[ident(feed, "rack")].append(feed)
        self._above: dict[int, list[int]] = defaultdict(list)
        for intake in snapshot.of("dcim/cooling-intakes"):
            upstream = ident(intake, "cooling_outflow", "device")
            if upstream:
                self._above[ident(intake, "device")].append(upstream)

    def source_rows(self) -> Rows:
        """Chillers and their kin."""
        found: Rows = []
        for one in self._snapshot.of("dcim/cooling-sources"):
            capacity = number(one, "cooling_capacity")
            values = {
                "name": self.sources[ident(one)],
                "role": _SOURCES.get(text(one, "type")),
                "hall": self._places.hall(one),
                "capacity_watts": None if capacity is None else capacity * 1000,
                "group": custom(one, self._settings.fields.group),
                "spare": custom(one, self._settings.fields.spare),
            }
            found.append((stated(values), one))
        return found

    def coolers(self, device: Object) -> list[str]:
        """What carries away the heat of a coolant unit or an air handler: the sources that feed its rack."""
        feeds = self._feeds.get(ident(device, "rack"), [])
        names = [self.sources.get(ident(feed, "cooling_source"), "") for feed in feeds]
        return [name for name in dict.fromkeys(names) if name]

    def unit_loop(self, device: Object) -> str:
        """Loop of a coolant unit or a manifold."""
        return self._named(device) or f"loop-{slug(text(device, 'name'))}"

    def loop(self, device: Object) -> str:
        """Loop of a node or manifold; empty where it is cooled by air."""
        rack = self._racks.get(ident(device, "rack"), {})
        if text(device, "cooling_method") == "air":
            return ""
        named = self._named(device)
        if named:
            return named
        unit = self._unit_above(ident(device))
        if unit:
            return self.unit_loop(self._devices[unit])
        wet = text(rack, "cooling_capability") == "liquid-only" or text(device, "cooling_method") in (
            "liquid",
            "hybrid",
        )
        feeds = self._feeds.get(ident(rack), [])
        return slug(text(feeds[0], "name")) if wet and feeds else ""

    def loop_rows(self, loops: dict[str, set[int]], units: dict[str, Object]) -> Rows:
        """Loops. `loops`: racks by loop; `units`: a coolant unit of each, or another device on it."""
        found: Rows = []
        for name, racks in sorted(loops.items()):
            flows = [liters_per_minute(feed) for rack in sorted(racks) for feed in self._feeds.get(rack, [])]
            known = [flow for flow in flows if flow]
            some = self._racks.get(min(racks, default=0)) or units[name]
            values: dict[str, Any] = {
                "name": name,
                "hall": self._places.hall(some),
                "racks": sorted(self._places.racks[rack] for rack in racks if rack in self._places.racks),
                # Feeds of one rack stand in for each other, those of several add up.
                "flow_liters_per_minute": max(known) * max(1, len(racks)) if known else None,
                "supply_celsius": self._settings.supply_celsius,
            }
            found.append((stated(values), units[name]))
        return found

    def _named(self, device: Object) -> str:
        field = self._settings.fields.loop
        rack = self._racks.get(ident(device, "rack"), {})
        named = custom(device, field) or custom(rack, field)
        return slug(str(named)) if named else ""

    def _unit_above(self, device: int) -> int:
        """The coolant unit that a device's intakes lead to; 0 if they lead to none."""
        seen, waiting = {device}, [device]
        for _ in range(_LONGEST_WAY):
            above = [one for current in waiting for one in self._above.get(current, ()) if one not in seen]
            for one in above:
                role = self._settings.role_of(text(self._devices.get(one, {}).get("role"), "slug"))
                if role == "cdu":
                    return one
            seen.update(above)
            waiting = above
        return 0
