"""Power 1, 5 and 15 minutes ahead with quantiles that hold what they promise.

The forecast of a thing (rack, feed, breaker) is its level plus a few reasons why it will move: its trend,
what the hour of the day usually brings, the way back to its usual level, and the power that jobs which have
begun will yet draw. How much each reason counts is learned, per horizon, from what came of earlier forecasts
of all things of the kind (least squares with forgetting, large errors counting less).

The quantiles around it are corrected after every outcome (pinball steps in units of the present unrest, as in
online conformal prediction: Gibbs and Candes, 2021), so that nine of ten outcomes lie below the 90 % line
whatever the errors are distributed like.
"""

from __future__ import annotations

import numpy as np

from analytics.fleet.columns import Bools, Columns, Floats

HORIZONS = (60.0, 300.0, 900.0)
"""Seconds ahead."""
QUANTILES = (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
STEP = 60.0
"""Seconds between forecasts."""
SLOTS = 17
"""Forecasts that are kept until their outcome is known: those of the last 16 minutes, and one more."""
BINS = 48
DAY = 86400.0
MEMORY = 7 * DAY
UNREST = 1800.0
"""Seconds over which the unrest of a series is averaged."""
START = 900.0
"""Seconds in which a job that begins comes to its power, at most."""
RIDGE = 1e-3
OUTLIER = 1.5
"""Error, in units of unrest, above which an outcome counts less."""
READY = 15
"""Minutes that must be known before a forecast means anything."""
FARTHEST = 3600.0
"""Seconds ahead beyond which no time until a limit is told."""
LEAST = 60.0
"""Outcomes, over all things, before learned weights are used."""
CLIMB_SLOTS = 10
"""Minutes over which a climb is measured; what twice the unrest of a minute explains is none."""
_START_WEIGHTS = np.array([[0.0, 0.0, 0.0, 0.2, 1.0], [0.0, 0.0, 0.05, 0.6, 1.0], [0.0, 0.0, 0.1, 0.9, 0.9]])
_FIRST = np.array([-1.64, -1.28, 0.0, 1.28, 1.64, 2.33])
FEATURES = 5


def forecast_columns() -> Columns:
    """Memory of one kind of thing."""
    h, q, f = len(HORIZONS), len(QUANTILES), FEATURES
    return Columns(
        {
            "level": (), "trend": (), "usual": (), "unrest": (), "blocks": (), "day": (BINS,),
            "day_seen": (BINS,), "per_gpu": (), "idle": (), "held_before": (), "fresh": (),
            "kept": (SLOTS, f + 2), "xx": (h, f, f), "xy": (h, f), "n": (h,), "width": (h, q), "sure": (h,),
        },
        dtype=np.float32,
    )  # fmt: skip


class Forecast:
    """Forecasts of many series at once. `columns` is its memory; `clock` says when each was last seen, and
    keeps what was forecast then."""

    def __init__(self) -> None:
        self.columns = forecast_columns()
        self.clock = Columns({"last": (), "lines": (len(HORIZONS), len(QUANTILES))})

    def step(self, now: float, values: Floats, held: Floats, use: Bools) -> None:
        """Take in the means of the minute that ends (W); `held` are GPUs that jobs hold, NaN if unknown."""
        c, last = self.columns, self.clock["last"]
        dt = np.where(use & (last > 0), now - last, 0.0)
        stale = use & (dt > START)
        if stale.any():
            c["kept"][..., stale] = 0.0
            c["trend"][stale] = 0.0
        self.clock["last"] = np.where(use, now, last)
        followed = use & (dt > 0) & ~stale
        if followed.any():
            self._outcomes(values, followed, float(np.median(dt[followed])))
        self._learn(now, values, held, use, dt)
        self._remember(now, use)

    def ahead(self, now: float) -> tuple[Floats, Bools]:
        """Forecasts (horizon, quantile, series), and for which series they mean something."""
        c = self.columns
        middle = c["level"] + self._move(self._features(now))
        unrest = np.maximum(c["unrest"], _floor(c["usual"]))
        spread = np.where(c["sure"][:, None] > 0, c["width"], _FIRST[None, :, None])
        # Each line is corrected by itself; sorted, they cannot cross.
        lines = np.sort(middle[:, None] + spread * unrest, axis=1)
        return np.maximum(lines, 0.0), c["blocks"] >= READY

    def _features(self, now: float) -> Floats:
        """Reasons to move: trend, the day's change, the way back, jobs begun, a steady climb."""
        c = self.columns
        then, here = self._of_day(now + HORIZONS[-1]), self._of_day(now)
        day = np.nan_to_num(then - here)
        begun = np.where(c["fresh"] > 0, np.maximum(self._expected() - c["level"], 0.0), 0.0)
        # What was learned from small moves says nothing about a jump.
        most = 4 * np.maximum(c["unrest"], _floor(c["usual"]))
        back = np.clip(c["usual"] - c["level"], -most, most)
        past = c["kept"][CLIMB_SLOTS - 1]
        climbed = np.where(past[FEATURES + 1] > 0, c["level"] - past[FEATURES], 0.0)
        climb = np.sign(climbed) * np.maximum(np.abs(climbed) - 0.5 * most, 0.0) / CLIMB_SLOTS
        return np.stack((np.clip(c["trend"], -most, most), day, back, begun, climb))

    def _of_day(self, now: float) -> Floats:
        """Usual power at that time of day, between the middles of two bins; NaN until two days are known."""
        c, place = self.columns, now % DAY / DAY * BINS - 0.5
        low, high, share = int(np.floor(place)) % BINS, int(np.floor(place) + 1) % BINS, place % 1
        known = (c["day_seen"][low] >= 2) & (c["day_seen"][high] >= 2)
        return np.where(known, c["day"][low] * (1 - share) + c["day"][high] * share, np.nan)

    def _expected(self) -> Floats:
        """Power once all jobs that hold GPUs work as usual."""
        c = self.columns
        return c["idle"] + c["per_gpu"] * c["held_before"]

    def _move(self, features: Floats) -> Floats:
        weights = self._weights()
        return np.stack([weights[h] @ _over(features, horizon) for h, horizon in enumerate(HORIZONS)])

    def _weights(self) -> Floats:
        """Weight of each reason per horizon, learned over all series of the kind."""
        c = self.columns
        xx, xy = c["xx"].sum(axis=-1, dtype=np.float64), c["xy"].sum(axis=-1, dtype=np.float64)
        n = c["n"].sum(axis=-1, dtype=np.float64)
        out = np.empty_like(_START_WEIGHTS)
        for h in range(len(HORIZONS)):
            if n[h] < LEAST:
                out[h] = _START_WEIGHTS[h]
                continue
            # What is known beforehand counts as some outcomes: a reason that never showed keeps its weight.
            scale = np.diag(xx[h]) / n[h] + RIDGE
            prior = np.diag(scale * LEAST / 4 + RIDGE * n[h])
            out[h] = np.linalg.solve(xx[h] + prior, xy[h] + prior @ _START_WEIGHTS[h])
        weights: Floats = np.clip(out, -1.5, 1.5)
        return weights

    def _outcomes(self, values: Floats, use: Bools, step: float) -> None:
        """Compare forecasts for now with what came, `step` seconds after the last outcome, and learn."""
        c = self.columns
        weights = self._weights()
        fade = np.exp(-STEP / MEMORY)
        for h, horizon in enumerate(HORIZONS):
            slot = round(horizon / step) - 1
            if not 0 <= slot < SLOTS or abs((slot + 1) * step - horizon) > 0.25 * horizon:
                continue
            past = c["kept"][slot]
            unrest, level = past[FEATURES + 1], past[FEATURES]
            known = use & (unrest > 0)
            if not known.any():
                continue
            x = np.where(known, _over(past[:FEATURES], horizon) / np.maximum(unrest, 1e-6), 0.0)
            moved = np.where(known, (values - level) / np.maximum(unrest, 1e-6), 0.0)
            error = moved - weights[h] @ x
            weight = 1.0 / np.maximum(1.0, np.abs(error) / OUTLIER)
            xx, xy = weight * x[:, None] * x[None], weight * x * moved
            c["xx"][h] = np.where(known, fade * c["xx"][h] + xx, c["xx"][h])
            c["xy"][h] = np.where(known, fade * c["xy"][h] + xy, c["xy"][h])
            c["n"][h] = np.where(known, fade * c["n"][h] + 1, c["n"][h])
            first = known & (c["sure"][h] == 0)
            c["width"][h] = np.where(first, _FIRST[:, None], c["width"][h])
            c["sure"][h] = np.where(known, c["sure"][h] + 1, c["sure"][h])
            gain = np.maximum(4.0 / (c["sure"][h] + 20.0), 0.02)
            for q, share in enumerate(QUANTILES):
                below = error <= c["width"][h, q]
                push = gain * np.maximum(np.abs(c["width"][h, q]), 1.0) * (share - below)
                c["width"][h, q] += np.where(known, push, 0.0)

    def _learn(self, now: float, values: Floats, held: Floats, use: Bools, dt: Floats) -> None:
        c = self.columns
        first = use & (c["blocks"] == 0)
        for name in ("level", "usual", "idle"):
            c[name] = np.where(first, values, c[name])
        change = np.where(use & (dt > 0), (values - c["level"]) * STEP / np.maximum(dt, STEP), 0.0)
        gain = 1 - np.exp(-dt / UNREST)
        quick = np.maximum(gain, 1 / (c["blocks"] + 2))
        c["unrest"] += np.where(use, quick * (np.abs(change) - c["unrest"]), 0.0)
        c["trend"] += np.where(use, 0.4 * (change - c["trend"]), 0.0)
        c["level"] = np.where(use, values, c["level"])
        slow = np.maximum(1 - np.exp(-dt / (4 * 3600.0)), 1 / (c["blocks"] + 1))
        c["usual"] += np.where(use, slow * (values - c["usual"]), 0.0)
        bin_ = int(now % DAY / DAY * BINS)
        seen = c["day_seen"][bin_]
        # About thirty minutes fill a bin once; a week of days is remembered.
        gain = np.maximum(1 / (30 * np.maximum(seen, 1)), 1 / (30 * 7))
        learned = np.where(seen == 0, values, c["day"][bin_] + gain * (values - c["day"][bin_]))
        c["day"][bin_] = np.where(use, learned, c["day"][bin_])
        c["day_seen"][bin_] = np.where(use, np.minimum(seen + 1 / 30, 50.0), seen)
        self._jobs(values, held, use, dt)
        c["blocks"] += use

    def _jobs(self, values: Floats, held: Floats, use: Bools, dt: Floats) -> None:
        """Learn what a held GPU draws; note jobs that have just begun."""
        c = self.columns
        known = use & np.isfinite(held)
        held = np.where(known, held, c["held_before"])
        more = known & (held > c["held_before"]) & (c["blocks"] > 0)
        c["fresh"] = np.where(more, START, np.where(known, np.maximum(c["fresh"] - dt, 0.0), c["fresh"]))
        settled = known & (c["fresh"] <= 0)
        empty, busy = settled & (held == 0), settled & (held > 0)
        c["idle"] += np.where(empty, 0.1 * (values - c["idle"]), 0.0)
        c["idle"] = np.where(busy, np.minimum(c["idle"], values), c["idle"])
        each = (values - c["idle"]) / np.maximum(held, 1)
        gain = np.where(c["per_gpu"] == 0, 1.0, 0.02)
        c["per_gpu"] += np.where(busy, gain * (each - c["per_gpu"]), 0.0)
        c["held_before"] = held

    def _remember(self, now: float, use: Bools) -> None:
        c = self.columns
        features = self._features(now)
        unrest = np.maximum(c["unrest"], _floor(c["usual"]))
        c["kept"][1:] = c["kept"][:-1].copy()
        c["kept"][0] = np.where(use, np.vstack((features, c["level"][None], unrest[None])), 0.0)


def reach(level: float, line: Floats, limit: float) -> float | None:
    """Seconds until a forecast line (at HORIZONS) meets the limit, going on as it ends; None: too far off."""
    if level >= limit:
        return 0.0
    times, values = (0.0, *HORIZONS), (level, *(float(value) for value in line))
    for i in range(len(HORIZONS)):
        if values[i + 1] >= limit:
            part = (limit - values[i]) / (values[i + 1] - values[i])
            return times[i] + part * (times[i + 1] - times[i])
    slope = (values[-1] - values[0]) / times[-1]
    if slope <= 0:
        return None
    seconds = times[-1] + (limit - values[-1]) / slope
    return seconds if seconds <= FARTHEST else None


def _over(features: Floats, horizon: float) -> Floats:
    """Reasons as far as they act within a horizon."""
    scaled = features.astype(np.float64)
    scaled[0] *= horizon / STEP
    scaled[1] *= horizon / HORIZONS[-1]
    scaled[4] *= horizon / STEP
    return scaled


def _floor(usual: Floats) -> Floats:
    """Watts of unrest that every meter has."""
    return 0.001 * np.abs(usual) + 1e-3
