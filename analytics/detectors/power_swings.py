"""How much power swings within a minute, and how steeply: jobs that work in step pull a whole feed along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analytics.columns import Columns, Floats
from analytics.detectors.base import Evidence, Figure, Rival, Suspicion
from analytics.fleet import Level, Tick
from analytics.named import Named
from analytics.signals import POWER
from analytics.signals_power import FEED_WATTS, JOB_WATTS, RACK_WATTS
from gigawatch.catalogue import Unit, findings

LEAST_READINGS = 4
"""Readings within a minute from which its swing is told; fewer see too little of it."""
WINDOW = 900.0
"""Seconds over which it is averaged how often a limit was passed."""
OFTEN = 0.6
"""Share of minutes beyond a limit that makes a finding: a checkpoint now and then is no swing."""
JOB_SHARE = 0.7
"""Part of a swing that one job must make for it to be called that job's."""
_LEVELS = ((Level.JOB, JOB_WATTS.key), (Level.RACK, RACK_WATTS.key), (Level.FEED, FEED_WATTS.key))
_SPEC: dict[str, tuple[int, ...]] = {
    "low": (), "high": (), "count": (), "last": (), "at": (), "steep": (), "swing": (), "ramp": (),
    "often": (), "since": (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SwingLimits:
    """What UPS and utility bear, as shares of what a rack or feed may carry: from peak to peak within a
    minute, and per second. The values are ours [judgement]; take those of the contract and of the UPS."""

    swing: float = 0.3
    ramp: float = 0.1


class Swings:
    """Peak to peak and steepest ramp per minute, of jobs, racks and feeds."""

    def __init__(self, limits: SwingLimits) -> None:
        self._limits = limits
        self._named = Named()
        fill = {"low": np.nan, "high": np.nan, "swing": np.nan, "ramp": np.nan}
        self._c = {level: Columns(_SPEC, fill) for level, _ in _LEVELS}

    def tables(self) -> tuple[tuple[str, Level, Columns], ...]:
        """Its memory."""
        return tuple((f"{level}_swing", level, self._c[level]) for level, _ in _LEVELS)

    def add(self, tick: Tick) -> None:
        """Take in a tick."""
        for level, key in _LEVELS:
            if not len(tick.fleet[level]):
                continue
            values = _job_watts(tick, self._named) if level is Level.JOB else tick.value(key, level)
            c = self._c[level]
            there = np.isfinite(values) & (np.abs(values) < 1e10)
            dt = tick.now - c["at"]
            steep = np.abs(values - c["last"]) / np.maximum(dt, 0.5)
            follows = there & (c["at"] > 0) & (dt <= 20.0)
            c["steep"] = np.where(follows, np.maximum(c["steep"], steep), c["steep"])
            c["low"] = np.where(there, np.fmin(c["low"], values), c["low"])
            c["high"] = np.where(there, np.fmax(c["high"], values), c["high"])
            c["count"] += there
            c["last"] = np.where(there, values, c["last"])
            c["at"] = np.where(there, tick.now, c["at"])

    def close(self, now: float, seconds: float, limits: Mapping[Level, Floats]) -> None:
        """A minute has ended; `limits` are what racks and feeds may carry (W)."""
        for level, _ in _LEVELS:
            c = self._c[level]
            enough = c["count"] >= LEAST_READINGS
            c["swing"] = np.where(enough, c["high"] - c["low"], np.nan)
            c["ramp"] = np.where(enough & (c["steep"] > 0), c["steep"], np.nan)
            limit = limits.get(level)
            if limit is not None:
                with np.errstate(invalid="ignore"):
                    beyond = c["swing"] > self._limits.swing * limit
                    beyond |= c["ramp"] > self._limits.ramp * limit
                gain = 1 - np.exp(-seconds / WINDOW)
                c["often"] += np.where(enough, gain * (beyond - c["often"]), 0.0)
                begins = beyond & (c["since"] == 0)
                c["since"] = np.where(begins, now - seconds, np.where(c["often"] < 0.05, 0.0, c["since"]))
            for name in ("low", "high"):
                c[name][...] = np.nan
            c["count"][...] = 0.0
            c["steep"][...] = 0.0

    def figures(self) -> list[Figure]:
        """Swing and ramp of every job."""
        c = self._c[Level.JOB]
        return [
            Figure(findings.JOB_POWER_SWING, Level.JOB, c["swing"].copy()),
            Figure(findings.JOB_POWER_RAMP, Level.JOB, c["ramp"].copy()),
        ]

    def suspicions(self, tick: Tick, limits: Mapping[Level, Floats]) -> list[Suspicion]:
        """Jobs that make a rack or feed swing beyond its limits; the rack or feed itself if no job does."""
        found: dict[tuple[str, str], Suspicion] = {}
        for level in (Level.FEED, Level.RACK):
            c = self._c[level]
            for row in map(int, np.flatnonzero(c["often"] >= OFTEN)):
                suspicion = self._one(tick, level, row, float(limits[level][row]))
                found.setdefault((suspicion.scope, suspicion.key), suspicion)
        return list(found.values())

    def _one(self, tick: Tick, level: Level, row: int, limit: float) -> Suspicion:
        c = self._c[level]
        name, gpus = tick.fleet[level].keys[row], tick.fleet[Level.GPU]
        swing, ramp = float(np.nan_to_num(c["swing"][row])), float(np.nan_to_num(c["ramp"][row]))
        evidence = (
            Evidence(
                "power_swing", swing, Unit.WATTS, self._limits.swing * limit,
                text=f"peak to peak within a minute, {swing / max(limit, 1.0):.0%} of what {name} may carry",
            ),
            Evidence("power_ramp", ramp, Unit.WATTS, self._limits.ramp * limit, text="watts per second"),
        )  # fmt: skip
        if level is Level.RACK:
            rows = [i for i, rack in enumerate(gpus.labels["rack"]) if rack == name]
        else:
            rows = []
        job = self._job(tick, swing, rows)
        since = float(c["since"][row]) or None
        if job:
            rows = [i for i, owner in enumerate(gpus.labels["job"]) if owner == job]
            scope, place = "job", job
        else:
            scope, place = level.value, name
        rival = Rival("power_path", 0.15, "a source that wavers shows in its voltage, not in the load's step")
        return Suspicion(
            "power_swing", scope, place, place, tuple(rows), 0.7, since=since,
            confidence=0.9 if job else 0.6, evidence=evidence, rivals=(rival,),
        )  # fmt: skip

    def _job(self, tick: Tick, swing: float, rows: list[int]) -> str:
        """The job that makes most of a swing, of those that hold these GPUs (all, where there are none)."""
        gpus, jobs = tick.fleet[Level.GPU], tick.fleet[Level.JOB]
        names = {gpus.labels["job"][row] for row in rows} - {""} if rows else set(jobs.keys)
        best, most = "", JOB_SHARE * swing
        for name in sorted(names):
            row = jobs.find(name)
            own = float(np.nan_to_num(self._c[Level.JOB]["swing"][row])) if row is not None else 0.0
            if own >= most and own > 0:
                best, most = name, own
        return best


def _job_watts(tick: Tick, named: Named) -> Floats:
    """Power of every job: as told, else the sum over its GPUs."""
    if JOB_WATTS.key in tick.values:
        return tick.value(JOB_WATTS.key, Level.JOB)
    gpus, jobs = tick.fleet[Level.GPU], tick.fleet[Level.JOB]
    codes, names = gpus.codes("job")
    watts = tick.value(POWER.key, Level.GPU)
    use = (codes >= 0) & np.isfinite(watts)
    total = np.bincount(codes[use], weights=watts[use], minlength=len(names))
    # GPUs that are silent for a tick would look like a swing.
    silent = np.bincount(codes[(codes >= 0) & ~use], minlength=len(names))
    return named.spread(names, np.where(silent == 0, total, np.nan), jobs)
