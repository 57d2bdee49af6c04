"""How much power swings within a minute, and how steeply: jobs that work in step pull a whole feed along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analytics.detectors.base import Evidence, Figure, Rival, Suspicion
from analytics.fleet import Level, Tick
from analytics.fleet.columns import Columns, Floats
from analytics.fleet.named import Named
from analytics.jit import compiled
from analytics.signals import POWER
from analytics.signals.power import FEED_WATTS, JOB_WATTS, RACK_WATTS
from gigawatch.catalogue import Unit, findings

LEAST_READINGS = 4
"""Readings within a minute from which its swing is told; fewer see too little of it."""
WINDOW = 900.0
"""Seconds over which it is averaged how often a limit was passed."""
OFTEN = 0.6
"""Share of minutes beyond a limit that makes a finding: a checkpoint now and then is no swing."""
JOB_SHARE = 0.7
"""Part of a swing that one job must make for it to be called that job's."""
MOST = 1e10
"""Watts that no meter shows."""
FOLLOWS = 20.0
"""Seconds between two readings that make a ramp, at most."""
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
            if not len(tick.fleet[level]) or (level is not Level.JOB and key not in tick.values):
                continue
            values = _job_watts(tick, self._named) if level is Level.JOB else tick.value(key, level)
            c = self._c[level]
            _add(values, tick.now, c["low"], c["high"], c["count"], c["last"], c["at"], c["steep"])

    def close(self, now: float, seconds: float, limits: Mapping[Level, Floats]) -> None:
        """A minute has ended; `limits` are what racks and feeds may carry (W)."""
        for level, _ in _LEVELS:
            c = self._c[level]
            limit = limits.get(level)
            _close(
                now, seconds, self._limits.swing, self._limits.ramp, limit is not None,
                c["count"] if limit is None else limit, c["low"], c["high"], c["count"], c["steep"],
                c["swing"], c["ramp"], c["often"], c["since"],
            )  # fmt: skip

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
        rows = gpus.members("rack", name) if level is Level.RACK else ()
        job = self._job(tick, swing, rows)
        since = float(c["since"][row]) or None
        if job:
            rows = gpus.members("job", job)
            scope, place = "job", job
        else:
            scope, place = level.value, name
        rival = Rival("power_path", 0.15, "a source that wavers shows in its voltage, not in the load's step")
        return Suspicion(
            "power_swing", scope, place, place, rows, 0.7, since=since,
            confidence=0.9 if job else 0.6, evidence=evidence, rivals=(rival,),
        )  # fmt: skip

    def _job(self, tick: Tick, swing: float, rows: tuple[int, ...]) -> str:
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


@compiled
def _add(
    values: Floats,
    now: float,
    low: Floats,
    high: Floats,
    count: Floats,
    last: Floats,
    at: Floats,
    steep: Floats,
) -> None:
    """Take a reading of each series into the lowest, the highest and the steepest of its minute."""
    for i in range(len(values)):
        value = float(values[i])
        if not abs(value) < MOST:
            continue
        passed = now - at[i]
        if at[i] > 0 and passed <= FOLLOWS:
            steep[i] = max(steep[i], abs(value - last[i]) / max(passed, 0.5))
        low[i] = value if np.isnan(low[i]) else min(low[i], value)
        high[i] = value if np.isnan(high[i]) else max(high[i], value)
        count[i] += 1
        last[i] = value
        at[i] = now


@compiled
def _close(
    now: float,
    seconds: float,
    most_swing: float,
    most_ramp: float,
    limited: bool,
    limit: Floats,
    low: Floats,
    high: Floats,
    count: Floats,
    steep: Floats,
    swing: Floats,
    ramp: Floats,
    often: Floats,
    since: Floats,
) -> None:
    """Swing and ramp of the minute that ends, and how often the limit is passed; begin the next."""
    gain = 1 - np.exp(-seconds / WINDOW)
    for i in range(len(count)):
        enough = count[i] >= LEAST_READINGS
        swing[i] = high[i] - low[i] if enough else np.nan
        ramp[i] = steep[i] if enough and steep[i] > 0 else np.nan
        if limited:
            beyond = swing[i] > most_swing * limit[i] or ramp[i] > most_ramp * limit[i]
            if enough:
                often[i] += gain * ((1.0 if beyond else 0.0) - often[i])
            if beyond and since[i] == 0:
                since[i] = now - seconds
            elif often[i] < 0.05:
                since[i] = 0.0
        low[i] = high[i] = np.nan
        count[i] = steep[i] = 0.0


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
