"""The resources of a site, place by place: how much may be used, is used, is promised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gigawatch.topology import Inventory, Role
from gigawatch.topology.flow import Draw, Flow, limit_of
from gigawatch.topology.placement import free_in
from gigawatch.topology.slots import in_force, taken_units


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one place. Power and cooling in watts, space in units, ports in ports."""

    scope: str
    """rack, row, loop, feed or site."""
    place: str
    resource: str
    """power, cooling, space or ports."""
    limit: float
    used: float
    promised: float = 0.0

    @property
    def free(self) -> float:
        """What may still be added; below 0 where too much is used."""
        return self.limit - self.used - self.promised

    @property
    def ratio(self) -> float:
        """Share that is used or promised."""
        return (self.used + self.promised) / self.limit if self.limit > 0 else 0.0

    @property
    def watts(self) -> bool:
        """Whether it is counted in watts."""
        return self.resource in ("power", "cooling")


@dataclass(frozen=True, slots=True)
class Stranded:
    """Free power that nothing can use."""

    scope: str
    place: str
    watts: float


def resources(
    inventory: Inventory, draw: Draw, today: dt.date, heat: Mapping[str, float] | None = None
) -> list[Resource]:
    """Every resource of every rack, row, loop, feed, and of the site. `heat` is what loops were measured to
    carry; others count with what their nodes draw."""
    found = [*_racks(inventory, draw, today)]
    found += _rows(inventory, found)
    promised = {rack.name: 0.0 for rack in inventory.racks}
    for reservation in inventory.reservations:
        if in_force(reservation, today):
            promised[reservation.rack] += reservation.power_watts
    found += _loops(inventory, draw, promised, heat or {})
    found += _feeds(inventory, draw, promised)
    return found


def stranded(inventory: Inventory, draw: Draw, today: dt.date) -> list[Stranded]:
    """By rack, row and site."""
    by_rack = {free.rack: free.stranded_watts for free in free_in(inventory, draw, today)}
    by_row: dict[str, float] = {}
    for rack in inventory.racks:
        by_row[rack.row] = by_row.get(rack.row, 0.0) + by_rack[rack.name]
    found = [Stranded("rack", rack, watts) for rack, watts in by_rack.items()]
    found += [Stranded("row", row, watts) for row, watts in by_row.items()]
    return [*found, Stranded("site", inventory.site, sum(by_rack.values()))]


def _racks(inventory: Inventory, draw: Draw, today: dt.date) -> Iterable[Resource]:
    taken = taken_units(inventory)
    for rack in inventory.racks:
        promised = [r for r in inventory.reservations if r.rack == rack.name and in_force(r, today)]
        watts, name = sum(r.power_watts for r in promised), rack.name
        used = draw.watts.get(name, 0.0)
        yield Resource("rack", name, "power", rack.power_watts, used, watts)
        yield Resource("rack", name, "cooling", rack.cooling_watts or rack.power_watts, used, watts)
        yield Resource("rack", name, "space", rack.units, len(taken[name]), sum(r.units for r in promised))
        if rack.ports:
            ports = sum(node.ports for node in inventory.nodes_in_rack[name])
            yield Resource("rack", name, "ports", rack.ports, ports, sum(r.ports for r in promised))


def _rows(inventory: Inventory, racks: Iterable[Resource]) -> list[Resource]:
    """Sums over the racks of each row; and the positions for further racks, as space of the row."""
    rows: dict[tuple[str, str], list[Resource]] = {}
    for one in racks:
        rows.setdefault((inventory.rack[one.place].row, one.resource), []).append(one)
    return [
        Resource(
            "row",
            row,
            resource,
            sum(o.limit for o in of),
            sum(o.used for o in of),
            sum(o.promised for o in of),
        )
        for (row, resource), of in rows.items()
    ]


def _loops(
    inventory: Inventory, draw: Draw, promised: Mapping[str, float], heat: Mapping[str, float]
) -> Iterable[Resource]:
    flow = Flow(inventory, draw)
    for loop in inventory.loops:
        capacities = sorted(d.capacity_watts for d in inventory.devices_with(Role.CDU) if d.loop == loop.name)
        # N+1: the largest unit may fail.
        limit = sum(capacities[:-1] if len(capacities) > 1 else capacities)
        if limit > 0:
            used = heat.get(loop.name, flow.heat_of_loop(loop.name))
            # Two loops that share a rack share what is promised to it.
            to_come = sum(
                promised[rack] / sum(rack in other.racks for other in inventory.loops) for rack in loop.racks
            )
            yield Resource("loop", loop.name, "cooling", limit, used, to_come)


def _feeds(inventory: Inventory, draw: Draw, promised: Mapping[str, float]) -> Iterable[Resource]:
    """Each feed must carry alone what hangs on it, once the other is lost."""
    feeds = list(inventory.devices_with(Role.UTILITY))
    worst: Resource | None = None
    for feed in feeds:
        below = inventory.fed_from(feed.name)
        racks = {device.rack for device in below if device.role is Role.RACK_PDU}
        used = sum(draw.watts.get(rack, 0.0) for rack in racks)
        to_come = sum(promised.get(rack, 0.0) for rack in racks)
        ups = [limit_of(device) for device in below if device.role is Role.UPS]
        stated = [watts for watts in (limit_of(feed), sum(ups)) if watts > 0]
        if racks and stated:
            one = Resource("feed", feed.name, "power", min(stated), used, to_come)
            yield one
            worst = one if worst is None or one.free < worst.free else worst
    if worst is not None:
        yield Resource("site", inventory.site, "power", worst.limit, worst.used, worst.promised)
