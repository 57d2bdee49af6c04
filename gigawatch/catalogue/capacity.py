"""What is left to build on, and how long it lasts, reckoned from measurements and inventory."""

from gigawatch.catalogue.model import Kind, Metric, Origin, Presence, Target, Unit

RESOURCES = ("power", "cooling", "space", "ports")
SCOPES = ("rack", "row", "loop", "feed", "site")
_LABELS = ("scope", "place", "resource")
_VALUES = {"scope": SCOPES, "resource": RESOURCES, "bound": ("expected", "early", "late")}


def _capacity(
    key: str,
    unit: Unit,
    text: str,
    labels: tuple[str, ...] = _LABELS,
    presence: Presence = Presence.SUPPORTED,
) -> Metric:
    values = {name: allowed for name, allowed in _VALUES.items() if name in labels}
    return Metric(key, Kind.GAUGE, unit, text, Origin.ANALYTICS, Target.SITE, labels, values, presence)


CAPACITY_USED = _capacity(
    "capacity_used_ratio",
    Unit.RATIO,
    "Share of what may be used that is used (power and cooling: 99th percentile measured) or promised.",
)
CAPACITY_FREE_POWER = _capacity(
    "capacity_free_watts",
    Unit.WATTS,
    "Power or heat that may still be added: the limit, less what was measured, less what is promised.",
)
CAPACITY_STRANDED = _capacity(
    "capacity_stranded_watts",
    Unit.WATTS,
    "Free power that cannot be used, because something else (cooling, space, ports) is used up first.",
    ("scope", "place"),
)
CAPACITY_EXHAUSTION = _capacity(
    "capacity_exhaustion_seconds",
    Unit.SECONDS,
    "Time until the limit is reached if the trend goes on: expected, and the ends of a 90 % interval.",
    (*_LABELS, "bound"),
)
CAPACITY_NODES_FREE = _capacity(
    "capacity_placeable_nodes",
    Unit.COUNT,
    "Nodes of a kind that still fit, power, cooling, space, ports and redundancy all kept.",
    ("scope", "place", "kind"),
)
