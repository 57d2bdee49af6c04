"""What a metric is: the types in which the catalogue is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

PREFIX = "aif_"


class Kind(StrEnum):
    """How the values of a metric behave."""

    COUNTER = "counter"
    """Only rises, restarts at 0 with its device; queried through rate() or increase()."""
    GAUGE = "gauge"
    INFO = "info"
    """Always 1; carries identity in its labels, joined by group_left."""
    HISTOGRAM = "histogram"
    """Observations by size: cumulative counts (`_bucket`, with the label `le`), their sum and their number.
    The readings of one have the part as a last label value (see `gigawatch.readings.histogram`)."""
    STATE_SET = "state_set"
    """One 0/1 series per value of the last label; exactly one (or, for reasons, any number) is 1."""

    @property
    def exposed_as(self) -> str:
        """The word after `# TYPE` in the text exposition format, which has no info or state set."""
        return self.value if self in (Kind.COUNTER, Kind.HISTOGRAM) else "gauge"


class Unit(Enum):
    """Base units. The value is (suffix in the metric name, Grafana unit id, sign for people)."""

    WATTS = ("watts", "watt", "W")
    JOULES = ("joules", "joule", "J")
    CELSIUS = ("celsius", "celsius", "°C")
    RATIO = ("ratio", "percentunit", "%")
    BYTES = ("bytes", "bytes", "B")
    BYTES_PER_SECOND = ("bytes_per_second", "binBps", "B/s")
    TRANSFERS_PER_SECOND = ("transfers_per_second", "suffix: T/s", "T/s")
    VOLTAMPERES = ("voltamperes", "voltamp", "VA")
    RPM = ("rpm", "rotrpm", "rpm")
    """Turns per minute: no base unit, but what everybody reads."""
    CUBIC_METERS = ("cubic_meters", "m3", "m³")
    SIEMENS_PER_METER = ("siemens_per_meter", "suffix: S/m", "S/m")
    GRAMS_PER_KWH = ("grams_per_kwh", "suffix: g/kWh", "g/kWh")
    HERTZ = ("hertz", "hertz", "Hz")
    SECONDS = ("seconds", "s", "s")
    TIMESTAMP = ("timestamp_seconds", "dateTimeAsIso", "")
    AMPERES = ("amperes", "amp", "A")
    VOLTS = ("volts", "volt", "V")
    CUBIC_METERS_PER_SECOND = ("cubic_meters_per_second", "suffix: m³/s", "m³/s")
    PASCALS = ("pascals", "pressurepa", "Pa")
    WATTS_PER_SECOND = ("watts_per_second", "suffix: W/s", "W/s")
    KELVIN_PER_WATT = ("kelvin_per_watt", "suffix: K/W", "K/W")
    USD = ("usd", "currencyUSD", "$")
    USD_PER_YEAR = ("usd_per_year", "currencyUSD", "$/year")
    USD_PER_KWH = ("usd_per_kwh", "currencyUSD", "$/kWh")
    USD_PER_HOUR = ("usd_per_hour", "currencyUSD", "$/h")
    USD_PER_MILLION_TOKENS = ("usd_per_million_tokens", "currencyUSD", "$/Mtoken")
    YEARS = ("years", "none", "years")
    TOKENS = ("tokens", "short", "tokens")
    TOKENS_PER_SECOND = ("tokens_per_second", "suffix: tok/s", "tok/s")
    TOKENS_PER_JOULE = ("tokens_per_joule", "suffix: tok/J", "tok/J")
    COUNT = ("", "short", "")
    """A number of things: the name says of what."""
    FLAG = ("", "bool", "")
    """0 or 1."""

    @property
    def suffix(self) -> str:
        return self.value[0]

    @property
    def grafana(self) -> str:
        return self.value[1]

    @property
    def sign(self) -> str:
        return self.value[2]


class Target(Enum):
    """Which stable labels service discovery puts on every series of a scrape target.

    The value is those labels. They never stand in an exposition, only in Prometheus.
    """

    NODE = ("site", "rack", "node")
    """One server."""
    DEVICE = ("site", "hall", "rack", "device")
    """One facility device; `rack` is absent on devices that serve several racks. A server's management
    controller is such a device as well and also carries `node`."""
    SITE = ("site",)
    """A service that speaks for the whole site (service discovery, analytics): its series carry the labels
    of the things they describe as their own."""


class Origin(StrEnum):
    """Which program emits a metric."""

    AGENT = "agent"
    FACILITY = "facility"
    SD = "sd"
    ANALYTICS = "analytics"
    WORKLOAD = "workload"
    SUPERVISOR = "supervisor"
    PAGER = "pager"
    PLANT = "plant"
    EVERY = "every exporter"


class Presence(StrEnum):
    """When a reader may expect the series to exist."""

    ALWAYS = "always"
    """On every healthy device of the kind."""
    SUPPORTED = "where supported"
    """Only where the hardware, driver or engine offers it."""
    EVENT = "after an event"
    """Only once, or only while, something has happened."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric of Gigawatch, declared once in `gigawatch.catalogue` and bound once to a source.

    `key` is the name without prefix; `labels` are the metric's own labels, in exposition order; `values`
    lists the allowed values of a label whose set is closed (the last label of a state set always has one).
    Two metrics are the same when they are the same constant.
    """

    key: str
    kind: Kind
    unit: Unit
    help: str
    origin: Origin
    target: Target
    labels: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    presence: Presence = Presence.ALWAYS

    def __post_init__(self) -> None:
        if self.kind is Kind.COUNTER and not self.key.endswith("_total"):
            raise ValueError(f"{self.key}: a counter's name ends in _total")
        if self.kind is Kind.INFO and not self.key.endswith("_info"):
            raise ValueError(f"{self.key}: an info metric's name ends in _info")
        if self.kind is Kind.STATE_SET and (not self.labels or self.labels[-1] not in self.values):
            raise ValueError(f"{self.key}: the last label of a state set lists its values")
        stem = self.key.removesuffix("_total")
        if self.unit.suffix and not stem.endswith("_" + self.unit.suffix):
            raise ValueError(f"{self.key}: the name must end in the unit, _{self.unit.suffix}")
        for label in self.values:
            if label not in self.labels:
                raise ValueError(f"{self.key}: values given for '{label}', which is not a label")

    @property
    def name(self) -> str:
        """Full name as exposed and queried."""
        return PREFIX + self.key

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Names of its series: those of a histogram carry the part."""
        if self.kind is not Kind.HISTOGRAM:
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))

    @property
    def queried_labels(self) -> frozenset[str]:
        """Every label a series has in Prometheus: its own, the target's, and what every scrape adds."""
        extra = {"node"} if self.target is Target.DEVICE else set()
        if self.kind is Kind.HISTOGRAM:
            extra.add("le")
        return frozenset({*self.labels, *self.target.value, "job", "instance", *extra})

    @property
    def state_label(self) -> str:
        """The label that holds the state of a state set."""
        if self.kind is not Kind.STATE_SET:
            raise ValueError(f"{self.name} is a {self.kind.value}, not a state set")
        return self.labels[-1]

    def __reduce__(self) -> tuple[object, tuple[str]]:
        # A metric crosses to another process by name, so that identity holds there too.
        from gigawatch.catalogue import by_name

        return by_name, (self.name,)

    def __repr__(self) -> str:
        return f"Metric({self.name})"
