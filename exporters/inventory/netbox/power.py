"""The power chain of a site in NetBox: panel, feed, PDU, outlet, power supply, as its cables say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from .client import Object
from .places import Places, Rows, stated
from .reading import ident, natural, number, slug, sub, text
from .settings import NetBoxSettings
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Plug:
    """Where a power port gets its power: a feed, or an outlet of a device."""

    port: Object
    feed: Object
    outlet: Object


class Power:
    """Feeds and plugs, by device."""

    def __init__(self, snapshot: Snapshot, settings: NetBoxSettings, places: Places) -> None:
        self._snapshot, self._settings, self._places = snapshot, settings, places
        self.panels = {ident(one): slug(text(one, "name")) for one in snapshot.of("dcim/power-panels")}
        self._feeds = {ident(one): one for one in snapshot.of("dcim/power-feeds")}
        self._outlets = {ident(one): one for one in snapshot.of("dcim/power-outlets")}
        self._plugs: dict[int, list[Plug]] = defaultdict(list)
        for port in sorted(snapshot.of("dcim/power-ports"), key=lambda one: natural(text(one, "name"))):
            self._plugs[ident(port, "device")].append(self._plug(port))

    def plugs(self, device: int) -> list[Plug]:
        """Its power ports in the order of their names."""
        return self._plugs.get(device, [])

    def panel_rows(self) -> Rows:
        """Panels as what distributes power to the PDUs."""
        return [
            ({"name": self.panels[ident(one)], "role": "floor_pdu", "hall": self._places.hall(one),
              **self._voltage_of_panel(ident(one))}, one)
            for one in self._snapshot.of("dcim/power-panels")
        ]  # fmt: skip

    def rack_power(self) -> dict[int, float]:
        """By rack, what its feeds carry if the stronger side fails."""
        sides: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for feed in self._feeds.values():
            if ident(feed, "rack"):
                sides[ident(feed, "rack")][self.side(feed)] += _capacity(feed)
        return {rack: min(carried.values()) for rack, carried in sides.items() if min(carried.values()) > 0}

    def side(self, feed: Object) -> str:
        return self._settings.sides.get(text(feed, "type"), "")

    def upstream(self, device: int, names: dict[int, str], distributes: bool) -> dict[str, Any]:
        """What feeds a device, and for what distributes power also how much."""
        for plug in self.plugs(device):
            if plug.feed:
                values: dict[str, Any] = {"fed_by": self.panels.get(ident(plug.feed, "power_panel"))}
                if distributes:
                    values |= _rating(plug.feed)
                    values["side"] = self.side(plug.feed) or None
                    values["capacity_watts"] = round(_capacity(plug.feed), 1) or None
                return stated(values)
            feeder = names.get(ident(plug.outlet, "device"))
            if feeder:
                return {"fed_by": feeder}
        return {}

    def supplies(self, device: int, names: dict[int, str]) -> list[dict[str, Any]]:
        """Power supplies of a node with the outlets they are plugged into."""
        return [
            {"psu": number, "pdu": names[ident(plug.outlet, "device")], "outlet": text(plug.outlet, "name")}
            for number, plug in enumerate(self.plugs(device), 1)
            if ident(plug.outlet, "device") in names
        ]

    def _plug(self, port: Object) -> Plug:
        kind = text(port, "connected_endpoints_type")
        ends = port.get("connected_endpoints")
        for end in ends if isinstance(ends, list) else ():
            if kind == "dcim.powerfeed":
                return Plug(port, self._feeds.get(ident(end), {}), {})
            if kind == "dcim.poweroutlet":
                return Plug(port, {}, self._outlets.get(ident(end)) or sub({"end": end}, "end"))
        return Plug(port, {}, {})

    def _voltage_of_panel(self, panel: int) -> dict[str, Any]:
        """Voltage and phases, where its feeds agree: NetBox keeps them on the feed."""
        feeds = [one for one in self._feeds.values() if ident(one, "power_panel") == panel]
        voltages = {_rating(feed).get("voltage") for feed in feeds} - {None}
        phases = [_rating(feed)["phases"] for feed in feeds]
        return stated(
            {"voltage": voltages.pop() if len(voltages) == 1 else None, "phases": max(phases, default=None)}
        )


def _rating(feed: Object) -> dict[str, Any]:
    """NetBox gives the voltage between conductors of a three-phase feed; ours is to neutral."""
    three = text(feed, "phase") == "three-phase"
    volts = number(feed, "voltage")
    neutral = None if not volts else round(abs(volts) / (3**0.5 if three else 1.0), 1)
    return stated(
        {"voltage": neutral, "phases": 3 if three else 1, "breaker_amperes": number(feed, "amperage")}
    )


def _capacity(feed: Object) -> float:
    """Watts that a feed may carry for long, by its own greatest utilisation."""
    rating = _rating(feed)
    share = number(feed, "max_utilization")
    watts = rating.get("voltage", 0.0) * (rating.get("breaker_amperes") or 0.0) * rating["phases"]
    return float(watts) * (80.0 if share is None else share) / 100
