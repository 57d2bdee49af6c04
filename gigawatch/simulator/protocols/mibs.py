"""What the plant's SNMP devices say: rack PDUs as Raritan's PX2 (PDU2-MIB), UPS as RFC 1628 (UPS-MIB).

What of it is read: `exporters/facility/snmp/profiles/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

from gigawatch.catalogue import electrical, facility
from gigawatch.simulator.protocols import ber
from gigawatch.simulator.protocols.ber import Oid
from gigawatch.simulator.protocols.values import Values

Row = tuple[Oid, bytes]
_SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
_PX2: Oid = (1, 3, 6, 1, 4, 1, 13742, 6)
_UPS: Oid = (1, 3, 6, 1, 2, 1, 33, 1)
_PHASES = ("L1", "L2", "L3")

# PDU2-MIB: types of sensors, their decimal digits as our PDUs have them, and states.
_AMPERES, _VOLTS, _WATTS, _VOLTAMPERES, _FACTOR, _ENERGY, _ON_OFF, _TRIP = 1, 4, 5, 6, 7, 8, 14, 15
_LINE_TO_NEUTRAL = 25
_DIGITS = {_AMPERES: 3, _VOLTS: 1, _WATTS: 1, _VOLTAMPERES: 1, _FACTOR: 2, _ENERGY: 0, _LINE_TO_NEUTRAL: 1}
_OPEN, _CLOSED, _NORMAL, _ON, _OFF = 0, 1, 4, 7, 8
_LARGEST = 2**32 - 1


def _system(name: str, what: str, kind: Oid, seconds: float) -> Iterator[Row]:
    yield (*_SYSTEM, 1, 0), ber.octets(what)
    yield (*_SYSTEM, 2, 0), ber.oid(kind)
    yield (*_SYSTEM, 3, 0), ber.integer(int(seconds * 100) % 2**32, ber.TICKS)
    yield (*_SYSTEM, 5, 0), ber.octets(name)


def _gauge(value: float) -> bytes:
    return ber.integer(min(max(round(value), 0), _LARGEST), ber.GAUGE32)


class _Sensors:
    """One of the measurement tables of the PDU2-MIB, with the table of its configuration."""

    def __init__(self, measured: Oid, configured: Oid) -> None:
        self._measured, self._digits = (*_PX2, *measured), (*_PX2, *configured)

    def rows(self, index: Oid, kind: int, value: float | None, state: int = _NORMAL) -> Iterator[Row]:
        """A sensor's rows: whether there is one, its state, value and decimal digits."""
        if value is None:
            return
        at, digits = (*index, kind), _DIGITS.get(kind, 0)
        yield (*self._measured, 2, *at), ber.integer(1)
        yield (*self._measured, 3, *at), ber.integer(state)
        yield (*self._measured, 4, *at), _gauge(value * 10**digits)
        yield (*self._digits, 7, *at), ber.integer(digits, ber.GAUGE32)


_INLET = _Sensors((5, 2, 3, 1), (3, 3, 4, 1))
_POLE = _Sensors((5, 2, 4, 1), (3, 3, 6, 1))
_PROTECTOR = _Sensors((5, 3, 3, 1), (3, 4, 4, 1))
_OUTLET = _Sensors((5, 4, 3, 1), (3, 5, 4, 1))


def rack_pdu(values: Values) -> Iterator[Row]:
    """A PX2 with one inlet of up to three poles, one main breaker, and switched and metered outlets."""
    yield from _system(values.name, "Gigawatch simulated PX2 rack PDU", (*_PX2, 1), values.time)
    yield (*_PX2, 3, 2, 1, 1, 3, 1), ber.octets("PX2-SIM")
    yield (*_PX2, 3, 2, 1, 1, 4, 1), ber.octets(f"SIM-{values.name}")
    power = values.power
    energy = power(facility.ENERGY, "inlet")
    for kind, value in (
        (_WATTS, power(facility.POWER_ACTIVE, "inlet")),
        (_VOLTAMPERES, power(electrical.POWER_APPARENT, "inlet")),
        (_FACTOR, power(electrical.POWER_FACTOR, "inlet")),
        (_ENERGY, None if energy is None else energy / 3600.0),
    ):
        yield from _INLET.rows((1, 1), kind, value)
    poles = sum(power(facility.CURRENT, "phase", phase) is not None for phase in _PHASES)
    yield (*_PX2, 3, 3, 3, 1, 5, 1, 1), ber.integer(poles)
    highest = 0.0
    for pole, phase in enumerate(_PHASES, 1):
        amperes = power(facility.CURRENT, "phase", phase)
        highest = max(highest, amperes or 0.0)
        yield from _POLE.rows((1, 1, pole), _AMPERES, amperes)
        yield from _POLE.rows((1, 1, pole), _WATTS, power(facility.POWER_ACTIVE, "phase", phase))
        yield from _POLE.rows((1, 1, pole), _LINE_TO_NEUTRAL, power(facility.VOLTAGE, "phase", phase))
    breaker = values.state(facility.BREAKER_STATE, values.side, "main")
    if breaker is not None:
        yield (*_PX2, 3, 4, 3, 1, 2, 1, 1), ber.octets("main")
        rating = values.number(facility.BREAKER_RATING, values.side, "main")
        yield (*_PX2, 3, 4, 3, 1, 5, 1, 1), ber.octets(f"{rating:g}A")
        yield from _PROTECTOR.rows((1, 1), _AMPERES, highest)
        yield from _PROTECTOR.rows((1, 1), _TRIP, 0.0, _CLOSED if breaker == "normal" else _OPEN)
    yield from _outlets(values)


def _outlets(values: Values) -> Iterator[Row]:
    for number, (labels, watts) in enumerate(values.each(facility.POWER_ACTIVE, values.side, "outlet"), 1):
        name = labels[2]
        on = values.state(electrical.OUTLET_STATE, values.side, name) == "on"
        yield (*_PX2, 3, 5, 3, 1, 2, 1, number), ber.octets(name)
        yield from _OUTLET.rows((1, number), _WATTS, watts)
        yield from _OUTLET.rows((1, number), _AMPERES, values.power(facility.CURRENT, "outlet", name))
        yield from _OUTLET.rows((1, number), _ON_OFF, 0.0, _ON if on else _OFF)


_BATTERY = {"unknown": 1, "normal": 2, "low": 3, "depleted": 4}
_SOURCE = {"unknown": 1, "off": 2, "online": 3, "bypass": 4, "on_battery": 5}


def ups(values: Values) -> Iterator[Row]:
    """A UPS of three phases in and out. Its lines share the load evenly."""
    yield from _system(values.name, "Gigawatch simulated UPS", (*_UPS, 99), values.time)
    yield (*_UPS, 1, 1, 0), ber.octets("Gigawatch")
    yield (*_UPS, 1, 2, 0), ber.octets("Simulated UPS")
    yield (*_UPS, 1, 5, 0), ber.octets(values.name)
    number = values.number
    battery = values.state(electrical.UPS_BATTERY_STATUS) or "unknown"
    yield (*_UPS, 2, 1, 0), ber.integer(_BATTERY[battery])
    yield (*_UPS, 2, 2, 0), ber.integer(round(number(electrical.UPS_ON_BATTERY)))
    yield (*_UPS, 2, 3, 0), ber.integer(round(number(facility.UPS_RUNTIME) / 60))
    yield (*_UPS, 2, 4, 0), ber.integer(round(number(facility.UPS_CHARGE) * 100))
    yield (*_UPS, 2, 5, 0), ber.integer(round(number(electrical.UPS_BATTERY_VOLTAGE) * 10))
    status = values.state(facility.UPS_STATUS) or "unknown"
    fed, live = status == "online", status in ("online", "on_battery")
    yield (*_UPS, 3, 2, 0), ber.integer(len(_PHASES))
    yield (*_UPS, 4, 1, 0), ber.integer(_SOURCE[status])
    yield (*_UPS, 4, 2, 0), ber.integer(500 if live else 0)
    yield (*_UPS, 4, 3, 0), ber.integer(len(_PHASES))
    arriving = values.power(facility.POWER_ACTIVE, "inlet") or 0.0
    leaving = values.power(facility.POWER_ACTIVE, "output") or 0.0
    load = round(values.number(facility.UPS_LOAD) * 100) if values.get(facility.UPS_LOAD) is not None else 0
    for line, share in enumerate(_lines(arriving), 1):
        yield from _line((*_UPS, 3, 3, 1), line, share, fed)
    for line, share in enumerate(_lines(leaving), 1):
        volts, amperes = (_VOLTAGE, share / _VOLTAGE / _POWER_FACTOR) if live else (0, 0.0)
        yield (*_UPS, 4, 4, 1, 2, line), ber.integer(volts)
        yield (*_UPS, 4, 4, 1, 3, line), ber.integer(round(amperes * 10))
        yield (*_UPS, 4, 4, 1, 4, line), ber.integer(share)
        yield (*_UPS, 4, 4, 1, 5, line), ber.integer(load)
    yield (*_UPS, 6, 1, 0), _gauge(number(electrical.UPS_ALARMS))
    rated = values.get(facility.POWER_CAPACITY, values.side)
    if rated is not None:
        yield (*_UPS, 9, 5, 0), ber.integer(round(rated))
        yield (*_UPS, 9, 6, 0), ber.integer(round(rated))


_VOLTAGE, _POWER_FACTOR = 230, 0.98


def _line(table: Oid, line: int, watts: int, fed: bool) -> Iterator[Row]:
    """A line of the input table."""
    yield (*table, 2, line), ber.integer(500 if fed else 0)
    yield (*table, 3, line), ber.integer(_VOLTAGE if fed else 0)
    yield (*table, 4, line), ber.integer(round(watts / _VOLTAGE / _POWER_FACTOR * 10))
    yield (*table, 5, line), ber.integer(watts)


def _lines(watts: float) -> tuple[int, int, int]:
    """Three whole numbers that make up the sum."""
    whole = round(watts)
    return whole // 3, whole // 3, whole - 2 * (whole // 3)
