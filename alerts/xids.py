"""XID codes, by what they ask for. Meanings in our own words after NVIDIA's XID catalogue.

79 (the GPU fell off the bus) has an alert of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gigawatch.catalogue.gpu import XID_SERIOUS

RESET: Mapping[int, str] = MappingProxyType(
    {
        46: "the GPU stopped processing",
        62: "its power controller halted",
        95: "an uncontained memory error",
        109: "a context switch timed out",
        110: "a security fault",
        119: "its system processor does not answer",
        120: "its system processor reported an error",
        136: "an NVLink failed to train",
        140: "an unrecovered memory error",
        143: "it failed to initialise",
        144: "an NVLink fault (first class)",
        145: "an NVLink fault (second class)",
        149: "an NVLink fault (network layer)",
    }
)
"""The GPU works again only after a reset or a reboot: whatever ran on it is lost."""

SERVICE: Mapping[int, str] = MappingProxyType(
    {
        48: "a memory error of two bits",
        64: "a bad memory row could not be replaced",
        74: "an NVLink error",
    }
)
"""Hardware is suspected: drain, run the field diagnosis, exchange what fails it."""

CONTAINED: Mapping[int, str] = MappingProxyType(
    {
        63: "a bad memory row was replaced",
        92: "many corrected memory errors",
        94: "a contained memory error: only the application that hit it was ended",
    }
)
"""Handled by the hardware; a reset at the next drain is enough."""

APPLICATION: Mapping[int, str] = MappingProxyType(
    {
        13: "an exception in a kernel",
        31: "access to memory that is not mapped",
        43: "the application was stopped",
        45: "the application ended while work was queued",
    }
)
"""Mostly bugs of the application that ran: context, never a page."""

_RATED = {*RESET, *SERVICE, *CONTAINED, 79}
if set(XID_SERIOUS) != _RATED:
    raise ValueError(f"XIDs without a rating: {sorted(set(XID_SERIOUS) ^ _RATED)}")


def pattern(codes: Mapping[int, str]) -> str:
    """Regular expression of the codes."""
    return "|".join(str(code) for code in sorted(codes))


def listed(codes: Mapping[int, str]) -> str:
    """The codes with their meanings, for a text."""
    return "; ".join(f"{code}: {meaning}" for code, meaning in sorted(codes.items()))
