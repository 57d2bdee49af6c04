"""From answers to readings."""

from __future__ import annotations

from collections.abc import Mapping

from exporters.facility.driver import Polled
from exporters.facility.snmp.client import Value
from exporters.facility.snmp.plan import Plan, Planned
from exporters.facility.snmp.values import UNKNOWN, number, whole
from gigawatch.catalogue import Metric
from gigawatch.readings import Reading

_Series = tuple[Metric, tuple[str, ...]]


def decode(plan: Plan, answers: Mapping[str, Value], polled: Polled) -> int:
    """Put what the answers say into `polled`; what cannot be true or is not there is counted as dropped.

    Returns how many values were missing from the answers: the device has changed if there are any.
    """
    missing = 0
    combined: dict[_Series, list[float | None]] = {}
    how: dict[_Series, str] = {}
    for left_out, count in plan.dropped.items():
        polled.drop(left_out, count)
    for one in plan.values:
        value, reason = _decoded(one, answers, polled)
        missing += one.oid not in answers
        if reason:
            polled.drop(reason)
        if one.spec.combine:
            series = (one.metric, one.labels)
            combined.setdefault(series, []).append(value)
            how[series] = one.spec.combine
        elif value is not None:
            polled.readings.append(Reading(one.metric, one.labels, value))
    for series, values in combined.items():
        known = [value for value in values if value is not None]
        if how[series] == "sum" and len(known) == len(values):
            polled.readings.append(Reading(*series, sum(known)))
        elif how[series] == "max" and known:
            polled.readings.append(Reading(*series, max(known)))
    return missing


def _decoded(one: Planned, answers: Mapping[str, Value], polled: Polled) -> tuple[float | None, str]:
    """The value, or why there is none. State sets go straight into `polled`."""
    if one.oid not in answers:
        return None, "error"
    if not all(whole(answers.get(oid)) in allowed for oid, allowed in one.valid):
        return None, "quality"
    if one.spec.states:
        return None, _states(one, answers[one.oid], polled)
    return _value(one, answers)


def _value(one: Planned, answers: Mapping[str, Value]) -> tuple[float | None, str]:
    """The value in base units, or why it is left out."""
    spec = one.spec
    raw = number(answers[one.oid], spec.suffix)
    if raw is None:
        return None, "no_number"
    if raw in UNKNOWN or raw in one.sentinels:
        return None, "sentinel"
    if raw == 0 and one.zero_needs and number(answers.get(one.zero_needs)) != 0:
        return None, "sentinel"
    value = raw * one.factor
    if spec.fahrenheit:
        value = (value - 32.0) / 1.8
    if spec.between and not spec.between[0] <= value <= spec.between[1]:
        return None, "unit"
    return value, ""


def _states(one: Planned, value: Value, polled: Polled) -> str:
    """One reading for each state. Returns why there are none, or nothing."""
    code = whole(value)
    if code is None:
        return "no_number"
    if code in one.sentinels:
        return "sentinel"
    state = one.spec.states.get(code) or one.spec.otherwise
    if not state:
        return "no_number"
    for each in one.metric.values[one.metric.labels[-1]]:
        polled.readings.append(Reading(one.metric, (*one.labels, each), float(each == state)))
    return ""
