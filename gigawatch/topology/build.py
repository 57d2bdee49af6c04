"""From a draft to an inventory: fields are read, references resolved, and all that is wrong is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from gigawatch.config.load import Strict, _fields_at, _words
from gigawatch.topology.draft import Draft, Drawn
from gigawatch.topology.expand import ExpansionError, names
from gigawatch.topology.model import (
    Device,
    Economics,
    Endpoint,
    Inventory,
    Kind,
    Loop,
    Node,
    Rack,
    Reservation,
    Role,
    Row,
    Supply,
    Zone,
)
from gigawatch.topology.problems import At
from gigawatch.topology.rows import (
    NAME,
    SECTIONS,
    DeviceRow,
    EconomicsRow,
    Head,
    KindRow,
    LoopRow,
    NodeRow,
    RackRow,
    ReservationRow,
    RowRow,
)

_NO_ECONOMICS = EconomicsRow()
_RowModel = TypeVar("_RowModel", bound=Strict)
_NAMED = {
    "racks": "rack",
    "loops": "loop",
    "nodes": "node",
    "devices": "device",
    "kinds": "kind",
    "rows": "row",
}


@dataclass(slots=True)
class Built:
    """What became of a draft."""

    inventory: Inventory
    """Without what makes no sense: references in it are sound, whatever the draft."""
    drawn: Mapping[tuple[str, str], Drawn]
    """Where each thing comes from, by section and name."""


def build(draft: Draft) -> Built:
    """The inventory of a draft. What is wrong is added to the draft's problems."""
    return _Builder(draft).build()


class _Builder:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._drawn: dict[tuple[str, str], Drawn] = {}
        self._known = {section: {t.name for t in things} for section, things in draft.things.items()}
        self._source = draft.origin.place

    def build(self) -> Built:
        head = self._head()
        racks = list(self._racks())
        sound_racks = {rack.name: rack for rack in racks}
        loops = self._loops(sound_racks)
        sound_loops = {loop.name for loop in loops}
        kinds = [Kind(**v.model_dump()) for _, v in self._rows("kinds", KindRow)]
        nodes = self._nodes(sound_racks, sound_loops)
        devices = self._devices(sound_racks, {node.name for node in nodes}, sound_loops)
        built = {device.name for device in devices}
        nodes = [_plugged(node, built) for node in nodes]
        racks = [rack if rack.air_handler in built else replace(rack, air_handler="") for rack in racks]
        if not self._draft.things["racks"] and "racks" not in self._draft.unsure:
            self._draft.fault(
                self._draft.origin, ("racks",), "missing", "is missing", "name at least one rack"
            )
        inventory = Inventory(
            site=head.site.name if head else "",
            racks=tuple(racks),
            nodes=tuple(nodes),
            devices=tuple(devices),
            loops=tuple(loops),
            economics=_economics(head.economics if head else _NO_ECONOMICS),
            source=self._source,
            workloads=tuple(head.workloads) if head else (),
            rows=tuple(Row(**v.model_dump()) for _, v in self._rows("rows", RowRow)),
            kinds=tuple(kinds),
            reservations=tuple(
                Reservation(v.name, v.rack, v.power_watts, v.units, v.ports, v.until)
                for drawn, v in self._rows("reservations", ReservationRow)
                if self._refer(drawn, ("rack",), v.rack, "racks", sound_racks)
            ),
        )
        return Built(inventory, self._drawn)

    def _head(self) -> Head | None:
        draft = self._draft
        fields = {name: draft.head[name] for name in Head.model_fields if name in draft.head}
        head = None
        try:
            head = Head.model_validate(fields)
        except ValidationError as error:
            self._tell(error, Head, Drawn({}, draft.origin))
        known = sorted([*Head.model_fields, *SECTIONS])
        for name in draft.head.keys() - Head.model_fields.keys():
            remedy = f"known here: {', '.join(known)}"
            draft.fault(draft.origin, (name,), "unknown-field", "is not a known field", remedy)
        return head

    def _rows(self, section: str, model: type[_RowModel]) -> Iterable[tuple[Drawn, _RowModel]]:
        """Rows of a section that are sound in themselves, under names of their own."""
        for drawn in self._draft.things[section]:
            try:
                row = model.model_validate(drawn.values)
            except ValidationError as error:
                self._tell(error, model, drawn)
                continue
            name = drawn.name
            if not re.match(NAME, name):
                self._fault(drawn, ("name",), "name", f"is '{name}'", "allowed: a-z, 0-9, '-', '_', '.', "
                            "beginning and ending with a letter or digit")  # fmt: skip
                continue
            other = self._drawn.setdefault((section, name), drawn)
            if other is not drawn:
                taken = other.origin.dotted(()) or other.origin.place
                self._fault(
                    drawn, ("name",), "duplicate", f"'{name}' is taken by {taken}", "names are unique"
                )
                continue
            yield drawn, row

    def _tell(self, error: ValidationError, model: type[Strict], drawn: Drawn) -> None:
        for one in error.errors(include_url=False):
            at = tuple(one["loc"])
            problem, remedy = _words(one, model)
            if one["type"] == "extra_forbidden" and not remedy:
                remedy = ", ".join(_fields_at(model, at[:-1]))
            self._fault(drawn, at, one["type"].replace("_", "-"), problem, remedy)

    def _fault(self, drawn: Drawn, at: At, code: str, problem: str, remedy: str = "") -> None:
        self._draft.fault(drawn.origin_of(at), at, code, problem, remedy)

    def _refer(self, drawn: Drawn, at: At, name: str, section: str, sound: Iterable[str]) -> bool:
        """Whether a name may be used; told if nothing of that name is even written down."""
        if name in sound:
            return True
        known = self._known[section]
        if name not in known and section not in self._draft.unsure:
            problem = f"names the {_NAMED[section]} '{name}', which does not exist" if name else "is empty"
            self._fault(drawn, at, "unknown-reference", problem, _near(name, known))
        return False

    def _ranged(self, drawn: Drawn, at: At, patterns: Iterable[str]) -> Iterable[tuple[At, str]]:
        """Names in a list that may hold bracket ranges."""
        for index, pattern in enumerate(patterns):
            try:
                for name in names(pattern):
                    yield (*at, index), name
            except ExpansionError as error:
                self._fault(drawn, (*at, index), "range", error.problem, error.remedy)

    def _racks(self) -> Iterable[Rack]:
        for drawn, v in self._rows("racks", RackRow):
            if v.air_handler:
                self._refer(drawn, ("air_handler",), v.air_handler, "devices", self._known["devices"])
            position = v.position + v.position_step * drawn.number if v.position else 0
            yield Rack(
                v.name, v.hall, v.row, v.units, v.power_watts, v.cooling, v.cooling_watts, v.ports, position,
                v.max_weight_kg, v.air_handler,
            )  # fmt: skip

    def _loops(self, racks: Mapping[str, Rack]) -> list[Loop]:
        found = []
        for drawn, v in self._rows("loops", LoopRow):
            served = tuple(
                name
                for at, name in self._ranged(drawn, ("racks",), v.racks)
                if self._refer(drawn, at[:1], name, "racks", racks)
            )
            flow = v.flow_liters_per_minute / 60_000
            found.append(Loop(v.name, v.hall, served, flow, v.supply_celsius))
        return found

    def _nodes(self, racks: Mapping[str, Rack], loops: set[str]) -> list[Node]:
        found = []
        for drawn, v in self._rows("nodes", NodeRow):
            sound = self._refer(drawn, ("rack",), v.rack, "racks", racks)
            loop = v.loop if v.loop and self._refer(drawn, ("loop",), v.loop, "loops", loops) else ""
            if v.kind:
                self._refer(drawn, ("kind",), v.kind, "kinds", self._known["kinds"])
            for index, supply in enumerate(v.supplies):
                at = ("supplies", index, "pdu")
                self._refer(drawn, at, supply.pdu, "devices", self._known["devices"])
            switches = tuple(
                name
                for at, name in self._ranged(drawn, ("switches",), v.switches)
                if self._refer(drawn, at, name, "devices", self._known["devices"])
            )
            if v.gpus and not v.gpu_model:
                self._fault(
                    drawn, ("gpu_model",), "gpu-model", "is missing", "name the GPU model, or set gpus: 0"
                )
            if not sound:
                continue
            if racks[v.rack].cooling == "liquid" and not v.loop:
                problem = f"is missing in the liquid-cooled rack '{v.rack}'"
                self._fault(drawn, ("loop",), "no-loop", problem, "name a loop")
            found.append(
                Node(
                    v.name,
                    v.rack,
                    v.unit + v.unit_step * drawn.number,
                    v.height,
                    v.gpu_model,
                    v.gpus,
                    v.psus,
                    v.fans,
                    loop,
                    v.serial or f"sn-{v.name}",
                    v.address,
                    v.power_watts,
                    v.ports,
                    v.kind,
                    v.weight_kg,
                    tuple(Supply(one.psu, one.pdu, one.outlet) for one in v.supplies),
                    switches,
                )
            )
        return found

    def _devices(self, racks: Mapping[str, Rack], nodes: set[str], loops: set[str]) -> list[Device]:
        found = []
        sound = self._known["devices"]
        for drawn, v in self._rows("devices", DeviceRow):
            rack = v.rack if v.rack and self._refer(drawn, ("rack",), v.rack, "racks", racks) else ""
            loop = v.loop if v.loop and self._refer(drawn, ("loop",), v.loop, "loops", loops) else ""
            node = v.node if v.node and self._refer(drawn, ("node",), v.node, "nodes", nodes) else ""
            if v.fed_by:
                self._refer(drawn, ("fed_by",), v.fed_by, "devices", sound)
            if v.role is Role.CDU and not v.loop:
                self._fault(
                    drawn, ("loop",), "no-loop", "is missing", "name the loop that this coolant unit feeds"
                )
            if v.role is Role.BMC and not v.node:
                self._fault(
                    drawn, ("node",), "no-node", "is missing", "name the node that this controller manages"
                )
            cooled_by = tuple(
                name
                for at, name in self._ranged(drawn, ("cooled_by",), v.cooled_by)
                if self._refer(drawn, at, name, "devices", sound)
            )
            zones = tuple(self._zone(drawn, index, zone) for index, zone in enumerate(v.zones))
            hall = v.hall or (racks[rack].hall if rack else "")
            found.append(
                Device(
                    v.name,
                    v.role,
                    hall,
                    rack,
                    v.side,
                    v.fed_by,
                    loop,
                    v.capacity_watts,
                    v.breaker_amperes,
                    v.voltage,
                    v.phases,
                    v.address,
                    node,
                    v.unit if rack or not v.rack else 0,
                    v.height,
                    v.face,
                    cooled_by,
                    v.group,
                    v.spare,
                    v.model,
                    v.serial,
                    zones,
                    tuple(Endpoint(**one.model_dump()) for one in v.endpoints),
                )
            )
        built = {device.name for device in found}
        return [_attached(device, built) for device in found]

    def _zone(self, drawn: Drawn, index: int, zone: Any) -> Zone:
        at = ("zones", index, "endangers")
        return Zone(
            zone.name,
            zone.location,
            tuple(
                name
                for place, name in self._ranged(drawn, at, zone.endangers)
                if self._exists(drawn, place, name)
            ),
        )

    def _exists(self, drawn: Drawn, at: At, name: str) -> bool:
        sections = ("racks", "nodes", "devices", "loops")
        if any(name in self._known[section] for section in sections):
            return True
        if not self._draft.unsure.intersection(sections):
            known = set().union(*(self._known[section] for section in sections))
            problem = f"names '{name}', and there is no rack, node or device of that name"
            self._fault(drawn, at, "unknown-reference", problem, _near(name, known))
        return False


def _attached(device: Device, built: set[str]) -> Device:
    """Without what feeds or cools it where that makes no sense in itself."""
    if (not device.fed_by or device.fed_by in built) and all(name in built for name in device.cooled_by):
        return device
    return replace(
        device,
        fed_by=device.fed_by if device.fed_by in built else "",
        cooled_by=tuple(name for name in device.cooled_by if name in built),
    )


def _plugged(node: Node, built: set[str]) -> Node:
    """Without supplies and switches where what they name makes no sense in itself."""
    if all(supply.pdu in built for supply in node.supplies) and built.issuperset(node.switches):
        return node
    return replace(
        node,
        supplies=tuple(supply for supply in node.supplies if supply.pdu in built),
        switches=tuple(name for name in node.switches if name in built),
    )


def _economics(row: EconomicsRow) -> Economics:
    return Economics(
        {name: asset.capex_usd for name, asset in row.assets.items()},
        {name: asset.residual_ratio for name, asset in row.assets.items()},
        {name: asset.amortization_years for name, asset in row.assets.items()},
        row.staff_usd_per_year,
        row.maintenance_usd_per_year,
        row.colo_usd_per_year,
        row.energy_usd_per_kwh,
        row.cloud_usd_per_gpu_hour,
    )


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = sorted(name for name in known if name)
    close = get_close_matches(name, names[:5000], n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "there is none"
