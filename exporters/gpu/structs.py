"""What the functions that are called without a wrapper write their answers into, as nvml.h lays it out.

Some are newer than the oldest nvidia-ml-py that is allowed, so they do not come from there.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint, c_ulonglong
from typing import Any, ClassVar


class _Versioned(ctypes.Structure):
    """Tells the driver its layout: size in the lower three bytes, number of the version above."""

    number: ClassVar = 1

    def __init__(self, *values: Any) -> None:
        super().__init__(ctypes.sizeof(self) | self.number << 24, *values)


class Temperature(_Versioned):
    """nvmlTemperature_v1_t; sensor 0 is the die."""

    _fields_: ClassVar = [("version", c_uint), ("sensor", c_uint), ("temperature", c_int)]


class Margin(_Versioned):
    """nvmlMarginTemperature_v1_t."""

    _fields_: ClassVar = [("version", c_uint), ("margin", c_int)]


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_: ClassVar = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]


class Memory2(_Versioned):
    """nvmlMemory_v2_t: `used` without what the driver keeps for itself."""

    number: ClassVar = 2
    _fields_: ClassVar = [
        ("version", c_uint),
        ("total", c_ulonglong),
        ("reserved", c_ulonglong),
        ("free", c_ulonglong),
        ("used", c_ulonglong),
    ]


class SramErrors(_Versioned):
    """nvmlEccSramErrorStatus_v1_t; of its eleven counts only the verdict is read."""

    _fields_: ClassVar = [("version", c_uint), ("counts", c_ulonglong * 11), ("exceeded", c_uint)]


class Utilization(ctypes.Structure):
    """nvmlUtilization_t, in percent."""

    _fields_: ClassVar = [("gpu", c_uint), ("memory", c_uint)]


class Busy(ctypes.Structure):
    """The two numbers that the engines' functions write: percent, and the sample period in us."""

    _fields_: ClassVar = [("percent", c_uint), ("period", c_uint)]


class Fabric(ctypes.Structure):
    """nvmlGpuFabricInfo_t."""

    _fields_: ClassVar = [
        ("cluster", ctypes.c_uint8 * 16),
        ("status", c_uint),
        ("clique", c_uint),
        ("state", c_uint),
    ]


class Fabric2(_Versioned):
    """nvmlGpuFabricInfo_v2_t."""

    number: ClassVar = 2
    _fields_: ClassVar = [
        ("version", c_uint),
        ("cluster", ctypes.c_uint8 * 16),
        ("status", c_uint),
        ("clique", c_uint),
        ("state", c_uint),
        ("health", c_uint),
    ]
