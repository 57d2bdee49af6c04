"""Units as devices and their papers write them, and what one of each is in the base unit of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gigawatch.catalogue import Unit


class Conversion(NamedTuple):
    """Base unit = value x factor + offset."""

    factor: float
    offset: float = 0.0


_FACTORS: dict[Unit, dict[str, float]] = {
    Unit.CUBIC_METERS_PER_SECOND: {
        "m3/s": 1.0,
        "m3/h": 1 / 3600,
        "L/s": 1e-3,
        "L/min": 1 / 60000,
        "LPM": 1 / 60000,
        "L/h": 1 / 3.6e6,
        "GPM": 6.30901964e-5,  # US gallons
    },
    Unit.PASCALS: {
        "Pa": 1.0,
        "hPa": 100.0,
        "kPa": 1e3,
        "MPa": 1e6,
        "mbar": 100.0,
        "bar": 1e5,
        "psi": 6894.757293168,
        "inH2O": 249.08891,
    },
    Unit.WATTS: {"W": 1.0, "kW": 1e3, "MW": 1e6, "BTU/h": 0.29307107, "TR": 3516.8528},
    Unit.VOLTAMPERES: {"VA": 1.0, "kVA": 1e3, "MVA": 1e6},
    Unit.JOULES: {
        "J": 1.0,
        "kJ": 1e3,
        "MJ": 1e6,
        "GJ": 1e9,
        "Wh": 3.6e3,
        "kWh": 3.6e6,
        "MWh": 3.6e9,
        "MWH": 3.6e9,
    },
    Unit.AMPERES: {"A": 1.0, "mA": 1e-3, "kA": 1e3},
    Unit.VOLTS: {"V": 1.0, "mV": 1e-3, "kV": 1e3},
    Unit.HERTZ: {"Hz": 1.0, "mHz": 1e-3},
    Unit.RATIO: {"ratio": 1.0, "1": 1.0, "": 1.0, "PF": 1.0, "%": 0.01, "%RH": 0.01, "percent": 0.01},
    Unit.RPM: {"rpm": 1.0, "r/min": 1.0, "1/min": 1.0},
    Unit.SECONDS: {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    Unit.CUBIC_METERS: {"m3": 1.0, "L": 1e-3},
    Unit.SIEMENS_PER_METER: {"S/m": 1.0, "mS/m": 1e-3, "mS/cm": 0.1, "uS/cm": 1e-4},
    Unit.GRAMS_PER_KWH: {"g/kWh": 1.0},
    Unit.COUNT: {"count": 1.0, "": 1.0},
    Unit.FLAG: {"flag": 1.0, "": 1.0},
}
_KELVIN = Conversion(1.0, -273.15)
_FAHRENHEIT = Conversion(5 / 9, -160 / 9)
_DEGREES = {
    **dict.fromkeys(("C", "degC", "Cel", "celsius"), Conversion(1.0)),
    **dict.fromkeys(("F", "degF", "fahrenheit"), _FAHRENHEIT),
    **dict.fromkeys(("K", "kelvin"), _KELVIN),
}
UNITS: Mapping[Unit, Mapping[str, Conversion]] = MappingProxyType(
    {
        Unit.CELSIUS: _DEGREES,
        **{base: {name: Conversion(f) for name, f in names.items()} for base, names in _FACTORS.items()},
    }
)
"""Every unit that is understood, by the base unit it becomes."""


def _plain(text: str) -> str:
    """Without what writers vary: blanks, degree signs, raised digits, Greek letters."""
    text = text.strip().replace(" ", "").replace("°", "").replace("º", "")
    return text.replace("³", "3").replace("µ", "u").replace("μ", "u").replace("m^3", "m3").replace("₂", "2")


_NO_PREFIX = ("m3", "m3/s", "m3/h", "mbar", "min")
"""Begin with an m that cannot be taken for milli or mega."""


def _any_case(names: Mapping[str, Conversion]) -> dict[str, Conversion]:
    """By small letters, where only one can be meant: mHz and MHz are not the same."""
    return {
        name.casefold(): found
        for name, found in names.items()
        if not name.startswith(("m", "M")) or name in _NO_PREFIX
    }


_ANY_CASE = {base: _any_case(names) for base, names in UNITS.items()}


def conversion(text: str, base: Unit) -> Conversion | None:
    """How a value in the unit `text` becomes one in `base`; None if that is no unit of the kind.

    Small and capital letters matter where prefixes do: `mw` is not taken for MW.
    """
    plain = _plain(text)
    return UNITS.get(base, {}).get(plain) or _ANY_CASE.get(base, {}).get(plain.casefold())


def is_energy(text: str) -> bool:
    """Whether a meter in this unit counts energy."""
    return conversion(text, Unit.JOULES) is not None
