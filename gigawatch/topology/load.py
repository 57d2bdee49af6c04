"""Reading an inventory file: bracket ranges are expanded, references resolved, invariants checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from gigawatch.config.load import Lines, Strict, _explain, read_mapping
from gigawatch.errors import FileError, UserError
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

NAME = r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$"
_RANGE = re.compile(r"\[(\d+)-(\d+)\]")
_LARGEST_RANGE = 100_000

PatternName = Annotated[str, Field(min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class EndpointRow(Strict):
    protocol: Literal["redfish", "snmp", "modbus", "mqtt"]
    address: Annotated[str, Field(min_length=1, max_length=300)]
    profile: str = ""
    credentials: str = ""
    path: str = ""
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    context: str = ""
    object: str = ""
    interval: str = ""


class ZoneRow(Strict):
    name: PatternName
    location: str = ""
    endangers: list[str] = Field(default_factory=list)


class SupplyRow(Strict):
    psu: Annotated[int, Field(ge=1, le=32)]
    pdu: str
    outlet: str = ""


class RowRow(Strict):
    name: Annotated[str, Field(pattern=NAME)]
    hall: str
    positions: Annotated[int, Field(ge=0, le=1000)] = 0


class KindRow(Strict):
    name: Annotated[str, Field(pattern=NAME)]
    what: Literal["node", "rack"]
    power_watts: Positive
    cooling: Literal["liquid", "air"]
    units: Annotated[int, Field(ge=0, le=100)] = 0
    ports: Annotated[int, Field(ge=0, le=10_000)] = 0
    weight_kg: NotNegative = 0.0
    gpus: Annotated[int, Field(ge=0, le=10_000)] = 0
    gpu_model: str = ""


class ReservationRow(Strict):
    name: PatternName
    rack: str
    power_watts: NotNegative = 0.0
    units: Annotated[int, Field(ge=0, le=100)] = 0
    ports: Annotated[int, Field(ge=0, le=10_000)] = 0
    until: str = ""


class RackRow(Strict):
    name: PatternName
    hall: str
    row: str
    units: Annotated[int, Field(ge=1, le=100)] = 48
    power_watts: Positive
    cooling: Literal["liquid", "air"]
    cooling_watts: NotNegative = 0.0
    ports: Annotated[int, Field(ge=0, le=10_000)] = 0
    position: Annotated[int, Field(ge=0, le=1000)] = 0
    position_step: Annotated[int, Field(ge=0, le=100)] = 0
    """Places between one rack of a range and the next."""
    max_weight_kg: NotNegative = 0.0


class NodeRow(Strict):
    name: PatternName
    rack: str
    unit: Annotated[int, Field(ge=1, le=100)]
    unit_step: Annotated[int, Field(ge=0, le=100)] = 0
    """Units between one node of a range and the next in the same rack."""
    height: Annotated[int, Field(ge=1, le=100)] = 8
    gpu_model: str = ""
    gpus: Annotated[int, Field(ge=0, le=72)] = 8
    psus: Annotated[int, Field(ge=0, le=32)] = 6
    fans: Annotated[int, Field(ge=0, le=64)] = 8
    loop: str = ""
    serial: str = ""
    address: str = ""
    power_watts: NotNegative = 0.0
    ports: Annotated[int, Field(ge=0, le=10_000)] = 0
    kind: str = ""
    weight_kg: NotNegative = 0.0
    supplies: list[SupplyRow] = Field(default_factory=list)


class DeviceRow(Strict):
    name: PatternName
    role: Role
    hall: str = ""
    rack: str = ""
    side: Literal["A", "B", ""] = ""
    fed_by: str = ""
    loop: str = ""
    capacity_watts: NotNegative = 0.0
    breaker_amperes: NotNegative = 0.0
    voltage: Positive = 230.0
    phases: Literal[1, 3] = 3
    address: str = ""
    node: str = ""
    unit: Annotated[int, Field(ge=0, le=100)] = 0
    height: Annotated[int, Field(ge=1, le=100)] = 1
    face: Literal["front", "rear", "both"] = "front"
    cooled_by: list[str] = Field(default_factory=list)
    group: str = ""
    spare: Annotated[int, Field(ge=0, le=100)] = 0
    model: str = ""
    serial: str = ""
    zones: list[ZoneRow] = Field(default_factory=list)
    endpoints: list[EndpointRow] = Field(default_factory=list)


class LoopRow(Strict):
    name: PatternName
    hall: str
    racks: list[str]
    flow_liters_per_minute: Positive
    supply_celsius: Annotated[float, Field(ge=5, le=60)]


class AssetRow(Strict):
    capex_usd: NotNegative
    residual_ratio: Share
    amortization_years: Positive


class EconomicsRow(Strict):
    assets: dict[str, AssetRow] = Field(default_factory=dict)
    staff_usd_per_year: NotNegative = 0.0
    maintenance_usd_per_year: NotNegative = 0.0
    colo_usd_per_year: NotNegative = 0.0
    energy_usd_per_kwh: NotNegative = 0.0
    cloud_usd_per_gpu_hour: NotNegative = 0.0


class SiteRow(Strict):
    name: Annotated[str, Field(pattern=NAME)]
    description: str = ""


class File(Strict):
    """An inventory file as its author writes it."""

    version: Literal[1]
    site: SiteRow
    racks: Annotated[list[RackRow], Field(min_length=1)]
    nodes: list[NodeRow] = Field(default_factory=list)
    loops: list[LoopRow] = Field(default_factory=list)
    devices: list[DeviceRow] = Field(default_factory=list)
    economics: EconomicsRow = Field(default_factory=EconomicsRow)
    workloads: list[dict[str, Any]] = Field(default_factory=list)
    rows: list[RowRow] = Field(default_factory=list)
    kinds: list[KindRow] = Field(default_factory=list)
    reservations: list[ReservationRow] = Field(default_factory=list)


def blueprint_names() -> tuple[str, ...]:
    """Sites that come with Gigawatch, from small to large."""
    return ("starter", "mid-scale", "full-scale")


def blueprint(name: str) -> Inventory:
    """A site that comes with Gigawatch."""
    if name not in blueprint_names():
        raise UserError(f"no blueprint '{name}'; there are {', '.join(blueprint_names())}")
    return load_inventory(Path(str(files("gigawatch.topology") / "blueprints" / f"{name}.yaml")))


def load_inventory(path: Path) -> Inventory:
    """The site that a file describes.

    Raises FileError with one line that names file, line, field and remedy.
    """
    data, lines = read_mapping(path)
    try:
        parsed = File.model_validate(data)
    except ValidationError as error:
        raise _explain(path, error.errors(include_url=False), lines, {}, File) from None
    return _Builder(path, lines, parsed).build()


class _Builder:
    """Expands rows into things and checks what they refer to."""

    def __init__(self, path: Path, lines: Lines, file: File) -> None:
        self.path, self.lines, self.file = path, lines, file

    def fail(self, section: str, index: int, field: str, problem: str, remedy: str) -> FileError:
        line = self.lines.get((section, index, field)) or self.lines.get((section, index))
        return FileError(self.path, f"{section}[{index}].{field}", problem, remedy, line)

    def expand(self, section: str, index: int, row: BaseModel) -> Iterable[dict[str, Any]]:
        """One dict of values per name of the row's bracket ranges; {1}, {2}... hold the numbers."""
        values = row.model_dump()
        numbers = [m.groups() for m in _RANGE.finditer(values["name"])]
        spans: list[list[str]] = []
        for low, high in numbers:
            if int(low) > int(high):
                raise self.fail(
                    section, index, "name", f"has the range [{low}-{high}]", "put the lower number first"
                )
            if int(high) - int(low) >= _LARGEST_RANGE:
                raise self.fail(
                    section, index, "name", f"has the range [{low}-{high}]", "at most 100000 names"
                )
            spans.append([str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)])
        for picked, position in _product(spans):
            expanded = {k: self.fill(section, index, k, v, picked) for k, v in values.items()}
            if not re.match(NAME, expanded["name"]):
                raise self.fail(
                    section, index, "name", f"is '{expanded['name']}'",
                    "allowed: a-z, 0-9, '-', '_', '.', beginning and ending with a letter or digit",
                )  # fmt: skip
            expanded["number"] = position
            yield expanded

    def fill(self, section: str, index: int, field: str, value: Any, picked: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self.fill(section, index, field, one, picked) for one in value]
        if isinstance(value, dict):
            inner = value.items()
            return {k: self.fill(section, index, f"{field}.{k}", one, picked) for k, one in inner}
        if not isinstance(value, str) or isinstance(value, Role):
            return value
        counter = iter(picked)
        if field == "name":
            return _RANGE.sub(lambda _: next(counter), value)

        def number(match: re.Match[str]) -> str:
            place = int(match.group(1))
            if not 1 <= place <= len(picked):
                raise self.fail(
                    section,
                    index,
                    field,
                    f"refers to {{{place}}}",
                    f"the name has {len(picked)} bracket ranges",
                )
            return picked[place - 1]

        return re.sub(r"\{(\d)\}", number, value)

    def build(self) -> Inventory:
        racks = tuple(
            Rack(
                r["name"],
                r["hall"],
                r["row"],
                r["units"],
                r["power_watts"],
                r["cooling"],
                r["cooling_watts"],
                r["ports"],
                r["position"] + r["position_step"] * r["number"] if r["position"] else 0,
                r["max_weight_kg"],
            )
            for _, r in self.unique("racks", self.file.racks)
        )
        rack_names = {rack.name: rack for rack in racks}
        loops = self.loops(rack_names)
        nodes = self.nodes(rack_names, {loop.name for loop in loops})
        devices = self.devices(rack_names, {n.name for n in nodes}, {loop.name for loop in loops})
        economics = self.file.economics
        return Inventory(
            site=self.file.site.name,
            racks=racks,
            nodes=nodes,
            devices=devices,
            loops=loops,
            economics=Economics(
                {name: asset.capex_usd for name, asset in economics.assets.items()},
                {name: asset.residual_ratio for name, asset in economics.assets.items()},
                {name: asset.amortization_years for name, asset in economics.assets.items()},
                economics.staff_usd_per_year,
                economics.maintenance_usd_per_year,
                economics.colo_usd_per_year,
                economics.energy_usd_per_kwh,
                economics.cloud_usd_per_gpu_hour,
            ),
            source=str(self.path),
            workloads=tuple(self.file.workloads),
            rows=tuple(Row(**row.model_dump()) for row in self.file.rows),
            kinds=tuple(Kind(**row.model_dump()) for row in self.file.kinds),
            reservations=self.reservations(rack_names),
        )

    def unique(self, section: str, rows: Iterable[BaseModel]) -> Iterable[tuple[int, dict[str, Any]]]:
        seen: dict[str, int] = {}
        for index, row in enumerate(rows):
            for values in self.expand(section, index, row):
                if values["name"] in seen:
                    other = f"{section}[{seen[values['name']]}]"
                    raise self.fail(
                        section, index, "name", f"'{values['name']}' is taken by {other}", "names are unique"
                    )
                seen[values["name"]] = index
                yield index, values

    def reservations(self, racks: dict[str, Rack]) -> tuple[Reservation, ...]:
        found = []
        for index, v in self.unique("reservations", self.file.reservations):
            self.refer("reservations", index, "rack", v["rack"], racks, "rack")
            found.append(
                Reservation(v["name"], v["rack"], v["power_watts"], v["units"], v["ports"], v["until"])
            )
        return tuple(found)

    def refer(self, section: str, index: int, field: str, name: str, known: Iterable[str], what: str) -> None:
        if name and name not in known:
            raise self.fail(
                section, index, field, f"names the {what} '{name}', which does not exist", _near(name, known)
            )

    def loops(self, racks: dict[str, Rack]) -> tuple[Loop, ...]:
        found = []
        for index, values in self.unique("loops", self.file.loops):
            served = [name for pattern in values["racks"] for name in _names(pattern)]
            for name in served:
                self.refer("loops", index, "racks", name, racks, "rack")
            flow = values["flow_liters_per_minute"] / 60_000
            found.append(Loop(values["name"], values["hall"], tuple(served), flow, values["supply_celsius"]))
        return tuple(found)

    def nodes(self, racks: dict[str, Rack], loops: set[str]) -> tuple[Node, ...]:
        found: list[Node] = []
        taken: dict[tuple[str, int], str] = {}
        for index, v in self.unique("nodes", self.file.nodes):
            self.refer("nodes", index, "rack", v["rack"], racks, "rack")
            self.refer("nodes", index, "loop", v["loop"], loops, "loop")
            if not v["rack"]:
                raise self.fail("nodes", index, "rack", "is empty", "name the rack the node stands in")
            if racks[v["rack"]].cooling == "liquid" and not v["loop"]:
                raise self.fail(
                    "nodes",
                    index,
                    "loop",
                    f"is missing in the liquid-cooled rack '{v['rack']}'",
                    "name a loop",
                )
            if v["gpus"] and not v["gpu_model"]:
                raise self.fail(
                    "nodes", index, "gpu_model", "is missing", "name the GPU model, or set gpus: 0"
                )
            unit = v["unit"] + v["unit_step"] * v["number"]
            if unit + v["height"] - 1 > racks[v["rack"]].units:
                raise self.fail(
                    "nodes", index, "unit", f"puts '{v['name']}' at U{unit} to U{unit + v['height'] - 1}",
                    f"rack '{v['rack']}' has {racks[v['rack']].units} units",
                )  # fmt: skip
            for u in range(unit, unit + v["height"]):
                other = taken.setdefault((v["rack"], u), v["name"])
                if other != v["name"]:
                    raise self.fail(
                        "nodes", index, "unit", f"puts '{v['name']}' on U{u}", f"'{other}' stands there"
                    )
            found.append(
                Node(v["name"], v["rack"], unit, v["height"], v["gpu_model"], v["gpus"], v["psus"], v["fans"],
                     v["loop"], v["serial"] or f"sn-{v['name']}", v["address"], v["power_watts"], v["ports"],
                     v["kind"], v["weight_kg"], tuple(Supply(**one) for one in v["supplies"]))
            )  # fmt: skip
        return tuple(found)

    def devices(self, racks: dict[str, Rack], nodes: set[str], loops: set[str]) -> tuple[Device, ...]:
        found: dict[str, Device] = {}
        rows: dict[str, int] = {}
        for index, v in self.unique("devices", self.file.devices):
            self.refer("devices", index, "rack", v["rack"], racks, "rack")
            self.refer("devices", index, "loop", v["loop"], loops, "loop")
            self.refer("devices", index, "node", v["node"], nodes, "node")
            if v["role"] is Role.CDU and not v["loop"]:
                raise self.fail(
                    "devices", index, "loop", "is missing", "name the loop that this coolant unit feeds"
                )
            if v["role"] is Role.BMC and not v["node"]:
                raise self.fail(
                    "devices", index, "node", "is missing", "name the node that this controller manages"
                )
            hall = v["hall"] or (racks[v["rack"]].hall if v["rack"] else "")
            found[v["name"]] = Device(
                v["name"], v["role"], hall, v["rack"], v["side"], v["fed_by"], v["loop"], v["capacity_watts"],
                v["breaker_amperes"], v["voltage"], v["phases"], v["address"], v["node"],
                v["unit"], v["height"], v["face"], tuple(v["cooled_by"]), v["group"], v["spare"], v["model"],
                v["serial"],
                tuple(Zone(z["name"], z["location"], tuple(z["endangers"])) for z in v["zones"]),
                tuple(Endpoint(**one) for one in v["endpoints"]),
            )  # fmt: skip
            rows[v["name"]] = index
        for device in found.values():
            self.refer("devices", rows[device.name], "fed_by", device.fed_by, found, "device")
        for device in found.values():
            self.no_cycle(device, found, rows[device.name])
        return tuple(found.values())

    def no_cycle(self, device: Device, found: dict[str, Device], index: int) -> None:
        seen = {device.name}
        current = device
        while current.fed_by:
            current = found[current.fed_by]
            if current.name in seen:
                raise self.fail(
                    "devices",
                    index,
                    "fed_by",
                    f"closes a circle through '{current.name}'",
                    "power flows one way",
                )
            seen.add(current.name)


def _product(spans: list[list[str]]) -> Iterable[tuple[tuple[str, ...], int]]:
    """Every combination, with the position within the last range (how far along its rack a node is)."""
    if not spans:
        yield (), 0
        return
    heads: list[tuple[str, ...]] = [()]
    for span in spans[:-1]:
        heads = [(*head, value) for head in heads for value in span]
    for head in heads:
        for position, value in enumerate(spans[-1]):
            yield (*head, value), position


def _names(pattern: str) -> list[str]:
    """The names that a pattern with at most one bracket range stands for."""
    match = _RANGE.search(pattern)
    if not match:
        return [pattern]
    low, high = match.groups()
    numbers = range(int(low), min(int(high), int(low) + _LARGEST_RANGE) + 1)
    return [pattern[: match.start()] + str(n).zfill(len(low)) + pattern[match.end() :] for n in numbers]


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = sorted(known)
    close = get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "there is none"
