"""Change points: block means against a long memory, added up by Page's CUSUM, in one compiled pass.

A tick only adds to the sums of a block (about a minute). When a block ends, its mean is compared with what
the series was before: `base` (a slow mean), `var` (the scatter of blocks around it, so that slow wander
widens it too) and the envelope of excursions that came back by themselves within the last days. The sums grow
only while blocks stay on one side by more than `ALLOWANCE` scatters; while they stand high, the base is not
learned.

Method: Page, "Continuous inspection schemes" (1954), two-sided, on block means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.fleet.columns import Bools, Columns, Floats
from analytics.jit import compiled

BLOCK = 60.0
"""Seconds of a block, or one tick where ticks are further apart."""
WARM_UP = 10
"""Blocks before anything is judged."""
ALLOWANCE, HIGHEST_STEP = 1.0, 8.0
"""Scatters that add nothing, and that one block counts at most."""
ALARM = 20.0
CEILING = 40.0
BACK = 5.0
"""What a block takes from the sums, at least, once the series is where it was."""
LEAST_BLOCKS = 3
"""Blocks that a change must have lasted."""
GIVE_UP = 7 * 86400.0
"""Seconds after which what has changed is taken as how it is now."""
ENVELOPE = 3.0
"""Memories of the base in which the envelope closes."""
SIGMAS = 4.0
"""Scatters that the mean since the change must be away, however small they are."""


@dataclass(frozen=True, slots=True)
class Watch:
    """How a kind of series is watched: the smallest change that matters (in its unit, mostly a logarithm),
    the least scatter that is believed, and the seconds of memory of the base."""

    effect: float
    floor: float
    memory: float = 86400.0


def change_columns(companions: int) -> Columns:
    """Memory of a kernel whose series have so many companions (what else is averaged along with them)."""
    k = companions + 1
    return Columns(
        {
            "total": (k,), "count": (), "missed": (), "base": (k,), "var": (), "low": (), "high": (),
            "blocks": (), "sway": (), "down": (), "up": (), "age": (2,), "since": (2,), "moved": (2, k),
            "alarm": (),
        },
        dtype=np.float32,
    )  # fmt: skip


@compiled
def add_up(values: Floats, use: Bools, total: Floats, count: Floats, missed: Floats) -> None:
    """Add a tick to the block, which also counts the ticks that were unfit for judging."""
    for i in range(values.shape[1]):
        if use[i]:
            for k in range(values.shape[0]):
                total[k, i] += values[k, i]
            count[i] += 1
        else:
            missed[i] += 1


@compiled
def judge_blocks(
    mean: Floats,
    use: Bools,
    seconds: float,
    base: Floats,
    var: Floats,
    low: Floats,
    high: Floats,
    blocks: Floats,
    sway: Floats,
    down: Floats,
    up: Floats,
    age: Floats,
    since: Floats,
    moved: Floats,
    alarm: Floats,
    effect: float,
    floor: float,
    memory: float,
) -> None:
    """Judge the block means (row 0 is the series, the others its companions), then learn them.

    `alarm` becomes -1 or 1 with the side of a change, 0 without. `since` counts blocks from the change on,
    `age` its seconds; `moved` are sums over these blocks of what was away from the base. `sway` is the
    variance of the first companion around its base.
    """
    parts = mean.shape[0]
    for i in range(mean.shape[1]):
        if not use[i]:
            # Time goes on for a change that was seen; nothing speaks against it.
            for side in range(2):
                if since[side, i] > 0:
                    age[side, i] += seconds
            continue
        n = blocks[i]
        if n < WARM_UP:
            gain = 1.0 / (n + 1.0)
            apart = mean[0, i] - base[0, i] if n > 0 else 0.0
            for k in range(parts):
                base[k, i] += gain * (mean[k, i] - base[k, i])
            var[i] += gain * (min(apart * apart, 9.0 * max(var[i], floor * floor)) - var[i])
            reach = abs(mean[0, i] - base[0, i])
            low[i] = min(low[i], -reach) if n > 0 else 0.0
            high[i] = max(high[i], reach) if n > 0 else 0.0
            blocks[i] = n + 1
            if parts > 1:
                beside = mean[1, i] - base[1, i]
                sway[i] += gain * (beside * beside - sway[i])
            continue
        apart = mean[0, i] - base[0, i]
        # Few blocks know little of the scatter: it is taken as larger at first.
        scatter = np.sqrt(max(var[i], floor * floor)) * (1.0 + 10.0 / n)
        z = apart / scatter
        for side in range(2):
            score = -z if side == 0 else z
            total = down[i] if side == 0 else up[i]
            step = min(max(score, -4.0), HIGHEST_STEP) - ALLOWANCE
            if alarm[i] != 0 and score < ALLOWANCE:
                step = min(step, -BACK)  # what is back to normal is soon forgotten
            total = min(max(total + step, 0.0), CEILING)
            if total <= 0.0:
                if since[side, i] > 0:
                    # It came back by itself: such excursions are ordinary from now on.
                    went = abs(moved[side, 0, i]) / since[side, i]
                    if side == 0:
                        low[i] = min(low[i], -went)
                    else:
                        high[i] = max(high[i], went)
                since[side, i] = 0.0
                age[side, i] = 0.0
                for k in range(parts):
                    moved[side, k, i] = 0.0
            else:
                # The change lies somewhere in the first block: its end is what can be told.
                age[side, i] += seconds if since[side, i] > 0 else 0.0
                since[side, i] += 1.0
                for k in range(parts):
                    moved[side, k, i] += mean[k, i] - base[k, i]
            if side == 0:
                down[i] = total
            else:
                up[i] = total
        found = 0.0
        for side in range(2):
            total = down[i] if side == 0 else up[i]
            lasted = since[side, i]
            if lasted < LEAST_BLOCKS:
                continue
            shift = abs(moved[side, 0, i]) / lasted
            edge = -low[i] if side == 0 else high[i]
            on = alarm[i] == (-1.0 if side == 0 else 1.0)
            held = 0.5 if on else 1.0
            if (
                total >= held * ALARM
                and shift >= held * max(effect, SIGMAS * scatter)
                and shift >= held * (edge + 0.5 * effect)
            ):
                found = -1.0 if side == 0 else 1.0
        alarm[i] = found
        if found != 0.0 and age[0 if found < 0 else 1, i] > GIVE_UP:
            blocks[i] = 0.0
            var[i] = 0.0
            down[i] = 0.0
            up[i] = 0.0
            alarm[i] = 0.0
            continue
        if down[i] < 0.5 * ALARM and up[i] < 0.5 * ALARM:
            gain = max(1.0 / (n + 1.0), 1.0 - np.exp(-seconds / memory))
            for k in range(parts):
                base[k, i] += gain * (mean[k, i] - base[k, i])
            var[i] += gain * (min(apart * apart, 9.0 * scatter * scatter) - var[i])
            close = np.exp(-seconds / (ENVELOPE * memory))
            low[i] *= close
            high[i] *= close
            if parts > 1:
                beside = mean[1, i] - base[1, i]
                sway[i] += gain * (beside * beside - sway[i])
            blocks[i] = n + 1


class Changes:
    """Block means of one kind of series, and which of them have changed."""

    def __init__(self, watch: Watch, companions: int = 0) -> None:
        self.watch = watch
        self.columns = change_columns(companions)

    def add(self, values: Floats, use: Bools) -> None:
        """Take in a tick: the series in row 0 of `values`, companions below; `use` where it can be judged."""
        c = self.columns
        add_up(values, use & np.isfinite(values).all(axis=0), c["total"], c["count"], c["missed"])

    def means(self) -> tuple[Floats, Bools]:
        """Means of the block that ends, and which of them count: those of mostly judgeable ticks."""
        c = self.columns
        use = (c["count"] > 0) & (c["count"] >= 3 * c["missed"])
        means: Floats = c["total"] / np.maximum(c["count"], 1)
        for name in ("total", "count", "missed"):
            c[name][...] = 0.0
        return means, use

    def judge(self, means: Floats, use: Bools, seconds: float) -> None:
        """Judge and learn the means of a block that lasted so many seconds."""
        c, w = self.columns, self.watch
        judge_blocks(
            np.ascontiguousarray(means, np.float32), use, seconds, c["base"], c["var"], c["low"], c["high"],
            c["blocks"], c["sway"], c["down"], c["up"], c["age"], c["since"], c["moved"], c["alarm"],
            w.effect, w.floor, w.memory,
        )  # fmt: skip

    def restart(self, rows: Bools, blocks: int = 0) -> None:
        """Learn these series anew (the first `blocks` of what they knew are kept)."""
        c = self.columns
        for name in ("down", "up", "age", "since", "moved", "alarm", "total", "count", "missed"):
            c[name][..., rows] = 0.0
        c["blocks"][rows] = np.minimum(c["blocks"][rows], blocks)

    def shift(self, row: int) -> tuple[Floats, float, float]:
        """Mean move of a series and its companions since its change, the seconds since, and in scatters."""
        c = self.columns
        side = 0 if c["alarm"][row] < 0 else 1
        moved = c["moved"][side, :, row] / max(float(c["since"][side, row]), 1.0)
        scatter = max(float(np.sqrt(c["var"][row])), self.watch.floor)
        return moved.astype(np.float64), float(c["age"][side, row]), abs(float(moved[0])) / scatter
