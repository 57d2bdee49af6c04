"""How new is what a series does now: the novelty detector, for any signal whatever its unit.

Four features (value above its long mean, short mean above the long one, value above what is usual at this
time of a working day or weekend, logarithm of the spread) are each held against the highest and lowest ever
seen, which is forgotten slowly. What counts is how far outside a feature lies, in a unit made of the width of
what was seen and of how much the peaks of equal stretches of time scatter (block maxima: Coles 2001, ch. 3),
so that a score means much the same on a smooth and on a noisy series. The means are robust: an outlier moves
them no further than a common deviation does (Huber 1964). A fixed number of values per series is kept,
whatever the length of its history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.detectors.base import Detector, Scores, Verdict
from analytics.fleet import Tick
from analytics.fleet.columns import Columns, Floats
from analytics.signals import SIGNALS
from analytics.univariate.kernel import FEATURES, LEVELS, MOMENTS, PEAKS, advance, as_scores, peaks_only


@dataclass(frozen=True, slots=True)
class NoveltySettings:
    """The few numbers chosen on the development data; rows are samples of one series.

    Samples that come closer than `row_seconds` count as part of a row: with ticks of 15 s as with
    samples of five minutes, 400 rows are a day and a half.
    """

    short: float = 24.0
    """Rows of the short mean."""
    long: float = 400.0
    """Rows of the long mean."""
    half_life: float = 20_000.0
    """Rows after which half of a peak is forgotten."""
    reach: float = 2.0
    """A value further off than this many standard deviations moves the means no further."""
    row_seconds: float = 300.0
    """Seconds between samples from which on each counts as a whole row."""
    settle: float = 96.0
    """Rows before anything is remembered, until the means mean something."""
    block: float = 100.0
    """Rows of a stretch whose peak is taken."""
    blocks: float = 60.0
    """Stretches over which the peaks' mean and scatter are taken."""
    trust: float = 3000.0
    """Rows until novelty counts in full: at first everything is new."""
    days: float = 7.0
    """Days over which the usual value at a time of day is taken."""
    bins: int = 24
    """Slots of the day in the profile."""
    weights: tuple[float, float, float, float] = (1.0, 1.0, 0.5, 0.5)
    """How much each feature counts, in the order above."""
    warm_up: float = 150.0
    """Rows without a score at the start of a series."""
    half_score: float = 0.1
    """The novelty that scores 0.5, the alarm threshold: the middle of a range over which the score on the
    development data hardly changes."""

    @property
    def knobs(self) -> Floats:
        """The numbers that the compiled pass takes, in its order."""
        return np.array(
            (
                self.short,
                self.long,
                self.half_life,
                self.reach,
                self.row_seconds,
                self.settle,
                self.block,
                self.blocks,
                self.trust,
                self.days,
            )
        )


class NoveltyKernel:
    """The arithmetic: one value per series and call in, one score per series out. State is float32."""

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        self.settings = settings or NoveltySettings()
        self.columns = Columns(
            {
                "moments": (MOMENTS,),
                "peaks": (PEAKS, FEATURES),
                "levels": (LEVELS, FEATURES),
                "profile": (2 * self.settings.bins,),
            },
            fill={"peaks": -np.inf, "profile": np.nan},
            dtype=np.float32,
        )
        self._knobs = self.settings.knobs
        self._weights = np.array(self.settings.weights)

    def step(self, values: Floats, now: float | Floats) -> Floats:
        """Scores 0..1 of these values (NaN: no value), NaN where there is none or while warming up.

        `now` is Unix time, one for all or one per series. Uses nothing but this and earlier calls.
        """
        c = self.columns
        c.grow(len(values))
        out = np.empty(len(values))
        advance(
            np.ascontiguousarray(values, np.float64),
            np.atleast_1d(np.asarray(now, np.float64)),
            self._knobs,
            self._weights,
            c["moments"],
            c["peaks"],
            c["levels"],
            c["profile"],
            out,
        )
        as_scores(out, c["moments"][0], self.settings.half_score, self.settings.warm_up)
        return out


class EventLayer:
    """One row per event: passes a score only if it beats every score of the last `refractory` rows."""

    def __init__(self, refractory: int = 75) -> None:
        self._refractory = refractory
        self._columns = Columns({"held": (), "age": ()})

    def step(self, scores: Floats) -> Floats:
        """Scores with everything but new peaks set to 0."""
        c = self._columns
        c.grow(len(scores))
        out = np.empty(len(scores))
        peaks_only(scores, float(self._refractory), c["held"], c["age"], out)
        return out


class Novelty(Detector):
    """Scores every signal of every thing by how new its behaviour is."""

    name = "novelty"
    suspects = False

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        super().__init__()
        self._kernels = {signal.key: NoveltyKernel(settings) for signal in SIGNALS if signal.novel}
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
