"""The rows of an inventory file, as its author writes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gigawatch.config.load import Strict
from gigawatch.topology.model import Role

NAME = r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$"
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
    air_handler: str = ""


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
    switches: list[str] = Field(default_factory=list)


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


class Head(Strict):
    """What stands in a file beside its lists of things."""

    version: Literal[1]
    site: SiteRow
    economics: EconomicsRow = Field(default_factory=EconomicsRow)
    workloads: list[dict[str, Any]] = Field(default_factory=list)


SECTIONS: dict[str, type[Strict]] = {
    "racks": RackRow,
    "rows": RowRow,
    "kinds": KindRow,
    "loops": LoopRow,
    "nodes": NodeRow,
    "devices": DeviceRow,
    "reservations": ReservationRow,
}
"""The lists of things, by the field they stand in."""
