"""The room around the racks: doors, smoke, air pressure, and the grid outside."""

from gigawatch.catalogue.facility import facility_metric
from gigawatch.catalogue.model import Kind, Presence, Unit

AIR_PRESSURE = facility_metric(
    "air_differential_pressure_pascals",
    Kind.GAUGE,
    Unit.PASCALS,
    "Air pressure across a floor, a filter or an aisle's containment.",
    ("position",),
)
DOOR_OPEN = facility_metric("door_open", Kind.GAUGE, Unit.FLAG, "1 while a door stands open.", ("door",))
ACCESS_EVENTS = facility_metric(
    "access_events_total",
    Kind.COUNTER,
    Unit.COUNT,
    "Attempts to pass a door. Who it was stays with the access control.",
    ("door", "result"),
    {"result": ("granted", "denied", "forced")},
    Presence.EVENT,
)
SMOKE = facility_metric(
    "smoke_detected", Kind.GAUGE, Unit.FLAG, "1 while a smoke detector of the zone has tripped.", ("zone",)
)
CARBON_INTENSITY = facility_metric(
    "grid_carbon_intensity_grams_per_kwh",
    Kind.GAUGE,
    Unit.GRAMS_PER_KWH,
    "Carbon dioxide that a kilowatt-hour of the grid stands for.",
    ("zone",),
)
