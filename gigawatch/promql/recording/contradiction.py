"""Readings of one power device, or of a rack, that cannot all be true; and which of them most likely is not.

Where there is a third source, the liar is the one that disagrees with two that agree. The value is what it
says against what it should say, so that an exact factor (a decimal place, a phase counted thrice) shows.
"""

from __future__ import annotations

from gigawatch.catalogue import Metric, Unit, electrical, facility
from gigawatch.promql.expr import (
    Expr,
    avg_by,
    avg_over_time,
    before,
    many_to_one,
    matches,
    max_by,
    on,
    rate,
    series,
    sum_by,
)
from gigawatch.promql.joins import relabel
from gigawatch.promql.recording.common import DEVICE, RACK
from gigawatch.promql.recording.node import NODE_POWER
from gigawatch.promql.recording.place import NODE_PLACE
from gigawatch.promql.recording.power import BREAKER_LOAD, DEVICE_POWER, inlet
from gigawatch.promql.recording.redundancy import RACK_POWER_WHOLE
from gigawatch.promql.rule import Recorded, recorded

_KEY = ("site", "device")
_NODE = ("site", "node")
_PLAUSIBLE_FACTOR = 0.3
"""Least power factor that is believed of equipment that draws hundreds of watts."""
CLAIM = (*DEVICE, "kind", "liar", "reading")
"""Labels of every contradiction."""


def outside(expr: Expr, low: float, high: float) -> Expr:
    """Values below `low` or above `high`."""
    return (expr < low).or_(expr > high)


def claim(expr: Expr, kind: str, reading: str, liar: str = "device", text: str = "$1") -> Expr:
    """A contradiction: of what kind, who lies (`text`, with the value of the label `liar` as $1), by which
    reading."""
    named = relabel(relabel(expr, "kind", kind, "site"), "reading", reading, "site")
    return relabel(named, "liar", text, liar)


def inverse(expr: Expr) -> Expr:
    """1 by a ratio."""
    return Expr(f"1 / {expr.inner}", expr.labels, Unit.RATIO, atom=False)


def rule(kind: str, expr: Expr, text: str, *, slow: bool = False) -> Recorded:
    return Recorded(f"data:aif_contradiction:{kind}", expr.in_unit(Unit.RATIO), text, Unit.RATIO, slow=slow)


# What the servers of a rack say together, as the third source beside PDUs and GPUs.
_nodes = max_by(recorded(NODE_PLACE, rack=matches(".+")), *RACK, "node")
_servers = many_to_one(recorded(NODE_POWER), "*", _nodes, _NODE, ("rack",))
_unknown = on(_nodes, "unless", recorded(NODE_POWER), *_NODE)
RACK_SERVERS_POWER = Recorded(
    "rack:aif_node_power_watts:sum",
    on(sum_by(_servers, *RACK), "unless", _unknown, *RACK),
    "Power of a rack's servers, as their management controllers measure it; absent unless all of them tell.",
    Unit.WATTS,
)


def lately(rule: Recorded, *keys: str) -> Expr:
    """Mean of five minutes, of what is still there: what has just gone has a mean of older times."""
    return on(avg_over_time(recorded(rule), "5m"), "and", recorded(rule), *keys)


_rack_mean = lately(RACK_POWER_WHOLE, *RACK)
_servers_mean = lately(RACK_SERVERS_POWER, *RACK)
RACK_POWER_AGREEMENT = Recorded(
    "rack:aif_power_agreement:ratio",
    (_rack_mean / (_servers_mean > 500)).in_unit(Unit.RATIO),
    "Power into a rack against that of its servers, over five minutes: 1 and a little more where nothing "
    "else stands in it.",
    Unit.RATIO,
)
AGREES = (recorded(RACK_POWER_AGREEMENT) > 0.9) <= 1.6


# Volts times amperes against apparent power, or against power where there is none.
def _conductor(metric: Metric) -> Expr:
    chosen = series(metric, scope=matches("phase|output"), id=matches("L[123]"), node="")
    return max_by(chosen, *DEVICE, "scope", "id")


def _ratio(name: str, over: Expr, under: Expr, text: str) -> Recorded:
    return Recorded(f"data:aif_{name}:ratio", (over / (under > 200)).in_unit(Unit.RATIO), text, Unit.RATIO)


_product = _conductor(facility.VOLTAGE) * _conductor(facility.CURRENT)
_apparent, _active = _conductor(electrical.POWER_APPARENT), _conductor(facility.POWER_ACTIVE)
PRODUCT_TO_APPARENT = _ratio(
    "volts_amperes_to_apparent",
    _product,
    _apparent,
    "Volts times amperes of a conductor against its apparent power; 1 if both are right.",
)
PRODUCT_TO_ACTIVE = _ratio(
    "volts_amperes_to_power",
    _product,
    _active,
    "Volts times amperes of a conductor against its power; 1 and a little more if both are right.",
)
ACTIVE_TO_APPARENT = _ratio(
    "power_to_apparent", _active, _apparent, "Power of a conductor against its apparent power: its factor."
)
_PHASE = (*DEVICE, "scope", "id")
_by_apparent = outside(recorded(PRODUCT_TO_APPARENT), 0.9, 1.1)
_odd_factor = outside(recorded(ACTIVE_TO_APPARENT), _PLAUSIBLE_FACTOR, 1.05)
_by_active = on(
    outside(recorded(PRODUCT_TO_ACTIVE), 0.9, 1 / _PLAUSIBLE_FACTOR),
    "unless",
    recorded(PRODUCT_TO_APPARENT),
    *_PHASE,
)
_product_lies = avg_by(on(_by_apparent, "unless", _odd_factor, *_PHASE), *DEVICE)
_apparent_lies = avg_by(inverse(on(_by_apparent, "and", _odd_factor, *_PHASE)), *DEVICE)
_either = avg_by(_by_active, *DEVICE)
_odd_volts = outside(_conductor(facility.VOLTAGE), 80, 310)
_overrun = recorded(BREAKER_LOAD, id="main") > 1.5
_of_current = _product_lies.or_(on(_either, "and", _overrun, *_KEY)).or_(on(_either, "and", AGREES, *RACK))
VOLTS_AMPERES = rule(
    "volts_amperes",
    claim(on(_product_lies.or_(_either), "and", _odd_volts, *_KEY), "volts_amperes", "voltage")
    .or_(claim(on(_of_current, "unless", _odd_volts, *_KEY), "volts_amperes", "current"))
    .or_(claim(_apparent_lies, "volts_amperes", "apparent power"))
    .or_(
        claim(
            on(on(_either, "unless", _of_current, *_KEY), "unless", _odd_volts, *_KEY),
            "volts_amperes",
            "current or power",
        )
    ),
    "Volts times amperes of a conductor against its apparent power (10 % apart), or against its power (above "
    "it, or a power factor below 0.3). The voltage lies if no mains has it; the current if power and "
    "apparent power agree, the breaker could not carry it, or the power agrees with the servers behind it.",
)
_phases = sum_by(max_by(series(facility.POWER_ACTIVE, scope="phase", node=""), *DEVICE, "id"), *DEVICE)
# Not the recorded power: that may be of the sample before.
_whole = max_by(inlet(facility.POWER_ACTIVE) > 500, *DEVICE)
PHASES = rule(
    "phases",
    claim(outside(_phases / _whole, 0.9, 1.1), "phases", "power of phases or inlet"),
    "Power of a device's phases against that of its inlet: 10 % apart.",
)
_outlet = max_by(series(facility.POWER_ACTIVE, scope="outlet", node=""), *DEVICE, "id")
_switched = max_by(series(electrical.OUTLET_STATE, node=""), *DEVICE, "id")
_unmetered = on(_switched, "unless", _outlet, *_KEY, "id")
_outlets = sum_by(_outlet, *DEVICE) / _whole
OUTLETS = rule(
    "outlets",
    claim(
        (_outlets > 1.1).or_(on(_outlets < 0.85, "unless", _unmetered, *_KEY)), "outlets",
        "power of outlets or inlet",
    ),
    "Power of a PDU's outlets against that of its inlet: more than 10 % above, or 15 % below where all "
    "outlets are metered.",
)  # fmt: skip
_metered = max_by(inlet(facility.ENERGY, lambda readings: rate(readings, "1h")), *DEVICE)
_drawn = max_by(avg_over_time(recorded(DEVICE_POWER), "1h") > 5000, *DEVICE)
# Over a span that is not yet full, a rate reads low.
_hour_old = inlet(facility.ENERGY, lambda readings: before(readings, "1h"))
ENERGY_POWER = rule(
    "energy_power",
    claim(on(outside(_metered / _drawn, 0.7, 1.4), "and", _hour_old, *_KEY), "energy_power", "energy"),
    "Rise of a device's energy meter over an hour against its mean power: a wrong scale, or a meter that "
    "stands; the PUE and every bill rest on it.",
    slow=True,
)
