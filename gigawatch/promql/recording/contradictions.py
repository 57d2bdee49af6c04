"""All contradictions together, with the exact factor by which a reading is off where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from gigawatch.catalogue import Unit
from gigawatch.promql.expr import Expr, Match, count_by, lacks, matches
from gigawatch.promql.joins import otherwise, relabel
from gigawatch.promql.recording.contradiction import CLAIM, ENERGY_POWER, OUTLETS, PHASES, VOLTS_AMPERES
from gigawatch.promql.recording.contradiction_heat import COOLANT_ORDER, FAHRENHEIT, HEAT_FLOW, HEAT_POWER
from gigawatch.promql.recording.contradiction_rack import FEED_RACKS, RACK_SERVERS, SERVER_GPUS
from gigawatch.promql.rule import Recorded, recorded

KINDS = (
    VOLTS_AMPERES, PHASES, OUTLETS, ENERGY_POWER, RACK_SERVERS, FEED_RACKS, SERVER_GPUS, HEAT_FLOW,
    HEAT_POWER, COOLANT_ORDER, FAHRENHEIT,
)  # fmt: skip
NO_FACTOR = "no exact factor"


def _any(found: Iterable[Expr]) -> Expr:
    return reduce(lambda some, more: some.or_(more), found)


RAW = Recorded(
    "data:aif_contradiction:raw",
    _any(recorded(rule) for rule in KINDS),
    "Readings that contradict others: what the likelier liar says against what it should say.",
    Unit.RATIO,
)


def _off(factor: float, name: str, spread: float, kind: str | Match) -> Expr:
    chosen = recorded(RAW, kind=kind)
    near = (chosen > round(factor * (1 - spread), 7)) < round(factor * (1 + spread), 7)
    return relabel(near, "error", name, "site")


def _both_ways(factor: float, name: str, spread: float, kind: str | Match) -> tuple[Expr, Expr]:
    times, part = (f"{name} times", f"1/{name}")
    return _off(factor, times, spread, kind), _off(1 / factor, part, spread, kind)


_plain = lacks("fahrenheit|coolant_order")
_exact = (
    # Load is never measured at one instant, and a power factor of 0.9 makes eleven times of ten.
    *_both_ways(10, "10", 0.12, _plain),
    *_both_ways(100, "100", 0.12, _plain),
    *_both_ways(1000, "1,000", 0.12, _plain),
    *_both_ways(3, "3", 0.08, matches("volts_amperes|phases|rack_servers|feed_racks")),
    *_both_ways(3**0.5, "√3", 0.05, matches("volts_amperes|phases|rack_servers|feed_racks")),
    *_both_ways(3.6, "3.6", 0.12, "energy_power"),
    *_both_ways(3600, "3,600", 0.12, "energy_power"),
    *_both_ways(1.8, "1.8 (°F)", 0.06, "heat_flow"),
    *_both_ways(3.785, "3.785 (gallons)", 0.06, "heat_flow"),
    *_both_ways(16.67, "16.67 (m³/h)", 0.06, "heat_flow"),
    relabel(recorded(RAW, kind="fahrenheit"), "error", "1.8 times and 32 more (°F)", "site"),
)
CONTRADICTION = Recorded(
    "data:aif_contradiction:ratio",
    otherwise(_any(_exact), relabel(recorded(RAW), "error", NO_FACTOR, "site"), *CLAIM),
    "Readings that contradict others: what the likelier liar says against what it should say, and by which "
    "exact factor it is off.",
    Unit.RATIO,
)
SITE_CONTRADICTIONS = Recorded(
    "site:aif_contradictions:count",
    count_by(recorded(CONTRADICTION), "site", "kind"),
    "Readings that contradict others, by what they contradict.",
    Unit.COUNT,
)
