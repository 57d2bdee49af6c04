"""XID codes, by what they ask for; the codes themselves stand in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from gigawatch.catalogue.gpu import XID_SERIOUS
from gigawatch.catalogue.xids import Rating, rated

RESET = rated(Rating.RESET)
"""The GPU works again only after a reset or a reboot: whatever ran on it is lost."""

SERVICE = rated(Rating.SERVICE)
"""Hardware is suspected: drain, run the field diagnosis, exchange what fails it."""

CONTAINED = rated(Rating.CONTAINED)
"""Handled by the hardware; a reset at the next drain is enough."""

APPLICATION = rated(Rating.APPLICATION)
"""Mostly bugs of the application that ran: context, never a page."""

LOST = rated(Rating.LOST)
"""The GPU fell off the bus; it has an alert of its own."""

_RATED = {*RESET, *SERVICE, *CONTAINED, *LOST}
if not set(XID_SERIOUS) <= _RATED:
    raise ValueError(f"XIDs without a rating: {sorted(set(XID_SERIOUS) - _RATED)}")


def pattern(codes: Mapping[int, str]) -> str:
    """Regular expression of the codes."""
    return "|".join(str(code) for code in sorted(codes))


def listed(codes: Mapping[int, str]) -> str:
    """The meanings with their codes, for a text."""
    meanings: dict[str, list[int]] = {}
    for code, meaning in sorted(codes.items()):
        meanings.setdefault(meaning, []).append(code)
    return "; ".join(f"{_ranges(group)}: {meaning}" for meaning, group in meanings.items())


def _ranges(codes: list[int]) -> str:
    """`1, 2, 3, 7` as `1-3, 7`."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][-1] + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
