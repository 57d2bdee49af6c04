"""Whether the host's clock is right, as the kernel's clock discipline knows it (adjtimex)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gigawatch.catalogue import host
from gigawatch.readings import Reading

_UNSYNCHRONIZED = 0x0040
_NANOSECONDS = 0x2000
"""Bits of the status, STA_UNSYNC and STA_NANO."""
_TIME_ERROR = 5
_MICRO, _NANO = 1e-6, 1e-9


class Timex(NamedTuple):
    """What the kernel says: its verdict, and the fields of struct timex in their own units."""

    verdict: int
    offset: int
    max_error: int
    status: int


class _Struct(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),  # nothing of ours, and room for what kernels may add
    )


def adjtimex() -> Timex:
    """Ask the kernel, changing nothing. Raises OSError, where seccomp forbids the call PermissionError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if call is None:
        raise OSError("this system has no adjtimex")
    asked = _Struct()
    verdict = call(ctypes.byref(asked))
    if verdict < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"adjtimex: {os.strerror(code)}")
    return Timex(verdict, asked.offset, asked.max_error, asked.status)


class ClockSource:
    """In step or not, offset, and the bound on the error. The offset is absent while nobody sets the clock:
    it would be a 0 that means nothing."""

    name = "clock"

    def __init__(
        self, interval: float, deadline: float = 5.0, adjtimex: Callable[[], Timex] = adjtimex
    ) -> None:
        self.interval, self.deadline = interval, deadline
        self._adjtimex = adjtimex

    @property
    def present(self) -> bool:
        """Whether we may ask."""
        try:
            self._adjtimex()
        except OSError:
            return False
        return True

    def read(self) -> Iterator[Reading]:
        said = self._adjtimex()
        in_step = said.verdict != _TIME_ERROR and not said.status & _UNSYNCHRONIZED
        yield Reading(host.HOST_CLOCK_SYNCHRONIZED, (), float(in_step))
        yield Reading(host.HOST_CLOCK_MAX_ERROR, (), said.max_error * _MICRO)
        if in_step:
            unit = _NANO if said.status & _NANOSECONDS else _MICRO
            yield Reading(host.HOST_CLOCK_OFFSET, (), said.offset * unit)
