"""The inventory and the economics of a site, as the service discovery exports them."""

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit


def _site(
    key: str,
    kind: Kind,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = (),
    presence: Presence = Presence.ALWAYS,
) -> Metric:
    # These series carry the labels of the thing they describe, so the scrape honours them.
    return Metric(key, kind, unit, text, Origin.SD, Target.SITE, labels, {}, presence)


NODE_INFO = _site(
    "node_info",
    Kind.INFO,
    Unit.COUNT,
    "Place of a node, and the cooling loop it hangs on (empty where it is cooled by air).",
    ("node", "rack", "row", "hall", "unit", "loop", "chassis", "serial"),
)
RACK_INFO = _site(
    "rack_info",
    Kind.INFO,
    Unit.COUNT,
    "Place of a rack and how it is cooled.",
    ("rack", "row", "hall", "cooling"),
)
DEVICE_INFO = _site(
    "device_info",
    Kind.INFO,
    Unit.COUNT,
    "What a facility device is, and the feed or loop it belongs to (empty where none).",
    ("device", "role", "rack", "hall", "feed", "side", "loop"),
)
LOOP_RACK_INFO = _site(
    "loop_rack_info", Kind.INFO, Unit.COUNT, "Which cooling loop serves which rack.", ("loop", "rack", "hall")
)
RACK_AIR_INFO = _site(
    "rack_air_info",
    Kind.INFO,
    Unit.COUNT,
    "Which air handler's air reaches which rack.",
    ("rack", "device", "hall"),
)
LOOP_SUPPLY_SETPOINT = _site(
    "loop_supply_setpoint_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Supply temperature that the inventory plans for a cooling loop.",
    ("loop", "hall"),
)
METER_INFO = _site(
    "meter_info",
    Kind.INFO,
    Unit.COUNT,
    "Which meter counts as what: facility is all energy bought, it what reaches the racks (PUE category 2).",
    ("device", "role"),
)
GPUS_EXPECTED = _site(
    "gpus_expected", Kind.GAUGE, Unit.COUNT, "GPUs that the inventory says a node has.", ("node", "rack")
)
POWER_BUDGET = _site(
    "power_budget_watts", Kind.GAUGE, Unit.WATTS, "Power planned for a rack.", ("rack", "hall")
)
RACK_SLOT_INFO = _site(
    "rack_slot_info",
    Kind.INFO,
    Unit.COUNT,
    "What stands on the units of a rack, lowest unit and height; kind is node, reserved, or a device's role.",
    ("rack", "unit", "height", "face", "kind", "name"),
)
POWER_PATH_INFO = _site(
    "power_path_info",
    Kind.INFO,
    Unit.COUNT,
    "One step of the power chain: the device, and what feeds it.",
    ("device", "fed_by", "side"),
)
COOLING_PATH_INFO = _site(
    "cooling_path_info",
    Kind.INFO,
    Unit.COUNT,
    "One step of the cooling chain: the device, and what carries its heat away.",
    ("device", "cooled_by"),
)
NODE_FEED_INFO = _site(
    "node_feed_info",
    Kind.INFO,
    Unit.COUNT,
    "From which rack PDU (and outlet, where known) a node's power supply takes its power.",
    ("node", "psu", "device", "outlet"),
)
NODE_SWITCH_INFO = _site(
    "node_switch_info",
    Kind.INFO,
    Unit.COUNT,
    "Which network switch a node's ports go to.",
    ("node", "device"),
)
NODE_DESIGN_POWER = _site(
    "node_design_power_watts", Kind.GAUGE, Unit.WATTS, "Power planned for a node.", ("node", "rack")
)
DEVICE_CAPACITY = _site(
    "device_capacity_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power that a device may pass on, or heat that it may carry away, as planned.",
    ("device",),
)
DEVICE_BREAKER = _site(
    "device_breaker_amperes",
    Kind.GAUGE,
    Unit.AMPERES,
    "Rated current of a device's main breaker.",
    ("device",),
)
REDUNDANCY_SPARE = _site(
    "redundancy_spare_devices",
    Kind.GAUGE,
    Unit.COUNT,
    "How many devices of its group may fail (1: N+1); absent for devices that stand alone.",
    ("device", "group"),
)
RACK_COOLING = _site(
    "rack_cooling_capacity_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Heat that can be carried away from a rack.",
    ("rack", "hall"),
)
RACK_UNITS = _site("rack_units", Kind.GAUGE, Unit.COUNT, "Height units of a rack.", ("rack", "hall"))
RACK_UNITS_FREE = _site(
    "rack_units_free", Kind.GAUGE, Unit.COUNT, "Height units on which nothing stands.", ("rack", "hall")
)
RACK_PORTS = _site(
    "rack_ports", Kind.GAUGE, Unit.COUNT, "Network ports that a rack offers to its nodes.", ("rack", "hall")
)
RACK_PORTS_FREE = _site(
    "rack_ports_free",
    Kind.GAUGE,
    Unit.COUNT,
    "Network ports that no node uses.",
    ("rack", "hall"),
)
RACK_RESERVED_POWER = _site(
    "rack_reserved_watts", Kind.GAUGE, Unit.WATTS, "Power promised to what is to come.", ("rack", "hall")
)
RACK_RESERVED_UNITS = _site(
    "rack_reserved_units",
    Kind.GAUGE,
    Unit.COUNT,
    "Units promised to what is to come.",
    ("rack", "hall"),
)
LEAK_ZONE_INFO = _site(
    "leak_zone_info",
    Kind.INFO,
    Unit.COUNT,
    "Where a leak sensor's zone lies, and what stands below or beside it.",
    ("device", "zone", "location", "endangers"),
)
INVENTORY_SOURCE_UP = _site(
    "inventory_source_up",
    Kind.GAUGE,
    Unit.FLAG,
    "1 while the inventory's source (a file, NetBox) can be read; 0 while the last good state stands in.",
    ("source",),
)
INVENTORY_AGE = _site(
    "inventory_age_seconds", Kind.GAUGE, Unit.SECONDS, "Time since the inventory's source was last read well."
)
MAINTENANCE_UNTIL = _site(
    "maintenance_until_timestamp_seconds",
    Kind.GAUGE,
    Unit.TIMESTAMP,
    "Until when a place is under maintenance (Unix time); absent when it is not.",
    ("scope", "place", "reason"),
    Presence.EVENT,
)
GPUS_OWNED = _site("gpus_owned", Kind.GAUGE, Unit.COUNT, "GPUs the site owns.")
TOPOLOGY_GENERATION = _site(
    "topology_generation", Kind.GAUGE, Unit.COUNT, "Rises by one with each inventory that was loaded."
)
TOPOLOGY_LOAD_ERRORS = _site(
    "topology_load_errors_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Inventories that were refused; the last good one stays in force.",
)

COST_CAPEX = _site(
    "cost_capex_usd",
    Kind.GAUGE,
    Unit.USD,
    "Purchase price including network, storage and installation.",
    ("asset_class",),
)
COST_RESIDUAL = _site(
    "cost_residual_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Share of the price recovered at the end.",
    ("asset_class",),
)
COST_AMORTIZATION = _site(
    "cost_amortization_years",
    Kind.GAUGE,
    Unit.YEARS,
    "Years over which the price is spread.",
    ("asset_class",),
)
COST_STAFF = _site("cost_staff_usd_per_year", Kind.GAUGE, Unit.USD_PER_YEAR, "Staff cost.")
COST_MAINTENANCE = _site("cost_maintenance_usd_per_year", Kind.GAUGE, Unit.USD_PER_YEAR, "Maintenance cost.")
COST_COLO = _site("cost_colo_usd_per_year", Kind.GAUGE, Unit.USD_PER_YEAR, "Rent of the hall.")
ENERGY_PRICE = _site("energy_price_usd_per_kwh", Kind.GAUGE, Unit.USD_PER_KWH, "Price of electricity.")
CLOUD_PRICE = Metric(
    "cloud_price_per_gpu_usd_per_hour",
    Kind.GAUGE,
    Unit.USD_PER_HOUR,
    "What a GPU of this kind rents for elsewhere.",
    Origin.SD,
    Target.SITE,
)
