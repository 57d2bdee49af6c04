"""Compiled loops over counters and flags of errors, one pass each."""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Bools, Floats
from analytics.jit import compiled

MOST_EVENTS = 1.5
MENDED = 0.5
"""What is left of the strength of past events after counters began anew (a reset of the GPU)."""
CLEARED = 0.3
"""What is left of a flag that is no longer set."""


@compiled
def count_events(
    values: Floats,
    dense: bool,
    known: Floats,
    dt: Floats,
    last: Floats,
    rate: Floats,
    strength: Floats,
    floor: float,
    span: float,
) -> None:
    """Add what counters rose by to `strength`; `last` and `rate` (events per second) are kept along.

    A counter that appears on a thing seen before (`known`) comes from 0, unless counters that stand at 0 are
    told as well (`dense`). With a `floor`, events count while their rate, averaged over `span` seconds, is
    above it.
    """
    for i in range(values.shape[0]):
        value = values[i]
        if np.isnan(value):
            continue
        before = last[i]
        rose = 0.0
        if np.isnan(before):
            if known[i] > 0 and not dense:
                rose = value
        elif value < before:
            rose = max(value, 0.0)
            strength[i] *= MENDED
        else:
            rose = value - before
        last[i] = value
        if floor <= 0:
            if rose > 0:
                strength[i] = min(strength[i] + rose, MOST_EVENTS)
        elif dt[i] > 0:
            rate[i] += (1 - np.exp(-dt[i] / span)) * (rose / dt[i] - rate[i])
            if rate[i] >= floor:
                strength[i] = max(strength[i], 1.0)


@compiled
def raise_flags(values: Floats, dense: bool, alive: Bools, strength: Floats) -> None:
    """A flag that is set has full strength; of one that was set, a part is left."""
    for i in range(values.shape[0]):
        if values[i] > 0:
            strength[i] = 1.0
        elif strength[i] > CLEARED and (values[i] == 0 or (alive[i] and not dense)):
            strength[i] = CLEARED


@compiled
def fade(strength: Floats, dt: Floats, half_life: float) -> None:
    """Let strength halve with every `half_life` seconds."""
    for i in range(strength.shape[0]):
        if strength[i] > 0:
            left = strength[i] * 0.5 ** (dt[i] / half_life)
            strength[i] = left if left > 1e-3 else 0.0
