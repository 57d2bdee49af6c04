"""How new is what a series does now: the novelty detector, for any signal whatever its unit.

A few features (level, short mean against long mean at two scales, spread, distance from the usual value at
this time of day) are each held against the envelope of everything seen so far, which forgets slowly. What
counts is how far outside a feature lies, in widths of its envelope; the strongest features dominate. A fixed
number of values per series is kept, whatever the length of its history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.columns import Columns, Floats
from analytics.detectors.base import Detector, Scores, Verdict
from analytics.fleet import Tick
from analytics.signals import SIGNALS

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class NoveltySettings:
    """The few numbers chosen on the development data; rows are samples of one series."""

    spans: tuple[int, ...] = (24, 96)
    """Rows of the short means."""
    ratio: int = 12
    """A long mean spans this many times its short one."""
    half_life: float = 10_000.0
    """Rows after which the envelope has forgotten half of an excursion."""
    bins: int = 48
    """Slots of the day in the profile."""
    settle: int = 48
    """Rows before the envelopes start, until the means mean something."""
    warm_up: int = 150
    """Rows without a score at the start of a series."""
    norm: float = 8.0
    """How strongly the largest feature dominates; infinity would be the plain maximum."""
    half_score: float = 0.044
    """Envelope widths outside that score 0.5: the alarm threshold on the development data."""


class NoveltyKernel:
    """The arithmetic: one value per series and call in, one score per series out."""

    def __init__(
        self, settings: NoveltySettings | None = None, dtype: type[np.floating] = np.float64
    ) -> None:
        self.settings = settings or NoveltySettings()
        spans = len(self.settings.spans)
        features = spans + 3
        self.columns = Columns(
            {
                "rows": (),
                "mean": (),
                "scale_mean": (),
                "scale_var": (),
                "var": (),
                "smooth": (),
                "short": (spans,),
                "long": (spans,),
                "low": (features,),
                "high": (features,),
                "center": (features,),
                "day": (self.settings.bins,),
                "day_rows": (self.settings.bins,),
            },
            fill={"low": np.inf, "high": -np.inf},
            dtype=dtype,
        )
        span = np.array(self.settings.spans, dtype)[:, None]
        self._short_gain = 2 / (span + 1)
        self._long_gain = 2 / (span * self.settings.ratio + 1)
        self._weights = np.array([1.0] * (spans + 1) + [0.5, 0.5], dtype)[:, None]
        self._forget = np.log(2) / self.settings.half_life

    def step(self, values: Floats, now: float | Floats) -> Floats:
        """Scores 0..1 of these values (NaN: no value), NaN where there is none or while warming up.

        `now` is Unix time, one for all or one per series. Uses nothing but this and earlier calls.
        """
        c = self.columns
        c.grow(len(values))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            present = np.isfinite(values)
            novelty = self._novelty(np.where(present, values, c["mean"]), present, now)
            score = novelty / (novelty + self.settings.half_score)
        return np.where(present & (c["rows"] > self.settings.warm_up), score, np.nan)

    def _novelty(self, x: Floats, present: np.ndarray, now: float | Floats) -> Floats:
        features = self._features(x.astype(self.columns["mean"].dtype), present, now)
        c, rows = self.columns, self.columns["rows"]
        low, high, center = c["low"], c["high"], c["center"]
        # Never narrower than half the series' own scatter: a flat line must be allowed to twitch.
        scatter = 0.5 * self._scatter()
        floor = np.broadcast_to(scatter, features.shape).copy()
        floor[-2] = 0.25  # of the logarithm of the spread
        begun = np.isfinite(high)
        width = np.where(begun, np.maximum(high - low, floor), np.inf)
        outside = np.maximum(np.maximum(features - high, low - features), 0.0)
        excess = np.where(begun, outside / width, 0.0) * self._weights
        novelty: Floats = np.sum(excess**self.settings.norm, axis=0) ** (1 / self.settings.norm)
        learn = present & (rows > self.settings.settle)
        high[...] = np.where(learn, np.maximum(high, features), high)
        low[...] = np.where(learn, np.minimum(low, features), low)
        gain = np.maximum(1 / np.maximum(rows - self.settings.settle, 1), 1 / 2000)
        center += np.where(learn, gain * (features - center), 0.0)
        high -= np.where(learn, self._forget * (high - center), 0.0)
        low += np.where(learn, self._forget * (center - low), 0.0)
        return novelty

    def _scatter(self) -> Floats:
        c = self.columns
        return np.sqrt(c["scale_var"]) + 1e-9 + 1e-6 * np.abs(c["scale_mean"])

    def _features(self, x: Floats, present: np.ndarray, now: float | Floats) -> Floats:
        c, settings = self.columns, self.settings
        c["rows"] += present
        first = 1 / np.maximum(c["rows"], 1)
        c["short"] += np.where(present, np.maximum(self._short_gain, first) * (x - c["short"]), 0.0)
        c["long"] += np.where(present, np.maximum(self._long_gain, first) * (x - c["long"]), 0.0)
        self._moments("mean", "var", x, present, np.maximum(self._short_gain[0], first))
        self._moments("scale_mean", "scale_var", x, present, np.maximum(1 / settings.half_life, first))
        spread = np.log(np.sqrt(c["var"]) + 0.02 * self._scatter())
        smooth = c["smooth"]
        smooth += np.where(present, np.maximum(2 / 9, first) * (x - smooth), 0.0)
        residual = self._time_of_day(x, present, now)
        return np.concatenate((x[None], c["short"] - c["long"], spread[None], residual[None]))

    def _moments(self, mean: str, var: str, x: Floats, present: np.ndarray, gain: Floats) -> None:
        c = self.columns
        step = x - c[mean]
        c[mean] += np.where(present, gain * step, 0.0)
        c[var] += np.where(present, gain * (step * (x - c[mean]) - c[var]), 0.0)

    def _time_of_day(self, x: Floats, present: np.ndarray, now: float | Floats) -> Floats:
        c, bins = self.columns, self.settings.bins
        clock = np.where(present, np.mod(now, DAY), 0.0) if isinstance(now, np.ndarray) else now % DAY
        slots = np.broadcast_to(np.asarray(clock / DAY * bins, dtype=np.intp), x.shape)
        series = np.arange(len(x))
        usual, seen = c["day"][slots, series], c["day_rows"][slots, series]
        residual = np.where(seen >= 2, c["smooth"] - usual, 0.0)
        seen = np.minimum(seen + present, 40)
        c["day_rows"][slots, series] = seen
        c["day"][slots, series] = usual + np.where(present, (x - usual) / np.maximum(seen, 1), 0.0)
        return residual


class EventLayer:
    """One row per event: passes a score only if it beats every score of the last `refractory` rows."""

    def __init__(self, refractory: int = 100) -> None:
        self._refractory = refractory
        self._columns = Columns({"held": (), "age": ()})

    def step(self, scores: Floats) -> Floats:
        """Scores with everything but new peaks set to 0."""
        self._columns.grow(len(scores))
        held, age = self._columns["held"], self._columns["age"]
        age += 1
        held[age > self._refractory] = 0.0
        peak = np.nan_to_num(scores) > held
        held[peak] = scores[peak]
        age[peak] = 0
        return np.where(peak, np.nan_to_num(scores), 0.0)


class Novelty(Detector):
    """Scores every signal of every thing by how new its behaviour is."""

    name = "novelty"
    suspects = False

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        super().__init__()
        self._kernels = {
            signal.key: NoveltyKernel(settings, dtype=np.float32) for signal in SIGNALS if signal.novel
        }
        self._signals = [signal for signal in SIGNALS if signal.novel]
        for signal in self._signals:
            self.table(signal.key, signal.level, self._kernels[signal.key].columns)

    def observe(self, tick: Tick) -> Verdict:
        verdict = Verdict()
        for signal in self._signals:
            values = tick.value(signal.key, signal.level)
            score = self._kernels[signal.key].step(values, tick.now)
            verdict.scores.append(Scores(signal.key, signal.level, score))
        return verdict
