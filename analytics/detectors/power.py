"""Power: where racks, feeds and breakers will be in 1, 5 and 15 minutes, how jobs make it swing, what failed.

A breaker carries 80 % of its rating for hours (NEC 210.20), a rack its budget, a feed what its UPS may: the
forecast (`power_forecast`) says when that is reached, and how surely. Swings are measured within a minute and
only where that holds four readings at least. What failed is read from the sides of a rack, its feeds, and the
health of supplies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.detectors.base import Detector, Evidence, Figure, Rival, Scores, Suspicion, Verdict
from analytics.detectors.power_forecast import QUANTILES, READY, STEP, Forecast, reach
from analytics.detectors.power_paths import Paths
from analytics.detectors.power_swings import SwingLimits, Swings
from analytics.fleet import IDENTITY, Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.fleet.named import Named
from analytics.signals import POWER
from analytics.signals.power import BREAKER, FEED_LIMIT, FEED_WATTS, NODE_WATTS, RACK_BUDGET, RACK_WATTS
from gigawatch.catalogue import Metric, Unit, findings
from gigawatch.promql.recording.power import CONTINUOUS

NEAR = 0.8
"""Share of a limit below which no forecast of it is believed."""
TRUSTED = 240
"""Minutes that must be known before a forecast may call."""
HOLD = 2
"""Minutes in a row that a limit must be in reach."""
TOLD_QUANTILES = (0.1, 0.5, 0.9, 0.99)
_HORIZON_NAMES = ("1m", "5m", "15m")
_TOLD = [QUANTILES.index(quantile) for quantile in TOLD_QUANTILES]
_FIGURES = [
    ((h, q), (name, f"{quantile:g}"))
    for h, name in enumerate(_HORIZON_NAMES)
    for q, quantile in enumerate(TOLD_QUANTILES)
]
"""Place among the lines that are told, and the labels that tell it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing whose power is forecast: its signal, and what its forecast is exposed as."""

    level: Level
    signal: str
    unit: Unit
    metric: Metric | None


_KINDS = (
    Kind(Level.RACK, RACK_WATTS.key, Unit.WATTS, findings.RACK_POWER_FORECAST),
    Kind(Level.FEED, FEED_WATTS.key, Unit.WATTS, findings.FEED_POWER_FORECAST),
    Kind(Level.DEVICE, BREAKER.key, Unit.RATIO, None),
)


class Power(Detector):
    """Forecasts power, calls limits in reach, swings, and what has failed on the way from feed to supply."""

    name = "power"

    def __init__(self, limits: SwingLimits | None = None) -> None:
        super().__init__()
        self._forecasts = {kind.level: Forecast() for kind in _KINDS}
        self._minute: dict[Level, Columns] = {}
        self._racks = (Named(), Named())
        for kind in _KINDS:
            level = kind.level
            spec: dict[str, tuple[int, ...]] = {
                "total": (),
                "count": (),
                "limit": (),
                "hold": (),
                "since": (),
            }
            self._minute[level] = self.table(f"{level}_minute", level, Columns(spec, {"limit": np.nan}))
            self.table(f"{level}_forecast", level, self._forecasts[level].columns)
            self.table(f"{level}_clock", level, self._forecasts[level].clock)
        self._swings, self._paths = Swings(limits or SwingLimits()), Paths()
        for name, level, columns in (*self._swings.tables(), *self._paths.tables()):
            self.table(name, level, columns)
        self._begun = self.table("begun", Level.GPU, Columns({"begun": ()}))

    def observe(self, tick: Tick) -> Verdict:
        if RACK_WATTS.key not in tick.values and NODE_WATTS.key in tick.values:
            tick = Tick(
                tick.now, tick.fleet, {**tick.values, RACK_WATTS.key: _of_nodes(tick, self._racks[0])}
            )
        begun = float(self._begun["begun"].max(initial=0.0))
        due = begun > 0 and tick.now - begun >= STEP
        if due:
            self._close(tick, begun)
        self._begun["begun"][...] = tick.now if due or begun <= 0 else begun
        for kind in _KINDS:
            if kind.signal not in tick.values:
                continue
            values = tick.value(kind.signal, kind.level)
            there = np.isfinite(values) & (np.abs(values) < 1e10)
            c = self._minute[kind.level]
            c["total"] += np.where(there, values, 0.0)
            c["count"] += there
        verdict = Verdict()
        self._swings.add(tick)
        for kind in _KINDS:
            if kind.signal in tick.values:
                self._judge(tick, kind, verdict)
        verdict.figures += self._swings.figures()
        verdict.suspicions += self._swings.suspicions(tick, self._limits())
        verdict.suspicions += self._paths.observe(tick, self._forecasts[Level.RACK])
        return verdict

    def _close(self, tick: Tick, begun: float) -> None:
        """A minute has ended: learn its means."""
        self._swings.close(tick.now, tick.now - begun, self._limits())
        for kind in _KINDS:
            c = self._minute[kind.level]
            use = c["count"] > 0
            mean = np.where(use, c["total"] / np.maximum(c["count"], 1), 0.0)
            c["total"][...] = 0.0
            c["count"][...] = 0.0
            c["limit"] = _limit(tick, kind, c["limit"])
            forecast = self._forecasts[kind.level]
            if not (use.any() or forecast.clock["last"].any()):  # nothing is measured there
                continue
            of_racks = kind.level is Level.RACK
            held = _held(tick, self._racks[1]) if of_racks else np.full(len(mean), np.nan)
            forecast.step(tick.now, mean, held, use)
            lines, ready = forecast.ahead(tick.now)
            forecast.clock["lines"] = lines
            level, limit = forecast.columns["level"], c["limit"]
            slack = np.where(c["hold"] >= HOLD, 0.98, 1.0)
            soon, later = lines[1, QUANTILES.index(0.1)], lines[2, QUANTILES.index(0.1)]
            with np.errstate(invalid="ignore"):
                ahead = (soon >= slack * limit) | (later >= slack * limit)
                ahead &= (level >= NEAR * limit) & (forecast.columns["blocks"] >= TRUSTED)
                near = use & ready & ((level >= slack * limit) | ahead)
            c["hold"] = np.where(near, np.minimum(c["hold"] + 1, 60), 0.0)
            c["since"] = np.where(near, np.where(c["since"] > 0, c["since"], tick.now - STEP), 0.0)

    def _limits(self) -> dict[Level, Floats]:
        """What racks and feeds may carry, in watts."""
        return {level: self._minute[level]["limit"] for level in (Level.RACK, Level.FEED)}

    def _judge(self, tick: Tick, kind: Kind, verdict: Verdict) -> None:
        forecast, c = self._forecasts[kind.level], self._minute[kind.level]
        lines, ready = forecast.clock["lines"], forecast.columns["blocks"] >= READY
        fresh = ready & (tick.now - forecast.clock["last"] <= 5 * STEP)
        if kind.metric is not None:
            told = np.where(fresh, lines[:, _TOLD], np.nan)
            verdict.figures += [
                Figure(kind.metric, kind.level, told[h, q], labels) for (h, q), labels in _FIGURES
            ]
        # One half where the limit is what is expected in five minutes.
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(ready, lines[1, QUANTILES.index(0.5)], tick.value(kind.signal, kind.level))
            score = np.clip(0.5 * expected / c["limit"], 0.0, 1.0)
        if kind.level is not Level.FEED:
            verdict.scores.append(Scores(kind.signal, kind.level, np.where(c["limit"] > 0, score, np.nan)))
        for row in map(int, np.flatnonzero((c["hold"] >= HOLD) & fresh)):
            verdict.suspicions.append(self._in_reach(tick, kind, row, lines[:, :, row]))

    def _in_reach(self, tick: Tick, kind: Kind, row: int, lines: Floats) -> Suspicion:
        c, forecast = self._minute[kind.level], self._forecasts[kind.level]
        limit, level = float(c["limit"][row]), float(forecast.columns["level"][row])
        roster = tick.fleet[kind.level]
        name = roster.keys[row]
        eta = reach(level, lines[:, QUANTILES.index(0.5)], limit)
        earliest = reach(level, lines[:, QUANTILES.index(0.95)], limit)
        latest = reach(level, lines[:, QUANTILES.index(0.05)], limit)
        evidence = [
            Evidence(
                kind.signal, level, kind.unit, float(forecast.columns["usual"][row]),
                text=f"{level / limit:.0%} of what it may carry for hours",
            ),
            Evidence(
                f"{kind.signal}_forecast", float(lines[1, QUANTILES.index(0.5)]), kind.unit,
                text=f"expected in 5 minutes; the limit is {limit:.4g}",
            ),
        ]  # fmt: skip
        if forecast.columns["fresh"][row] > 0:
            evidence.append(Evidence("jobs", 1.0, Unit.COUNT, text="a job has just begun there"))
        surely = float(np.mean(lines[1] >= limit))
        rivals = (
            Rival("job", 0.3, "the load of a job that begins passes its peak and settles"),
            Rival("sensor", 0.1, "a meter that lies jumps, and its neighbours do not follow"),
        )
        return Suspicion(
            "breaker", kind.level.value, name, name, _members(tick, kind.level, row),
            float(np.clip(0.5 + 0.5 * surely, 0.5, 1.0)), eta=eta, earliest=earliest, latest=latest,
            since=float(c["since"][row]) or None, confidence=0.8, evidence=tuple(evidence), rivals=rivals,
        )  # fmt: skip


def _limit(tick: Tick, kind: Kind, before: Floats) -> Floats:
    """What each thing may carry for hours; limits are asked for rarely, so the last one stays."""
    if kind.level is Level.DEVICE:
        return np.full(len(before), CONTINUOUS)
    signal = RACK_BUDGET if kind.level is Level.RACK else FEED_LIMIT
    now = tick.value(signal.key, kind.level)
    return np.where(np.isfinite(now) & (now > 0), now, before)


def _of_nodes(tick: Tick, named: Named) -> Floats:
    """Power of racks as the sum over their nodes, where all of them tell it."""
    nodes, racks = tick.fleet[Level.NODE], tick.fleet[Level.RACK]
    codes, names = nodes.codes("rack")
    watts = tick.value(NODE_WATTS.key, Level.NODE)
    there = np.isfinite(watts)
    use = (codes >= 0) & there
    total = np.bincount(codes[use], weights=watts[use], minlength=len(names))
    silent = np.bincount(codes[(codes >= 0) & ~there], minlength=len(names))
    return named.spread(names, np.where(silent == 0, total, np.nan), racks)


def _held(tick: Tick, named: Named) -> Floats:
    """GPUs of every rack that a job holds."""
    gpus, racks = tick.fleet[Level.GPU], tick.fleet[Level.RACK]
    codes, names = gpus.codes("rack")
    job, _ = gpus.codes("job")
    working = (job >= 0) & np.isfinite(tick.value(POWER.key, Level.GPU))
    count = np.bincount(codes[(codes >= 0) & working], minlength=len(names)).astype(np.float64)
    return named.spread(names, count, racks)


def _members(tick: Tick, level: Level, row: int) -> tuple[int, ...]:
    """GPUs below a rack, or below the rack that a device stands in; none for a feed."""
    roster, gpus = tick.fleet[level], tick.fleet[Level.GPU]
    if level is Level.FEED:
        return ()
    rack = roster.labels["rack"][row] if level is Level.DEVICE else roster.labels[IDENTITY[level]][row]
    return gpus.members("rack", rack)
