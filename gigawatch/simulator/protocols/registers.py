"""What the plant's Modbus devices hold: intakes as Schneider's PM5000, coolant units and doors by our maps.

The maps as profiles: `exporters/facility/modbus/profiles`.
"""

from __future__ import annotations

from gigawatch.catalogue import electrical, facility, liquid, room
from gigawatch.simulator.protocols.modbus import Registers, float_words, words
from gigawatch.simulator.protocols.values import Values

_PHASES = ("L1", "L2", "L3")
_METER_FLOATS = range(2999, 3203, 2)
_METER_ENDS = 3220


def intake(values: Values) -> Registers:
    """A PM5000: holding registers, numbered from 1, floats of 32 bits, energy as a 64-bit integer of Wh.

    What this meter does not measure is no number.
    """
    power = values.power
    floats: dict[int, float | None] = {
        3060: _kilo(power(facility.POWER_ACTIVE, "inlet")),
        3076: _kilo(power(electrical.POWER_APPARENT, "inlet")),
        3110: power(electrical.FREQUENCY, "inlet"),
    }
    for number, phase in enumerate(_PHASES):
        floats[3000 + 2 * number] = power(facility.CURRENT, "phase", phase)
        floats[3028 + 2 * number] = power(facility.VOLTAGE, "phase", phase)
        volts = power(facility.VOLTAGE, "phase", phase)
        floats[3020 + 2 * number] = None if volts is None else volts * 3**0.5
        floats[3054 + 2 * number] = _kilo(power(facility.POWER_ACTIVE, "phase", phase))
    holding = dict.fromkeys(range(_METER_FLOATS.stop, _METER_ENDS), 0)
    for address in _METER_FLOATS:
        _put(holding, address, float_words(None))
    for number, value in floats.items():
        _put(holding, number - 1, float_words(value))
    energy = power(facility.ENERGY, "inlet") or 0.0
    _put(holding, 3204 - 1, words(round(energy / 3600.0), 4))
    return Registers(holding, {}, {})


def coolant_unit(values: Values) -> Registers:
    """Input registers from 0, floats of 32 bits with NaN for what is absent; discrete inputs for states."""
    number = values.number
    tcs, fws = "tcs", "fws"
    supply, back = facility.COOLANT_SUPPLY_TEMPERATURE, facility.COOLANT_RETURN_TEMPERATURE
    floats: dict[int, float | None] = {
        0: number(supply, tcs),
        2: number(back, tcs),
        4: number(supply, fws),
        6: number(back, fws),
        8: number(facility.COOLANT_FLOW, tcs) * 60_000,
        10: number(facility.COOLANT_DESIGN_FLOW, tcs) * 60_000,
        12: number(facility.COOLANT_PRESSURE, tcs) / 1000,
        14: number(facility.HEAT_REMOVED, tcs) / 1000,
        16: number(facility.COOLING_CAPACITY) / 1000,
        18: number(facility.COOLANT_SETPOINT, tcs),
        20: number(facility.PUMP_SPEED, "p1") * 100,
        22: number(facility.PUMP_SPEED, "p2") * 100,
        24: number(facility.RESERVOIR_LEVEL) * 100,
        26: _kilo(values.power(facility.POWER_ACTIVE, "inlet")),
        32: number(liquid.COOLANT_PRESSURE_AT, tcs, "supply") / 1000,
        34: number(liquid.COOLANT_PRESSURE_AT, tcs, "return") / 1000,
    }
    inputs: dict[int, int] = {}
    for address, value in floats.items():
        _put(inputs, address, float_words(value))
    energy = values.power(facility.ENERGY, "inlet") or 0.0
    _put(inputs, 28, words(round(energy / 3600.0), 4))
    leak = next((labels[1] for labels, on in values.each(facility.LEAK_STATE) if on == 1.0), "fault")
    discrete = {
        0: values.get(facility.PUMP_RUNNING, "p1") == 1.0,
        1: values.get(facility.PUMP_RUNNING, "p2") == 1.0,
        2: leak == "leak",
        3: leak == "fault",
    }
    return Registers({}, inputs, discrete)


def door(values: Values) -> Registers:
    """A door's contact, and how often somebody was let in, was not, or came in anyway."""
    inputs: dict[int, int] = {}
    for number, result in enumerate(room.ACCESS_EVENTS.values["result"]):
        count = values.get(room.ACCESS_EVENTS, "main", result) or 0.0
        _put(inputs, 2 * number, words(round(count), 2))
    return Registers({}, inputs, {0: values.get(room.DOOR_OPEN, "main") == 1.0})


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _put(block: dict[int, int], address: int, found: list[int]) -> None:
    for offset, word in enumerate(found):
        block[address + offset] = word
