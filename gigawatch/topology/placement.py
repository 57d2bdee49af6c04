"""Where something may be placed: room, power with redundancy, cooling, ports and weight, all kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gigawatch.topology.flow import Draw, Flow
from gigawatch.topology.model import Device, Inventory, Kind, Rack, Role
from gigawatch.topology.slots import gaps, in_force, taken_units

_MOST = 100
"""More of one kind than this are not counted in one rack or row."""


@dataclass(frozen=True, slots=True)
class Free:
    """What a rack has left. None where the inventory does not say."""

    rack: str
    power_watts: float
    cooling_watts: float
    units: int
    largest_gap: int
    """Most units in a row."""
    ports: int | None
    weight_kg: float | None

    @property
    def stranded_watts(self) -> float:
        """Free power that nothing can use, because cooling, units or ports are used up first."""
        if self.power_watts <= 0:
            return 0.0
        usable = 0.0 if self.units == 0 or self.ports == 0 else max(0.0, self.cooling_watts)
        return max(0.0, self.power_watts - usable)


@dataclass(frozen=True, slots=True)
class Fit:
    """How many of a kind fit at a place, and what keeps out the next."""

    scope: str
    """rack or row."""
    place: str
    count: int
    unit: int
    """Where the first one goes: lowest unit in the rack, or position in the row; 0: nowhere, or not said."""
    limit: str
    """What keeps out one more."""


def free_in(inventory: Inventory, draw: Draw, today: dt.date) -> list[Free]:
    """What each rack has left, after what is promised."""
    taken = taken_units(inventory)
    return [_free(inventory, rack, taken[rack.name], draw, today) for rack in inventory.racks]


def _free(inventory: Inventory, rack: Rack, taken: set[int], draw: Draw, today: dt.date) -> Free:
    promised = [r for r in inventory.reservations if r.rack == rack.name and in_force(r, today)]
    nodes = inventory.nodes_in_rack[rack.name]
    watts = draw.watts.get(rack.name, 0.0) + sum(r.power_watts for r in promised)
    stretches = gaps(rack.units, taken)
    promised_units = sum(r.units for r in promised)
    units = max(0, sum(length for _, length in stretches) - promised_units)
    used_ports = sum(node.ports for node in nodes) + sum(r.ports for r in promised)
    weight = sum(node.weight_kg for node in nodes)
    return Free(
        rack.name,
        rack.power_watts - watts,
        (rack.cooling_watts or rack.power_watts) - watts,
        units,
        min(units, max((length for _, length in stretches), default=0)),
        max(0, rack.ports - used_ports) if rack.ports else None,
        rack.max_weight_kg - weight if rack.max_weight_kg else None,
    )


class Placer:
    """Answers where a kind fits. `draw` is what the racks take now."""

    def __init__(self, inventory: Inventory, draw: Draw, today: dt.date) -> None:
        self.inventory, self.draw, self.today = inventory, draw, today
        promised: dict[str, float] = {}
        for reservation in inventory.reservations:
            if in_force(reservation, today):
                promised[reservation.rack] = promised.get(reservation.rack, 0.0) + reservation.power_watts
        self._promised = promised
        self._taken = taken_units(inventory)
        feeds = {inventory.feed_of(d) for d in inventory.devices_with(Role.RACK_PDU)} - {""}
        self._losses = [frozenset[str](), *(frozenset((feed,)) for feed in sorted(feeds))]
        self._already = {frozenset(off): self._overloaded(off, {}) for off in self._losses}

    def fits(self, kind: Kind) -> list[Fit]:
        """Every place with at least the reason why nothing fits there, best first."""
        found = list(self._nodes(kind) if kind.what == "node" else self._racks(kind))
        return sorted(found, key=lambda fit: -fit.count)

    def total(self, kind: Kind, fits: Iterable[Fit]) -> int:
        """How many fit on the whole site: places share loops, halls and feeds, so that it may be less than
        their sum."""
        groups: dict[str, int] = {}
        bounds: dict[str, int] = {}
        for fit in fits:
            if fit.count:
                group, bound = self._shared(kind, fit)
                groups[group] = groups.get(group, 0) + fit.count
                bounds[group] = bound
        whole = sum(min(count, bounds[group]) for group, count in groups.items())
        return min(whole, self._on_feeds(kind)[0])

    def _shared(self, kind: Kind, fit: Fit) -> tuple[str, int]:
        """What a place shares with others, and how many of the kind that carries."""
        if fit.scope == "row":
            hall = next(row.hall for row in self.inventory.rows if row.name == fit.place)
            return hall, self._chilled(kind, hall)[0]
        loops = [loop.name for loop in self.inventory.loops if fit.place in loop.racks]
        if kind.cooling == "liquid" and loops:
            return loops[0], self._on_loops(kind, loops)[0]
        hall = self.inventory.rack[fit.place].hall
        return hall, self._in_air(kind, hall)[0]

    def _nodes(self, kind: Kind) -> Iterator[Fit]:
        for rack in self.inventory.racks:
            if rack.cooling != kind.cooling:
                yield Fit("rack", rack.name, 0, 0, f"is cooled by {rack.cooling}, not by {kind.cooling}")
                continue
            count, limit = self._how_many(kind, rack)
            stretches = gaps(rack.units, self._taken[rack.name])
            unit = next((start for start, length in stretches if length >= kind.units), 0) if count else 0
            yield Fit("rack", rack.name, count, unit, limit)

    def _how_many(self, kind: Kind, rack: Rack) -> tuple[int, str]:
        free = _free(self.inventory, rack, self._taken[rack.name], self.draw, self.today)
        height = max(1, kind.units)
        stretches = sum(length // height for _, length in gaps(rack.units, self._taken[rack.name]))
        bounds: list[tuple[int, str]] = [
            (
                min(stretches, free.units // height),
                f"space: {free.units} U free, {free.largest_gap} in a row",
            ),
            (
                int(free.power_watts // kind.power_watts),
                f"power: {_kw(free.power_watts)} free in the rack's plan",
            ),
            (
                int(free.cooling_watts // kind.power_watts),
                f"cooling: {_kw(free.cooling_watts)} free at the rack",
            ),
        ]
        if free.ports is not None and kind.ports:
            bounds.append((free.ports // kind.ports, f"ports: {free.ports} free"))
        if free.weight_kg is not None and kind.weight_kg:
            bounds.append((int(free.weight_kg // kind.weight_kg), f"weight: {free.weight_kg:.0f} kg free"))
        loops = [loop.name for loop in self.inventory.loops if rack.name in loop.racks]
        if kind.cooling == "liquid":
            bounds.append(self._on_loops(kind, loops))
        else:
            bounds.append(self._in_air(kind, rack.hall))
        count, limit = min(bounds, key=lambda bound: bound[0])
        count = max(0, min(count, _MOST))
        return self._with_redundancy(rack.name, kind.power_watts, count, limit)

    def _with_redundancy(self, rack: str, watts: float, count: int, limit: str) -> tuple[int, str]:
        """As many as the feeds carry, also when one of them is lost."""
        for number in range(1, count + 1):
            for off in self._losses:
                over = self._overloaded(off, {rack: number * watts}) - self._already[off]
                if over:
                    lost = f" once {', '.join(off)} is lost" if off else ""
                    return number - 1, f"power: {', '.join(sorted(over)[:3])} would carry too much{lost}"
        return count, limit

    def _overloaded(self, off: frozenset[str], extra: dict[str, float]) -> set[str]:
        added = dict(self._promised)
        for rack, watts in extra.items():
            added[rack] = added.get(rack, 0.0) + watts
        flow = Flow(self.inventory, self.draw, off, added)
        return {device.name for device, _, _ in flow.overloads()}

    def _on_loops(self, kind: Kind, loops: list[str]) -> tuple[int, str]:
        if not loops:
            return 0, "cooling: no loop serves it"
        flow = Flow(self.inventory, self.draw)
        room = 0.0
        for loop in loops:
            racks = self.inventory.loop[loop].racks
            promised = sum(self._promised.get(rack, 0.0) for rack in racks)
            capacity = _without_largest(flow.units(Role.CDU, loop=loop))
            room = max(room, capacity - flow.heat_of_loop(loop, promised))
        return int(
            max(0.0, room) // kind.power_watts
        ), f"cooling: {_kw(room)} left on {loops[0]}, a spare unit kept"

    def _in_air(self, kind: Kind, hall: str) -> tuple[int, str]:
        flow = Flow(self.inventory, self.draw)
        units = flow.units(Role.CRAH, hall=hall)
        if not units:
            return _MOST, ""
        room = _without_largest(units) - flow.heat_of_hall(hall)
        return int(max(0.0, room) // kind.power_watts), f"cooling: {_kw(room)} left in the air of {hall}"

    def _racks(self, kind: Kind) -> Iterator[Fit]:
        for row in self.inventory.rows:
            standing = {rack.position for rack in self.inventory.racks if rack.row == row.name}
            taken = sum(rack.row == row.name for rack in self.inventory.racks)
            if not row.positions:
                yield Fit("row", row.name, 0, 0, "space: the inventory says nothing of its positions")
                continue
            free = max(0, row.positions - taken)
            place = next((n for n in range(1, row.positions + 1) if n not in standing), 0) if free else 0
            bounds = [
                (free, f"space: {free} positions free"),
                self._on_feeds(kind),
                self._chilled(kind, row.hall),
            ]
            count, limit = min(bounds, key=lambda bound: bound[0])
            yield Fit("row", row.name, max(0, count), place if count > 0 else 0, limit)

    def _on_feeds(self, kind: Kind) -> tuple[int, str]:
        """What the UPS of the weaker feed still carries if it stands alone."""
        worst: tuple[int, str] | None = None
        for off in self._losses[1:] or [frozenset[str]()]:
            flow = Flow(self.inventory, self.draw, off, self._promised)
            for device in self.inventory.devices:
                if device.role not in (Role.UPS, Role.UTILITY) or not flow.alive(device.name):
                    continue
                if device.capacity_watts <= 0 or device.name in off:
                    continue
                room = device.capacity_watts - flow.load.get(device.name, 0.0)
                lost = f" once {', '.join(off)} is lost" if off else ""
                here = (
                    int(max(0.0, room) // kind.power_watts),
                    f"power: {_kw(room)} left at {device.name}{lost}",
                )
                worst = min(worst, here) if worst else here
        return worst or (_MOST, "")

    def _chilled(self, kind: Kind, hall: str) -> tuple[int, str]:
        flow = Flow(self.inventory, self.draw)
        chillers = flow.units(Role.CHILLER, hall=hall)
        if not chillers:
            return _MOST, ""
        heat = sum(
            flow.node_watts[node.name]
            for node in self.inventory.nodes
            if self.inventory.rack[node.rack].hall == hall
        ) + sum(self._promised.get(r.name, 0.0) for r in self.inventory.racks if r.hall == hall)
        room = _without_largest(chillers) - heat
        return int(
            max(0.0, room) // kind.power_watts
        ), f"cooling: {_kw(room)} left at the chillers, a spare one kept"


def _without_largest(units: list[Device]) -> float:
    """N+1: what is left without the largest; all of it where there is only one, which has no spare."""
    capacities = sorted(device.capacity_watts for device in units)
    return sum(capacities[:-1] if len(capacities) > 1 else capacities)


def _kw(watts: float) -> str:
    return f"{watts / 1000:.1f} kW"
