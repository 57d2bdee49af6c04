"""What GPUs tell about their cooling: what all of a loop or rack have in common, and who has no room left.

A GPU's line (temperature over its power, with forgetting, at steady load only) gives a residual; what nearly
all nodes of a loop or rack have in common in it is the air or coolant, where no sensor tells. Its room is the
limit that the driver reports less the hottest it has been in the last days.
"""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Floats
from analytics.jit import compiled

EVERY = 60.0
"""Seconds between two looks at all GPUs: rooms and loops are slower."""
LAG = 180.0
"""Seconds of the filter of the power; a load that has moved within is not looked at."""
STEADY = 0.06
"""Share of its power by which that of a GPU may differ from its filter."""
MEMORY = 10 * 86400.0
APART = 3600.0
"""Seconds between samples of a line that tell something new."""
NOISE, UNSURE = 1.5, 0.4
"""Kelvin of error around a line, and how far its slope may be off (share) before load has shown it."""
AMBIENT = 28.0
"""°C that the air or coolant has in the first guess of a slope."""
LEARNED = 0.3
"""Samples that a line needs before it tells anything."""
FIRM = 86400.0
"""Seconds of what GPUs share before that is judged: lines of new GPUs still settle."""
BLOCK = 2 * 86400.0
"""Seconds of the blocks whose hottest moments are remembered: this one and the one before."""

(LOAD, N, MX, MY, SXX, SXY, CORE, HOT, HOT_BEFORE, LIMIT, SIZE) = range(11)  # fmt: skip


@compiled
def look(
    now: float,
    power: Floats,
    core: Floats,
    margin: Floats,
    warmer: Floats,
    shifted: Floats,
    s: Floats,
    last: Floats,
    out: Floats,
) -> None:
    """Residual of every GPU into `out` (K, NaN where it tells nothing); then learn.

    `warmer` is by how much its air or coolant is above its usual (K, 0 where unknown): nothing of that is
    learned, and it does not count in what the GPU usually is at its hottest; `shifted` by how much that usual
    was itself set higher of late, which its line is to do without.
    """
    known, keep, fade = -1.0, 0.0, 1.0
    for i in range(len(power)):
        p, t = power[i], core[i]
        out[i] = np.nan
        if not (0 < p < 1e5 and -60 < t < 300):
            continue
        if last[i] == 0 or now - last[i] > 86400.0:
            s[LOAD, i], s[CORE, i], last[i] = p, t, now
            continue
        dt = max(now - last[i], 0.0)
        last[i] = now
        if dt != known:
            # One reading after a gap does not show that the load has been so for long.
            known, keep, fade = dt, np.exp(-min(dt, LAG) / LAG), np.exp(-dt / MEMORY)
        s[LOAD, i] = p + keep * (s[LOAD, i] - p)
        if -50 < margin[i] < 200:
            s[LIMIT, i] = t + margin[i]
        # Two readings, so that one odd one is not the hottest of days.
        s[HOT, i] = max(s[HOT, i], min(t, s[CORE, i]) - max(warmer[i], 0.0))
        s[CORE, i] = t
        x = s[LOAD, i]
        n = s[N, i]
        if abs(p - x) > STEADY * max(x, s[MX, i]):
            continue
        if n > 0:
            slope = max(s[MY, i] - AMBIENT, 5.0) / s[MX, i]
            hold = (NOISE / (UNSURE * slope)) ** 2
            slope = max((s[SXY, i] + slope * hold) / (s[SXX, i] + hold), 0.0)
            if n >= LEARNED:
                # Far from loads that it has seen, a line tells little.
                doubt = abs(x - s[MX, i]) * UNSURE * slope * np.sqrt(hold / (s[SXX, i] + hold))
                if doubt < 2 * NOISE:
                    out[i] = t - s[MY, i] - slope * (x - s[MX, i])
        if warmer[i] > 1.0:
            continue
        weight = min(dt / APART, 0.5)
        n = fade * n + weight
        y = t - shifted[i]
        dx, dy = x - s[MX, i], y - s[MY, i]
        s[MX, i] += weight / n * dx
        s[MY, i] += weight / n * dy
        s[SXX, i] = fade * s[SXX, i] + weight * dx * (x - s[MX, i])
        s[SXY, i] = fade * s[SXY, i] + weight * dx * (y - s[MY, i])
        s[N, i] = n


def room(s: Floats) -> Floats:
    """Kelvin between each GPU's usual hottest moments and its limit; NaN where one of them is not known."""
    hot = np.maximum(s[HOT], s[HOT_BEFORE])
    left = np.where(hot > -200, s[LIMIT] - hot, np.nan)
    # One that throttles in any case is no reason to call its rack.
    return np.where(left > 0.5, left, np.nan)
