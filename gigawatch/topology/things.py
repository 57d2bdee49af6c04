"""The things of a site: plain, frozen, referring to each other by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a facility device is."""

    UTILITY = "utility"
    """A utility intake with its meter: all the energy bought passes one of these."""
    UPS = "ups"
    FLOOR_PDU = "floor_pdu"
    RACK_PDU = "rack_pdu"
    CHILLER = "chiller"
    CDU = "cdu"
    CRAH = "crah"
    BMC = "bmc"
    """The management controller of a node: server power, fans, power supplies, inlet air."""
    SENSOR = "sensor"
    """Room or outdoor air sensor."""
    TRANSFER_SWITCH = "transfer_switch"
    BUSWAY = "busway"
    METER = "meter"
    """A meter that only measures: a sub-distribution, a chiller's own supply."""
    POWER_SHELF = "power_shelf"
    """Rectifiers of a rack that distributes direct current."""
    SWITCH = "switch"
    """A network switch."""
    DRY_COOLER = "dry_cooler"
    COOLING_TOWER = "cooling_tower"
    REAR_DOOR = "rear_door"
    """A rear-door heat exchanger."""
    MANIFOLD = "manifold"
    """What distributes coolant in a rack, with the rack's valves, flow and leak sensors."""
    LEAK_DETECTOR = "leak_detector"
    DOOR = "door"
    """A door or another access point, with its contact and its access control."""


@dataclass(frozen=True, slots=True)
class Economics:
    """Inputs of the cost rules. Money in US dollars."""

    capex_usd: dict[str, float]
    """Purchase price by asset class (gpu, facility, network, ...)."""
    residual_ratio: dict[str, float]
    amortization_years: dict[str, float]
    staff_usd_per_year: float
    maintenance_usd_per_year: float
    colo_usd_per_year: float
    energy_usd_per_kwh: float
    cloud_usd_per_gpu_hour: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to ask a device. `gigawatch facility` reads all of a device's and joins what they say; where
    two say the same, the first wins."""

    protocol: str
    """redfish, snmp, modbus or mqtt."""
    address: str
    """https://HOST[:PORT] (redfish), mqtt[s]://HOST[:PORT] (mqtt), HOST[:PORT] (snmp, modbus)."""
    profile: str = ""
    """Data profile of the model (snmp, modbus); empty: the device says itself what it is (snmp, redfish)."""
    credentials: str = ""
    """Name of an entry under `credentials` in the settings of `gigawatch facility`; never a secret itself."""
    path: str = ""
    """redfish: the resource that is this device, where one service speaks for several."""
    unit: int = 1
    """modbus: unit id."""
    context: str = ""
    """snmp: context of version 3, or community of version 2c, where it differs from the credentials'."""
    object: str = ""
    """mqtt: object id of the building management's metadata, or the beginning of its tag path."""
    interval: str = ""
    """How often to ask, such as 5s; empty: what the settings say for devices of this kind."""


@dataclass(frozen=True, slots=True)
class Zone:
    """What one leak sensor watches."""

    name: str
    location: str = ""
    """Where a person finds it: `tray under U1, rear`."""
    endangers: tuple[str, ...] = ()
    """Racks, nodes or devices that stand in the water first."""


@dataclass(frozen=True, slots=True)
class Supply:
    """A node's power supply and where it is plugged in."""

    psu: int
    pdu: str
    outlet: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    hall: str
    positions: int = 0
    """Places for racks; 0: not said."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of node or rack that may be bought, for `gigawatch capacity`."""

    name: str
    what: str
    """node or rack."""
    power_watts: float
    """Design power: what has to be set aside for one."""
    cooling: str
    """liquid or air."""
    units: int = 0
    """Height units that a node takes, or that a rack has."""
    ports: int = 0
    weight_kg: float = 0.0
    gpus: int = 0
    gpu_model: str = ""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is promised to something that is not there yet."""

    name: str
    rack: str
    power_watts: float = 0.0
    units: int = 0
    ports: int = 0
    until: str = ""
    """Date (YYYY-MM-DD) after which it no longer counts; empty: for good."""


@dataclass(frozen=True, slots=True)
class Rack:
    name: str
    hall: str
    row: str
    units: int
    power_watts: float
    """Power planned for the rack."""
    cooling: str
    """liquid or air."""
    cooling_watts: float = 0.0
    """Heat that can be carried away from it; 0: as much as its power."""
    ports: int = 0
    """Network ports that its switches offer to nodes; 0: not said."""
    position: int = 0
    """Place in its row, from 1; 0: not said."""
    max_weight_kg: float = 0.0
    """0: not said."""
    air_handler: str = ""
    """The air handler (fan wall) whose air reaches it; empty: not said."""


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    rack: str
    unit: int
    """Lowest rack unit the node occupies."""
    height: int
    gpu_model: str
    """Empty where the node has no GPUs."""
    gpus: int
    psus: int
    fans: int
    loop: str
    """Cooling loop of its cold plates; empty where it is cooled by air."""
    serial: str
    address: str
    """host:port of its agent."""
    power_watts: float = 0.0
    """Design power; 0: not said."""
    ports: int = 0
    """Network ports it uses."""
    kind: str = ""
    """Name of a kind of the inventory."""
    weight_kg: float = 0.0
    supplies: tuple[Supply, ...] = ()
    """Where its power supplies are plugged in; empty: in turn into the PDUs of its rack."""
    switches: tuple[str, ...] = ()
    """The network switches that its ports go to; empty: those of its rack."""


@dataclass(frozen=True, slots=True)
class Device:
    """A facility device. Power devices form a tree by `fed_by`, with utility intakes as roots."""

    name: str
    role: Role
    hall: str
    rack: str
    """Empty where the device serves more than one rack."""
    side: str
    """A or B on power devices of a redundant site; empty elsewhere."""
    fed_by: str
    loop: str
    capacity_watts: float
    """Power it may pass on, or heat it may carry away."""
    breaker_amperes: float
    voltage: float
    """Line to neutral."""
    phases: int
    address: str
    node: str
    """For a BMC: the node it manages."""
    unit: int = 0
    """Lowest rack unit it occupies; 0: none (it hangs beside the units, or stands elsewhere)."""
    height: int = 1
    face: str = "front"
    """front, rear or both."""
    cooled_by: tuple[str, ...] = ()
    """Devices that carry its heat away: chillers for a coolant unit or an air handler."""
    group: str = ""
    """Devices of one group stand in for each other."""
    spare: int = 0
    """How many of its group may fail: 1 is N+1."""
    model: str = ""
    serial: str = ""
    zones: tuple[Zone, ...] = ()
    """What its leak sensors watch."""
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """A technology coolant loop: coolant units on one side, racks on the other."""

    name: str
    hall: str
    racks: tuple[str, ...]
    flow_cubic_meters_per_second: float
    """Design flow."""
    supply_celsius: float
    """Set point of the supply temperature."""
